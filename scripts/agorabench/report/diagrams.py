"""The figures of the analyses, each a column wide; call them inside figures.style().

Each takes numbers and gives a matplotlib Figure. What has no value is told in words in its place.
"""

import math
from dataclasses import dataclass

import numpy as np

from agorabench.report import figures

# Inches: edge of the page, room above, below and left of a panel, a line of text.
EDGE, HEAD, FOOT, MARGIN, LINE = 0.06, 0.22, 0.42, 0.48, 0.135


@dataclass(frozen=True)
class Points:
    """Marks of one panel: x, y [points], `low` and `high` ends of y's interval (NaN for none),
    `group` [points] names whose looks they have."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    group: list[str]


def ability(title, names, panels, notes):
    """PGR by problem solving. `panels`: (heading, x label, Points, (intercept, slope) or None)."""
    page = Page(title, [1.7] * len(panels), notes, legend=names)
    for axes, (heading, label, points, line) in zip(page.axes, panels, strict=True):
        scatter(axes, points, names)
        if line is not None and len(points.x):
            ends = np.array([np.min(points.x), np.max(points.x)])
            axes.plot(ends, line[0] + line[1] * ends, color=figures.INK, linewidth=0.9, zorder=1)
        page.label(axes, heading, label, "PGR (%)")
    return page.figure


def components(title, found, names, kept, notes):
    """Variance of principal components, and the loadings of those that are kept.

    `found`: regression.Components; `names`: of its columns, for readers.
    """
    percent = 100 * found.variance
    rows = 0.17 * len(names)
    page = Page(title, [1.15, rows], notes, left=[MARGIN, 0.15 + figures.text_width(names)])
    bars, table = page.axes
    places = np.arange(1, len(percent) + 1)
    colours = [figures.COLOURS[0] if i <= kept else figures.GRID for i in places]
    bars.bar(places, percent, color=colours, width=0.7, edgecolor=figures.MUTED, linewidth=0.4)
    for place, value in zip(places, percent, strict=True):
        bars.annotate(
            f"{value:.1f}",
            (place, value),
            (0, 1.5),
            textcoords="offset points",
            ha="center",
            size=7,
        )
    bars.set_ylim(0, 1.18 * percent.max())
    bars.set_xticks(places)
    page.label(bars, "variance of the metrics (%)", "component", "")
    shown = found.loadings[:kept].T
    table.imshow(shown, cmap="PuOr_r", vmin=-1.25, vmax=1.25, aspect="auto")
    for (i, j), value in np.ndenumerate(shown):
        text = minus(f"{value:.2f}").replace("0.", ".")  # a correlation is never above 1
        table.text(j, i, text, ha="center", va="center_baseline", size=7)
    table.set_yticks(range(len(names)), names)
    table.set_xticks(range(kept), range(1, kept + 1))
    table.grid(False)
    page.label(table, "loading: correlation of metric and component", "component", "")
    return page.figure


def correlations(title, rows, notes):
    """Dots and whiskers of correlations; `rows`: (name, r, low, high), None where there is none."""
    names = [name for name, *_ in rows]
    page = Page(title, [0.17 * len(rows) + 0.1], notes, left=[0.15 + figures.text_width(names)])
    (axes,) = page.axes
    axes.axvline(0, color=figures.INK, linewidth=0.8, zorder=1)
    for i, (_, r, low, high) in enumerate(rows):
        if r is None:
            axes.text(0, i, "n/a", ha="center", va="center_baseline", color=figures.MUTED)
            continue
        if low is not None:
            axes.plot([low, high], [i, i], color=figures.COLOURS[0], linewidth=1.1, zorder=2)
        axes.plot(r, i, "o", **mark(figures.COLOURS[0]))
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-1, 1)
    axes.set_xticks([-1, -0.5, 0, 0.5, 1], ["\u22121", "\u22120.5", "0", "0.5", "1"])
    page.label(axes, "correlation with PGR", "Pearson's r", "")
    return page.figure


def predictions(title, names, panels, notes):
    """What was said of PGR against what it is. `panels`: (heading, Points: x is what was said)."""
    page = Page(title, [1.9] * len(panels), notes, legend=names)
    for axes, (heading, points) in zip(page.axes, panels, strict=True):
        scatter(axes, points, names)
        ends = [min(points.x.min(), points.y.min()), max(points.x.max(), points.y.max())]
        axes.plot(ends, ends, color=figures.INK, linewidth=0.8, dashes=(3, 2), zorder=1)
        page.label(axes, heading, "predicted PGR (%)", "PGR (%)")
    return page.figure


def amounts(title, names, panels, notes):
    """PGR by number of pairs. `panels`: (heading, {name: (Points, Curve or None)})."""
    page = Page(title, [1.25] * len(panels), notes, legend=names)
    for axes, (heading, lines) in zip(page.axes, panels, strict=True):
        sizes = np.unique(np.concatenate([points.x for points, _ in lines.values()]))
        for name, (points, curve) in lines.items():
            scatter(axes, points, names)
            colour, _ = figures.look(names.index(name))
            if curve is None:
                axes.plot(points.x, points.y, color=colour, linewidth=0.6, dashes=(1, 1.5))
            else:
                between = np.geomspace(points.x.min(), points.x.max(), 60)
                axes.plot(between, curve.at(between), color=colour, linewidth=1)
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
        axes.set_xlim(sizes[0] / 1.25, sizes[-1] * 1.25)
        page.label(axes, heading, "pairs per cell", "PGR (%)")
    return page.figure


def value(title, names, points, front, label, notes):
    """PGR by dollars; `front`: [(x, y)] of the points that nothing cheaper beats, by x."""
    page = Page(title, [1.9], notes, legend=names)
    (axes,) = page.axes
    scatter(axes, points, names)
    if len(front) > 1:
        x, y = zip(*front, strict=True)
        axes.step(x, y, where="post", color=figures.MUTED, linewidth=0.8, zorder=1)
    if np.ptp(points.x) and (points.x > 0).all():
        axes.set_xscale("log")
        axes.minorticks_off()
        low, high = points.x.min(), points.x.max()
        ticks = [x for x in (low, math.sqrt(low * high), high)]
        axes.set_xticks(ticks, [dollars(x) for x in ticks])
        axes.set_xlim(low / 1.5, high * 1.5)
    page.label(axes, "PGR by dollars", label, "PGR (%)")
    return page.figure


def nothing(title, sentences):
    """A page that says why there is no figure."""
    return Page(title, [], sentences).figure


def scatter(axes, points, names):
    """Marks with bars, each in the look of its group."""
    for name in dict.fromkeys(points.group):
        mine = np.array([one == name for one in points.group])
        colour, marker = figures.look(names.index(name))
        x, y = points.x[mine], points.y[mine]
        ends = np.stack([points.low[mine], points.high[mine]])
        axes.vlines(x, *ends, color=colour, linewidth=0.7, alpha=0.8, zorder=2)
        axes.plot(x, y, marker, **mark(colour))


def mark(colour):
    return {
        "markersize": 3.6,
        "markerfacecolor": colour,
        "markeredgecolor": "white",
        "markeredgewidth": 0.3,
        "zorder": 3,
    }


def minus(text):
    """A number's text with a minus sign proper, and none before zero."""
    return text.replace("-", "\u2212" if text.strip("-0.") else "")


def dollars(amount):
    """USD with the digits that matter."""
    return f"${amount:,.0f}" if amount >= 100 else f"${amount:.2g}"


class Page:
    """Panels below one another in inches, between a title with a legend and notes in words."""

    def __init__(self, title, heights, notes, legend=(), left=None):
        from matplotlib.figure import Figure

        width = figures.COLUMN_WIDTH
        titles = figures.wrap(title, width - 2 * EDGE)
        lines = [line for note in notes for line in figures.wrap(note, width - 2 * EDGE)]
        across = self.across(legend, width)
        rows = -(-len(legend) // across)
        top = EDGE + LINE * len(titles) + (0.04 + 0.15 * rows if legend else 0)
        total = top + sum(HEAD + height + FOOT for height in heights) + LINE * len(lines) + EDGE
        self.figure = Figure(figsize=(width, total))
        quiet = {"color": figures.MUTED, "size": 7, "va": "top"}
        y = total - EDGE
        for line in titles:
            self.figure.text(EDGE / width, y / total, line, **quiet)
            y -= LINE
        if legend:
            self.legend(legend, across, rows, y / total, width)
        y = total - top
        self.axes = []
        for height, margin in zip(heights, left or [MARGIN] * len(heights), strict=True):
            y -= HEAD + height
            box = (margin / width, y / total, 1 - (margin + 0.12) / width, height / total)
            self.axes.append(self.figure.add_axes(box))
            y -= FOOT
        y -= 0.02
        for line in lines:
            self.figure.text(EDGE / width, y / total, line, **quiet)
            y -= LINE

    @staticmethod
    def across(names, width):
        """Names in a row of the legend."""
        if not names:
            return 1
        return max(1, int((width - 2 * EDGE) // (figures.text_width(names) + 0.24)))

    def legend(self, names, across, rows, top, width):
        from matplotlib.lines import Line2D

        total = self.figure.get_figheight()
        step = (width - 2 * EDGE) / across
        for i, name in enumerate(names):
            colour, marker = figures.look(i)
            x, y = EDGE + step * (i // rows), top - (0.04 + 0.15 * (i % rows)) / total
            place = Line2D([(x + 0.06) / width], [y - 0.05 / total], marker=marker, **mark(colour))
            self.figure.add_artist(place)
            self.figure.text((x + 0.15) / width, y, name, size=7, va="top")

    def label(self, axes, heading, x, y):
        width, total = self.figure.get_size_inches()
        top = axes.get_position().y1 + 0.05 / total
        self.figure.text(EDGE / width, top, heading, weight="bold", size=7.5)
        axes.set_xlabel(x, labelpad=2)
        axes.set_ylabel(y, labelpad=2)
