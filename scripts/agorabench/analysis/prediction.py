"""What PGR to expect of a generator from the intrinsic metrics of its sets alone."""

import math

from agorabench.analysis.regressions import (
    ALONE,
    PREDICTORS,
    comparable_rows,
    fit_block,
    mean_of_others,
    pgr_points,
)
from agorabench.analysis.study import (
    PLACE,
    SET,
    UNSOUND,
    left_out_notes,
    reason_notes,
    usable_metrics,
    value_or_none,
)
from agorabench.report import figures
from agorabench.report.table import Column, Table, list_columns
from agorabench.stats import regression
from agorabench.stats.pgr import MEAN

COLUMNS = (*(*PLACE, *SET, "n", "pgr", "predicted", "error", "others", "rmse", "basis", "reason"),)
TABLE = Table(
    "prediction",
    "PGR predicted from intrinsic metrics alone",
    "Every generator by a regression that has not seen it: its PGR, what was predicted, and the "
    "mean of the other generators in the same settings, in percent. The PGR of a single cell was "
    "missed by {error:.1f} points{others} (root mean square{which}).",
    (
        *list_columns(generator=None, cells=None, basis=None),
        *(Column("pgr", "PGR", 1), Column("predicted", "predicted", 1)),
        Column("others", "others' mean", 1),
    ),
)


def rows(study) -> list[dict]:
    """Rows of all blocks."""
    return [row for block in study.blocks for row in predict_block(study, block)]


def predict_block(study, block):
    """Rows of one block, from the fit on intrinsic metrics alone.

    Every cell by a fit to the other generators, and averages of generators (named "mean") over `n`
    cells. Then, by the fit to all of them, mixtures, and sets that have metrics but no PGR.
    """
    fit = fit_block(study, block)[-1]
    why = fit.result if isinstance(fit.result, str) else fit.result.held_out_reason
    if why:
        return [block.place | {"basis": "held out", "reason": why}]
    error, *_ = fit.errors()
    mixed = block.cells.drop(block.unmixed.index)
    lines = _set_rows(fit.with_predictions(), "held out", error)
    lines += _unfitted_rows(block, fit, mixed, "mixture")
    lines += _unfitted_rows(block, fit, block.new.assign(pgr=math.nan), "new", error)
    return [block.place | row for row in lines]


def _unfitted_rows(block, fit, sets, basis, error=None):
    """Rows for sets that the fit is not of."""
    names = usable_metrics(block.unmixed, block.intrinsic)
    complete = sets[names].notna().all(axis=1)
    lines, known = [], sets[complete]
    if len(known):
        x, y = (fit.rows[columns].to_numpy() for columns in (names, "pgr"))
        predicted = regression.predict_pgr(x, y, known[names].to_numpy())
        known = known.assign(predicted=predicted, others=mean_of_others(known, fit.rows))
        lines = _set_rows(known, basis, error)
    why = {"basis": basis, "reason": "a metric is missing"}
    return lines + [row | why for row in sets.loc[~complete, list(SET)].to_dict("records")]


def _set_rows(sets, basis, error):
    """Rows for cells and, where they have a PGR, for the average of a generator."""
    lines = []
    for row in sets.to_dict("records"):
        reasons = [UNSOUND] if basis != "new" and math.isnan(row["pgr"]) else []
        reasons += [ALONE] if math.isnan(row["others"]) else []
        lines.append(_prediction_row(row, 1, basis, error, "; ".join(reasons)))
    for name, own in sets.dropna(subset="pgr").groupby("generator", sort=False):
        compared, which = comparable_rows(own)
        row = {"generator": name, "method": MEAN, "domain": MEAN}
        row |= compared[["pgr", "predicted", "others"]].mean()
        lines.append(_prediction_row(row, len(compared), basis, None, which))
    return lines


def _prediction_row(row, n, basis, error, reason):
    pgr = value_or_none(row["pgr"])
    others, missed = value_or_none(row["others"]), None if pgr is None else row["predicted"] - pgr
    values = (n, pgr, row["predicted"], missed, others, error, basis, reason)
    return dict(zip(COLUMNS[4:], (*(row[name] for name in SET), *values), strict=True))


def set_words(row):
    """In words, what a row is of: a set or a generator."""
    return " ".join(row[name] for name in SET if row[name] != MEAN)


def tables(study) -> list[Table]:
    """Of each block that has enough cells: generators, and sets that nobody was trained on."""
    return [_block_table(study, block) for block in study.fittable]


def _block_table(study, block):
    own = predict_block(study, block)
    if "predicted" not in own[0]:
        return block.fill(TABLE, caption=f"No prediction: {own[0]['reason']}.", columns=())
    settings = len(block.cells[["method", "domain"]].drop_duplicates())
    shown = [row for row in own if row["method"] == MEAN or row["basis"] == "new"]
    reasons = [
        (set_words(row), row["reason"])
        for row in own
        if row["reason"] and (row["method"] == MEAN or row["basis"] != "held out")
    ]
    return block.fill(
        TABLE,
        caption=_caption(block, fit_block(study, block)[-1], own),
        rows=[row | {"cells": _cells_words(row, settings)} for row in shown],
        notes=reason_notes(reasons) + left_out_notes(block),
    )


def _cells_words(row, settings):
    if row["method"] != MEAN:
        return f"{row['method']}, {row['domain']}"
    return "all" if row["n"] == settings else f"{row['n']} of {settings}"


def _caption(block, fit, own):
    error, standard, which = fit.errors()
    others = "" if standard is None else f", by the mean of the others by {standard:.1f}"
    which = which and f", {which}"
    caption = TABLE.caption.format(error=error, others=others, which=which)
    if block.mixtures:
        caption += " Mixture: by the regression on all other generators, its parts among them."
    if any(row["basis"] == "new" for row in own):
        caption += " New: not trained on yet."
    return caption


def figure(study):
    """PGR against what regressions predict: on all cells, and of generators left out."""
    block, panels = study.largest, []
    whole, intrinsic = fit_block(study, block)[2:]
    if not isinstance(whole.result, str):
        heading = f"{PREDICTORS['components']}: R\u00b2 = {whole.result.r2:.2f}"
        panels.append((heading, pgr_points(whole.rows, whole.result.fitted)))
    if not isinstance(intrinsic.result, str) and intrinsic.result.held_out is not None:
        r2 = figures.minus_sign(f"{intrinsic.result.r2_held_out:.2f}")
        points = pgr_points(intrinsic.rows, intrinsic.result.held_out)
        panels.append((f"intrinsic, left out: R\u00b2 = {r2}", points))
    if not panels:
        why = whole.result if isinstance(whole.result, str) else intrinsic.result
        return figures.empty_page(block.title, f"PGR from intrinsic metrics: {why}.")
    return draw_predictions(block.title, block.unmixed_names, panels)


def draw_predictions(title, names, panels):
    """Figure of PGR against what was predicted. `panels`: (heading, Points: x is predicted)."""
    page = figures.Page(title, [1.9] * len(panels), names)
    for axes, (heading, points) in zip(page.axes, panels, strict=True):
        page.scatter(axes, points)
        bounds = axes.get_xlim(), axes.get_ylim()
        axes.axline((0, 0), slope=1, color=figures.INK, linewidth=0.8, dashes=(3, 2), zorder=1)
        axes.set(xlim=bounds[0], ylim=bounds[1])  # a wild prediction must not flatten all PGRs
        axes.locator_params(axis="x", nbins=5)
        page.label_panel(axes, heading, "predicted PGR (%)", "PGR (%)")
    return page.figure
