"""What PGR goes along with: straight lines, correlations and principal components, and how well
any of them tells the PGR of a generator that it has not seen.

The cells of one generator are alike, so a p value that takes cells for independent is too small.
Therefore every interval (95 %) is from a bootstrap that resamples generators with all their cells
(the pairs cluster bootstrap of Cameron, Gelbach and Miller 2008, "Bootstrap-Based Improvements for
Inference with Clustered Errors"), and every R2 has one beside it that is computed on generators
left out of the fit. With few generators such intervals are rough: see `few_generators_caution`.

Whatever cannot be computed raises `NoValue`, which says why; a NaN never comes out.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import pandas

from agorabench.stats.bootstrap import percentile_interval

# As many principal components as the paper regresses on (arXiv 2412.03679, section 5).
COMPONENTS = 5
# Rows that anything needs: there is a line through any two.
FEWEST = 3
# Generators from which on nothing is said of intervals that resample them: they have 462 resamples.
ENOUGH = 6


class NoValue(Exception):
    """There is no such number; the text says why, in words."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval, or `reason`, why it has none."""

    low: float | None = None
    high: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Correlation:
    """Pearson's r and Spearman's rho of two columns, in -1..1.

    `p`: of r, two-sided, for independent rows; `interval`: of r; `n`: rows, `generators`: groups.
    """

    r: float
    rho: float
    p: float
    interval: Interval
    n: int
    generators: int


@dataclass(frozen=True)
class Regression:
    """Least squares of y (PGR, percent) on columns x or on their principal components.

    `p`: of the F test, for independent rows; `slope`, `intercept`: of a single column, in the units
    of y and x; `fitted`, `held_out`: [rows], what is said of y by the whole fit and by the one that
    has not seen the row's generator (None with `held_out_reason`); `r2_held_out`: of the latter, at
    most 1, below 0 where the mean of all rows would have said it better.
    """

    n: int
    generators: int
    r2: float
    p: float
    r2_interval: Interval
    fitted: np.ndarray
    held_out: np.ndarray | None
    r2_held_out: float | None
    held_out_reason: str = ""
    intercept: float | None = None
    slope: float | None = None
    slope_interval: Interval = field(default_factory=Interval)


@dataclass(frozen=True)
class Components:
    """Principal components of standardised columns, those of most variance first.

    `names`: of the columns; `left_out`: column -> why it is none of them; `variance`: [components],
    fractions that add up to 1; `loadings`: [components, columns], the correlation of each column
    with each component: the unit eigenvector times the root of its eigenvalue (Jolliffe 2002,
    "Principal Component Analysis", section 2.3); `rows`: [rows], which rows had all values.
    """

    names: list[str]
    left_out: dict[str, str]
    variance: np.ndarray
    loadings: np.ndarray
    rows: np.ndarray

    def mean_loadings(self):
        """[columns]: mean absolute loading over all components, as in Table 4 of the paper.

        The paper says neither which loadings nor over how many components; over all of them they
        are nearest to what it printed: within 0.02.
        """
        return np.abs(self.loadings).mean(axis=0)


def correlate_columns(x, y, groups, draws=2000, seed=1):
    """Correlation of two columns [rows]; rows in which one is missing (NaN) are left out.

    `groups`: [rows], the generator of each. Raises NoValue where there is no correlation.
    """
    from scipy.stats import pearsonr, spearmanr

    x, y, groups = complete_rows(x, y, groups)
    if len(y) < FEWEST:
        raise NoValue(f"a correlation needs at least {FEWEST} rows with both values, not {len(y)}")
    for values, name in ((x, "the metric"), (y, "PGR")):
        if is_constant(values):
            raise NoValue(f"{name} is the same in all {len(y)} rows")
    r, p = pearsonr(x, y)

    def of(index):
        if is_constant(x[index]) or is_constant(y[index]):
            return [np.nan]
        return [np.corrcoef(x[index], y[index])[0, 1]]

    (interval,) = resample_generators(of, groups, draws, seed)
    rho = spearmanr(x, y).statistic
    return Correlation(float(r), float(rho), float(p), interval, len(y), len(set(groups)))


def fit_regression(x, y, groups, components=None, draws=2000, seed=1):
    """Regression of y [rows] on x [rows, columns]; rows with a missing (NaN) value are left out.

    Args:
        groups: [rows], the generator of each row.
        components: regress on so many principal components of the standardised columns, or on as
            many as there are; None regresses on the columns themselves.

    Raises:
        NoValue: there is no such regression, and why.
    """
    from sklearn.metrics import r2_score
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

    x = np.asarray(x, dtype=float)
    x = x[:, None] if x.ndim == 1 else x
    x, y, groups = complete_rows(x, y, groups)
    check_variation(x, y)
    rank = int(np.linalg.matrix_rank(standardise(x)))
    k = rank if components is None else min(components, rank)
    if components is None and rank < x.shape[1]:
        raise NoValue("a column follows from the others, so the slopes are not determined")
    if len(y) < k + 2:
        raise NoValue(f"{k} predictors need at least {k + 2} rows, not {len(y)}")
    chosen = build_model(None if components is None else k)
    fitted = chosen.fit(x, y).predict(x)
    r2 = float(r2_score(y, fitted))
    p = f_test_p(r2, k, len(y))

    single = components is None and x.shape[1] == 1

    def of(index):
        drawn, target = x[index], y[index]
        scaled = drawn if components is None else standardise(drawn)
        values = [explained_variance(scaled, target, k)]
        if single:
            varies = not is_constant(drawn)
            values.append(np.polyfit(drawn[:, 0], target, 1)[0] if varies else np.nan)
        return values

    r2_interval, *slope_interval = resample_generators(of, groups, draws, seed)
    held_out, r2_held_out, why = None, None, ""
    largest = max(np.sum(groups == name) for name in set(groups))
    if len(set(groups)) < 2:
        why = "there is only one generator, so none can be left out"
    elif len(y) - largest < k + 2:
        why = f"{k + 2} rows are needed where a generator is left out, not {len(y) - largest}"
    else:
        held_out = cross_val_predict(chosen, x, y, groups=groups, cv=LeaveOneGroupOut())
        r2_held_out = float(r2_score(y, held_out))
    result = (len(y), len(set(groups)), r2, p, r2_interval, fitted, held_out, r2_held_out, why)
    if not single:
        return Regression(*result)
    whole = chosen.fit(x, y)
    return Regression(*result, float(whole.intercept_), float(whole.coef_[0]), *slope_interval)


def fit_components(table: pandas.DataFrame) -> Components:
    """Components of a table's columns (a DataFrame); rows with a missing value are left out.

    Columns that say nothing are left out first: without any value, or the same in all rows. Raises
    NoValue where fewer than two columns or three rows remain.
    """
    from sklearn.decomposition import PCA

    left_out = {name: "it has no value" for name in table if table[name].isna().all()}
    kept = table.drop(columns=list(left_out))
    rows = kept.notna().all(axis=1).to_numpy()
    if rows.sum() < FEWEST:
        raise NoValue(f"components need at least {FEWEST} rows with all metrics, not {rows.sum()}")
    same = [name for name in kept if is_constant(kept.loc[rows, name].to_numpy(dtype=float))]
    left_out |= dict.fromkeys(same, "it is the same in all rows")
    kept = kept.drop(columns=same)
    if kept.shape[1] < 2:
        raise NoValue(f"components need at least 2 metrics that differ, not {kept.shape[1]}")
    values = standardise(kept[rows].to_numpy(dtype=float))
    pca = PCA().fit(values)
    rank = int(np.linalg.matrix_rank(values))
    variance, axes = pca.explained_variance_ratio_[:rank], pca.components_[:rank]
    loadings = axes * np.sqrt(variance * kept.shape[1])[:, None]
    return Components(list(kept), left_out, variance, loadings, rows)


def predict_pgr(x, y, new, components=COMPONENTS):
    """PGR of rows `new` [rows, columns], by regression on components of the rows x, y."""
    x, y = complete_rows(x, y)
    check_variation(x, y)
    k = min(components, int(np.linalg.matrix_rank(standardise(x))))
    if len(y) < k + 2:
        raise NoValue(f"{k} components need at least {k + 2} rows, not {len(y)}")
    return build_model(k).fit(x, y).predict(np.asarray(new, dtype=float))


def build_model(components=None):
    """Least squares on columns, or on so many principal components of the standardised columns."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if components is None:
        return LinearRegression()
    return make_pipeline(StandardScaler(), PCA(components), LinearRegression())


def explained_variance(x: np.ndarray, y: np.ndarray, k: int) -> float:
    """R2 of y [rows] on the first k principal components of x [rows, columns]; NaN without one.

    The components' scores are orthogonal, so their shares of y's variance add up: with all of them
    it is the R2 of ordinary least squares. Faster than a fit, for thousands of resamples.
    """
    x, y = x - x.mean(axis=0), y - y.mean()
    scores, spread, _ = np.linalg.svd(x, full_matrices=False)
    scores = scores[:, :k][:, spread[:k] > 1e-10 * max(1, spread[0])]
    if is_constant(y) or not scores.shape[1]:
        return np.nan
    return float(np.sum((scores.T @ y) ** 2) / (y @ y))


def f_test_p(r2: float, k: int, n: int) -> float:
    """p of the F test that none of k predictors says anything of n independent rows.

    F = (R2 / k) / ((1 - R2) / (n - k - 1)) (Draper and Smith 1998, "Applied Regression Analysis",
    section 6.1).
    """
    from scipy.stats import f

    free = n - k - 1
    return float(f.sf(r2 / k / max(1 - r2, 1e-300) * free, k, free))


def resample_generators(statistic, groups, draws=2000, seed=1):
    """Intervals of what `statistic` (indices of rows -> list of numbers, NaN for none) gives.

    Every draw takes as many generators as there are, with replacement, and all rows of each.
    """
    names = sorted(set(groups))
    if len(names) < 3:
        reason = f"resampling generators needs at least 3 of them, not {len(names)}"
        return [Interval(reason=reason) for _ in statistic(np.arange(len(groups)))]
    rows = [np.flatnonzero(np.asarray(groups) == name) for name in names]
    random = np.random.default_rng(seed)
    picks = (random.integers(len(rows), size=len(rows)) for _ in range(draws))
    drawn = np.array([statistic(np.concatenate([rows[i] for i in pick])) for pick in picks])
    lack = f"of the resamples of {len(names)} generators have no value"
    return [summarise_draws(column, lack) for column in drawn.T]


def summarise_draws(draws: np.ndarray, lack: str) -> Interval:
    """Interval of draws; `lack` says of a share of them, after "so many %", what they lack."""
    low, high = percentile_interval(draws)
    if np.isfinite([low, high]).all():
        return Interval(low, high)
    return Interval(reason=f"{100 * np.isnan(draws).mean():.0f} % {lack}")


def few_generators_caution(intervals: list[tuple[Interval, int]]) -> list[str]:
    """A sentence on intervals that resample few generators, in a list; an empty one if none do.

    `intervals`: (Interval, number of generators). Of n generators there are C(2n - 1, n) resamples
    that differ: the multisets of n out of n.
    """
    few = min((n for interval, n in intervals if not interval.reason), default=ENOUGH)
    if few >= ENOUGH:
        return []
    reason = f"of {few} there are {math.comb(2 * few - 1, few)} distinct resamples"
    return [f"Intervals from resampled generators say little: {reason}."]


def complete_rows(*columns):
    """The columns without the rows in which a number is missing (NaN)."""
    known = np.ones(len(columns[0]), dtype=bool)
    for column in map(np.asarray, columns):
        if column.dtype.kind == "f":
            known &= ~np.isnan(column).any(axis=tuple(range(1, column.ndim)))
    return [np.asarray(column)[known] for column in columns]


def check_variation(x, y):
    """Raises NoValue where y or all of x say nothing."""
    if len(y) < FEWEST:
        raise NoValue(f"a regression needs at least {FEWEST} rows with all values, not {len(y)}")
    if is_constant(y):
        raise NoValue(f"PGR is the same in all {len(y)} rows")
    if all(is_constant(column) for column in x.T):
        raise NoValue(f"what PGR is compared with is the same in all {len(y)} rows")


def is_constant(values: np.ndarray) -> bool:
    """Are they all the same, but for the rounding of sums?"""
    return bool(np.ptp(values) <= 1e-12 * max(1, np.abs(values).max()))


def standardise(values: np.ndarray) -> np.ndarray:
    """Columns [rows, columns] with mean 0 and variance 1; a constant column becomes 0."""
    centred = values - values.mean(axis=0)
    same = np.ptp(values, axis=0) <= 1e-12 * np.maximum(1, np.abs(values).max(axis=0))
    return np.where(same, 0, centred / np.where(same, 1, values.std(axis=0)))
