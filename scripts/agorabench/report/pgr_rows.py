"""Rows of the PGR table for the report: which stand on top, and how each is drawn."""

from dataclasses import dataclass

from agorabench import matrix, paths
from agorabench.matrix import COORDINATES
from agorabench.report import figures
from agorabench.stats.pgr import MEAN, NO_REFERENCE

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
    `high` from 0 to 100 on an axis with the base at `base` and the reference at `reference`. Where
    no row has a reference, `measure` is "gain", in points above the base, in place of "pgr".
    """

    measure: str

    common: dict
    columns: list[str]
    lines: list[dict]
    base: float
    reference: float | None


def compare_rows(rows: list[dict], config: dict) -> Comparison:
    """`Comparison` of rows of the PGR table of a config."""
    columns = [name for name in AXES if len({row[name] for row in rows}) > 1] or ["generator"]
    measure = "gain" if all(row["flag"] == NO_REFERENCE for row in rows) else "pgr"
    names = [measure, f"{measure}_low", f"{measure}_high"]
    sound = [row for row in rows if row[measure] is not None and row["flag"] in ("", NO_REFERENCE)]
    ends = [row[end] for row in sound for end in names[1:]]
    marks = (0, 100) if measure == "pgr" else (0,)
    low, high = figures.axis_limits([row[measure] for row in sound], ends, marks, (-100, 200))

    def scale(value):
        return None if value is None else round(100 * (value - low) / (high - low), 1)

    lines = []
    for row in rows:
        x, *ends = (scale(row[name]) for name in names)
        drawn = {"x": x if x is not None and 0 <= x <= 100 else None}
        for name, end in zip(("low", "high"), ends, strict=True):  # cut at the ends of the axis
            drawn[name] = None if end is None else min(max(end, 0), 100)
        lines.append(row | drawn | {"id": set_section(row), "sources": score_files(row, config)})
    common = {name: rows[0][name] for name in AXES if name not in columns}
    return Comparison(measure, common, columns, lines, scale(0), scale(marks[-1] or None))


def score_files(row: dict, config: dict) -> dict[str, str]:
    """ "student" or an anchor -> the score that a row has of it; none for an average."""
    if MEAN in (row["benchmark"], row["seed"]):
        return {}
    run = matrix.Run(*(row[name] for name in (*COORDINATES, "student")))
    models = matrix.anchor_models(config, run.student, run.domain) | {"student": run.model}
    return {name: paths.score(model, row["benchmark"]) for name, model in models.items()}


def set_section(row: dict) -> str | None:
    """The id of the page's section about a row's set; None for an average over sets."""
    place = [row[name] for name in COORDINATES]
    return None if MEAN in place else section_id(matrix.Cell(*place))


def section_id(name) -> str:
    """The id of the page's section about a set (a Cell) or a model (its name)."""
    return str(name).replace("/", "--")
