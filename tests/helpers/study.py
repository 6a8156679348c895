"""Results of an invented study, in the files that the pipeline leaves, for what only reads them."""

import contextlib
import random
from pathlib import Path

import aggregate
import pyarrow
import pyarrow.parquet
from agorabench import matrix
from agorabench.files import write_json, write_jsonl
from curate import count_replies, select_pairs, training_row

from helpers.tasks import DOMAIN_ENTRIES, METHODS, STUDENT

PRICES = {"input": 2.0, "output": 10.0}
SHARES = {"base": 0.1, "reference": 0.9}  # of items that a model has right; a student's is between


def plain(kind, number):
    """What a model has written: `kind` is instruction, response, prompt or completion."""
    return f"{kind} {number}"


class Study:
    """The files of a study below `folder`/results, and its config."""

    def __init__(
        self, folder, text=plain, generators=("strong", "weak"), domains=("math",),
        methods=("response",), students=("mini",), seeds=(1,), size=20, items=12, judge=None,
        tests=("test",),
    ):  # fmt: skip
        self.results = Path(folder) / "results"
        self.text, self.items, self.judge = text, items, judge
        self.benchmarks = {f"{domain}-{test}": domain for domain in domains for test in tests}
        self.matrix = {
            "generators": {name: {"backend": "openai"} for name in generators},
            "experiments": {
                "main": {
                    "students": students,
                    "domains": domains,
                    "methods": methods,
                    "generators": generators,
                    "prompts": ["main"],
                    "sizes": [size],
                    "seeds": seeds,
                }
            },
        }
        self.prices = dict.fromkeys(generators, PRICES)
        runs = matrix.expand_runs(self.matrix)
        for cell in dict.fromkeys(run.cell for run in runs):
            self.write_set(cell, size)
        for run in runs:
            self.write_training(run.model)
            share = random.Random(run.model).uniform(0.3, 0.8)
            self.write_answers(run.model, share, [run.domain])
        for student in students:
            for anchor, share in SHARES.items():
                self.write_answers(f"{student}/{anchor}", share, domains)
        self.write_tables()

    def write_set(self, cell, size):
        """Every third reply is rejected; every fifth came without its usage."""
        raw = []
        while len(raw) < 1.5 * size:
            number = len(raw)
            row = {"slot": number, "attempt": 0, "finish_reason": "stop"}
            row["usage"] = {"input": 100, "output": 10} if number % 5 else None
            row |= {part: self.text(part, number) for part in ("instruction", "response")}
            verdict = "valid" if number % 3 else ("too long", "no marker")[number % 2]
            if verdict != "valid":
                row["reply"] = self.text("reply", number)
            raw.append(row | {"verdict": verdict})
        pairs = select_pairs(raw, size)
        write_jsonl(self.results / "raw" / f"{cell}.jsonl", raw)
        write_jsonl(
            self.results / "data" / f"{cell}.jsonl",
            [training_row(pair, "generated") for pair in pairs],
        )
        write_json(self.results / "data" / f"{cell}.ledger.json", count_replies(raw, pairs, 0))

    def write_training(self, model):
        told = {
            "examples": 20,
            "steps": 40,
            "seconds": 3.5,
            "devices": "cpu",
            "truncated": 0.0,
            "made_from": {"recipe": {"epochs": 5.0, "learning_rate": 0.002}},
            "loss_curve": [{"step": step, "loss": 5 / step} for step in range(1, 41)],
        }
        write_json(self.results / "models" / model / "train.json", told)

    def write_answers(self, model, share, domains):
        for name, domain in self.benchmarks.items():
            if domain in domains:
                self.write_benchmark(model, name, share)

    def write_benchmark(self, model, name, share):
        ids = [f"item-{number}" for number in range(self.items)]
        rows = [
            {
                "id": one,
                "model": model,
                "prompt": self.text("prompt", one),
                "completion": self.text("completion", one),
                "finish_reason": "stop",
            }
            for one in ids
        ]
        write_jsonl(self.results / "predictions" / model / f"{name}.jsonl", rows)
        scores = [float(number < round(share * self.items)) for number in range(self.items)]
        summary = {
            "model": model,
            "benchmark": name,
            "protocol": "mini",
            "judge": self.judge,
            "score": 100 * sum(scores) / self.items,
            "standard_error": 4.0,
            "also": {"strict": {"score": 12.5, "standard_error": 1.5}},
            "n": self.items,
            "without_verdict": 0,
            "unfinished": 0.0,
            "empty": 0.0,
        }
        path = self.results / "scores" / model / f"{name}.json"
        write_json(path, summary)
        verdicts = {
            "id": ids,
            "score": scores,
            "extracted": [self.text("extracted", one) for one in ids],
            "reason": [""] * self.items,
        }
        pyarrow.parquet.write_table(pyarrow.table(verdicts), path.with_suffix(".parquet"))
        if self.judge:
            write_jsonl(self.results / "judgements" / model / f"{name}.jsonl", [])

    def write_tables(self):
        """The PGR table and the costs, by the program that makes them."""
        with contextlib.chdir(self.results.parent):
            aggregate.write_pgr_table(self.config)
            aggregate.write_table(self.config, "cost")
            aggregate.write_table(self.config, "paid")

    @property
    def config(self):
        """The study as a checked config, as far as what only reads results needs one."""
        benchmarks = {
            name: {"domain": domain, "protocol": "mini", "in_mean": True}
            for name, domain in self.benchmarks.items()
        }
        generators = {
            name: entry | {"price": self.prices[name]} if name in self.prices else entry
            for name, entry in self.matrix["generators"].items()
        }
        experiments = self.matrix["experiments"].values()
        students = [name for axes in experiments for name in axes["students"]]
        rest = {"intrinsic": {}, "seeds": {}, "bootstrap": 200, "seed": 1}
        rest |= {"students": dict.fromkeys(students, STUDENT), "methods": METHODS}
        rest |= {"domains": DOMAIN_ENTRIES}
        return self.matrix | {"generators": generators, "benchmarks": benchmarks} | rest
