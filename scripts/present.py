r"""One page of all that was found: results/report.html, which needs no network and no other file.

    python scripts/present.py --matrix '{"generators": {"strong": {"backend": "transformers"}},
        "experiments": {"main": {"students": ["mini"], "domains": ["math"], "methods": ["response"],
        "generators": ["strong"], "prompts": ["mini"], "sizes": [600], "seeds": [1]}}}' \
        --benchmarks '{"mini-sums": "math"}' --prices '{"strong": {"input": 0.35, "output": 0.4}}' \
        --results results --table results/pgr_table.csv --output /tmp/report.html \
        --exhibits '[{"title": "Costs", "caption": "docs/captions/cost.rst",
                      "table": "results/tables/cost.csv"}]'

It holds the PGR table, the exhibits, and a section for every set: numbers, samples, what was
rejected, and for every student trained on it scores, training curve and answers. An exhibit has a
`title`, and what there is of `errors` (CSV: the table of regressions, of which the errors on
generators that were left out are told), `caption` (reStructuredText), `figure` (SVG or PNG; its
`width` is that of the "page" or of a "column") and `table` (CSV). A table that has the columns
domain, method, generator, prompt, size and seed is also told set by set. Samples are spaced evenly
over a file, and the same items of a benchmark are shown for every model. What models wrote is
escaped, and cut after `--characters`.
"""

import argparse
import base64
import csv
import hashlib
import io
import json
import math
import os
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from urllib.parse import quote

from agorabench import figures, grid, jsonl, sheets
from agorabench.budget import usd
from agorabench.errors import UserError, run
from agorabench.pgr import MEAN, METHODS, from_csv, views

COORDINATES = ("domain", "method", "generator", "prompt", "size", "seed")
GROUP = ("student", "prompt", "size", "seed")  # what is analysed together
TOLD = ("pairs", "seeds_added", "replies")  # of every set, whatever the exhibits have
LOOK = Path(__file__).resolve().parent.parent / "docs" / "report"
NAMED = 4  # rows of a table that lack numbers for one reason
POINTS = 200  # of a training curve: more than its width in pixels are not seen
PERCENT = re.compile(  # columns of tables
    r"(exact|near)_duplicate_.+|in_.+|pgr|pgr_(low|high|smallest|largest)|predicted|others"
    r"|problem_solving|variance|contribution|top|top_low|top_high"
)
SPELT = {"pgr": "PGR", "r2": "R\u00b2", "rmse": "RMSE", "usd": "USD"}
KINDS = {".svg": "image/svg+xml", ".png": "image/png"}


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--matrix", type=json.loads, required=True, help="experiments, backends")
    parser.add_argument("--benchmarks", type=json.loads, required=True, help="name -> domain")
    parser.add_argument("--prices", type=json.loads, required=True, help="generator -> USD/Mtok")
    parser.add_argument("--exhibits", type=json.loads, default=[], help="tables and figures")
    parser.add_argument("--table", required=True, type=Path, help="the PGR table (CSV)")
    parser.add_argument("--results", required=True, type=Path, help="folder of all results")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--samples", type=int, default=6, help="pairs of a set")
    parser.add_argument("--answers", type=int, default=4, help="of a model on a benchmark")
    parser.add_argument("--characters", type=int, default=2000, help="of a text of a model")
    args = parser.parse_args(argv)

    runs = grid.runs(args.matrix)
    rows = from_csv(text(args.table), args.table)
    widest, lacking = overall(rows)
    exhibits = [exhibit(number, one) for number, one in enumerate(args.exhibits, 1)]
    book = Book(args.results, rows, exhibits, args.benchmarks, args.prices)
    page = template(args.output.parent, args.characters).generate(
        style=inline("page.css"),
        script=inline("page.js"),
        table=args.table,
        overall=widest and comparison(widest, args.results),
        lacking=lacking,
        all_rows=comparison(rows, args.results),
        exhibits=exhibits,
        counts=counts(runs, args.benchmarks),
        # Set after set is read when the page comes to it: rows of one set are in memory at a time.
        cells=(book.cell(found, args.samples, args.answers) for found in by_cell(runs)),
        anchors=(book.model(name, args.answers, domains) for name, domains in anchors(runs)),
    )
    with jsonl.whole(args.output) as file:
        file.writelines(page)


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


def record(path):
    """The object of a JSON file. Raises UserError where there is none."""
    try:
        return json.loads(text(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None


# What is shown


def by_cell(runs):
    """The runs of each set, in the order of the config."""
    found = {}
    for one in runs:
        found.setdefault(one.cell, []).append(one)
    return list(found.values())


def anchors(runs):
    """(Name, domains) of the models that the students are measured against."""
    domains = {}
    for one in runs:
        domains.setdefault(one.student, set()).add(one.domain)
    return [
        (f"{student}/{anchor}", mine)
        for student, mine in domains.items()
        for anchor in grid.ANCHORS
    ]


def counts(runs, benchmarks):
    """How many there are of what, for the first sentence."""
    return {
        "generators": len({run.generator for run in runs}),
        "sets": len({run.cell for run in runs}),
        "students": len(runs),
        "benchmarks": len(benchmarks),
    }


def overall(rows):
    """(Rows, names): the PGR table's averages of each generator over all that a view compares, and
    the generators that have none in a view where others have, as they lack some of it.
    """
    found, lacking = [], {}
    for view in views(rows):
        axes = view.methods, view.domains, view.seeds
        place = [MEAN if len(values) > 1 else values[0] for values in axes]
        mine = {name: view.cells.get((name, *place)) for name in view.generators}
        if there := [row for row in mine.values() if row]:
            found += there
            lacking |= {name: None for name, row in mine.items() if not row}
    return found, list(lacking)


@dataclass(frozen=True)
class Comparison:
    """Rows of the PGR table: what they have in common, the columns in which they differ, lines.

    A line is a row with where its scores came from and its mark and bar, as `x`, `low` and `high`
    from 0 to 100 on an axis that has the base at `base` and the reference at `reference`.
    """

    common: dict
    columns: list[str]
    lines: list[dict]
    base: float
    reference: float


def comparison(rows, results):
    """`Comparison` of rows of the PGR table."""
    names = ("generator", "method", "domain", "benchmark", "prompt", "size", "seed", "student")
    differ = [name for name in names if len({row[name] for row in rows}) > 1] or ["generator"]
    sound = [row for row in rows if row["pgr"] is not None and not row["flag"]]
    ends = [row[end] for row in sound for end in ("pgr_low", "pgr_high")]
    low, high = figures.limits([row["pgr"] for row in sound], ends, (0, 100), (-100, 200))

    def place(value):
        return None if value is None else round(100 * (value - low) / (high - low), 1)

    def inside(value):
        return None if value is None else min(max(place(value), 0), 100)

    lines = []
    for row in rows:
        x = place(row["pgr"])
        models = {}
        if row["benchmark"] != MEAN and row["seed"] != MEAN:
            models = {
                "student": grid.Run(row["student"], *(row[name] for name in COORDINATES)).model,
                **{anchor: f"{row['student']}/{anchor}" for anchor in grid.ANCHORS},
            }
        lines.append(
            row
            | {
                "id": section_of(row),
                "sources": {
                    name: results / "scores" / model / f"{row['benchmark']}.json"
                    for name, model in models.items()
                },
                "x": x if x is not None and 0 <= x <= 100 else None,
                "low": inside(row["pgr_low"]),
                "high": inside(row["pgr_high"]),
            }
        )
    common = {name: rows[0][name] for name in names if name not in differ}
    return Comparison(common, differ, lines, place(0), place(100))


def section_of(row):
    """Where the page tells of the set of a row; None for an average over sets."""
    place = [row[name] for name in COORDINATES]
    return None if MEAN in place else identifier(grid.Run("", *place).cell)


def identifier(path):
    """The name of a set's or a model's section within the page."""
    return path.replace("/", "--")


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
    return sheets.p_value(float(text)) if name == "p" else sheets.value(float(text), places)


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


class Book:
    """Reads what belongs to a set or a model below the folder of all results."""

    def __init__(self, results, rows, exhibits, benchmarks, prices):
        self.results, self.exhibits = results, exhibits
        self.benchmarks, self.prices = benchmarks, prices
        self.rows = {}
        for row in rows:
            key = (row["student"], *(row[name] for name in COORDINATES), row["benchmark"])
            self.rows[key] = row

    def cell(self, runs, samples, answers):
        """All that is shown of a set, of the runs of the students that are trained on it."""
        first = runs[0]
        place = {name: getattr(first, name) for name in COORDINATES}
        path = self.results / "raw" / f"{first.cell}.jsonl"
        data = self.results / "data" / f"{first.cell}.jsonl"
        ledger = data.with_suffix(".ledger.json")
        raw = jsonl.read(path)
        valid = [row for row in raw if row["verdict"] == "valid"][: first.size]
        written = {name: str(value) for name, value in place.items()}
        return {
            "id": identifier(first.cell),
            "place": place,
            "raw": path,
            "data": data,
            "ledger": record(ledger) | {"file": ledger},
            "facts": [(one, rows) for one in self.exhibits if (rows := one.of(written))],
            "samples": [
                # The rows of a mixture name their generators.
                row | {"usd": dollars(row, self.prices[row.get("generator", first.generator)])}
                for row in evenly(valid, samples)
            ],
            "rejected": rejections(raw),
            "students": [
                {
                    "student": run.student,
                    "mean": self.row(run, MEAN),
                    "training": training(self.results / "models" / run.model / "train.json"),
                    **self.model(run.model, answers, [run.domain], run),
                }
                for run in runs
            ],
        }

    def row(self, run, benchmark):
        """A run's row of the PGR table."""
        key = (run.student, *(getattr(run, name) for name in COORDINATES), benchmark)
        if key not in self.rows:
            raise UserError(f"the PGR table has no row of {run.model} on {benchmark}: tally again")
        return self.rows[key]

    def model(self, name, answers, domains, run=None):
        """Scores and answers of a model on the benchmarks of `domains`; those of a run's student
        with their rows of the table.
        """
        found = [
            self.scored(name, one, answers) | {"row": run and self.row(run, one)}
            for one, domain in self.benchmarks.items()
            if domain in domains
        ]
        return {"id": identifier(name), "name": name, "benchmarks": found}

    def scored(self, model, benchmark, number):
        """A model's score on a benchmark, and some of its answers with their verdicts."""
        score = self.results / "scores" / model / f"{benchmark}.json"
        predictions = self.results / "predictions" / model / f"{benchmark}.jsonl"
        judgements = self.results / "judgements" / model / f"{benchmark}.jsonl"
        summary = record(score)
        verdicts = read_verdicts(score.with_suffix(".parquet"))
        said = {row["id"]: row for row in jsonl.read(predictions)}
        missing = [row["id"] for row in verdicts if row["id"] not in said]
        if missing:
            raise UserError(f"{predictions}: no prediction of {missing[0]}, which has a verdict")
        return {
            "name": benchmark,
            "summary": summary,
            "score": score,
            "verdicts": score.with_suffix(".parquet"),
            "predictions": predictions,
            "judgements": summary["judge"] and judgements,
            "answers": [
                said[row["id"]] | {"verdict": verdict(row, summary["judge"]), "more": further(row)}
                for row in evenly(verdicts, number)
            ],
        }


def read_verdicts(path):
    """The verdicts on a benchmark's items. Raises UserError where they cannot be read."""
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowInvalid):
        raise UserError(f"{path}: no readable verdicts; score the model again") from None


def evenly(rows, number):
    """`number` of the rows, spaced evenly; all where there are no more."""
    number = min(number, len(rows))
    return [rows[i * len(rows) // number] for i in range(number)]


def dollars(row, price):
    """What a reply cost in USD; None where its tokens are not known."""
    return usd(row["usage"], price, batch="mode" in row) if row.get("usage") else None


def rejections(raw):
    """(reason, number of replies, the first such reply), the most frequent first."""
    found = {}
    for row in raw:
        if row["verdict"] != "valid":
            found.setdefault(row["verdict"], []).append(row)
    reasons = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [(reason, len(rows), rows[0]) for reason, rows in reasons]


def verdict(row, judge):
    """(class, words) of an item's verdict; `score` is a fraction, or None."""
    score = row["score"]
    if score is None:
        return "unknown", "no verdict"
    if judge or score not in (0, 1):  # a judge prefers, and finds nothing right or wrong
        return "partly", f"score {score:.2f}"
    return ("right", "right") if score else ("wrong", "wrong")


def further(row):
    """What else a verdict says, as text."""
    told = {name: value for name, value in row.items() if name not in ("id", "score")}
    return {
        name: f"{value:.4g}" if isinstance(value, float) else str(value)
        for name, value in told.items()
        if value not in (None, "")
    }


def training(path):
    """What train.json says of a training, with its curve; None where there is no such file."""
    if not path.is_file():
        return None
    told = record(path)
    facts = {
        "pairs": f"{told['examples']:,}",
        "steps": f"{told['steps']:,}",
        "seconds": f"{told['seconds']:,.0f}",
        "device": told["devices"],
        "cut short": f"{100 * told['truncated']:.1f} % of the pairs",
    }
    return {
        "file": path,
        "facts": facts,
        "recipe": told["made_from"]["recipe"],
        "curve": curve(told["loss_curve"]),
    }


def curve(rows):
    """A curve of loss by step, its line within a 100 by 100 square; None where there is no line.

    The axis of losses is logarithmic, over four powers of ten at most.
    """
    known = [(row["step"], row["loss"]) for row in rows if math.isfinite(row["loss"])]
    if len(known) < 2:
        return None
    steps, losses = zip(*known, strict=True)
    top = max(losses)
    bottom = max(min(losses), top / 1e4)
    if not 0 < bottom < top:
        return None
    points = " ".join(
        f"{100 * (step - steps[0]) / (steps[-1] - steps[0]):.1f},"
        f"{100 * math.log(top / max(loss, bottom)) / math.log(top / bottom):.1f}"
        for step, loss in [*evenly(known[:-1], POINTS), known[-1]]
    )
    return {"steps": steps, "last": losses[-1], "top": top, "bottom": bottom, "points": points}


# How it is shown


def template(home, characters):
    """The page's template; its links are relative to the folder `home`."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(LOOK),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=visible,
    )
    environment.filters |= {
        "href": partial(href, home=home),
        "one": "{:.1f}".format,
        "three": "{:.3g}".format,
        "usd": "{:.2g} USD".format,
        "words": words,
    }
    environment.globals |= {"characters": characters, "MEAN": MEAN, "METHODS": METHODS}
    return environment.get_template("page.html")


def href(path, home):
    """A link to a file, relative to the folder `home`."""
    return quote(os.path.relpath(path, home).replace(os.sep, "/"))


def words(name):
    """The name of a column or a setting in words, with the unit of what is in percent."""
    spelt = " ".join(SPELT.get(part, part) for part in name.split("_"))
    return f"{spelt},\u00a0%" if PERCENT.fullmatch(name) else spelt


def in_letters(code):
    """A character that is not seen, or moves others, in letters."""
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode's pictures of control characters
    return f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}"


# Controls but tab and line feed, marks and overrides of direction, separators of lines, halves of
# characters and what is none. UTF-8 has no halves, and no text may turn the page around it.
UNSEEN = {
    code: in_letters(code)
    for codes in (
        (0x00, 0x09),
        (0x0B, 0x20),
        (0x7F, 0xA0),
        (0x200B, 0x200C),  # the two after it join letters and emoji
        (0x200E, 0x2010),
        (0x2028, 0x202F),
        (0x2060, 0x2070),
        (0xD800, 0xE000),
        (0xFEFF, 0xFF00),
        (0xFFFE, 0x10000),
    )
    for code in range(*codes)
}


def visible(value):
    """What the page shows of a value of the template; HTML of this project's own stays as it is."""
    return value.translate(UNSEEN) if type(value) is str else value


def inline(name):
    """A style or script within the page: (its text, the hash by which the page allows it alone)."""
    from markupsafe import Markup

    text = (LOOK / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {"text": Markup(text), "hash": f"sha256-{digest}"}


if __name__ == "__main__":
    run(main)
