"""Exhibits of the report's page: a table as people read it, a figure, a caption."""

import base64
import csv
import io
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from agorabench.errors import UserError
from agorabench.report.table import p_value, value

COORDINATES = ("domain", "method", "generator", "prompt", "size", "seed")
GROUP = ("student", "prompt", "size", "seed")  # what is analysed together
TOLD = ("pairs", "seeds_added", "replies")  # of every set, whatever the exhibits have
NAMED = 4  # rows of a table that lack numbers for one reason
PERCENT = re.compile(  # columns of tables
    r"(exact|near)_duplicate_.+|in_.+|pgr|pgr_(low|high|smallest|largest)|predicted|others"
    r"|problem_solving|variance|contribution|top|top_low|top_high"
)
SPELT = {"pgr": "PGR", "r2": "R\u00b2", "rmse": "RMSE", "usd": "USD"}
KINDS = {".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class Exhibit:
    """A table or a figure with its caption (HTML).

    `common`: column -> what all rows have there; `head`: the columns in which they differ;
    `rows`: as they are read; `reasons`: (names of rows, why they lack numbers); `errors`: what
    the function of that name gives; `figure`: an address that holds the image; `width`: what it was
    drawn for, "page" or "column".
    """

    id: str
    title: str
    caption: str
    table: Path | None
    common: dict[str, str]
    head: list[str]
    rows: list[dict]
    numbers: set[str]
    reasons: list[tuple[str, str]]
    errors: list[dict]
    figure: str | None
    file: Path | None
    width: str

    def of(self, place):
        """Rows of a set, without what is told anyway; `place`: its coordinates as text."""
        if not self.rows or not set(COORDINATES) <= set(self.rows[0]):
            return []
        return [
            {name: value for name, value in row.items() if name not in (*COORDINATES, *TOLD)}
            for row in self.rows
            if all(row[name] == place[name] for name in COORDINATES)
        ]


def exhibit(number, entry):
    """`Exhibit` of one entry of `--exhibits`. Raises UserError for one that cannot be shown."""
    known = ("title", "caption", "errors", "table", "figure", "width")
    for key in entry:
        if key not in known:
            raise UserError(f"--exhibits: unknown key {key!r}; known: {', '.join(known)}")
    table, figure = (Path(entry[key]) if key in entry else None for key in ("table", "figure"))
    if not entry.get("title") or not (table or figure):
        raise UserError("--exhibits: an entry has a title, and a table or a figure")
    if (width := entry.get("width", "page")) not in ("page", "column"):
        raise UserError(f"--exhibits: a figure's width is page or column, not {width!r}")
    columns, rows = read_table(table) if table else ([], [])
    numbers = {name for name in columns if all(map(is_number, (row[name] for row in rows)))}
    rows = readable(rows, numbers.difference(COORDINATES))
    common = same(columns, rows)
    told = [name for name in columns if name != "reason"]
    head = [name for name in told if name not in common]
    return Exhibit(
        f"exhibit-{number}",
        entry["title"],
        caption(entry["caption"]) if "caption" in entry else "",
        table,
        {name: common[name] for name in told if common.get(name)},
        head,
        rows,
        numbers,
        reasons(rows, [name for name in head if name not in numbers.difference(COORDINATES)]),
        errors(Path(entry["errors"])) if "errors" in entry else [],
        data_address(figure) if figure else None,
        figure,
        width,
    )


def read_table(path):
    """(columns, rows as text) of a CSV file. Raises UserError where a row has other columns."""
    reader = csv.DictReader(io.StringIO(text(path), newline=""))
    rows = list(reader)
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise UserError(f"{path}, row {number}: not as many values as there are columns")
    if not reader.fieldnames:
        raise UserError(f"{path}: no columns")
    return list(reader.fieldnames), rows


def same(columns, rows):
    """Columns in which nothing is told, or several rows have the same -> what that is."""
    found = {name: {row[name] for row in rows} for name in columns if rows}
    return {
        name: values.pop()
        for name, values in found.items()
        if values == {""} or (len(values) == 1 and len(rows) > 1)
    }


def is_number(text):
    """Is the text a number, or empty as a number that is not there?"""
    try:
        float(text or 0)
    except ValueError:
        return False
    return True


def readable(rows, numbers):
    """Rows of text with the numbers of a column in the same decimals.

    Where rows are a metric and its value, every metric has a scale of its own.
    """

    def column(row, name):
        return (row["metric"] if {"metric", "value"} <= row.keys() else ""), name

    texts = {}
    for row in rows:
        for name in numbers:
            texts.setdefault(column(row, name), []).append(row[name])
    places = {key: decimals(key[1], found) for key, found in texts.items()}
    return [
        row | {name: number(name, row[name], places[column(row, name)]) for name in numbers}
        for row in rows
    ]


def decimals(name, texts):
    """Decimals of a column: three digits of its largest number, four of dollars, which differ more;
    one at least below 1000, and never more than are written.
    """
    values = [value for value in map(Decimal, filter(None, texts)) if value.is_finite()]
    largest = max(map(abs, values), default=Decimal(0))
    places = (4 if "usd" in name else 3) - 1 - largest.adjusted()
    least = 1 if largest < 1000 else 0
    written = max((-value.as_tuple().exponent for value in values), default=0)
    return max(0, min(max(places, least), written))


def number(name, text, places):
    """A number of a table's column as it is read."""
    if not text:
        return ""
    return p_value(float(text)) if name == "p" else value(float(text), places)


def reasons(rows, names):
    """(Which rows, reason) for every `reason` of a table; nothing where it is that of all rows.

    `names`: the columns that tell rows apart.
    """
    found = {}
    for row in rows:
        if row.get("reason"):
            found.setdefault(row["reason"], []).append(row)
    told = []
    for reason, mine in found.items():
        which = [", ".join(row[name] for name in names if row[name]) for row in mine[:NAMED]]
        which += [f"{len(mine) - NAMED} more"] if len(mine) > NAMED else []
        told.append(("" if len(mine) == len(rows) else "; ".join(which), reason))
    return told


def errors(path):
    """What a table of regressions says of generators that a fit has not seen: a dict for each group
    of cells, with its `place` in words, and (analysis, error, error of the others' mean) in points
    of PGR, as numbers, for every analysis that has them.
    """
    columns, rows = read_table(path)
    needed = ("analysis", "rmse_held_out", "rmse_others", *GROUP)
    if missing := [name for name in needed if name not in columns]:
        raise UserError(f"{path} lacks the column {missing[0]!r}: it is no table of regressions")
    found = {}
    for row in rows:
        if row["rmse_held_out"] and row["rmse_others"]:
            place = ", ".join(f"{name} {row[name]}" for name in GROUP if row[name])
            error = row["analysis"], float(row["rmse_held_out"]), float(row["rmse_others"])
            found.setdefault(place, []).append(error)
    return [{"place": place, "analyses": mine} for place, mine in found.items()]


def caption(path):
    """HTML of a caption, of the markup that captions of `snakemake --report` are in."""
    from docutils.core import publish_parts
    from markupsafe import Markup

    settings = {"raw_enabled": False, "file_insertion_enabled": False}
    told = publish_parts(text(path), writer="html5", settings_overrides=settings)
    return Markup(told["fragment"])


def data_address(path):
    """A figure as an address that holds it: as an image it can neither run nor load anything."""
    if path.suffix not in KINDS:
        raise UserError(f"{path}: a figure of the report can be {', '.join(KINDS)}")
    return f"data:{KINDS[path.suffix]};base64,{base64.b64encode(contents(path)).decode()}"


def words(name):
    """The name of a column or a setting in words, with the unit of what is in percent."""
    spelt = " ".join(SPELT.get(part, part) for part in name.split("_"))
    return f"{spelt},\u00a0%" if PERCENT.fullmatch(name) else spelt


def contents(path):
    """The bytes of a file. Raises UserError where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from None


def text(path):
    """The text of a file. Raises UserError where it has none."""
    try:
        return contents(path).decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text") from None
