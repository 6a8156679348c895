"""What the report shows besides the PGR table and the sets: one list, in the order of the page.

The figure of a question is on the page by its module in agorabench/analysis; its caption is a file
of that name in docs/captions. Light, as the rule `report` takes its inputs from this list.
"""

from pathlib import Path
from typing import NamedTuple

from agorabench import paths

CAPTIONS = Path(__file__).resolve().parents[3] / "docs" / "captions"


class Exhibit(NamedTuple):
    """A table, a figure, or both, under one title.

    Attributes:
        title: heading on the page.
        caption: reStructuredText file, as captions of `snakemake --report` are.
        table: CSV; with the coordinates of a cell as columns it is also shown set by set.
        figure: SVG or PNG.
        width: what the figure was drawn for, "page" or "column".
        errors: table of regressions whose errors on left-out generators come first.
    """

    title: str
    caption: str | Path | None = None
    table: str | None = None
    figure: str | None = None
    width: str = "page"
    errors: str | None = None

    @property
    def files(self) -> list[str]:
        """The results that it shows."""
        return list(dict.fromkeys(filter(None, (self.errors, self.table, self.figure))))


TABLES = {
    "data": "What the sets are like",
    "cost": "What the sets cost",
    "paid": "What was paid in all",
    "intrinsic": "Intrinsic metrics of the sets",
}
# Of questions of agorabench/analysis; others are titled by their names.
TITLES = {
    "comparisons": "Which generator is better",
    "value": "PGR by dollars",
    "regressions": "PGR and problem solving",
    "correlations": "Metrics that go along with PGR",
    "components": "Principal components of the metrics",
    "prediction": "PGR predicted from the metrics",
    "decisions": "Which metric chooses the right generator",
    "amount": "PGR by the number of pairs",
}


def list_exhibits(config: dict, questions: list[str]) -> list[Exhibit]:
    """The exhibits of a config's report; `questions`: names of analyses that have a figure."""
    pgr, caption = paths.figure("pgr"), CAPTIONS / "pgr_figure.rst"
    ranks = Exhibit("Ranks", CAPTIONS / "ranks.rst", paths.table("ranks"))
    exhibits = [ranks, Exhibit("PGR by method and domain", caption, figure=pgr)]
    for name, title in TABLES.items():
        if name != "intrinsic" or config["intrinsic"]:
            exhibits.append(Exhibit(title, CAPTIONS / f"{name}.rst", paths.table(name)))
    for name in questions:
        title = TITLES.get(name, name.replace("_", " ").capitalize())
        files = CAPTIONS / f"{name}.rst", paths.table(name), paths.figure(name)
        # How far predictions are off is said above all.
        errors = paths.table("regressions") if name == "prediction" else None
        exhibit = Exhibit(title, *files, "column", errors)
        exhibits.insert(0 if name == "comparisons" else len(exhibits), exhibit)
    return exhibits
