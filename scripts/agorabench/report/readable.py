"""CSV tables as people read them: decimals, what all rows share, why numbers are missing."""

import csv
import io
import re
from collections import defaultdict
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from agorabench.errors import UserError
from agorabench.report import table

GROUP = ("student", "prompt", "size", "seed")  # what is analysed together
MOST_NAMED = 4  # rows of a table that lack numbers for one reason
PERCENT = re.compile(  # columns of tables
    r"(exact|near)_duplicate_.+|in_.+|pgr|pgr_(low|high|smallest|largest)|predicted|others"
    r"|problem_solving|variance|contribution|top|top_low|top_high"
)
SPELLINGS = {"pgr": "PGR", "r2": "R\u00b2", "rmse": "RMSE", "usd": "USD"}


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a file. Raises UserError where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from None


def read_text(path: str | Path) -> str:
    """The text of a file. Raises UserError where it is not UTF-8."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text") from None


def read_table(path: str | Path) -> tuple[list[str], list[dict]]:
    """(columns, rows as text) of a CSV file. Raises UserError where a row has other columns."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    rows = list(reader)
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise UserError(f"{path}, row {number}: not as many values as there are columns")
    if not reader.fieldnames:
        raise UserError(f"{path}: no columns")
    return list(reader.fieldnames), rows


def shared_values(columns: list[str], rows: list[dict]) -> dict[str, str]:
    """Column -> its value, for columns that are empty or the same in several rows."""
    found = {name: {row[name] for row in rows} for name in columns if rows}
    return {
        name: values.pop()
        for name, values in found.items()
        if values == {""} or (len(values) == 1 and len(rows) > 1)
    }


def number_columns(columns: list[str], rows: list[dict]) -> set[str]:
    """The columns that hold nothing but numbers and gaps."""
    numbers = set()
    for name in columns:
        with suppress(ValueError):
            for row in rows:
                float(row[name] or 0)
            numbers.add(name)
    return numbers


def format_rows(rows: list[dict], numbers: set[str]) -> list[dict]:
    """Rows of text, those columns of numbers with the same decimals throughout.

    Where rows are a metric and its value, every metric has a scale of its own.
    """

    def scale(row, name):
        return (row["metric"] if {"metric", "value"} <= row.keys() else ""), name

    texts = defaultdict(list)
    for row in rows:
        for name in numbers:
            texts[scale(row, name)].append(row[name])
    places = {key: count_decimals(key[1], found) for key, found in texts.items()}
    return [
        row | {name: format_value(name, row[name], places[scale(row, name)]) for name in numbers}
        for row in rows
    ]


def count_decimals(name: str, texts: list[str]) -> int:
    """Decimals of a column: three digits of its largest number, four of dollars, which differ more;
    one at least below 1000, and never more than are written.
    """
    values = [value for value in map(Decimal, filter(None, texts)) if value.is_finite()]
    largest = max(map(abs, values), default=Decimal(0))
    places = (4 if "usd" in name else 3) - 1 - largest.adjusted()
    least = 1 if largest < 1000 else 0
    written = max((-value.as_tuple().exponent for value in values), default=0)
    return max(0, min(max(places, least), written))


def format_value(name: str, text: str, places: int) -> str:
    """A number of a table's column as it is read."""
    return text and table.format_entry(float(text), "p" if name == "p" else places)


def group_reasons(rows: list[dict], names: list[str]) -> list[tuple[str, str]]:
    """(rows in words, reason) for every `reason` of a table; no words where it is that of all rows.

    `names`: the columns that tell rows apart.
    """
    by_reason = defaultdict(list)
    for row in rows:
        if row.get("reason"):
            by_reason[row["reason"]].append(", ".join(row[name] for name in names if row[name]))
    groups = []
    for reason, which in by_reason.items():
        more = [f"{len(which) - MOST_NAMED} more"] if len(which) > MOST_NAMED else []
        words = "; ".join([*which[:MOST_NAMED], *more])
        groups.append(("" if len(which) == len(rows) else words, reason))
    return groups


def read_errors(path: str | Path) -> list[dict]:
    """Errors on generators left out of the fit, from the table of regressions, by group of cells.

    Each group has its `place` in words and its `analyses`: (analysis, error, error of the mean of
    the other generators), root mean squares in points of PGR.

    Raises:
        UserError: the table is not one of regressions.
    """
    columns, rows = read_table(path)
    needed = ("analysis", "rmse_held_out", "rmse_others", *GROUP)
    if missing := [name for name in needed if name not in columns]:
        raise UserError(f"{path} lacks the column {missing[0]!r}: it is no table of regressions")
    groups = defaultdict(list)
    for row in rows:
        if row["rmse_held_out"] and row["rmse_others"]:
            place = ", ".join(f"{name} {row[name]}" for name in GROUP if row[name])
            error = row["analysis"], float(row["rmse_held_out"]), float(row["rmse_others"])
            groups[place].append(error)
    return [{"place": place, "analyses": errors} for place, errors in groups.items()]


def spell_column(name: str) -> str:
    """The name of a column or a setting in words, with the unit of what is in percent."""
    words = " ".join(SPELLINGS.get(part, part) for part in name.split("_"))
    return f"{words},\u00a0%" if PERCENT.fullmatch(name) else words
