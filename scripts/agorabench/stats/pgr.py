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
  interval (statistics.percentile_interval), and never as a number;
- a benchmark is flagged `gap within noise` when the gap (reference - base) is not positive, or its
  own 95 % interval reaches 0. Then no finite interval of the ratio exists (Fieller 1954) and
  pgr_low and pgr_high stay empty; the PGR itself is shown where the gap is positive, else empty;
- an average over such benchmarks has no interval either, an average over an empty PGR is empty,
  and its flag says how many benchmarks were to blame. An average of sound benchmarks that still
  has too many draws without a PGR is flagged `interval unbounded`.
"""

import csv
import io
import itertools
import math
import statistics
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agorabench.errors import UserError
from agorabench.matrix import ANCHORS, NO_PROMPT, Run
from agorabench.stats.bootstrap import bootstrap_means, percentile_interval

MEAN = "mean"
NOISE = "gap within noise"
UNBOUNDED = "interval unbounded"
METHODS = {  # in full, for readers
    "instance": "instance generation",
    "response": "response generation",
    "enhancement": "quality enhancement",
}
COLUMNS = (
    "generator",
    "method",
    "domain",
    "benchmark",
    "prompt",
    "size",
    "seed",
    "student",
    "student_score",
    "base_score",
    "reference_score",
    "n_items",
    "pgr",
    "pgr_low",
    "pgr_high",
    "flag",
)


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


def anchors(student):
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

    `draws`: [draws], the PGR of each bootstrap draw, NaN where it has none. `items`: benchmark ->
    number of its items. `noisy`: the benchmarks whose gap is within its own noise.
    """

    student: float
    base: float
    reference: float
    pgr: float
    draws: np.ndarray
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
        if self.noisy and len(self.items) > 1:
            return f"{NOISE} in {len(self.noisy)} of {len(self.items)} benchmarks"
        if self.noisy:
            return NOISE
        return "" if self.interval() else UNBOUNDED


def estimate(benchmark, means, draws, items):
    """`Estimate` of one cell on one benchmark.

    `means`: fractions (student, base, reference); `draws`: [draws, 3], the same, resampled.
    """
    recovered = pgr(*means)
    resampled = pgr(*draws.T)
    lowest_gap, _ = percentile_interval(draws[:, 2] - draws[:, 1])
    unbounded = math.isinf(percentile_interval(resampled)[0])
    noisy = math.isnan(recovered) or lowest_gap <= 0 or unbounded
    return Estimate(
        *(100 * float(mean) for mean in means),
        pgr=recovered,
        draws=resampled,
        items={benchmark: items},
        noisy=frozenset([benchmark] if noisy else []),
    )


def average(estimates):
    """Plain mean of estimates, their scores and their draws.

    An item that several of them share (methods and seeds meet the same benchmarks) counts once in
    `items`; a PGR or a draw that one of them lacks is lacking in the mean.
    """
    estimates = list(estimates)
    return Estimate(
        *(
            math.fsum(getattr(one, part) for one in estimates) / len(estimates)
            for part in ("student", "base", "reference", "pgr")
        ),
        draws=np.mean([one.draws for one in estimates], axis=0),
        items={name: n for one in estimates for name, n in one.items.items()},
        noisy=frozenset().union(*(one.noisy for one in estimates)),
    )


def align(benchmark, scores):
    """Scores and weights of a benchmark's models, both [items, models], ordered by item id.

    Items on which a model has no verdict are left out for all. `scores`: model -> Scores. Raises
    UserError where two models were scored by different protocols or judges, or on different items.
    """
    first = next(iter(scores))
    expected = scores[first]
    ids = np.sort(expected.ids)
    columns, weights = [], []
    for model in scores:
        one = scores[model]
        for part in ("protocol", "judge"):
            mine, theirs = getattr(one, part), getattr(expected, part)
            if mine != theirs:
                raise UserError(
                    f"{benchmark}: {model} was scored with {part} {mine or 'none'}, {first} with "
                    f"{theirs or 'none'}; tables refuse to mix {part}s"
                )
        order = np.argsort(one.ids)
        if not np.array_equal(one.ids[order], ids):
            extra = sorted(set(one.ids.tolist()) - set(ids.tolist()))
            lost = sorted(set(ids.tolist()) - set(one.ids.tolist()))
            has, lacks, item = (model, first, extra[0]) if extra else (first, model, lost[0])
            raise UserError(
                f"{benchmark}: {has} has a score of item {item!r} and {lacks} has none; "
                "a PGR compares models on the same items"
            )
        columns.append(one.values[order])
        weights.append(np.ones(len(ids)) if one.weights is None else one.weights[order])
    values, weights = np.stack(columns, axis=1), np.stack(weights, axis=1)
    known = ~np.isnan(values).any(axis=1)
    if not known.any():
        raise UserError(f"{benchmark}: no item has a verdict for every model")
    return values[known], weights[known]


def needed(runs, benchmarks):
    """Benchmark -> the models whose scores its rows need: bases, references and students.

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
        mine = [run for run in runs if run.domain == domain]
        common = [anchor for run in mine for anchor in anchors(run.student)]
        if mine:
            models[name] = list(dict.fromkeys([*common, *(run.model for run in mine)]))
    return models


def cells(runs, benchmarks, scores, draws=2000, seed=1, apart=()):
    """{run: {benchmark: Estimate, "mean": the domain's Estimate}}.

    `benchmarks`: name -> domain; `scores`: benchmark -> {model: Scores}, as `needed` names them;
    `apart`: benchmarks that no mean is over.
    Raises UserError as `align` does, and where a domain has no benchmark but such.
    """
    models_of = needed(runs, benchmarks)
    for domain in dict.fromkeys(run.domain for run in runs):
        if all(name in apart for name, other in benchmarks.items() if other == domain):
            raise UserError(f"domain {domain!r} needs a benchmark that counts in its mean")
    found = {run: {} for run in runs}
    for name, models in models_of.items():
        values, weights = align(name, {model: scores[name][model] for model in models})
        column = {model: i for i, model in enumerate(models)}
        means = (weights * values).mean(axis=0) / weights.mean(axis=0)
        # The same resamples twice: a weighted mean is a ratio of two.
        resampled = bootstrap_means(weights * values, draws, seed, name)
        resampled /= bootstrap_means(weights, draws, seed, name)
        for run in runs:
            if run.domain == benchmarks[name]:
                mine = [column[model] for model in (run.model, *anchors(run.student))]
                found[run][name] = estimate(name, means[mine], resampled[:, mine], len(values))
    for estimates in found.values():
        counted = [one for name, one in estimates.items() if name not in apart]
        estimates[MEAN] = average(counted)
    return found


def table(runs, benchmarks, scores, draws=2000, seed=1, apart=()):
    """Rows of the PGR table: dicts of COLUMNS, in the order in which `runs` name things.

    One row per run and benchmark; benchmark "mean" for the domain. Runs of one (student, prompt,
    size) are compared with one another, so averages over domains, methods and seeds ("mean" in
    that column) are over all that any of them has, and a generator that lacks one of these cells
    gets no such row; a ready-made data set, which has no prompt, is held to what all prompts have.
    Scores and PGR are in percent, None where there is none; `n_items` counts each benchmark item
    once. Arguments and errors are those of `cells`; runs may repeat.
    """
    runs = list(dict.fromkeys(runs))
    found = cells(runs, benchmarks, scores, draws, seed, apart)
    rows = []
    for student, prompt, size in _distinct(runs, "student", "prompt", "size"):
        peers = [run for run in runs if (run.student, run.size) == (student, size)]
        mine = [run for run in peers if run.prompt == prompt]
        compared = peers if prompt == NO_PROMPT else mine
        domains, methods, seeds = (
            [value for (value,) in _distinct(compared, axis)]
            for axis in ("domain", "method", "seed")
        )
        for (generator,), each, method, domain in itertools.product(
            _distinct(mine, "generator"),
            # A mean over one seed would only repeat its rows.
            [*seeds, MEAN] if len(seeds) > 1 else seeds,
            [*methods, MEAN],
            [*domains, MEAN],
        ):
            group = [
                Run(student, d, m, generator, prompt, size, s)
                for d in (domains if domain == MEAN else [domain])
                for m in (methods if method == MEAN else [method])
                for s in (seeds if each == MEAN else [each])
            ]
            if not all(run in found for run in group):
                continue
            for name in [MEAN] if MEAN in (method, domain) else found[group[0]]:
                result = average(found[run][name] for run in group)
                rows.append(
                    _row((generator, method, domain, name, prompt, size, each, student), result)
                )
    return rows


def _distinct(things, *names):
    """Tuples of these attributes, each once, in order of first appearance."""
    return list(dict.fromkeys(tuple(getattr(thing, name) for name in names) for thing in things))


def _row(place, result):
    low, high = result.interval() or (None, None)
    recovered = None if math.isnan(result.pgr) else result.pgr
    scores = (result.student, result.base, result.reference, sum(result.items.values()))
    return dict(zip(COLUMNS, (*place, *scores, recovered, low, high, result.flag()), strict=True))


SPREAD = (*COLUMNS[:6], "student", "seeds", "pgr_mean", "pgr_sd", "pgr_lowest", "pgr_highest")


def spread(rows):
    """How far the PGRs of a table's rows lie apart between seeds: dicts of SPREAD.

    One row for each place in the table but for its seed: how many `seeds` there are, and of their
    PGRs, in percent, the mean, the standard deviation of the sample (n - 1; None for one seed), the
    lowest and the highest; None where there is no PGR.
    """
    found = {}
    for row in rows:
        if row["seed"] != MEAN:
            found.setdefault(tuple(row[name] for name in SPREAD[:7]), []).append(row["pgr"])
    told = []
    for place, pgrs in found.items():
        numbers = (None,) * 4
        if None not in pgrs:
            deviation = statistics.stdev(pgrs) if len(pgrs) > 1 else None
            numbers = (statistics.fmean(pgrs), deviation, min(pgrs), max(pgrs))
        told.append(dict(zip(SPREAD, (*place, len(pgrs), *numbers), strict=True)))
    return told


NUMBERS = ("student_score", "base_score", "reference_score", "pgr", "pgr_low", "pgr_high")


def to_csv(rows, columns=COLUMNS):
    """A table as CSV text: four decimals, nothing for None."""
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _decimals(value) for name, value in row.items()})
    return file.getvalue()


def _decimals(value):
    if not isinstance(value, float):
        return value  # the writer leaves nothing for None
    if not math.isfinite(value):
        raise ValueError(f"not a number for the table: {value}")
    text = f"{value:.4f}"
    return "0.0000" if text == "-0.0000" else text


def from_csv(text, source="the PGR table"):
    """Rows of `to_csv`'s text. Raises UserError, naming `source`, where it is not such a table."""
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
    if missing:
        raise UserError(f"{source} lacks the column {missing[0]!r}: it is not a PGR table")
    rows = []
    for row in reader:
        try:
            numbers = {name: float(row[name]) if row[name] else None for name in NUMBERS}
            row = row | numbers | {name: int(row[name]) for name in ("size", "n_items")}
            row["seed"] = MEAN if row["seed"] == MEAN else int(row["seed"])
        except (TypeError, ValueError) as error:
            raise UserError(f"{source}, line {reader.line_num}: {error}") from None
        if not all(math.isfinite(number) for number in numbers.values() if number is not None):
            raise UserError(f"{source}, line {reader.line_num}: a number is not finite")
        rows.append(row)
    if not rows:
        raise UserError(f"{source} has no rows")
    return rows


@dataclass(frozen=True)
class View:
    """What a reader compares: generators under one student, prompt and size.

    `cells`: (generator, method, domain, seed) -> the row of benchmark "mean", where there is one;
    method, domain and seed may be "mean". Lists are in the table's order, without "mean".
    """

    student: str
    prompt: str
    size: int
    generators: list[str]
    methods: list[str]
    domains: list[str]
    seeds: list[int]
    cells: dict[tuple, dict]


def views(rows):
    """The table's rows as Views, in the table's order.

    A ready-made data set has no prompt: it stands in every view of its student and size, and only
    where it is alone in a view of its own. Its averages stand where they are over the view's cells.
    """
    rows = [row for row in rows if row["benchmark"] == MEAN]
    found = []
    for student, prompt, size in dict.fromkeys(
        (r["student"], r["prompt"], r["size"]) for r in rows
    ):
        peers = [row for row in rows if (row["student"], row["size"]) == (student, size)]
        if prompt == NO_PROMPT and any(row["prompt"] != NO_PROMPT for row in peers):
            continue
        mine = [row for row in peers if row["prompt"] == prompt]
        axes = {axis: _values(mine, axis) for axis in ("method", "domain", "seed")}
        # What an average is over, for each axis: the same for the data sets as for this prompt?
        same = {axis: set(axes[axis]) == set(_values(peers, axis)) for axis in axes}
        cells = {}
        for row in peers:
            stands = all(
                same[axis] if row[axis] == MEAN else row[axis] in axes[axis] for axis in axes
            )
            if row["prompt"] == prompt or (row["prompt"] == NO_PROMPT and stands):
                cells[tuple(row[axis] for axis in ("generator", "method", "domain", "seed"))] = row
        generators = list(dict.fromkeys(key[0] for key in cells))
        found.append(View(student, prompt, size, generators, *axes.values(), cells))
    return found


def _values(rows, axis):
    return list(dict.fromkeys(row[axis] for row in rows if row[axis] != MEAN))
