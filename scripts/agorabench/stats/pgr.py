"""Performance gap recovered: how far a generator's data carried a student from base to reference.

    PGR = (student - base) / (reference - base) x 100

for one benchmark (arXiv 2412.03679, section 2; the name is from Burns et al. 2023, arXiv
2312.09390). A domain's PGR is the mean of its benchmarks' PGRs, an average over domains or methods
the mean of those. Benchmarks that stand apart have their rows and are in no mean.

Intervals (95 %) come from a bootstrap over benchmark items. Student, base and reference are
evaluated on the same resample, and so are all cells of a benchmark: the noise of the common base
and reference reaches every average that they share. Averages average the draws. The intervals are
about the choice of items only; another training seed is another student, so its spread is seen in
the rows per seed and not in an interval.

A gap that is not there is never divided by:
- a draw whose reference does not beat its base has no PGR; it counts against both ends of the
  interval (bootstrap.percentile_interval), and never as a number;
- a benchmark is flagged `gap within noise` when the gap (reference - base) is not positive, or its
  own 95 % interval reaches 0. Then no finite interval of the ratio exists (Fieller 1954) and
  pgr_low and pgr_high stay empty; the PGR itself is shown where the gap is positive, else empty;
- an average over such benchmarks has no interval either, an average over an empty PGR is empty,
  and its flag says how many benchmarks were to blame. An average of sound benchmarks that still
  has too many draws without a PGR is flagged `interval unbounded`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agorabench.errors import UserError
from agorabench.matrix import ANCHORS, Run
from agorabench.stats.bootstrap import bootstrap_means, percentile_interval

MEAN = "mean"
NOISE = "gap within noise"
NO_REFERENCE = "no reference"
UNBOUNDED = "interval unbounded"


class Scores(NamedTuple):
    """One model's scores on one benchmark: ids [items], values [items] as fractions 0..1.

    A value is NaN where the item has no verdict. `weights` [items]: of the items in the mean; None
    where all count the same.
    """

    ids: np.ndarray
    values: np.ndarray
    protocol: str
    judge: str | None
    weights: np.ndarray | None = None


def anchor_models(student: str) -> list[str]:
    """Names of the models a student starts from and is measured against: base, reference."""
    return [f"{student}/{anchor}" for anchor in ANCHORS]


def pgr(student, base, reference):
    """PGR in percent, from scores in one common unit; numbers or arrays of one shape.

    NaN where the reference does not beat the base: there is no gap to recover.
    """
    student, base, reference = (np.asarray(x, dtype=float) for x in (student, base, reference))
    gap = reference - base
    recovered = np.full(np.broadcast(student, gap).shape, np.nan)
    np.divide(student - base, gap, out=recovered, where=gap > 0)
    recovered *= 100
    return recovered if recovered.ndim else float(recovered)


@dataclass(frozen=True)
class Estimate:
    """Scores (percent) and PGR (percent) of a cell on a benchmark, or of an average of such.

    `draws`, `score_draws`: [draws], PGR and student's score in percent of each bootstrap draw, NaN
    where it has no PGR. `gain_draws`: [draws], points above the base. `items`: benchmark -> number
    of its items. `noisy`: the benchmarks whose gap is within its own noise. Without a reference its
    score and all of PGR is NaN.
    """

    student: float
    base: float
    reference: float
    pgr: float
    draws: np.ndarray
    score_draws: np.ndarray
    gain_draws: np.ndarray
    items: dict[str, int]
    noisy: frozenset[str]

    def interval(self):
        """95 % interval of the PGR in percent: (low, high), or None where it has no finite one."""
        low, high = percentile_interval(self.draws)
        if self.noisy or math.isnan(self.pgr) or math.isinf(low) or math.isinf(high):
            return None
        return low, high

    def flag(self):
        """Why a PGR or its interval is missing, in words; empty where nothing is."""
        if math.isnan(self.reference):
            return NO_REFERENCE
        if self.noisy and len(self.items) > 1:
            return f"{NOISE} in {len(self.noisy)} of {len(self.items)} benchmarks"
        if self.noisy:
            return NOISE
        return "" if self.interval() else UNBOUNDED


def estimate_pgr(benchmark, means, draws, items):
    """`Estimate` of one cell on one benchmark.

    `means`: fractions (student, base, reference), NaN for what there is not; `draws`: [draws, 3],
    the same, resampled.
    """
    recovered, resampled = pgr(*means), pgr(*draws.T)
    lowest_gap, _ = percentile_interval(draws[:, 2] - draws[:, 1])
    unbounded = math.isinf(percentile_interval(resampled)[0])
    noisy = math.isnan(recovered) or lowest_gap <= 0 or unbounded
    shown, blamed = (100 * float(mean) for mean in means), frozenset([benchmark] if noisy else [])
    scores, gains = 100 * draws[:, 0], 100 * (draws[:, 0] - draws[:, 1])
    return Estimate(*shown, recovered, resampled, scores, gains, {benchmark: items}, blamed)


def average_estimates(estimates: Iterable[Estimate]) -> Estimate:
    """Plain mean of estimates, their scores and their draws.

    An item that several of them share (methods and seeds meet the same benchmarks) counts once in
    `items`; a PGR or a draw that one of them lacks is lacking in the mean.
    """
    estimates, parts = list(estimates), ("student", "base", "reference", "pgr")
    sums = (math.fsum(getattr(one, part) for one in estimates) for part in parts)
    return Estimate(
        *(total / len(estimates) for total in sums),
        draws=np.mean([one.draws for one in estimates], axis=0),
        score_draws=np.mean([one.score_draws for one in estimates], axis=0),
        gain_draws=np.mean([one.gain_draws for one in estimates], axis=0),
        items={name: n for one in estimates for name, n in one.items.items()},
        noisy=frozenset().union(*(one.noisy for one in estimates)),
    )


def align_items(benchmark: str, scores: dict[str, Scores]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and weights of a benchmark's models, both [items, models], ordered by item id.

    Items on which a model has no verdict are left out for all. `scores`: model -> Scores. Raises
    UserError where two models were scored by different protocols or judges, or on different items.
    """
    first, expected = next(iter(scores.items()))
    ids = np.sort(expected.ids)
    columns, weights = [], []
    for model, one in scores.items():
        for part in ("protocol", "judge"):
            own, theirs = getattr(one, part), getattr(expected, part)
            if own != theirs:
                raise UserError(
                    f"{benchmark}: {model} was scored with {part} {own or 'none'}, {first} with "
                    f"{theirs or 'none'}; tables refuse to mix {part}s"
                )
        order = np.argsort(one.ids)
        if not np.array_equal(one.ids[order], ids):
            extra, lost = np.setdiff1d(one.ids, ids), np.setdiff1d(ids, one.ids)
            has, lacks, item = (model, first, extra) if len(extra) else (first, model, lost)
            raise UserError(
                f"{benchmark}: {has} has a score of item {str(item[0])!r} and {lacks} has none; "
                "a PGR compares models on the same items"
            )
        columns.append(one.values[order])
        weights.append(np.ones(len(ids)) if one.weights is None else one.weights[order])
    values, weights = np.stack(columns, axis=1), np.stack(weights, axis=1)
    known = ~np.isnan(values).any(axis=1)
    if not known.any():
        raise UserError(f"{benchmark}: no item has a verdict for every model")
    return values[known], weights[known]


def needed_models(runs: list[Run], benchmarks: dict[str, str]) -> dict[str, list[str]]:
    """Benchmark -> the models whose scores its rows need: bases, references (of those that have
    one) and students.

    `benchmarks`: name -> domain. Raises UserError for a run whose domain has no benchmark, and for
    a name that the table keeps for averages.
    """
    names = {name for run in runs for name in (run.domain, run.method)} | set(benchmarks)
    if MEAN in names:
        raise UserError(f"no domain, method or benchmark can be called {MEAN!r}: averages are")
    for run in runs:
        if run.domain not in benchmarks.values():
            known = ", ".join(dict.fromkeys(benchmarks.values())) or "none"
            raise UserError(f"domain {run.domain!r} has no benchmark; domains with one: {known}")
    models = {}
    for name, domain in benchmarks.items():
        if trained := [run for run in runs if run.domain == domain]:
            common = [anchor for run in trained for anchor in anchor_models(run.student)]
            models[name] = list(dict.fromkeys([*common, *(run.model for run in trained)]))
    return models


def estimate_cells(runs, benchmarks, scores, draws=2000, seed=1, apart=()):
    """{run: {benchmark: Estimate, "mean": the domain's Estimate}}.

    `benchmarks`: name -> domain; `scores`: benchmark -> {model: Scores}, as `needed_models` names
    them, without references where there are none; `apart`: benchmarks that no mean is over.
    Raises UserError as `align_items` does, and where a domain has no benchmark but such.
    """
    models_of = needed_models(runs, benchmarks)
    for domain in dict.fromkeys(run.domain for run in runs):
        if all(name in apart for name, other in benchmarks.items() if other == domain):
            raise UserError(f"domain {domain!r} needs a benchmark that counts in its mean")
    estimates = {run: {} for run in runs}
    for name, models in models_of.items():
        models = [model for model in models if model in scores[name]]
        values, weights = align_items(name, {model: scores[name][model] for model in models})
        means = (weights * values).mean(axis=0) / weights.mean(axis=0)
        # The same resamples twice: a weighted mean is a ratio of two.
        resampled = bootstrap_means(weights * values, draws, seed, name)
        resampled /= bootstrap_means(weights, draws, seed, name)
        # What there is not is a column of NaN, the last.
        means = np.append(means, np.nan)
        resampled = np.column_stack([resampled, np.full(draws, np.nan)])
        column = dict(zip(models, range(len(models)), strict=True))
        for run in runs:
            if run.domain == benchmarks[name]:
                three = [column.get(one, -1) for one in (run.model, *anchor_models(run.student))]
                drawn = resampled[:, three]
                estimates[run][name] = estimate_pgr(name, means[three], drawn, len(values))
    for by_benchmark in estimates.values():
        counted = [each for name, each in by_benchmark.items() if name not in apart]
        by_benchmark[MEAN] = average_estimates(counted)
    return estimates
