"""The user's results, brought together for the analyses: PGR, intrinsic metrics, ability, cost.

A `Block` is what can be compared: the cells of one student, prompt and size. Every number that an
analysis has no value for comes with a reason in words; nothing is silently left out.

A mixture is no further generator: its pairs are those of its parts. So all that is fitted or
resampled is of the other generators, and the PGR of a mixture is predicted from them.
"""

import csv
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas

from agorabench.errors import UserError
from agorabench.stats import regression
from agorabench.stats.pgr import MEAN, NO_PROMPT, View
from agorabench.stats.regression import NoValue

ABILITY = "problem-solving"
PLACE = ("student", "prompt", "size", "seed")
SET = ("generator", "method", "domain")
INTRINSIC = (*SET, "prompt", "size", "seed", "metric", "value")
COSTS = ("domain", "method", "generator", "prompt", "size", "seed", "usd", "usd_per_pair")
ABILITIES = ("generator", "domain", "benchmark", "score", "standard_error", "n")
CORRELATIONS = (*PLACE, "metric", "n", "generators", "r", "r_low", "r_high", "p", "rho", "reason")
COMPONENTS = (
    *(*PLACE, "component", "variance", "metric", "loading", "contribution", "n", "reason"),
)
REGRESSIONS = (
    *(*PLACE, "analysis", "unit", "n", "generators", "components", "r2", "r2_low", "r2_high", "p"),
    *("r2_held_out", "rmse_held_out", "rmse_others", "intercept", "slope", "slope_low"),
    *("slope_high", "reason"),
)
PREDICTIONS = (
    *(*PLACE, *SET, "n", "pgr", "predicted", "error", "others", "rmse", "basis", "reason"),
)
ALONE = "no other generator to compare with"
UNSOUND = "no sound PGR"


@dataclass
class Block:
    """The cells of one view, at one seed or at the mean of all.

    `cells`: a row for each of generator, method and domain: pgr, low, high in percent, NaN where
    there is none or it lies over a gap within noise, and a column for each metric; `generators`: a
    row for each generator: the same, of its average, with problem-solving as its only metric;
    `metrics`: names of the metrics; `new`: like `cells`, sets that have metrics but no PGR;
    `mixtures`: names of its generators that are mixtures of others; `elsewhere`: number of cells
    that have other seeds only; `unmixed`: the cells without those of mixtures.
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
        self.unmixed = without(self.mixtures, self.cells)

    @property
    def place(self):
        """Its coordinates as columns of a table."""
        view = self.view
        return dict(zip(PLACE, (view.student, view.prompt, view.size, self.seed), strict=True))

    @property
    def title(self):
        seeds = (
            f"seed {self.seed}" if self.seed != MEAN else f"mean of {len(self.view.seeds)} seeds"
        )
        view = self.view
        return (
            f"student {view.student}, prompt {view.prompt}, {view.size:,} pairs per cell, {seeds}"
        )

    @property
    def intrinsic(self):
        """Names of the metrics of the sets themselves."""
        return [name for name in self.metrics if name != ABILITY]


def read_csv(path, columns, numbers):
    """Rows of a CSV file as dictionaries; `numbers` become floats, None where nothing stands, size
    and seed whole numbers.

    Raises UserError, naming the file, where it cannot be read or lacks one of `columns`.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error):
        raise UserError(f"{path} is no CSV in UTF-8") from None
    for column in columns:
        if column not in (reader.fieldnames or []):
            raise UserError(f"{path} lacks the column {column!r}; it needs {', '.join(columns)}")
    for line, row in enumerate(rows, 2):
        for name in numbers:
            try:
                row[name] = float(row[name]) if row[name] else None
            except ValueError:
                raise UserError(
                    f"{path}, line {line}: {name} is no number: {row[name]!r}"
                ) from None
            if row[name] is not None and not math.isfinite(row[name]):
                raise UserError(f"{path}, line {line}: {name} is not finite")
        for name in ("size", "seed"):
            if not str(row[name]).isdecimal():
                raise UserError(f"{path}, line {line}: {name} is no whole number: {row[name]!r}")
            row[name] = int(row[name])
    return rows


def blocks(views, intrinsic=(), abilities=(), mixtures=()):
    """A Block of every view.

    Args:
        views: of the PGR table, see pgr.views.
        intrinsic, abilities: rows with the columns INTRINSIC and ABILITIES.
        mixtures: names of the generators that are mixtures of others.
    """
    measured = defaultdict(dict)  # (generator, method, domain, prompt, size, seed) -> metric: value
    for row in intrinsic:
        key = tuple(row[name] for name in INTRINSIC[:6])
        measured[key][row["metric"]] = row["value"]
    names = list(dict.fromkeys(row["metric"] for row in intrinsic))
    solved = means(abilities)
    metrics = [*names, *([ABILITY] if solved else [])]
    return [
        _block(view, measured, solved, metrics, [n for n in view.generators if n in mixtures])
        for view in views
    ]


def without(generators, table):
    """Rows of a table but for those of these generators."""
    return table[~table["generator"].isin(generators)]


def sound(row):
    """Has a row of the PGR table a PGR that is not over a gap within noise?"""
    return row["pgr"] is not None and not row["flag"]


def number(value):
    """None for NaN: what a table leaves empty."""
    return None if value is None or math.isnan(value) else value


def means(abilities):
    """(generator, domain) -> mean score in percent over the domain's benchmarks."""
    scores = defaultdict(list)
    for row in abilities:
        scores[row["generator"], row["domain"]].append(row["score"])
    return {key: math.fsum(values) / len(values) for key, values in scores.items()}


def _block(view, measured, solved, metrics, mixtures):
    # The seed, or mean over seeds, that most sets have: a few with more seeds leave none out. No
    # mixture has a say in what the others are compared at.
    single = [key for key in view.cells if MEAN not in key[1:3]]
    counts = Counter(key[3] for key in single if key[0] not in mixtures)
    counts = counts or Counter(key[3] for key in single)
    seed = max(counts, key=lambda one: (counts[one], one == MEAN))
    over = view.seeds if seed == MEAN else [seed]
    places = {key[:3] for key in single}
    known = {
        (generator, method, domain, row["prompt"], view.size)
        for (generator, method, domain, _), row in view.cells.items()
    }
    cells, generators = [], []
    for (generator, method, domain, each), row in view.cells.items():
        if each != seed:
            continue
        numbers = {
            name: row[key] if sound(row) and row[key] is not None else math.nan
            for name, key in (("pgr", "pgr"), ("low", "pgr_low"), ("high", "pgr_high"))
        }
        if MEAN not in (method, domain):
            place = generator, method, domain, row["prompt"], view.size
            found = metrics_of(place, over, measured, solved, metrics)
            cells.append(dict(zip(SET, place[:3], strict=True)) | numbers | found)
        elif (method, domain) == (MEAN, MEAN):
            each = [solved.get((generator, one), math.nan) for one in view.domains]
            generators.append({"generator": generator, **numbers, ABILITY: float(np.mean(each))})
    new = [
        dict(zip(SET, place[:3], strict=True)) | metrics_of(place, over, measured, solved, metrics)
        for place in dict.fromkeys(key[:5] for key in measured)
        if place not in known
        and place[4] == view.size
        and place[3] in (view.prompt, NO_PROMPT)
        and place[1] in view.methods
        and place[2] in view.domains
    ]
    numbers = ["pgr", "low", "high"]
    columns = [*SET, *numbers, *metrics]
    ability = [ABILITY] if solved else []
    return Block(
        view,
        seed,
        pandas.DataFrame(cells, columns=columns),
        pandas.DataFrame(generators, columns=["generator", *numbers, *ability]),
        metrics,
        pandas.DataFrame(new, columns=[*SET, *metrics]),
        mixtures,
        len(places) - len(cells),
    )


def metrics_of(place, seeds, measured, solved, metrics):
    """Metric -> value of a set, the mean over seeds; NaN where one of them has none."""
    found = {}
    for name in metrics:
        if name == ABILITY:
            found[name] = solved.get((place[0], place[2]), math.nan)
            continue
        values = [measured.get((*place, seed), {}).get(name) for seed in seeds]
        found[name] = math.nan if None in values else math.fsum(values) / len(values)
    return found


def correlations(block, draws, seed):
    """{metric: regression.Correlation or the reason why there is none}."""
    cells = block.unmixed
    y, groups = cells["pgr"].to_numpy(), cells["generator"].to_numpy()
    return {
        name: attempt(regression.correlate, cells[name].to_numpy(), y, groups, draws, seed)
        for name in block.metrics
    }


def attempt(function, *arguments, **options):
    """What the function gives, or the reason, as text, why it has no value."""
    try:
        return function(*arguments, **options)
    except NoValue as error:
        return str(error)


def components(block):
    """regression.Components of all metrics, or the reason why there are none."""
    if len(block.metrics) < 2:
        return "there are no intrinsic metrics"
    return attempt(regression.decompose, block.unmixed[block.metrics])


@dataclass(frozen=True)
class Fit:
    """One regression of a block. `analysis`: ability, components or intrinsic; `unit`: of its rows;
    `result`: regression.Regression, or the reason why there is none; `rows`: the rows it is of.
    """

    analysis: str
    unit: str
    components: int | None
    result: regression.Regression | str
    rows: pandas.DataFrame

    def with_predictions(self):
        """Its rows with two more columns, percent: what is `predicted` of the PGR of generators
        that were left out, and the mean of the `others`; NaN where there is none.
        """
        held_out = math.nan if self.result.held_out is None else self.result.held_out
        alone = math.nan if self.unit == "generators" else others(self.rows, self.rows)
        return self.rows.assign(predicted=held_out, others=alone)

    def errors(self):
        """(Error of what is predicted of generators that were left out, that of the others' mean,
        which rows they are over, if not all): root mean squares, points of PGR; None without one.
        """
        rows, which = self.with_predictions(), ""
        if self.unit == "cells":
            rows, which = comparable(rows)
        held_out, standard = (rmse(rows[name] - rows["pgr"]) for name in ("predicted", "others"))
        return held_out, standard, which


def fits(block, draws, seed):
    """All regressions of a block: on ability by generators and cells, and on components."""

    def on(analysis, table, names, unit, components=None):
        if not names or not set(names) <= set(table):
            what = "the generators' ability is" if names == [ABILITY] else "intrinsic metrics are"
            return Fit(analysis, unit, components, f"{what} not known", table[:0])
        rows = table[table[[*names, "pgr"]].notna().all(axis=1)]
        result = attempt(
            regression.regress, rows[names].to_numpy(), rows["pgr"].to_numpy(),
            rows["generator"].to_numpy(), components, draws, seed,
        )  # fmt: skip
        return Fit(analysis, unit, components, result, rows)

    cells = block.unmixed
    return [
        on("ability", without(block.mixtures, block.generators), [ABILITY], "generators"),
        on("ability", cells, [ABILITY], "cells"),
        on(
            "components",
            cells,
            usable(cells, block.metrics) if block.intrinsic else [],
            "cells",
            regression.COMPONENTS,
        ),
        on("intrinsic", cells, usable(cells, block.intrinsic), "cells", regression.COMPONENTS),
    ]


def r2_intervals(fits):
    """(Interval of R2, number of generators) of the fits that have a result."""
    found = [fit.result for fit in fits if not isinstance(fit.result, str)]
    return [(one.r2_interval, one.generators) for one in found]


def usable(cells, metrics):
    """Those of the metrics that have a value in any of the cells."""
    return [name for name in metrics if cells[name].notna().any()]


def others(sets, rows):
    """[sets]: mean PGR, in `rows`, of other generators than the set's in its method and domain; NaN
    without one.

    What is said of a generator that is not known without any metric: the standard to beat.
    """
    return np.array(
        [
            rows.loc[
                (rows["method"] == one.method)
                & (rows["domain"] == one.domain)
                & (rows["generator"] != one.generator),
                "pgr",
            ].mean()
            for one in sets.itertuples(index=False)
        ]
    )


def comparable(rows):
    """(Those of the rows that have `others`, or all if none has; which they are, if not all)."""
    shared = rows[rows["others"].notna()]
    if shared.empty:
        return rows, ALONE
    if len(shared) == len(rows):
        return rows, ""
    return shared, f"over the {len(shared)} of {len(rows)} cells that another generator has too"


def rmse(errors):
    """Root mean square; None where errors are not known (NaN)."""
    return number(float(np.sqrt(np.mean(np.asarray(errors, dtype=float) ** 2))))


def predictions(block, fit):
    """Rows of the table of predictions, from the fit on intrinsic metrics alone.

    Every cell by a fit to the other generators, and averages of generators (named "mean") over `n`
    cells. Then, by the fit to all of them, mixtures, and sets that have metrics but no PGR.
    """
    place = block.place
    if isinstance(fit.result, str):
        return [place | {"basis": "held out", "reason": fit.result}]
    if fit.result.held_out is None:
        return [place | {"basis": "held out", "reason": fit.result.held_out_reason}]
    error, *_ = fit.errors()
    mixed = block.cells.drop(block.unmixed.index)
    found = _told(fit.with_predictions(), "held out", error)
    found += _unfitted(block, fit, mixed, "mixture")
    found += _unfitted(block, fit, block.new.assign(pgr=math.nan), "new", error)
    return [place | row for row in found]


def _unfitted(block, fit, sets, basis, error=None):
    """Rows of the table for sets that the fit is not of."""
    names = usable(block.unmixed, block.intrinsic)
    known = sets[names].notna().all(axis=1)
    found, told = [], sets[known]
    if len(told):
        x, y = (fit.rows[columns].to_numpy() for columns in (names, "pgr"))
        predicted = regression.predict(x, y, told[names].to_numpy())
        told = told.assign(predicted=predicted, others=others(told, fit.rows))
        found = _told(told, basis, error)
    for row in sets[~known].to_dict("records"):
        place = {name: row[name] for name in SET}
        found.append(place | {"basis": basis, "reason": "a metric is missing"})
    return found


def _told(rows, basis, error):
    """Rows of the table for cells and, where they have a PGR, for the average of a generator."""
    found = []
    for row in rows.to_dict("records"):
        reasons = [UNSOUND] if basis != "new" and math.isnan(row["pgr"]) else []
        reasons += [ALONE] if math.isnan(row["others"]) else []
        found.append(_prediction(row, 1, basis, error, "; ".join(reasons)))
    for name, mine in rows.dropna(subset="pgr").groupby("generator", sort=False):
        compared, which = comparable(mine)
        row = {"generator": name, "method": MEAN, "domain": MEAN}
        row |= compared[["pgr", "predicted", "others"]].mean()
        found.append(_prediction(row, len(compared), basis, None, which))
    return found


def named(row):
    """In words, what a row of the table of predictions is of: a set or a generator."""
    return " ".join(row[name] for name in SET if row[name] != MEAN)


def _prediction(row, n, basis, error, reason):
    pgr = number(row["pgr"])
    return {
        **{name: row[name] for name in SET},
        "n": n,
        "pgr": pgr,
        "predicted": row["predicted"],
        "error": None if pgr is None else row["predicted"] - pgr,
        "others": number(row["others"]),
        "rmse": error,
        "basis": basis,
        "reason": reason,
    }


def correlation_rows(block, found):
    """Rows of the table of correlations."""
    rows = []
    for name, one in found.items():
        row = block.place | {"metric": name}
        if isinstance(one, str):
            row |= {"reason": one}
        else:
            row |= {
                "n": one.n,
                "generators": one.generators,
                "r": one.r,
                "p": one.p,
                "rho": one.rho,
            }
            row |= {"r_low": one.interval.low, "r_high": one.interval.high}
            row["reason"] = one.interval.reason
        rows.append(row)
    return rows or [block.place | {"reason": "there are no metrics"}]


def component_rows(block, found):
    """Rows of the table of components; component "mean": mean absolute loadings, with shares."""
    if isinstance(found, str):
        return [block.place | {"reason": found}]
    rows, n = [], int(found.rows.sum())
    for i, (share, loadings) in enumerate(zip(found.variance, found.loadings, strict=True), 1):
        for name, loading in zip(found.names, loadings, strict=True):
            row = {"component": i, "variance": 100 * share, "metric": name, "loading": loading}
            rows.append(block.place | row | {"n": n})
    means = found.mean_loadings()
    for name, loading in zip(found.names, means, strict=True):
        share = 100 * loading / means.sum()
        row = {"component": MEAN, "metric": name, "loading": loading, "contribution": share}
        rows.append(block.place | row | {"n": n})
    for name, reason in found.left_out.items():
        rows.append(block.place | {"metric": name, "reason": reason})
    return rows


def regression_rows(block, found):
    """Rows of the table of regressions."""
    rows = []
    for one in found:
        row = block.place | {"analysis": one.analysis, "unit": one.unit}
        result = one.result
        if isinstance(result, str):
            rows.append(row | {"n": len(one.rows), "reason": result})
            continue
        row |= {
            "n": result.n,
            "generators": result.generators,
            "components": one.components,
            "r2": result.r2,
            "r2_low": result.r2_interval.low,
            "r2_high": result.r2_interval.high,
            "p": result.p,
            "r2_held_out": result.r2_held_out,
            "intercept": result.intercept,
            "slope": result.slope,
            "slope_low": result.slope_interval.low,
            "slope_high": result.slope_interval.high,
        }
        row["rmse_held_out"], row["rmse_others"], which = one.errors()
        reasons = [result.r2_interval.reason, result.held_out_reason]
        reasons += [f"errors: {which}"] if which else []
        row["reason"] = "; ".join(dict.fromkeys(filter(None, reasons)))
        rows.append(row)
    return rows


def read_abilities(folder, generators, benchmarks):
    """Rows with the columns ABILITIES, from score summaries; score and its error in percent.

    Args:
        folder: of the scores; generators: names; benchmarks: name -> domain.

    Raises:
        UserError: a summary is missing or is none.
    """
    from agorabench.files import read_json

    rows = []
    for generator in generators:
        for benchmark, domain in benchmarks.items():
            path = Path(folder) / "generators" / generator / f"{benchmark}.json"
            try:
                summary = read_json(path)
                row = [float(summary["score"]), summary["standard_error"], int(summary["n"])]
            except FileNotFoundError:
                raise UserError(
                    f"{path} is missing: score generators/{generator} on {benchmark} first"
                ) from None
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{path} is not a score summary: {error!r}") from None
            rows.append(dict(zip(ABILITIES, (generator, domain, benchmark, *row), strict=True)))
    return rows
