"""Rows of the PGR table for the report: which stand on top, and how each is drawn."""

from dataclasses import dataclass

from agorabench import matrix, paths
from agorabench.matrix import COORDINATES
from agorabench.report import figures
from agorabench.stats.pgr import MEAN

AXES = ("generator", "method", "domain", "benchmark", "prompt", "size", "seed", "student")


def select_overall(views: list) -> tuple[list[dict], list[str]]:
    """(Rows, names): the averages of each generator over all that a view of the PGR table compares,
    and the generators that lack some of it, so have none where others have.
    """
    overall, lacking = [], {}
    for view in views:
        axes = view.methods, view.domains, view.seeds
        place = [MEAN if len(values) > 1 else values[0] for values in axes]
        by_generator = {name: view.cells.get((name, *place)) for name in view.generators}
        if averages := [row for row in by_generator.values() if row]:
            overall += averages
            lacking |= {name: None for name, row in by_generator.items() if not row}
    return overall, list(lacking)


@dataclass(frozen=True)
class Comparison:
    """Rows of the PGR table: what they have in common, the columns in which they differ, lines.

    A line is a row with the files of its scores (`sources`) and its mark and bar: `x`, `low` and
    `high` from 0 to 100 on an axis with the base at `base` and the reference at `reference`.
    """

    common: dict
    columns: list[str]
    lines: list[dict]
    base: float
    reference: float


def compare_rows(rows: list[dict]) -> Comparison:
    """`Comparison` of rows of the PGR table."""
    columns = [name for name in AXES if len({row[name] for row in rows}) > 1] or ["generator"]
    sound = [row for row in rows if row["pgr"] is not None and not row["flag"]]
    ends = [row[end] for row in sound for end in ("pgr_low", "pgr_high")]
    low, high = figures.axis_limits([row["pgr"] for row in sound], ends, (0, 100), (-100, 200))

    def scale(value):
        return None if value is None else round(100 * (value - low) / (high - low), 1)

    lines = []
    for row in rows:
        x, *ends = (scale(row[name]) for name in ("pgr", "pgr_low", "pgr_high"))
        drawn = {"x": x if x is not None and 0 <= x <= 100 else None}
        for name, end in zip(("low", "high"), ends, strict=True):  # cut at the ends of the axis
            drawn[name] = None if end is None else min(max(end, 0), 100)
        lines.append(row | drawn | {"id": set_section(row), "sources": score_files(row)})
    common = {name: rows[0][name] for name in AXES if name not in columns}
    return Comparison(common, columns, lines, scale(0), scale(100))


def score_files(row: dict) -> dict[str, str]:
    """ "student" or an anchor -> the score that a row has of it; none for an average."""
    if MEAN in (row["benchmark"], row["seed"]):
        return {}
    run = matrix.Run(*(row[name] for name in (*COORDINATES, "student")))
    models = {anchor: f"{run.student}/{anchor}" for anchor in matrix.ANCHORS}
    models["student"] = run.model
    return {name: paths.score(model, row["benchmark"]) for name, model in models.items()}


def set_section(row: dict) -> str | None:
    """The id of the page's section about a row's set; None for an average over sets."""
    place = [row[name] for name in COORDINATES]
    return None if MEAN in place else section_id(matrix.Cell(*place))


def section_id(name) -> str:
    """The id of the page's section about a set (a Cell) or a model (its name)."""
    return str(name).replace("/", "--")
