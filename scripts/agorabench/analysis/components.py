"""What the metrics have in common: principal components of the standardised metrics."""

from functools import cache

import numpy as np

from agorabench.analysis.study import PLACE, mixture_notes, value_or_reason
from agorabench.report import figures
from agorabench.report.table import Column, Table, list_columns
from agorabench.stats import regression
from agorabench.stats.pgr import MEAN

COLUMNS = (*PLACE, "component", "variance", "metric", "loading", "contribution", "n", "reason")
TABLE = Table(
    "loadings",
    "Loadings",
    "Principal components of the standardised metrics: mean absolute loading over all components, "
    "its share in percent, and the loadings on the first, which explain {shares} = {sum:.1f} % of "
    "the metrics' variance (n = {n} cells). After Table 4 of the paper.",
    (Column("metric", "metric"), Column("loading", "mean", 3), Column("contribution", "share", 1)),
)


@cache
def decompose_block(block):
    """regression.Components of all metrics, or the reason why there are none."""
    if len(block.metrics) < 2:
        return "there are no intrinsic metrics"
    return value_or_reason(regression.fit_components, block.unmixed[block.metrics])


def rows(study) -> list[dict]:
    """A row for each component and metric; component "mean": mean absolute loadings and shares."""
    found = ((block.place, component_rows(decompose_block(block))) for block in study.blocks)
    return [place | row for place, own in found for row in own]


def component_rows(fit):
    """Rows of one block's regression.Components, or of the reason why there are none."""
    if isinstance(fit, str):
        return [{"reason": fit}]
    lines, n = [], {"n": int(fit.rows.sum())}
    for i, (share, loadings) in enumerate(zip(fit.variance, fit.loadings, strict=True), 1):
        row = {"component": i, "variance": 100 * share} | n
        own = zip(fit.names, loadings, strict=True)
        lines += [row | {"metric": name, "loading": loading} for name, loading in own]
    lines += [{"component": MEAN} | row | n for row in mean_rows(fit)]
    return lines + [{"metric": name, "reason": why} for name, why in fit.left_out.items()]


def mean_rows(fit):
    """Metric, mean absolute loading, and its share of the sum of these in percent."""
    means = fit.mean_loadings()
    return [
        {"metric": name, "loading": loading, "contribution": 100 * loading / means.sum()}
        for name, loading in zip(fit.names, means, strict=True)
    ]


def tables(study) -> list[Table]:
    """Of each block that has enough cells, mean absolute loadings as in Table 4 of the paper."""
    return list(map(_block_table, study.fittable))


def _block_table(block):
    fit = decompose_block(block)
    if isinstance(fit, str):
        return block.fill(TABLE, caption=f"No components: {fit}.", columns=())
    kept = min(regression.COMPONENTS, len(fit.variance))
    lines = [
        row | {f"component {j + 1}": fit.loadings[j, i] for j in range(kept)}
        for i, row in enumerate(mean_rows(fit))
    ]
    lines.sort(key=lambda row: -row["loading"])
    percent = 100 * fit.variance[:kept]
    shares = ", ".join(f"{share:.1f}" for share in percent)
    caption = TABLE.caption.format(shares=shares, sum=percent.sum(), n=int(fit.rows.sum()))
    columns = TABLE.columns + list_columns(**{f"component {j + 1}": 2 for j in range(kept)})
    notes = [f"{metric} is left out: {why}." for metric, why in fit.left_out.items()]
    notes += mixture_notes(block.mixtures)
    return block.fill(TABLE, caption=caption, columns=columns, rows=lines, notes=notes)


def figure(study):
    """Variance of the components, and the loadings of those that PGR is regressed on."""
    block = study.largest
    fit = decompose_block(block)
    if isinstance(fit, str):
        return figures.empty_page(block.title, f"No principal components: {fit}.")
    return draw_components(f"{block.title}, {int(fit.rows.sum())} cells", fit, fit.names)


def draw_components(title, fit, names):
    """Figure of regression.Components; `names`: of its columns, for readers."""
    kept = min(regression.COMPONENTS, len(fit.variance))
    left = [figures.MARGIN, 0.15 + figures.text_width(names)]
    page = figures.Page(title, [1.15, 0.17 * len(names)], left=left)
    bars, loadings = page.axes
    _draw_variance(bars, 100 * fit.variance, kept)
    page.label_panel(bars, "variance of the metrics (%)", "component", "")
    shown = fit.loadings[:kept].T
    loadings.imshow(shown, cmap="PuOr_r", vmin=-1.25, vmax=1.25, aspect="auto")
    for (i, j), loading in np.ndenumerate(shown):
        text = figures.minus_sign(f"{loading:.2f}").replace("0.", ".")  # a correlation is below 1
        loadings.text(j, i, text, ha="center", va="center_baseline", size=7)
    loadings.set_yticks(range(len(names)), names)
    loadings.set_xticks(range(kept), range(1, kept + 1))
    loadings.grid(False)
    page.label_panel(loadings, "loading: correlation of metric and component", "component", "")
    return page.figure


def _draw_variance(axes, percent, kept):
    numbers = np.arange(1, len(percent) + 1)
    colours = [figures.COLOURS[0] if i <= kept else figures.GRID for i in numbers]
    axes.bar(numbers, percent, color=colours, width=0.7, edgecolor=figures.MUTED, linewidth=0.4)
    above = {"xytext": (0, 1.5), "textcoords": "offset points", "ha": "center", "size": 7}
    for at, share in zip(numbers, percent, strict=True):
        axes.annotate(f"{share:.1f}", (at, share), **above)
    axes.set_ylim(0, 1.18 * percent.max())
    axes.set_xticks(numbers)
