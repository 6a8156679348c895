"""The user's results, brought together for the analyses: PGR, intrinsic metrics, ability, cost.

A `Block` is what can be compared: the cells of one student, prompt and size. Every number that an
analysis has no value for comes with a reason in words; nothing is silently left out.

A mixture is no further generator: its pairs are those of its parts. So all that is fitted or
resampled is of the other generators, and the PGR of a mixture is predicted from them.
"""

import csv
import io
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas

from agorabench.analysis.abilities import mean_abilities, read_abilities
from agorabench.analysis.comparisons import read_rows
from agorabench.analysis.pgr_table import View, list_views, read_table
from agorabench.errors import UserError
from agorabench.matrix import NO_PROMPT
from agorabench.report.readable import read_text
from agorabench.stats.pgr import MEAN
from agorabench.stats.regression import FEWEST, NoValue

ABILITY = "problem-solving"
PLACE = ("student", "prompt", "size", "seed")
SET = ("generator", "method", "domain")
INTRINSIC = (*SET, "prompt", "size", "seed", "metric", "value")
COSTS = ("domain", "method", "generator", "prompt", "size", "seed", "usd", "usd_per_pair")
UNSOUND = "no sound PGR"


@dataclass(frozen=True, eq=False)
class Study:
    """All results that the analyses are of; equal to itself only, so what is fitted to it is kept.

    Attributes:
        table: rows of the PGR table.
        costs: of the sets.
        intrinsic, abilities: rows of their tables.
        params: what else decides the analyses (config/result_stages.py).
        gain: points of PGR that twice as many pairs must add to pay.
        comparisons, ranks: rows of their tables (comparisons.py).
    """

    table: list[dict]
    costs: "Costs"
    intrinsic: list[dict]
    abilities: list[dict]
    params: dict
    gain: float = 1.0
    comparisons: list[dict] = ()
    ranks: list[dict] = ()

    def title(self, method: str) -> str:
        """A method's name in full."""
        return self.params.get("titles", {}).get(method, method)

    @property
    def mixtures(self):
        """Names of the generators that are mixtures of others."""
        return self.params["mixtures"]

    @property
    def draws(self):
        """Draws of the bootstrap, and the seed that they are from."""
        return self.params["bootstrap"], self.params["seed"]

    @cached_property
    def domain_means(self):
        """(generator, domain) -> mean score in percent on the benchmarks that are in the mean."""
        counted = (row for row in self.abilities if row["benchmark"] not in self.params["apart"])
        return mean_abilities(counted)

    @cached_property
    def blocks(self):
        """A Block of every view of the PGR table."""
        return build_blocks(
            list_views(self.table), self.intrinsic, self.domain_means, self.mixtures
        )

    @property
    def fittable(self):
        """The blocks that have enough cells to fit anything to them."""
        return [block for block in self.blocks if len(block.unmixed) >= FEWEST]

    @cached_property
    def largest(self):
        """The first of the blocks with most cells, which figures show."""
        return max(self.blocks, key=lambda block: len(block.unmixed))


def read_study(inputs: dict, params: dict, gain: float = 1.0) -> Study:
    """The Study of input files and parameters (config/result_stages.py). Raises UserError."""
    table, costs = read_table(*inputs["table"]), read_costs(*inputs["cost"])
    intrinsic = [row for path in inputs["intrinsic"] for row in read_intrinsic(path)]
    compared = map(read_rows, inputs["comparisons"])
    return Study(table, costs, intrinsic, read_abilities(params), params, gain, *compared)


def read_intrinsic(path):
    """Rows of a table of intrinsic metrics."""
    return read_csv(path, INTRINSIC, ["value"])


def read_csv(path, columns, numbers):
    """Rows of a CSV file as dictionaries; `numbers` become floats, None where nothing stands, size
    and seed whole numbers.

    Raises UserError, naming the file, where it cannot be read or lacks one of `columns`.
    """
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    try:
        rows = list(reader)
    except csv.Error:
        raise UserError(f"{path} is no CSV in UTF-8") from None
    if missing := [column for column in columns if column not in (reader.fieldnames or [])]:
        raise UserError(f"{path} lacks the column {missing[0]!r}; it needs {', '.join(columns)}")
    for line, row in enumerate(rows, 2):
        for name in numbers:
            row[name] = _read_number(row[name], name, f"{path}, line {line}")
        for name in ("size", "seed"):
            if not str(row[name]).isdecimal():
                raise UserError(f"{path}, line {line}: {name} is no whole number: {row[name]!r}")
            row[name] = int(row[name])
    return rows


def _read_number(text, name, where):
    try:
        value = float(text) if text else None
    except ValueError:
        raise UserError(f"{where}: {name} is no number: {text!r}") from None
    if value is not None and not math.isfinite(value):
        raise UserError(f"{where}: {name} is not finite")
    return value


def read_costs(path):
    """Costs of tables/cost.csv."""
    return Costs(read_csv(path, COSTS, ["usd", "usd_per_pair"]))


class Costs:
    """What sets took, from the rows of tables/cost.csv."""

    def __init__(self, rows):
        self.sets = defaultdict(list)
        for row in rows:
            self.sets[tuple(row[name] for name in (*SET, "prompt", "size"))].append(row)

    def sum_usd(self, generator, prompt, size, settings, column="usd"):
        """USD of the generator's sets in these (method, domain) settings: the sum of the means over
        seeds; None where a set has no cost. `column` "usd_per_pair" is that of one pair in each.
        """
        means = []
        for method, domain in settings:
            rows = self.sets.get((generator, method, domain, prompt, size), [])
            known = [row[column] for row in rows if row[column] is not None]
            if not known:
                return None
            means.append(math.fsum(known) / len(known))
        return math.fsum(means)


@dataclass(eq=False)
class Block:
    """The cells of one view, at one seed or at the mean of all.

    Attributes:
        cells: a row for each of generator, method and domain: pgr, low, high in percent, NaN where
            there is none or it lies over a gap within noise, and a column for each metric.
        generators: a row for each generator: the same, of its average, with problem-solving as its
            only metric.
        metrics: names of the metrics.
        new: like `cells`, sets that have metrics but no PGR.
        mixtures: names of its generators that are mixtures of others.
        elsewhere: number of cells that have other seeds only.
        unmixed: the cells without those of mixtures.
    """

    view: View
    seed: int | str
    cells: pandas.DataFrame
    generators: pandas.DataFrame
    metrics: list[str]
    new: pandas.DataFrame
    mixtures: list[str]
    elsewhere: int
    unmixed: pandas.DataFrame = field(init=False)

    def __post_init__(self):
        self.unmixed = without_generators(self.mixtures, self.cells)

    @property
    def place(self):
        """Its coordinates as columns of a table."""
        return {name: getattr(self.view, name) for name in PLACE[:3]} | {"seed": self.seed}

    @property
    def title(self):
        """In words, what is compared."""
        return self.view.title(self.seed)

    @property
    def settings(self):
        """[(method, domain)] of the view."""
        return [(method, domain) for method in self.view.methods for domain in self.view.domains]

    @property
    def intrinsic(self):
        """Names of the metrics of the sets themselves."""
        return [name for name in self.metrics if name != ABILITY]

    @property
    def unmixed_names(self):
        """Names of its generators that are no mixtures."""
        return [name for name in self.view.generators if name not in self.mixtures]

    def fill(self, table, **values):
        """A copy of a Table that is of this block."""
        view = self.view
        name = f"{table.name}-{view.student}-{view.prompt}-n{view.size}-seed{self.seed}"
        return replace(table, name=name, title=f"{table.title}: {self.title}", **values)


def build_blocks(views, intrinsic=(), domain_means=None, mixtures=()):
    """A Block of every view.

    Args:
        views: of the PGR table, see pgr_table.list_views.
        intrinsic: rows with the columns INTRINSIC.
        domain_means: see abilities.mean_abilities.
        mixtures: names of the generators that are mixtures of others.
    """
    measured = defaultdict(dict)  # (generator, method, domain, prompt, size, seed) -> metric: value
    for row in intrinsic:
        key = tuple(row[name] for name in INTRINSIC[:6])
        measured[key][row["metric"]] = row["value"]
    names = list(dict.fromkeys(row["metric"] for row in intrinsic))
    solved = domain_means or {}
    metrics = [*names, *([ABILITY] if solved else [])]
    return [
        _build_block(view, measured, solved, metrics, [n for n in view.generators if n in mixtures])
        for view in views
    ]


def _build_block(view, measured, solved, metrics, mixtures):
    seed = _common_seed(view, mixtures)
    over = view.seeds if seed == MEAN else [seed]

    def metrics_of(place):
        return average_metrics(place, over, measured, solved, metrics)

    known, cells, generators = set(), [], []
    for (generator, method, domain, each), row in view.cells.items():
        place = generator, method, domain, row["prompt"], view.size
        known.add(place)
        if each == seed and MEAN not in (method, domain):
            columns = dict(zip(SET, place[:3], strict=True))
            cells.append(columns | sound_numbers(row) | metrics_of(place))
        elif each == seed and (method, domain) == (MEAN, MEAN):
            scores = [solved.get((generator, name), math.nan) for name in view.domains]
            ability = {ABILITY: float(np.mean(scores))}
            generators.append({"generator": generator} | sound_numbers(row) | ability)
    new = [
        dict(zip(SET, place[:3], strict=True)) | metrics_of(place)
        for place in dict.fromkeys(key[:5] for key in measured)
        if place not in known
        and place[4] == view.size
        and place[3] in (view.prompt, NO_PROMPT)
        and place[1] in view.methods
        and place[2] in view.domains
    ]
    numbers, ability = ["pgr", "low", "high"], [ABILITY] if solved else []
    elsewhere = len({key[:3] for key in view.cells if MEAN not in key[1:3]}) - len(cells)
    cells = pandas.DataFrame(cells, columns=[*SET, *numbers, *metrics])
    generators = pandas.DataFrame(generators, columns=["generator", *numbers, *ability])
    new = pandas.DataFrame(new, columns=[*SET, *metrics])
    return Block(view, seed, cells, generators, metrics, new, mixtures, elsewhere)


def _common_seed(view, mixtures):
    """The seed, or mean over seeds, that most sets have: a few with more seeds leave none out. No
    mixture has a say in what the others are compared at."""
    single = [key for key in view.cells if MEAN not in key[1:3]]
    counts = Counter(key[3] for key in single if key[0] not in mixtures)
    counts = counts or Counter(key[3] for key in single)
    return max(counts, key=lambda seed: (counts[seed], seed == MEAN))


def average_metrics(place, seeds, measured, solved, metrics):
    """Metric -> value of a set, the mean over seeds; NaN where one of them has none."""
    means = {}
    for name in metrics:
        if name == ABILITY:
            means[name] = solved.get((place[0], place[2]), math.nan)
            continue
        values = [measured.get((*place, seed), {}).get(name) for seed in seeds]
        means[name] = math.nan if None in values else math.fsum(values) / len(values)
    return means


def has_sound_pgr(row: dict) -> bool:
    """Has a row of the PGR table a PGR that is not over a gap within noise?"""
    return row["pgr"] is not None and not row["flag"]


def sound_numbers(row):
    """pgr, low and high of a row of the PGR table; NaN where it has no sound PGR."""
    keys = ("pgr", "pgr_low", "pgr_high") if has_sound_pgr(row) else ()
    numbers = {key.removeprefix("pgr_"): row[key] for key in keys if row[key] is not None}
    return dict.fromkeys(("pgr", "low", "high"), math.nan) | numbers


def without_generators(generators, table):
    """Rows of a table but for those of these generators."""
    return table[~table["generator"].isin(generators)]


def usable_metrics(cells, metrics):
    """Those of the metrics that have a value in any of the cells."""
    return [name for name in metrics if cells[name].notna().any()]


def value_or_none(value):
    """None for NaN: what a table leaves empty."""
    return None if value is None or math.isnan(value) else value


def value_or_reason(function, *arguments, **options):
    """What the function gives, or the reason, as text, why it has no value."""
    try:
        return function(*arguments, **options)
    except NoValue as error:
        return str(error)


# ---- Notes of tables


def left_out_notes(block: Block) -> list[str]:
    """Sentences on cells that are not in the analyses."""
    notes, unsound = [], int(block.unmixed["pgr"].isna().sum())
    if unsound:
        notes.append(
            f"{unsound} of {len(block.unmixed)} cells are left out: they have no PGR, or one over "
            "a gap within its own noise."
        )
    if block.elsewhere:
        one = block.elsewhere == 1
        cells = "cell is left out: it has" if one else "cells are left out: they have"
        notes.append(f"{block.elsewhere} {cells} other seeds.")
    return notes


def mixture_notes(mixtures, what=""):
    """A sentence on mixtures, in a list; an empty one without any."""
    if not mixtures:
        return []
    names = ", ".join(mixtures)
    return [f"Mixtures are left out{what}, as their pairs are of other sets: {names}."]


def reason_notes(reasons):
    """A sentence for each reason, after all that have it. `reasons`: (name, reason)."""
    names = {}
    for name, reason in reasons:
        names.setdefault(reason, []).append(name)
    return [f"{', '.join(those)}: {reason}." for reason, those in names.items()]
