"""Scores of models on benchmarks, read from the files that `score` writes."""

import json
from pathlib import Path

import numpy as np

from agorabench import paths
from agorabench.errors import UserError
from agorabench.evaluation.benchmarks import JUDGED
from agorabench.stats.pgr import Scores

# Scores are written with a few decimals; a larger difference means files of two evaluations.
TOLERANCE = 0.01  # percent points


def read_scores(model: str, benchmark: str) -> Scores:
    """One model's item scores on one benchmark, as `Scores`.

    Raises UserError, naming the file, where the summary (.json) or the items (.parquet) are absent,
    have no usable score, or do not belong together.
    """
    summary_path, items_path = paths.score(model, benchmark), paths.verdicts(model, benchmark)
    for path in (summary_path, items_path):
        if not Path(path).is_file():
            raise UserError(f"{path} is missing: score {model} on {benchmark} first")
    try:
        summary = json.loads(Path(summary_path).read_text(encoding="utf-8"))
        protocol, judge = summary["protocol"], summary["judge"]
        claimed, n = float(summary["score"]), summary["n"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{summary_path} is not a score summary: {error!r}") from None
    ids, values, weights, known = _read_items(items_path, fitted=protocol in JUDGED)
    mean = 100 * np.average(values[known], weights=None if weights is None else weights[known])
    if n != known.sum() or not abs(claimed - mean) <= TOLERANCE:
        raise UserError(
            f"{summary_path} says {claimed:.2f} % of {n} items, its items say "
            f"{mean:.2f} % of {known.sum()}: score {model} on {benchmark} again"
        )
    counts = summary.get("counts")
    return Scores(ids, values, f"{protocol} ({counts})" if counts else protocol, judge, weights)


def _read_items(path, fitted):
    """(ids, scores, weights or None, which have a verdict) of a file of verdicts, each [items].

    What is `fitted` to a judge's verdicts has items with parts outside 0 to 1.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        items = pyarrow.parquet.read_table(path)
        ids = np.array(list(map(str, items["id"].to_pylist())))
        values = items["score"].to_numpy().astype(float)
        weighted = "weight" in items.schema.names
        weights = items["weight"].to_numpy().astype(float) if weighted else None
    except (pyarrow.ArrowException, KeyError, ValueError) as error:
        raise UserError(f"{path} has no readable id and score: {error}") from None
    if not len(ids):
        raise UserError(f"{path} has no items")
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        raise UserError(f"{path} has item {str(unique[counts > 1][0])!r} more than once")
    known = ~np.array(items["score"].is_null())  # null: no verdict; NaN is none of ours
    if not known.any():
        raise UserError(f"{path}: no item has a verdict")
    wrong = known & ~(np.isfinite(values) if fitted else (values >= 0) & (values <= 1))
    if wrong.any():
        item, score = str(ids[wrong][0]), values[wrong][0]
        raise UserError(f"{path}: item {item!r} has score {score}, not one from 0 to 1")
    return ids, values, weights, known
