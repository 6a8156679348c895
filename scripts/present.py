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
import hashlib
import json
import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from agorabench import matrix
from agorabench.cli import run_program
from agorabench.errors import UserError
from agorabench.files import atomic_file, read_jsonl
from agorabench.llm.budget import usage_cost
from agorabench.report import figures
from agorabench.report.page import COORDINATES, exhibit, text, words
from agorabench.stats.pgr import MEAN, METHODS, from_csv, views

LOOK = Path(__file__).resolve().parent.parent / "docs" / "report"
POINTS = 200  # of a training curve: more than its width in pixels are not seen


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

    runs = matrix.expand_runs(args.matrix)
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
    with atomic_file(args.output) as file:
        file.writelines(page)


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
        for anchor in matrix.ANCHORS
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
                "student": matrix.Run(row["student"], *(row[name] for name in COORDINATES)).model,
                **{anchor: f"{row['student']}/{anchor}" for anchor in matrix.ANCHORS},
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
    return None if MEAN in place else identifier(matrix.Run("", *place).cell)


def identifier(path):
    """The name of a set's or a model's section within the page."""
    return path.replace("/", "--")


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
        raw = read_jsonl(path)
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
        said = {row["id"]: row for row in read_jsonl(predictions)}
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
    return usage_cost(row["usage"], price, batch="mode" in row) if row.get("usage") else None


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
    run_program(main)
