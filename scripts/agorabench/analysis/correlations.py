"""Which metrics go along with PGR: the correlation of each with it over cells."""

from functools import cache

from agorabench.analysis.study import (
    PLACE,
    left_out_notes,
    mixture_notes,
    reason_notes,
    value_or_reason,
)
from agorabench.report import figures
from agorabench.report.table import Table, format_interval, list_columns
from agorabench.stats import regression

COLUMNS = (*PLACE, "metric", "n", "generators", "r", "r_low", "r_high", "p", "rho", "reason")
TABLE = Table(
    "correlations",
    "Correlation of each metric with PGR",
    "Over cells: Pearson's r with its 95 % interval (generators resampled with all their cells), "
    "Spearman's rho, and p of r for independent cells.",
    list_columns(metric=None, n=0, r=2, interval=2, rho=2, p="p"),
)


@cache
def correlate_block(study, block):
    """{metric: regression.Correlation or the reason why there is none}."""
    results = {}
    for name in block.metrics:
        columns = (block.unmixed[key].to_numpy() for key in (name, "pgr", "generator"))
        results[name] = value_or_reason(regression.correlate_columns, *columns, *study.draws)
    return results


def rows(study) -> list[dict]:
    """A row for each block and metric."""
    return [row for block in study.blocks for row in block_rows(study, block)]


def block_rows(study, block):
    """Rows of one block; one that says why, where there are no metrics."""
    correlations = correlate_block(study, block)
    lines = [block.place | {"metric": name} | _numbers(one) for name, one in correlations.items()]
    return lines or [block.place | {"reason": "there are no metrics"}]


def _numbers(correlation):
    if isinstance(correlation, str):
        return {"reason": correlation}
    numbers = {name: getattr(correlation, name) for name in ("n", "generators", "r", "p", "rho")}
    interval = correlation.interval
    return numbers | {"r_low": interval.low, "r_high": interval.high, "reason": interval.reason}


def tables(study) -> list[Table]:
    """Of each block that has enough cells."""
    return [_block_table(study, block) for block in study.fittable]


def _block_table(study, block):
    correlations, lines, reasons = correlate_block(study, block), [], []
    for row in block_rows(study, block) if correlations else []:
        interval = format_interval(row.get("r_low"), row.get("r_high"), 2) or "n/a"
        lines.append(row | {"r": row.get("r", "n/a"), "interval": interval if "r" in row else ""})
        if row["reason"]:
            why = f"no interval, {row['reason']}" if "r" in row else row["reason"]
            reasons.append((row["metric"], why))
    none = "There are no metrics: neither intrinsic ones nor the generators' ability."
    known = [one for one in correlations.values() if not isinstance(one, str)]
    caution = regression.few_generators_caution([(one.interval, one.generators) for one in known])
    notes = reason_notes(reasons) + caution + left_out_notes(block) + mixture_notes(block.mixtures)
    return block.fill(TABLE, caption=TABLE.caption if lines else none, rows=lines, notes=notes)


def figure(study):
    """Dots and whiskers of the correlations."""
    block = study.largest
    numbers = {name: _numbers(one) for name, one in correlate_block(study, block).items()}
    if not numbers:
        return figures.empty_page(block.title, "No correlations: there are no metrics.")
    ends = ("r", "r_low", "r_high")
    shown = [(name, *map(row.get, ends)) for name, row in numbers.items()]
    return draw_correlations(block.title, shown)


def draw_correlations(title, correlations):
    """Figure of correlations: (name, r, low, high), None where there is none."""
    ticks = (-1, -0.5, 0, 0.5, 1)
    return draw_dots(title, correlations, "correlation with PGR", "Pearson's r", 0, ticks)


def draw_dots(title, lines, heading, label, middle, ticks):
    """Figure of (name, number, low, high), None where there is none, around a line at `middle`."""
    names = [name for name, *_ in lines]
    left = [0.15 + figures.text_width(names)]
    page = figures.Page(title, [0.17 * len(names) + 0.1], left=left)
    (axes,) = page.axes
    axes.axvline(middle, color=figures.INK, linewidth=0.8, zorder=1)
    for i, (_, number, low, high) in enumerate(lines):
        if number is None:
            axes.text(middle, i, "n/a", ha="center", va="center_baseline", color=figures.MUTED)
            continue
        if low is not None:
            axes.plot([low, high], [i, i], color=figures.COLOURS[0], linewidth=1.1, zorder=2)
        axes.plot(number, i, "o", **figures.mark(figures.COLOURS[0]))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(ticks[0], ticks[-1])
    axes.set_xticks(ticks, map(figures.format_tick, ticks))
    page.label_panel(axes, heading, label, "")
    return page.figure
