"""What the report shows besides the PGR table and the sets: one list, in the order of the page.

A figure is on the page by a line here; its caption is a file of its name in docs/captions. Light,
as the rule `report` takes its inputs from this list.
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


def list_exhibits(config: dict) -> list[Exhibit]:
    """The exhibits of a config's report."""
    exhibits = [
        Exhibit("PGR by method and domain", _caption("figure"), figure=paths.figure("pgr")),
        Exhibit("What the sets are like", _caption("data"), paths.table("data")),
        Exhibit("What the sets cost", _caption("cost"), paths.table("cost")),
        Exhibit("What was paid in all", _caption("paid"), paths.table("paid")),
    ]
    if config["intrinsic"]:
        title = "Intrinsic metrics of the sets"
        exhibits.append(Exhibit(title, _caption("intrinsic"), paths.table("intrinsic")))
    return [
        *exhibits,
        _analysis("value", "PGR by dollars"),
        _analysis("ability", "PGR and problem solving", table="regressions"),
        _analysis("correlations", "Metrics that go along with PGR"),
        _analysis("components", "Principal components of the metrics"),
        _analysis("prediction", "PGR predicted from the metrics", errors=REGRESSIONS),
        _analysis("amount", "PGR by the number of pairs"),
    ]


REGRESSIONS = paths.table("regressions")


def _caption(name):
    return CAPTIONS / f"{name}.rst"


def _analysis(name, title, table=None, errors=None):
    """The exhibit of an analysis, whose figure is a column wide."""
    figure = paths.figure(name)
    return Exhibit(title, _caption(name), paths.table(table or name), figure, "column", errors)
