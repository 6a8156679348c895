"""What predicts PGR: regressions on problem solving, by generators and by cells, and on principal
components of all metrics and of the intrinsic ones."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas

from agorabench.analysis.study import (
    ABILITY,
    PLACE,
    left_out_notes,
    mixture_notes,
    usable_metrics,
    value_or_none,
    value_or_reason,
    without_generators,
)
from agorabench.report import figures
from agorabench.report.table import Column, Table
from agorabench.stats import regression

COLUMNS = (
    *(*PLACE, "analysis", "unit", "n", "generators", "components", "r2", "r2_low", "r2_high", "p"),
    *("r2_held_out", "rmse_held_out", "rmse_others", "intercept", "slope", "slope_low"),
    *("slope_high", "reason"),
)
PREDICTORS = {
    "ability": "problem solving",
    "components": "components of all metrics",
    "intrinsic": "components of the intrinsic metrics",
}
ALONE = "no other generator to compare with"
TABLE = Table(
    "regressions",
    "What predicts PGR",
    "Regressions of PGR: R2 in the sample with its 95 % interval (generators resampled with all "
    "their cells), p for independent rows, R2 and error (points of PGR, root mean square) on "
    "generators that were left out of the fit, and the error of predicting the mean of the other "
    "generators in the same setting. R2, left out, negative: worse than predicting the overall "
    "mean.",
    (
        *(Column("predictor", "PGR on"), Column("unit", "of"), Column("n", "n", 0)),
        *(Column("r2", "R2", 3), Column(("r2_low", "r2_high"), "interval", 3)),
        Column("p", "p", "p"),
        Column("r2_held_out", "R2, left out", 3),
        Column("rmse_held_out", "error, left out", 1),
        Column("rmse_others", "error of the others' mean", 1),
    ),
)


@dataclass(frozen=True, eq=False)
class Fit:
    """One regression of a block.

    Attributes:
        analysis: ability, components or intrinsic; unit: of its rows, generators or cells.
        components: how many it may be on; None for a regression on the columns themselves.
        result: regression.Regression, or the reason why there is none.
        rows: the rows it is of.
    """

    analysis: str
    unit: str
    components: int | None
    result: regression.Regression | str
    rows: pandas.DataFrame

    @property
    def interval(self):
        """(Interval of R2, number of generators), in a list; an empty one without a result."""
        result = self.result
        return [] if isinstance(result, str) else [(result.r2_interval, result.generators)]

    def with_predictions(self):
        """Its rows with two more columns, percent: what is `predicted` of the PGR of generators
        that were left out, and the mean of the `others`; NaN where there is none.
        """
        held_out = math.nan if self.result.held_out is None else self.result.held_out
        alone = math.nan if self.unit == "generators" else mean_of_others(self.rows, self.rows)
        return self.rows.assign(predicted=held_out, others=alone)

    def errors(self):
        """(Error of what is predicted of generators that were left out, that of the others' mean,
        which rows they are over, if not all): root mean squares, points of PGR; None without one.
        """
        rows, which = self.with_predictions(), ""
        if self.unit == "cells":
            rows, which = comparable_rows(rows)
        held_out, others = (
            root_mean_square(rows[name] - rows["pgr"]) for name in ("predicted", "others")
        )
        return held_out, others, which


@cache
def fit_block(study, block):
    """All Fits of a block: on ability by generators and by cells, on components of all metrics and
    of the intrinsic ones."""
    cells = block.unmixed
    averages = without_generators(block.mixtures, block.generators)
    whole = usable_metrics(cells, block.metrics) if block.intrinsic else []
    intrinsic, most = usable_metrics(cells, block.intrinsic), regression.COMPONENTS
    return [
        _fit(study, "ability", averages, [ABILITY], "generators"),
        _fit(study, "ability", cells, [ABILITY], "cells"),
        _fit(study, "components", cells, whole, "cells", most),
        _fit(study, "intrinsic", cells, intrinsic, "cells", most),
    ]


def _fit(study, analysis, table, names, unit, components=None):
    if not names or not set(names) <= set(table):
        what = "the generators' ability is" if names == [ABILITY] else "intrinsic metrics are"
        return Fit(analysis, unit, components, f"{what} not known", table[:0])
    rows = table[table[[*names, "pgr"]].notna().all(axis=1)]
    columns = (rows[key].to_numpy() for key in (names, "pgr", "generator"))
    result = value_or_reason(regression.fit_regression, *columns, components, *study.draws)
    return Fit(analysis, unit, components, result, rows)


def mean_of_others(sets, rows):
    """[sets]: mean PGR, in `rows`, of other generators than the set's in its method and domain; NaN
    without one.

    What is predicted of a generator that is not known without any metric: the standard to beat.
    """
    means = []
    for each in sets.itertuples(index=False):
        alike = (rows["method"] == each.method) & (rows["domain"] == each.domain)
        means.append(rows.loc[alike & (rows["generator"] != each.generator), "pgr"].mean())
    return np.array(means)


def comparable_rows(rows):
    """(Those of the rows that have `others`, or all if none has; which they are, if not all)."""
    shared = rows[rows["others"].notna()]
    if shared.empty:
        return rows, ALONE
    if len(shared) == len(rows):
        return rows, ""
    return shared, f"over the {len(shared)} of {len(rows)} cells that another generator has too"


def root_mean_square(errors):
    """Root mean square; None where errors are not known (NaN)."""
    return value_or_none(float(np.sqrt(np.mean(np.asarray(errors, dtype=float) ** 2))))


def rows(study) -> list[dict]:
    """A row for each block and regression."""
    return [row for block in study.blocks for row in block_rows(study, block)]


def block_rows(study, block):
    """Rows of one block."""
    return [
        block.place | {"analysis": fit.analysis, "unit": fit.unit} | _numbers(fit)
        for fit in fit_block(study, block)
    ]


def _numbers(fit):
    result = fit.result
    if isinstance(result, str):
        return {"n": len(fit.rows), "reason": result}
    held_out, others, which = fit.errors()
    reasons = [result.r2_interval.reason, result.held_out_reason]
    reasons += [f"errors: {which}"] if which else []
    names = ("n", "generators", "r2", "p", "r2_held_out", "intercept", "slope")
    numbers = {name: getattr(result, name) for name in names} | {"components": fit.components}
    for name in ("r2", "slope"):
        interval = getattr(result, f"{name}_interval")
        numbers |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    numbers |= {"rmse_held_out": held_out, "rmse_others": others}
    return numbers | {"reason": "; ".join(dict.fromkeys(filter(None, reasons)))}


def tables(study) -> list[Table]:
    """Of each block; of one that has too few cells for any fit, what to know of it."""
    return [
        _block_table(study, block) if len(block.unmixed) >= regression.FEWEST else too_small(block)
        for block in study.blocks
    ]


def too_small(block):
    """In the place of all tables that need more cells than the block has."""
    n = len(block.unmixed)
    cells = f"{n} cell{'s' if n != 1 else ''}" + (" without its mixtures" if block.mixtures else "")
    caption = (
        f"Nothing can be fitted to {cells}: components, regressions, correlations and predictions "
        f"need at least {regression.FEWEST}."
    )
    return block.fill(TABLE, caption=caption, notes=left_out_notes(block))


def _block_table(study, block):
    lines = [row | {"predictor": PREDICTORS[row["analysis"]]} for row in block_rows(study, block)]
    notes = [
        f"PGR of {row['unit']} on {row['predictor']}: {row['reason']}."
        for row in lines
        if row["reason"]
    ]
    intervals = [each for fit in fit_block(study, block) for each in fit.interval]
    notes += regression.few_generators_caution(intervals)
    notes += left_out_notes(block) + mixture_notes(block.mixtures)
    return block.fill(TABLE, rows=[row for row in lines if "r2" in row], notes=notes)


def figure(study):
    """PGR by problem solving, after Figure 4 of the paper."""
    block, panels = study.largest, []
    for fit in fit_block(study, block)[:2]:
        heading, line = f"{len(fit.rows)} {fit.unit}", None
        if not isinstance(fit.result, str):
            heading += f": R\u00b2 = {fit.result.r2:.2f}"
            line = fit.result.intercept, fit.result.slope
        if len(fit.rows):
            panels.append((heading, pgr_points(fit.rows, fit.rows[ABILITY]), line))
    if not panels:
        why = fit_block(study, block)[0].result
        return figures.empty_page(block.title, f"PGR by problem solving: {why}.")
    return draw_lines(block.title, block.unmixed_names, panels)


def pgr_points(rows, x):
    """Points of rows (a DataFrame) with generator, pgr, low and high; `x`: [rows]."""
    y = (rows[name].to_numpy() for name in ("pgr", "low", "high"))
    return figures.Points(np.asarray(x, dtype=float), *y, list(rows["generator"]))


def draw_lines(title, names, panels):
    """Figure of PGR by problem solving. `panels`: (heading, Points, (intercept, slope) or None)."""
    page = figures.Page(title, [1.7] * len(panels), names)
    for axes, (heading, points, line) in zip(page.axes, panels, strict=True):
        page.scatter(axes, points)
        if line is not None:
            ends = np.array([np.min(points.x), np.max(points.x)])
            axes.plot(ends, line[0] + line[1] * ends, color=figures.INK, linewidth=0.9, zorder=1)
        page.label_panel(axes, heading, "problem solving (%)", "PGR (%)")
    return page.figure
