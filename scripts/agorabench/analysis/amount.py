"""What more data does to PGR, and where it stops paying: a curve by the number of pairs."""

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from agorabench.analysis.pgr_table import average_seeds
from agorabench.analysis.study import has_sound_pgr, reason_notes, value_or_reason
from agorabench.report import figures
from agorabench.report.table import Column, Table, format_interval, list_columns
from agorabench.stats.learning_curve import FEWEST, Curve, fit_curve
from agorabench.stats.pgr import MEAN

LINE = ("student", "prompt", "generator", "method", "domain")
COLUMNS = (
    *(*LINE, "sizes", "pgr_smallest", "pgr_largest", "top", "top_low", "top_high", "lost", "rate"),
    *("enough", "enough_low", "enough_high", "extrapolated", "reason"),
)
PANELS = 4  # at most: domains of one method, one below the other
TABLE = Table(
    "amount",
    "PGR by the number of pairs",
    "PGR in percent by pairs per cell; what a fitted curve, PGR(n) = top - lost x (n / "
    "smallest)^-rate, says that ever more pairs would reach; and the number of pairs from which on "
    "twice as many add less than {gain:g} points, with its 95 % interval.",
    (
        *(*list_columns(**dict.fromkeys(LINE)), Column("points", "PGR by pairs")),
        *(Column("top", "top", 1), Column("enough", "pays up to", 0)),
        Column("interval", "interval", 0),
    ),
)


@dataclass(frozen=True)
class Line:
    """PGR of one generator by size.

    Attributes:
        place: the values of LINE.
        over: the (method, domain) that it is over.
        points: rows of the PGR table by ascending size.
        curve: a Curve, or the reason why there is none.
    """

    place: tuple
    over: tuple
    points: list
    curve: Curve | str

    @property
    def sizes(self):
        """Numbers of pairs, ascending."""
        return [row["size"] for row in self.points]

    @property
    def words(self):
        """The values of LINE for readers."""
        return ["average" if name == MEAN else name for name in self.place]


def fit_lines(table, gain=1.0, fewest=2):
    """Lines of all places with at least `fewest` sizes; averages of several sizes are a line only
    where they are over the same cells. `gain`: see learning_curve.fit_curve.
    """
    by_place = defaultdict(list)
    for key, row in average_seeds(table).items():
        if has_sound_pgr(row):
            by_place[key[:-1], row["over"]].append(row)
    lines = []
    for (place, over), points in by_place.items():
        if len(points) >= fewest:
            points.sort(key=lambda row: row["size"])
            sizes, pgr = ([row[name] for row in points] for name in ("size", "pgr"))
            errors = list(map(standard_error, points))
            curve = value_or_reason(fit_curve, sizes, pgr, errors, gain)
            lines.append(Line(place, over, points, curve))
    return lines


def standard_error(row):
    """Standard error of a PGR from its 95 % interval; 0 where it has none."""
    return 0.0 if row["pgr_low"] is None else (row["pgr_high"] - row["pgr_low"]) / (2 * 1.96)


@cache
def study_lines(study):
    """Lines of all places of a Study that have several sizes."""
    return fit_lines(study.table, study.gain)


def rows(study) -> list[dict]:
    """A row for each line; one that says why, where there is none."""
    none = {"reason": "no cells were run with two sizes"}
    return list(map(line_row, study_lines(study))) or [none]


def line_row(line):
    """The row of a line."""
    row = dict(zip(LINE, line.place, strict=True)) | {"sizes": ";".join(map(str, line.sizes))}
    row |= {"pgr_smallest": line.points[0]["pgr"], "pgr_largest": line.points[-1]["pgr"]}
    curve = line.curve
    if isinstance(curve, str):
        return row | {"reason": curve}
    top, enough = curve.top_interval, curve.enough_interval
    row |= {"top": curve.top, "top_low": top.low, "top_high": top.high}
    row |= {"lost": curve.lost, "rate": curve.rate, "enough": round(curve.enough)}
    row |= {"enough_low": enough.low, "enough_high": enough.high}
    beyond = bool(curve.enough > line.sizes[-1])
    return row | {"extrapolated": beyond, "reason": top.reason or enough.reason}


def tables(study) -> list[Table]:
    """A line for each generator, method and domain that has several sizes."""
    if not (lines := study_lines(study)):
        sizes = ", ".join(f"{size:,}" for size in sorted({row["size"] for row in study.table}))
        caption = (
            f"No cells were run with two sizes (the matrix has {sizes}): give an experiment more, "
            f"at least {FEWEST} for a curve that levels off."
        )
        return [replace(TABLE, caption=caption, columns=())]
    caption, own = TABLE.caption.format(gain=study.gain), list(map(_line_words, lines))
    return [replace(TABLE, caption=caption, rows=own, notes=_notes(lines))]


def _line_words(line):
    row = dict(zip(LINE, line.words, strict=True))
    row["points"] = "; ".join(f"{each['size']:,}: {each['pgr']:.1f}" for each in line.points)
    if isinstance(line.curve, str):
        return row
    interval, beyond = line.curve.enough_interval, line.curve.enough > line.sizes[-1]
    row["enough"] = f"{line.curve.enough:,.0f}" + (" *" if beyond else "")
    row["interval"] = format_interval(interval.low, interval.high, 0) or "n/a"
    return row | {"top": line.curve.top}


def _notes(lines):
    curves = [(" ".join(line.words[2:]), line) for line in lines]
    fitted = [(words, line) for words, line in curves if not isinstance(line.curve, str)]
    notes = ["* beyond the largest size that was tried: an extrapolation."]
    notes = notes if any(line.curve.enough > line.sizes[-1] for _, line in fitted) else []
    missing = ((words, line.curve) for words, line in curves if isinstance(line.curve, str))
    notes += [f"No curve for {note}" for note in reason_notes(missing)]
    reasons = [(words, line.curve.enough_interval.reason) for words, line in fitted]
    return notes + [f"{words}: no interval, {why}." for words, why in reasons if why]


def figure(study):
    """After Figure 7 of the paper: the student, prompt and method with the most lines."""
    groups = defaultdict(list)
    for line in study_lines(study):
        student, prompt, _, method, _ = line.place
        groups[student, prompt, method].append(line)
    if not groups:
        return figures.empty_page(
            "PGR by the number of pairs", "No cells were run with two sizes: nothing to draw."
        )
    (student, prompt, method), lines = max(
        groups.items(), key=lambda item: (item[0][2] != MEAN, len(item[1]))
    )
    kind = "all methods" if method == MEAN else study.title(method)
    names = list(dict.fromkeys(line.place[2] for line in lines))
    domains = list(dict.fromkeys(line.place[4] for line in lines))[:PANELS]
    title = f"student {student}, prompt {prompt}, {kind}"
    page = figures.Page(title, [1.25] * len(domains), names)
    for axes, domain in zip(page.axes, domains, strict=True):
        _draw_panel(page, axes, [line for line in lines if line.place[4] == domain])
        heading = "average" if domain == MEAN else domain
        page.label_panel(axes, heading, "pairs per cell", "PGR (%)")
    return page.figure


def _draw_panel(page, axes, lines):
    for line in lines:
        points = figures.Points.of_rows(line.points, "size")
        page.scatter(axes, points)
        colour, _ = figures.series_look(page.names.index(line.place[2]))
        if isinstance(line.curve, str):
            axes.plot(points.x, points.y, color=colour, linewidth=0.6, dashes=(1, 1.5))
        else:
            between = np.geomspace(points.x.min(), points.x.max(), 60)
            axes.plot(between, line.curve.at(between), color=colour, linewidth=1)
    sizes = sorted({size for line in lines for size in line.sizes})
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_xlim(sizes[0] / 1.25, sizes[-1] * 1.25)
