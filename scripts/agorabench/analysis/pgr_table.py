"""The PGR table: a row for each run and benchmark, and rows called "mean" for averages.

Its numbers and intervals are as stats/pgr.py says.
"""

import csv
import io
import itertools
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from agorabench import matrix
from agorabench.analysis.scores import read_scores
from agorabench.errors import UserError
from agorabench.matrix import NO_PROMPT, Run
from agorabench.paths import parse_model
from agorabench.report import table
from agorabench.report.readable import read_text
from agorabench.stats.bootstrap import percentile_interval
from agorabench.stats.pgr import MEAN, average_estimates, estimate_cells, needed_models

COORDINATES = ("generator", "method", "domain", "benchmark", "prompt", "size", "seed", "student")
COLUMNS = (
    *COORDINATES,
    *("student_score", "base_score", "reference_score", "n_items"),
    *("pgr", "pgr_low", "pgr_high", "flag"),
)
GAINS = ("gain", "gain_low", "gain_high")  # points above the base, where there is no reference
PLACE = ("student", "prompt", "generator", "method", "domain")
MISSING = "missing"  # flag of a row that stands for a student without scores
NUMBERS = ("student_score", "base_score", "reference_score", "pgr", "pgr_low", "pgr_high")


def read_all_scores(params):
    """(Runs, benchmark -> {model: Scores}) for the parameters of a PGR table.

    A reference that is another model of ours has its scores under the reference's name.
    """
    runs, scores = matrix.expand_runs(params["matrix"]), {}
    for benchmark, models in needed_models(runs, params["benchmarks"]).items():
        domain = params["benchmarks"][benchmark]
        found = {model: scored_model(model, domain, params) for model in models}
        scores[benchmark] = {
            model: read_scores(other, benchmark) for model, other in found.items() if other
        }
    return runs, scores


def scored_model(model, domain, params):
    """The model whose scores stand for `model` in a domain; None for a reference that is none."""
    student, _, anchor = model.rpartition("/")
    if anchor != matrix.ANCHORS[1]:
        return model
    if student in params.get("references", ()):
        return params["references"][student][domain]
    further = params.get("reference")
    return f"{student}/{matrix.reference_anchor(further)}" if further else model


def build_table(runs, benchmarks, scores, draws=2000, seed=1, apart=()):
    """Rows of the PGR table: dicts of COLUMNS, in the order in which `runs` name things.

    One row per run and benchmark; benchmark "mean" for the domain. Runs of one (student, prompt,
    size) are compared with one another, so averages over domains, methods and seeds ("mean" in
    that column) are over all that any of them has, and a generator that lacks one of these cells
    gets no such row; a ready-made data set, which has no prompt, is held to what all prompts have.
    Scores and PGR are in percent, None where there is none; `n_items` counts each benchmark item
    once. Arguments and errors are those of `estimate_cells`; runs may repeat.
    """
    return table_rows(estimate_table(runs, benchmarks, scores, draws, seed, apart))


def estimate_table(runs, benchmarks, scores, draws=2000, seed=1, apart=()):
    """{the coordinates of a row (COORDINATES): its Estimate}, as `build_table` says."""
    runs = list(dict.fromkeys(runs))
    estimates = estimate_cells(runs, benchmarks, scores, draws, seed, apart)
    rows = {}
    for student, prompt, size in _distinct(runs, "student", "prompt", "size"):
        peers = [run for run in runs if (run.student, run.size) == (student, size)]
        own = [run for run in peers if run.prompt == prompt]
        compared = peers if prompt == NO_PROMPT else own
        domains, methods, seeds = (
            [value for (value,) in _distinct(compared, axis)]
            for axis in ("domain", "method", "seed")
        )
        for (generator,), each, method, domain in itertools.product(
            _distinct(own, "generator"),
            # A mean over one seed would only repeat its rows.
            [*seeds, MEAN] if len(seeds) > 1 else seeds,
            [*methods, MEAN],
            [*domains, MEAN],
        ):
            group = [
                Run(d, m, generator, prompt, size, s, student)
                for d in (domains if domain == MEAN else [domain])
                for m in (methods if method == MEAN else [method])
                for s in (seeds if each == MEAN else [each])
            ]
            if not all(run in estimates for run in group):
                continue
            for name in [MEAN] if MEAN in (method, domain) else estimates[group[0]]:
                coordinates = (generator, method, domain, name, prompt, size, each, student)
                rows[coordinates] = average_estimates(estimates[run][name] for run in group)
    return rows


def _distinct(things, *names):
    """Tuples of these attributes, each once, in order of first appearance."""
    return list(dict.fromkeys(tuple(getattr(thing, name) for name in names) for thing in things))


def table_rows(estimates):
    """Rows of the PGR table, of `estimate_table`'s estimates."""
    return [_table_row(*entry) for entry in estimates.items()]


def _table_row(coordinates, result):
    low, high = result.interval() or (None, None)
    recovered, reference = (
        None if math.isnan(number) else number for number in (result.pgr, result.reference)
    )
    scores = (result.student, result.base, reference, sum(result.items.values()))
    values = (*coordinates, *scores, recovered, low, high, result.flag())
    row = dict(zip(COLUMNS, values, strict=True))
    if reference is None:
        gain = result.student - result.base, *percentile_interval(result.gain_draws)
        row |= dict(zip(GAINS, gain, strict=True))
    return row


# ---- As a file


def missing_rows(params):
    """Rows that name the students that a table goes without (matrix `missing`), without numbers."""
    runs = [parse_model(name) for name in params["matrix"].get("missing", ())]
    places = [(run.student, run.cell) for run in runs if run.cell]
    empty = dict.fromkeys(COLUMNS) | {"benchmark": MEAN, "n_items": 0, "flag": MISSING}
    return [empty | vars(cell) | {"student": student} for student, cell in places]


def to_csv(rows, columns=COLUMNS):
    """A table as CSV text: four decimals, nothing for None; with gains where a row has them."""
    if columns == COLUMNS and any(GAINS[0] in row for row in rows):
        columns += GAINS
        rows = [dict.fromkeys(GAINS) | row for row in rows]
    return table.to_csv(rows, columns, lambda number: table.format_number(number, 4))


def from_csv(text, source="the PGR table"):
    """Rows of `to_csv`'s text. Raises UserError, naming `source`, where it is not such a table."""
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
    if missing:
        raise UserError(f"{source} lacks the column {missing[0]!r}: it is not a PGR table")
    rows = []
    for row in reader:
        if row["flag"] == MISSING:
            continue
        try:
            names = [*NUMBERS, *(name for name in GAINS if name in row)]
            numbers = {name: float(row[name]) if row[name] else None for name in names}
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


def read_table(path: str | Path) -> list[dict]:
    """Rows of the PGR table in a file. Raises UserError where there is none."""
    if not Path(path).exists():
        raise UserError(f"no PGR table {path}: snakemake {path} makes it")
    return from_csv(read_text(path), path)


# ---- What is compared


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

    def title(self, seed):
        """In words, what is compared, at a seed or at the mean of all ("mean")."""
        seeds = f"mean of seeds {join_words(self.seeds)}" if seed == MEAN else f"seed {seed}"
        pairs = f"{self.size:,} pairs per cell"
        return f"student {self.student}, prompt {self.prompt}, {pairs}, {seeds}"


def list_views(rows: list[dict]) -> list[View]:
    """The table's rows as Views, in the table's order.

    A ready-made data set has no prompt: it stands in every view of its student and size, and only
    where it is alone in a view of its own. Its averages stand where they are over the view's cells.
    """
    rows = [row for row in rows if row["benchmark"] == MEAN]
    views, compared = [], ((row["student"], row["prompt"], row["size"]) for row in rows)
    for student, prompt, size in dict.fromkeys(compared):
        peers = [row for row in rows if (row["student"], row["size"]) == (student, size)]
        if prompt == NO_PROMPT and any(row["prompt"] != NO_PROMPT for row in peers):
            continue
        own = [row for row in peers if row["prompt"] == prompt]
        axes = {axis: axis_values(own, axis) for axis in ("method", "domain", "seed")}
        # What an average is over, for each axis: the same for the data sets as for this prompt?
        same = {axis: set(axes[axis]) == set(axis_values(peers, axis)) for axis in axes}
        cells = {}
        for row in peers:
            stands = all(
                same[axis] if row[axis] == MEAN else row[axis] in axes[axis] for axis in axes
            )
            if row["prompt"] == prompt or (row["prompt"] == NO_PROMPT and stands):
                cells[tuple(row[axis] for axis in ("generator", "method", "domain", "seed"))] = row
        generators = list(dict.fromkeys(key[0] for key in cells))
        views.append(View(student, prompt, size, generators, *axes.values(), cells))
    return views


def join_words(words):
    """Words with commas and an "and"."""
    *most, last = map(str, words)
    return f"{', '.join(most)} and {last}" if most else last


def axis_values(rows, axis):
    """Values of a column in the table's order, without "mean"."""
    return list(dict.fromkeys(row[axis] for row in rows if row[axis] != MEAN))


def average_seeds(table: list[dict]) -> dict[tuple, dict]:
    """{(student, prompt, generator, method, domain, size): row} of the PGR table, its rows for
    domains and averages; each row has "over" besides, the (method, domain) that it is over.

    A place has one row: the mean over all seeds, or, of a generator that has only some of them, the
    mean of what it has (`mean_of_seeds`). An average over one method or one domain, which would
    only repeat it, is left out.
    """
    table = [row for row in table if row["benchmark"] == MEAN]
    axes = {axis: defaultdict(dict) for axis in ("method", "domain")}
    for row in table:
        for axis, values in axes.items():
            if row[axis] != MEAN:
                values[row["student"], row["prompt"], row["size"]][row[axis]] = None
    groups = defaultdict(list)
    for row in table:
        place = row["student"], row["prompt"], row["size"]
        over = {axis: [row[axis]] for axis in axes}
        over |= {axis: list(axes[axis][place]) for axis in axes if row[axis] == MEAN}
        if not any(row[axis] == MEAN and len(over[axis]) == 1 for axis in axes):
            key = (*(row[name] for name in PLACE), row["size"])
            groups[key].append(row | {"over": tuple(itertools.product(*over.values()))})
    return {key: mean_of_seeds(alike) for key, alike in groups.items()}


def mean_of_seeds(alike):
    """One row for those of several seeds: their row "mean", or, where they have none, the mean of
    all their numbers.

    Then the interval is from the mean of the lower ends to that of the upper ones. The draws behind
    them are not in the table; students that share items, base and reference have draws that rise
    and fall together, and if they did so wholly this would be the interval of the mean: so it is
    rather too wide. A number that one of the rows lacks is lacking in the mean, as in stats.pgr.
    """
    for row in alike:
        if row["seed"] == MEAN or len(alike) == 1:
            return row
    mean = alike[0] | {"seed": MEAN, "flag": next((r["flag"] for r in alike if r["flag"]), "")}
    for name in NUMBERS:
        values = [row[name] for row in alike]
        mean[name] = None if None in values else math.fsum(values) / len(values)
    return mean
