"""One look for all figures: type, colours, marks, sizes, and files that are the same every time."""

import math
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agorabench.errors import UserError

# Widths in inches: one column of a two-column page, and the whole page.
COLUMN_WIDTH = 3.3
PAGE_WIDTH = 7.0
# Inches: edge of the page, room above, below and left of a panel, a line of text.
EDGE, HEAD, FOOT, MARGIN, LINE = 0.06, 0.22, 0.42, 0.48, 0.135

INK = "#222222"
MUTED = "#767676"
GRID = "#e4e4e4"

# Okabe and Ito 2008, "Color Universal Design", without black, which is ink, and the yellow that
# vanishes on white. Shapes say the same again, for print in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    **dict.fromkeys(("font.size", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 7),
    **dict.fromkeys(("axes.titlesize", "axes.labelsize"), 7.5),
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), MUTED),
    **dict.fromkeys(("axes.linewidth", "xtick.major.width"), 0.6),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    **dict.fromkeys(("axes.axisbelow", "axes.grid", "axes.unicode_minus"), True),
    **{"grid.color": GRID, "grid.linewidth": 0.4},
    "xtick.major.size": 2,
    "ytick.major.size": 0,
    "lines.linewidth": 1.0,
    "text.parse_math": False,  # dollars in names are dollars
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # text stays text
    "svg.hashsalt": "agorabench",  # else ids in an SVG are random
}

ENDINGS = ("png", "svg", "pdf")  # of every figure

# What a file would otherwise say about when, and by which version, it was made.
METADATA = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@contextmanager
def style():
    """Everything drawn and saved inside the block has the project's look."""
    import matplotlib

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE, "backend": "agg"}):
        yield


def series_look(i):
    """(colour, marker) of the i-th of several things; the first 42 differ from one another."""
    return COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]


def axis_limits(points, ends, always, widest=(-math.inf, math.inf)):
    """Range (low, high) of an axis that shows `always`, all `points`, and what it can of `ends`.

    A long interval may widen the range of the points by 40 % on either side, and nothing widens it
    beyond `widest`: one wild cell must not flatten all others. What lies outside is for the caller
    to cut and mark.
    """
    low, high = min([*points, *always]), max([*points, *always])
    spread = high - low
    low = max(min([low, *ends]), low - 0.4 * spread, widest[0])
    high = min(max([high, *ends]), high + 0.4 * spread, widest[1])
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def round_ticks(low, high, most=4):
    """Round tick positions within (low, high), 0 among them where it is in range: at most `most`.

    Steps are 1, 2, 2.5 or 5 times a power of ten, but 50 before 40: 0, 50, 100 are what PGR is
    read against.
    """
    span = high - low
    power = 10 ** math.floor(math.log10(span / most))
    for factor in (1, 2, 2.5, 5, 10, 20, 25, 50):
        step = factor * power
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first + 1 <= most:
            return [i * step for i in range(first, last + 1)]
    raise ValueError(f"no ticks between {low} and {high}")


def format_tick(number):
    """A tick label or the like: three digits, with a minus sign proper."""
    return f"{number:.3g}".replace("-", "\u2212")


def minus_sign(text):
    """A number's text with a minus sign proper, and none before zero."""
    return text.replace("-", "\u2212" if text.strip("-0.") else "")


def text_width(texts, bold=False):
    """Inches that the longest of the texts takes as a tick label, or in bold as a heading."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    size = STYLE["axes.titlesize" if bold else "ytick.labelsize"]
    weight = "bold" if bold else "normal"
    font = FontProperties(family=STYLE["font.family"], weight=weight, size=size)
    widths = (text_to_path.get_text_width_height_descent(text, font, False)[0] for text in texts)
    return max(widths) / 72


def wrap_text(text, width):
    """The text in lines of at most `width` inches where its words allow."""
    lines = []
    for part in text.split():
        if lines and text_width([f"{lines[-1]} {part}"]) <= width:
            lines[-1] += f" {part}"
        else:
            lines.append(part)
    return lines


def save_figure(figure, paths):
    """Save a figure under each path, in the format its ending names; same figure, same bytes.

    Call it inside `style()`. Raises UserError for an ending other than .png, .svg or .pdf.
    """
    paths = [Path(path) for path in paths]
    for path in paths:
        if path.suffix not in METADATA:
            raise UserError(f"{path}: a figure can be {', '.join(METADATA)}")
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
        try:
            figure.savefig(partial, metadata=METADATA[path.suffix])
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class Points:
    """Marks of one panel: x, y [points], `low` and `high` ends of y's interval (NaN for none),
    `group` [points] names whose looks they have."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    group: list[str]

    @classmethod
    def of_rows(cls, rows, x, y="pgr", ends=("pgr_low", "pgr_high"), group="generator"):
        """Points of rows (dicts) by the names of their columns; None becomes NaN."""
        columns = [
            np.array([math.nan if row[key] is None else row[key] for row in rows], dtype=float)
            for key in (x, y, *ends)
        ]
        return cls(*columns, [row[group] for row in rows])


class Page:
    """A figure a column wide: panels below one another under a title and a legend.

    `heights`: of the panels in inches; `left`: room left of each; `legend`: names of series.
    """

    def __init__(self, title, heights, legend=(), left=None):
        from matplotlib.figure import Figure

        self.names, width = list(legend), COLUMN_WIDTH
        titles = wrap_text(title, width - 2 * EDGE)
        across = max(1, int((width - 2 * EDGE) // (text_width(legend) + 0.24))) if legend else 1
        rows = -(-len(self.names) // across)
        top = EDGE + LINE * len(titles) + (0.04 + 0.15 * rows if legend else 0)
        total = top + sum(HEAD + height + FOOT for height in heights) + EDGE
        self.figure = Figure(figsize=(width, total))
        for i, line in enumerate(titles):
            y = 1 - (EDGE + LINE * i) / total
            self.figure.text(EDGE / width, y, line, color=MUTED, size=7, va="top")
        self._draw_legend(across, rows, total - EDGE - LINE * len(titles))
        y = total - top
        self.axes = []
        for height, margin in zip(heights, left or [MARGIN] * len(heights), strict=True):
            y -= HEAD + height
            box = (margin / width, y / total, 1 - (margin + 0.12) / width, height / total)
            self.axes.append(self.figure.add_axes(box))
            y -= FOOT

    def _draw_legend(self, across, rows, top):
        from matplotlib.lines import Line2D

        width, total = self.figure.get_size_inches()
        step = (width - 2 * EDGE) / across
        for i, name in enumerate(self.names):
            colour, marker = series_look(i)
            x, y = EDGE + step * (i // rows), (top - 0.04 - 0.15 * (i % rows)) / total
            symbol = Line2D([(x + 0.06) / width], [y - 0.05 / total], marker=marker, **mark(colour))
            self.figure.add_artist(symbol)
            self.figure.text((x + 0.15) / width, y, name, size=7, va="top")

    def label_panel(self, axes, heading, x, y):
        """Write a panel's heading and what its axes are."""
        width, total = self.figure.get_size_inches()
        top = axes.get_position().y1 + 0.05 / total
        self.figure.text(EDGE / width, top, heading, weight="bold", size=7.5)
        axes.set_xlabel(x, labelpad=2)
        axes.set_ylabel(y, labelpad=2)

    def scatter(self, axes, points):
        """Draw Points as marks with bars, each in the look of its group."""
        for name in dict.fromkeys(points.group):
            chosen = np.array([group == name for group in points.group])
            colour, marker = series_look(self.names.index(name))
            ends = np.stack([points.low[chosen], points.high[chosen]])
            axes.vlines(points.x[chosen], *ends, color=colour, linewidth=0.7, alpha=0.8, zorder=2)
            axes.plot(points.x[chosen], points.y[chosen], marker, **mark(colour))


def mark(colour):
    """The look of a mark, for matplotlib."""
    look = {"markersize": 3.6, "markerfacecolor": colour, "markeredgecolor": "white"}
    return look | {"markeredgewidth": 0.3, "zorder": 3}


def empty_page(title, sentence):
    """A figure that says why there is none."""
    return Page(f"{title}. {sentence}", []).figure
