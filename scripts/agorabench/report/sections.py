"""The report's sections about sets and models: numbers, samples, rejected replies, answers."""

import json
import math
from pathlib import Path

from agorabench import paths
from agorabench.errors import UserError
from agorabench.evaluation.benchmarks import load_items
from agorabench.files import read_jsonl
from agorabench.llm.budget import usage_cost
from agorabench.matrix import COORDINATES, Cell
from agorabench.report.pgr_rows import section_id
from agorabench.report.readable import read_text
from agorabench.stats.pgr import MEAN

KEY = ("student", *COORDINATES, "benchmark")  # of a row of the PGR table
IN_SECTION = ("pairs", "seeds_added", "replies")  # of every set, whatever the exhibits have
EXPECTED = ("answer", "answers", "reference", "tests", "test")  # of an item, what there is first
CURVE_POINTS = 200  # more than the width of a training curve in pixels cannot be seen


class Sections:
    """Reads what the page says of a set or a model.

    Args:
        table: rows of the PGR table.
        exhibits: loaded ones, whose rows of a set are repeated in its section.
        benchmarks: name -> its entry in the config.
        prices: generator -> USD per million tokens.
        samples: pairs to show of a set.
        answers: answers to show of a model on a benchmark.
    """

    def __init__(self, table, exhibits, benchmarks, prices, samples, answers):
        self.rows = {tuple(row[name] for name in KEY): row for row in table}
        # A comparison of two generators is of neither's set alone.
        self.exhibits = [each for each in exhibits if "other" not in (each["rows"] or [{}])[0]]
        self.benchmarks, self.prices = benchmarks, prices
        self.samples, self.answers = samples, answers
        self.expected = {}

    def read_set(self, runs) -> dict:
        """A set with the students trained on it, one for each of its runs."""
        cell = runs[0].cell
        raw = read_jsonl(paths.raw_replies(cell))
        valid = [row for row in raw if row["verdict"] == "valid"][: cell.size]
        facts = ((each, select_rows(each["rows"], cell)) for each in self.exhibits)
        return {
            "id": section_id(cell),
            "place": {name: getattr(cell, name) for name in COORDINATES},
            "raw": paths.raw_replies(cell),
            "data": paths.training_set(cell),
            "ledger": read_record(paths.set_ledger(cell)) | {"file": paths.set_ledger(cell)},
            "facts": [(each, rows) for each, rows in facts if rows],
            "samples": [
                # The rows of a mixture name their generators.
                row | {"usd": price_reply(row, self.prices[row.get("generator", cell.generator)])}
                for row in space_evenly(valid, self.samples)
            ],
            "rejected": group_rejections(raw),
            "students": [self.read_student(run) for run in runs],
        }

    def read_student(self, run) -> dict:
        """A student: its mean PGR, its training, and what there is of any model."""
        return {
            "student": run.student,
            "mean": self.row(run, MEAN),
            "training": read_training(f"{paths.student_folder(run.model)}/train.json"),
            **self.read_model(run.model, [run.domain], run),
        }

    def row(self, run, benchmark) -> dict:
        """A run's row of the PGR table."""
        key = tuple({**vars(run), "benchmark": benchmark}[name] for name in KEY)
        if key not in self.rows:
            text = f"the PGR table has no row of {run.model} on {benchmark}: aggregate again"
            raise UserError(text)
        return self.rows[key]

    def read_model(self, model, domains, run=None) -> dict:
        """Scores and answers of a model on the benchmarks of `domains`; those of a run's student
        with their rows of the table.
        """
        benchmarks = [
            self.read_answers(model, name) | {"row": run and self.row(run, name)}
            for name, entry in self.benchmarks.items()
            if entry["domain"] in domains
        ]
        return {"id": section_id(model), "name": model, "benchmarks": benchmarks}

    def read_answers(self, model, benchmark) -> dict:
        """A model's score on a benchmark, and some of its answers with their verdicts."""
        kinds = ("score", "verdicts", "predictions")
        files = {kind: getattr(paths, kind)(model, benchmark) for kind in kinds}
        files["items"] = paths.benchmark_items(benchmark)
        summary = read_record(files["score"])
        judgements = summary["judge"] and paths.judgements(model, benchmark)
        said = read_replies(judgements) if judgements else {}
        verdicts = read_verdicts(files["verdicts"])
        predicted = {row["id"]: row for row in read_jsonl(files["predictions"])}
        if missing := [row["id"] for row in verdicts if row["id"] not in predicted]:
            text = f"no prediction of {missing[0]}, which has a verdict"
            raise UserError(f"{files['predictions']}: {text}")
        return files | {
            "name": benchmark,
            "summary": summary,
            "judgements": judgements,
            "answers": [
                predicted[row["id"]]
                | {
                    "verdict": word_verdict(row, summary["judge"]),
                    "expected": self.read_expected(benchmark).get(row["id"]),
                    "said": said.get(row["id"], ()),
                    "more": list_details(row),
                }
                for row in space_evenly(verdicts, self.answers)
            ],
        }

    def read_expected(self, benchmark) -> dict[str, str]:
        """Item -> its right answer, reference or tests, of a benchmark whose items have one."""
        if benchmark not in self.expected:
            path = Path(paths.benchmark_items(benchmark))
            items = load_items(self.benchmarks[benchmark], path) if path.is_file() else ()
            found = {item["id"]: word_expected(item) for item in items}
            self.expected[benchmark] = found
        return self.expected[benchmark]


def select_rows(rows: list[dict], cell: Cell) -> list[dict]:
    """An exhibit's rows of a set, without what its section says anyway."""
    place = {name: str(getattr(cell, name)) for name in COORDINATES}
    return [
        {name: row[name] for name in row if name not in (*COORDINATES, *IN_SECTION)}
        for row in rows
        if place.items() <= row.items()
    ]


def read_record(path: str) -> dict:
    """The object of a JSON file. Raises UserError where there is none."""
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None


def read_verdicts(path: str) -> list[dict]:
    """The verdicts on a benchmark's items. Raises UserError where they cannot be read."""
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowInvalid):
        raise UserError(f"{path}: no readable verdicts; score the model again") from None


def space_evenly(rows: list, number: int) -> list:
    """`number` of the rows, spaced evenly; all where there are no more."""
    number = min(number, len(rows))
    return [rows[i * len(rows) // number] for i in range(number)]


def price_reply(row: dict, price: dict) -> float | None:
    """Cost of a reply in USD; None where its tokens are not known."""
    return usage_cost(row["usage"], price, batch="mode" in row) if row.get("usage") else None


def group_rejections(raw: list[dict]) -> list[tuple[str, int, dict]]:
    """(reason, number of replies, the first such reply), the most frequent first."""
    by_reason = {}
    for row in raw:
        if row["verdict"] != "valid":
            by_reason.setdefault(row["verdict"], []).append(row)
    reasons = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    return [(reason, len(rows), rows[0]) for reason, rows in reasons]


def word_verdict(row: dict, judge: str | None) -> tuple[str, str]:
    """(class, words) of an item's verdict; `score` is a fraction, or None."""
    score = row["score"]
    if score is None:
        return "unknown", "no verdict"
    if judge or score not in (0, 1):  # a judge prefers, and finds nothing right or wrong
        return "partly", f"score {score:.2f}"
    return ("right", "right") if score else ("wrong", "wrong")


def word_expected(item: dict) -> str | None:
    """What an item's completion is compared with, as text; None where nothing can be named."""
    value = next((item[name] for name in EXPECTED if item.get(name) not in (None, "")), None)
    if item.get("choices") and value in item["choices"]:
        return f"{value}. {item['choices'][value]}"
    values = value if isinstance(value, list) else [value]
    return None if value is None else "\nor\n".join(map(str, values))


def read_replies(path: str) -> dict[str, list[str]]:
    """Item -> what the judge said of it, game by game."""
    found = {}
    for row in read_jsonl(path):
        found.setdefault(row["id"], []).append(row["reply"])
    return found


def list_details(row: dict) -> dict[str, str]:
    """What a verdict has besides item and score, as text."""
    return {
        name: f"{value:.4g}" if isinstance(value, float) else str(value)
        for name, value in row.items()
        if name not in ("id", "score") and value not in (None, "")
    }


def read_training(path: str) -> dict | None:
    """Facts, recipe and curve of a training; None where there is no such file."""
    if not Path(path).is_file():
        return None
    record = read_record(path)
    facts = {"pairs": f"{record['examples']:,}", "steps": f"{record['steps']:,}"}
    facts |= {"seconds": f"{record['seconds']:,.0f}", "device": record["devices"]}
    facts |= {"cut short": f"{100 * record['truncated']:.1f} % of the pairs"}
    recipe, curve = record["made_from"]["recipe"], draw_curve(record["loss_curve"])
    return {"file": path, "facts": facts, "recipe": recipe, "curve": curve}


def draw_curve(rows: list[dict]) -> dict | None:
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
        for step, loss in [*space_evenly(known[:-1], CURVE_POINTS), known[-1]]
    )
    return {"steps": steps, "last": losses[-1], "top": top, "bottom": bottom, "points": points}
