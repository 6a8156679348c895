"""Which metric chooses the right generator? Predictors judged by the decisions they would make."""

import numpy as np

from agorabench.analysis.correlations import draw_dots
from agorabench.analysis.regressions import fit_block
from agorabench.analysis.study import PLACE, left_out_notes, mixture_notes, reason_notes
from agorabench.intrinsic import LOW_IS_GOOD
from agorabench.report import figures
from agorabench.report.table import (
    Cell,
    Column,
    Table,
    format_interval,
    format_number,
    list_columns,
)
from agorabench.stats import decisions as stats
from agorabench.stats.regression import ENOUGH, NoValue

NUMBERS = (
    *("settings", "generators", "accuracy", "accuracy_low", "accuracy_high", "p"),
    *("regret", "regret_low", "regret_high", "rho", "r2", "r2_within", "reason"),
)
COLUMNS = (*PLACE, "predictor", "good", *NUMBERS)
TABLE = Table(
    "decisions",
    "Predictors judged by their decisions",
    "Within each setting (method and domain): the share of pairs of generators that the predictor "
    "orders as PGR does, and the points of PGR lost by taking its first choice (regret); means "
    "over settings with 95 % intervals that resample settings. p: by permuting PGR within them; "
    "Spearman's rho; R2 over all cells and within settings. At random half of the pairs are right.",
    (
        *list_columns(predictor=None, good=None),
        *(Column("accuracy", "pairs right", 2), Column("p", "p", "p")),
        *(Column("regret", "regret", 1), Column("rho", "rho", 2)),
        *(Column("r2", "R2", 3), Column("r2_within", "R2 within", 3)),
    ),
)
LITTLE = "this says little"
HELD_OUT = "intrinsic metrics, generator left out"
ELSEWHERE = "mean PGR in the other settings"
RANDOM, NESTED = "random", "most accurate in the other settings"


def rows(study) -> list[dict]:
    """A row for each block and predictor."""
    return [block.place | row for block in study.blocks for row in block_rows(study, block)]


def block_rows(study, block):
    """Rows of a block: its metrics, what the fit predicts of generators left out, baselines."""
    cells, fit = block.unmixed.reset_index(drop=True), fit_block(study, block)[-1]
    predictors = {name: cells[name].to_numpy() for name in block.metrics}
    if not isinstance(fit.result, str) and fit.result.held_out is not None:
        rows = fit.rows.assign(predicted=fit.result.held_out)
        predictors[HELD_OUT] = rows["predicted"].reindex(block.unmixed.index).to_numpy()
    return judge_all(cells, predictors, study.params["seed"], study.params.get("misnamed", ()))


def judge_all(cells, predictors, seed, misnamed=()):
    """Rows of predictors, then of baselines.

    `cells`: generator, method, domain, pgr; `predictors`: name -> values [cells]; `misnamed`:
    those of which the other end is good than their name says.
    """
    y, names = cells["pgr"].to_numpy(), cells["generator"]
    settings = list(zip(cells["method"], cells["domain"], strict=True))
    judged, lines = {}, []
    known = predictors | {ELSEWHERE: stats.mean_elsewhere(y, names, settings)}
    for name, values in known.items():
        low = name.startswith(LOW_IS_GOOD) != (name in misnamed)
        signed = -np.asarray(values, dtype=float) if low else values
        row = {"predictor": name, "good": "low" if low else "high"}
        try:
            one = stats.judge_predictor(signed, y, settings, seed)
        except NoValue as error:
            lines.append(row | {"reason": str(error)})
            continue
        lines.append(row | _numbers(one, seed))
        lines[-1] |= zip(("r2", "r2_within"), stats.explained(signed, y, settings), strict=True)
        judged |= {name: one} if name in predictors else {}
    return lines + _baselines(y, names, settings) + _nested(judged)


def _numbers(one, seed):
    ends = dict(zip(("accuracy", "regret"), one.intervals(seed), strict=True))
    row = {"settings": len(one.accuracy), "generators": one.generators, "p": one.p, "rho": one.rho}
    for name, numbers in ends.items():
        row |= zip((name, f"{name}_low", f"{name}_high"), numbers, strict=True)
    little = f"of {one.generators} generators a setting has few pairs: {LITTLE}"
    return row | {"reason": little if one.generators < ENOUGH else ""}


def _baselines(y, names, settings):
    """Choosing at random, and always the same generator: the best such and the worst."""
    groups = stats.split_settings(y, y, settings)
    if not groups:
        return []
    lost = {RANDOM: (0.5, np.mean([own.max() - own.mean() for own, _ in groups]))}
    regrets = {}
    for name in dict.fromkeys(names):
        always = stats.split_settings((np.array(names) == name).astype(float), y, settings)
        if all(x.any() for x, _ in always):
            regrets[f"always {name}"] = np.mean([stats.lost_points(*pair) for pair in always])
    for name in sorted(regrets, key=regrets.get)[:: max(1, len(regrets) - 1)]:
        lost[name] = (None, regrets[name])
    return [
        {"predictor": name, "settings": len(groups), "accuracy": accuracy, "regret": float(regret)}
        for name, (accuracy, regret) in lost.items()
    ]


def _nested(judged):
    row = {"predictor": NESTED}
    try:
        accuracy, regret, chosen = stats.choose_nested(judged)
    except NoValue as error:
        return [row | {"reason": str(error)}]
    names = "always " * (len(chosen) == 1) + ", ".join(chosen)
    return [row | {"accuracy": accuracy, "regret": regret, "reason": f"it was {names}"}]


def tables(study) -> list[Table]:
    """Of each block that has enough cells."""
    return [fill_table(study, block) for block in study.fittable]


def fill_table(study, block):
    """The table of one block."""
    lines = block_rows(study, block)
    notes = (
        best_notes(lines, block.metrics)
        + notes_of(lines)
        + left_out_notes(block)
        + mixture_notes(block.mixtures)
    )
    return block.fill(TABLE, rows=with_intervals(lines), notes=notes)


def best_notes(lines, metrics):
    """A sentence on the single metric that would have chosen best here, in a list."""
    known = [row for row in lines if row["predictor"] in metrics and "regret" in row]
    if not known:
        return []
    most = max(row["settings"] for row in known)  # of fewer it may be easier
    whole = [row for row in known if row["settings"] == most]
    best = max(whole, key=lambda row: (row["accuracy"], -row["regret"]))
    words = f"Of single metrics {best['predictor']} would have chosen best here: it orders"
    lost = format_number(best["regret"], 1)
    return [f"{words} {best['accuracy']:.2f} of the pairs right and loses {lost} points."]


def with_intervals(lines):
    """The rows that have a value, with intervals below numbers."""
    shown = []
    for row in lines:
        cells = {}
        for name, digits in (("accuracy", 2), ("regret", 1)):
            ends = format_interval(row.get(f"{name}_low"), row.get(f"{name}_high"), digits)
            cells[name] = Cell(format_number(row.get(name), digits), ends)
        shown += [row | cells] if "regret" in row else []
    return shown


def notes_of(lines):
    """Sentences on what has no value, or says little."""
    reasons = [(row["predictor"], row["reason"]) for row in lines if row.get("reason")]
    few = dict.fromkeys(reason for _, reason in reasons if reason.endswith(LITTLE))
    notes = [f"{reason[:1].upper()}{reason[1:]}." for reason in few]
    return notes + reason_notes(pair for pair in reasons if pair[1] not in few)


def figure(study):
    """Pairs that each predictor orders right."""
    block = study.largest
    lines = block_rows(study, block)
    if not any("accuracy_low" in row for row in lines):
        return figures.empty_page(block.title, f"No decisions: {lines[0]['reason']}.")
    return draw_decisions(block.title, lines)


def draw_decisions(title, lines):
    """Figure of rows: decision accuracy with its interval."""
    ends = ("accuracy", "accuracy_low", "accuracy_high")
    shown = [(row["predictor"], *map(row.get, ends)) for row in lines if row.get("good")]
    heading, ticks = "choosing by a predictor", (0, 0.25, 0.5, 0.75, 1)
    return draw_dots(title, shown, heading, "share of pairs ordered as PGR does", 0.5, ticks)
