"""Intrinsic metrics of a generated set: one module per kind of measure, found by its name.

A module of this package that measures with a model offers

    load_model(entry, threads)                    -> what measures
    measure_pairs(loaded, entry, pairs, advance)  -> Measured

where `entry` is the metric's, with its "name", pairs are {"id", "instruction", "response"}, and
advance is called with how many of them are done. What judges said of a set is measured by `judged`,
which needs no model. A metric made of what others found of each example, as an entry says that
names a `perplexity`, has a module without heavy imports that offers

    measure_columns(entry, columns)           -> Measured
    score_examples(entry, readings, reader)   -> a number for each reading; optional

where columns are lists, a value for each example or None: "surprisal", "scored", and "reward" where
the entry names one. What score_examples returns is "scored"; it is called by the perplexity metric
with what its model made of the responses (perplexity.Reading, .Reader), so that one forward pass
serves all.
"""

import math
import random
import statistics
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType

from agorabench.errors import UserError
from agorabench.files import read_jsonl
from agorabench.rows import trained_pair

LOW_IS_GOOD = ("perplexity", "surprisal", "rank-surprisal")  # so named; of others high is


@dataclass
class Measured:
    """A metric of one set.

    Attributes:
        value, standard_error: in the metric's own unit.
        n, without: examples that have a value, and those that have none.
        values: of each example, None where it has none; None where only the set has a value.
        also: name -> further numbers of the set.
        scored: metric made of this one -> what its score_examples returned, like values.
    """

    value: float
    standard_error: float
    n: int
    without: int = 0
    values: list | None = None
    also: dict = field(default_factory=dict)
    scored: dict[str, list] = field(default_factory=dict)

    def to_dict(self) -> dict:
        """All but the values of the examples, as a dictionary."""
        names = ("value", "standard_error", "n", "without", "also")
        return {name: getattr(self, name) for name in names}


def load_metric_module(entry: dict) -> ModuleType:
    """The module that measures a metric, from its config entry."""
    return import_module(f"agorabench.intrinsic.{entry['measure']}")


def misnamed_metrics(metrics: dict[str, dict]) -> list[str]:
    """Names of the metrics of which the other end is good than their name says."""
    return [
        name
        for name, entry in metrics.items()
        if name.startswith(LOW_IS_GOOD) != (entry["measure"].replace("_", "-") in LOW_IS_GOOD)
    ]


def scored_metrics(metrics: dict[str, dict], name: str) -> dict[str, dict]:
    """Entries of the metrics whose score_examples a perplexity metric calls, of all metrics."""
    made = {other: entry for other, entry in metrics.items() if entry.get("perplexity") == name}
    return {
        other: entry
        for other, entry in made.items()
        if hasattr(load_metric_module(entry), "score_examples")
    }


def read_generated_pairs(path: str | Path) -> list[dict]:
    """The pairs of a set that its generator wrote: {"id": line from 0, "instruction", "response"}.

    Raises:
        UserError: there are none.
    """
    pairs = []
    for number, row in enumerate(read_jsonl(path)):
        if row["origin"] == "generated":
            asked, answered = trained_pair(row)
            pairs.append({"id": number, "instruction": asked, "response": answered})
    if not pairs:
        raise UserError(f"{path}: no row was generated, so there is nothing to measure")
    return pairs


def sample_pairs(rows: list, size: int | None, seed: int) -> list:
    """`size` of the rows (None: all), in their order, drawn by `seed`.

    A smaller sample is part of a larger one.
    """
    order = random.Random(f"intrinsic {seed}").sample(range(len(rows)), len(rows))
    return [rows[index] for index in sorted(order[:size])]


def measure_mean(name: str, values: list[float | None]) -> Measured:
    """The Measured of independent examples: their mean, and the standard error of that.

    Raises:
        UserError: fewer than two have a value, or one is no number.
    """
    known = [value for value in values if value is not None]
    if len(known) < 2:
        raise UserError(f"{name}: {len(known)} of {len(values)} examples have a value; it takes 2")
    if not all(map(math.isfinite, known)):
        raise UserError(f"{name}: the value of an example is no finite number")
    error = statistics.stdev(known) / math.sqrt(len(known))
    without = len(values) - len(known)
    return Measured(statistics.fmean(known), error, len(known), without, values)


def measure_ratio(name: str, tops: list[float | None], bottoms: list[float | None]) -> Measured:
    """The Measured of a ratio of means over the examples that have both.

    The standard error is that of the ratio estimator (Cochran 1977, eq. 6.12, without the
    correction for a finite population).
    """
    pairs = list(zip(tops, bottoms, strict=True))
    known = [pair for pair in pairs if None not in pair]
    below = statistics.fmean(bottom for _, bottom in known) if known else 1.0
    ratio = statistics.fmean(top for top, _ in known) / below if known else 0.0
    errors = [None if None in pair else (pair[0] - ratio * pair[1]) / below for pair in pairs]
    measured = measure_mean(name, errors)
    measured.value, measured.values = ratio, None
    return measured
