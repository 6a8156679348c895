"""Regressions, correlations and components, against independent implementations."""

import numpy as np
import pandas
import pytest
import statsmodels.api
from agorabench.stats import regression
from agorabench.stats.learning_curve import fit_curve
from agorabench.stats.regression import (
    NoValue,
    correlate_columns,
    fit_components,
    fit_regression,
)
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score


def data(seed, generators=5, cells=7, columns=4):
    """(x [rows, columns], y [rows] some of it negative, groups [rows])."""
    random = np.random.default_rng(seed)
    groups = np.repeat([f"g{i}" for i in range(generators)], cells)
    x = random.normal(size=(len(groups), columns)) * random.uniform(0.1, 50, columns) + 3
    return x, 20 * random.normal(size=len(groups)) + x[:, 0], groups


@pytest.mark.parametrize("seed", range(5))
def test_least_squares_is_that_of_statsmodels(seed):
    x, y, groups = data(seed)
    theirs = statsmodels.api.OLS(y, statsmodels.api.add_constant(x)).fit()
    mine = fit_regression(x, y, groups, draws=20)
    assert mine.r2 == pytest.approx(theirs.rsquared)
    assert mine.p == pytest.approx(theirs.f_pvalue)
    assert mine.fitted == pytest.approx(theirs.fittedvalues)
    single = fit_regression(x[:, 1], y, groups, draws=20)
    line = stats.linregress(x[:, 1], y)
    assert (single.slope, single.intercept) == pytest.approx((line.slope, line.intercept))
    assert (single.r2, single.p) == pytest.approx((line.rvalue**2, line.pvalue))


@pytest.mark.parametrize("seed", range(5))
def test_regression_on_components_is_that_of_statsmodels_on_an_eigenbasis(seed):
    x, y, groups = data(seed)
    values, vectors = np.linalg.eigh(np.corrcoef(x, rowvar=False))
    order = np.argsort(-values)[:2]
    scores = stats.zscore(x) @ vectors[:, order]
    theirs = statsmodels.api.OLS(y, statsmodels.api.add_constant(scores)).fit()
    mine = fit_regression(x, y, groups, components=2, draws=20)
    assert (mine.r2, mine.p) == pytest.approx((theirs.rsquared, theirs.f_pvalue))
    assert regression.explained_variance(regression.standardise(x), y, 2) == pytest.approx(mine.r2)


def test_left_out_generators_are_said_by_fits_that_have_not_seen_them():
    x, y, groups = data(3)
    expected = np.empty(len(y))
    for name in set(groups):
        out = groups == name
        expected[out] = LinearRegression().fit(x[~out], y[~out]).predict(x[out])
    mine = fit_regression(x, y, groups, draws=20)
    assert mine.held_out == pytest.approx(expected)
    assert mine.r2_held_out == pytest.approx(r2_score(y, expected))
    assert mine.r2_held_out < mine.r2
    # With components: also their means, deviations and axes are those of the others.
    reduced = fit_regression(x, y, groups, components=2, draws=20)
    out = groups == "g0"
    mean, deviation = x[~out].mean(axis=0), x[~out].std(axis=0)
    axes = PCA(2).fit((x[~out] - mean) / deviation)
    fit = LinearRegression().fit(axes.transform((x[~out] - mean) / deviation), y[~out])
    assert reduced.held_out[out] == pytest.approx(
        fit.predict(axes.transform((x[out] - mean) / deviation))
    )
    assert regression.predict_pgr(x[~out], y[~out], x[out], 2) == pytest.approx(
        reduced.held_out[out]
    )


@pytest.mark.parametrize("seed", range(5))
def test_correlations_are_those_of_pandas(seed):
    x, y, groups = data(seed)
    mine = correlate_columns(x[:, 0], y, groups, draws=20)
    table = pandas.DataFrame({"x": x[:, 0], "y": y})
    assert mine.r == pytest.approx(table.corr().loc["x", "y"])
    assert mine.rho == pytest.approx(table.corr("spearman").loc["x", "y"])
    assert mine.p == pytest.approx(stats.linregress(x[:, 0], y).pvalue)


@pytest.mark.parametrize("seed", range(5))
def test_components_are_the_eigenvectors_of_the_correlation_matrix(seed):
    x, _, _ = data(seed)
    table = pandas.DataFrame(x, columns=list("abcd"))
    mine = fit_components(table)
    values, vectors = np.linalg.eigh(table.corr().to_numpy())
    order = np.argsort(-values)
    assert mine.variance == pytest.approx(values[order] / 4)
    assert np.abs(mine.loadings) == pytest.approx(
        np.abs(vectors[:, order].T * np.sqrt(values[order])[:, None])
    )
    # A loading is a correlation, and the squares of a column's add up to 1.
    scores = stats.zscore(x) @ vectors[:, order]
    r = np.corrcoef(x[:, 2], scores[:, 0])[0, 1]
    assert abs(mine.loadings[0, 2]) == pytest.approx(abs(r))
    assert (mine.loadings**2).sum(axis=0) == pytest.approx(np.ones(4))


def test_the_bootstrap_draws_generators_with_all_their_cells():
    """Against a plain loop, and too narrow an interval if cells were drawn."""
    x, y, groups = data(2, generators=8)
    y = y + 30 * np.repeat(np.random.default_rng(5).normal(size=8), 7)
    mine = correlate_columns(x[:, 0], y, groups, draws=3000)
    random = np.random.default_rng(9)
    table = pandas.DataFrame({"x": x[:, 0], "y": y, "g": groups})
    parts = [rows for _, rows in table.groupby("g")]
    draws = []
    for _ in range(1500):
        drawn = pandas.concat([parts[i] for i in random.integers(8, size=8)])
        draws.append(stats.pearsonr(drawn["x"], drawn["y"]).statistic)
    theirs = np.quantile(draws, [0.025, 0.975])
    assert (mine.interval.low, mine.interval.high) == pytest.approx(theirs, abs=0.05)
    again = correlate_columns(x[:, 0], y, groups, draws=3000)
    assert again.interval == mine.interval  # same seed, same interval


def test_rows_with_a_missing_value_are_left_out():
    x, y, groups = data(1)
    holes, gaps = x.copy(), y.copy()
    holes[3, 1] = gaps[8] = np.nan
    keep = ~np.isin(np.arange(len(y)), [3, 8])
    mine = fit_regression(holes, gaps, groups, draws=20)
    assert mine.n == 33
    assert mine.r2 == pytest.approx(fit_regression(x[keep], y[keep], groups[keep], draws=20).r2)
    assert correlate_columns(holes[:, 1], gaps, groups, draws=20).n == 33
    assert correlate_columns(holes[:, 0], gaps, groups, draws=20).n == 34
    table = pandas.DataFrame(holes, columns=list("abcd")).assign(empty=np.nan, same=7.0)
    found = fit_components(table)
    assert found.rows.sum() == 34 and found.names == list("abcd")
    assert found.left_out == {"empty": "it has no value", "same": "it is the same in all rows"}


def test_a_constant_column_changes_no_regression_on_components():
    x, y, groups = data(4)
    more = np.column_stack([x, np.full(len(y), 0.3)])
    mine, without = (fit_regression(one, y, groups, components=3, draws=50) for one in (more, x))
    assert mine.r2 == pytest.approx(without.r2)
    assert mine.held_out == pytest.approx(without.held_out)
    assert mine.r2_interval.low == pytest.approx(without.r2_interval.low)


def test_columns_that_repeat_each_other_have_fewer_components():
    x, y, groups = data(4, columns=2)
    more = np.column_stack([x, 3 * x[:, 0] - 1])
    found = fit_components(pandas.DataFrame(more, columns=list("abc")))
    assert len(found.variance) == 2 and found.variance.sum() == pytest.approx(1)
    mine = fit_regression(more, y, groups, components=5, draws=20)
    assert mine.r2 == pytest.approx(LinearRegression().fit(x, y).score(x, y))
    with pytest.raises(NoValue, match="a column follows from the others"):
        fit_regression(more, y, groups)


def test_few_generators():
    x, y, groups = data(6, generators=1)
    mine = fit_regression(x, y, groups, draws=20)
    assert mine.r2_interval.low is None and mine.held_out is None
    assert mine.r2_interval.reason == "resampling generators needs at least 3 of them, not 1"
    assert mine.held_out_reason == "there is only one generator, so none can be left out"
    # Three generators, a row each: one resample in nine is of one generator, which has no line.
    x, y, groups = data(6, generators=3, cells=1, columns=1)
    mine = fit_regression(x, y, groups, draws=2000)
    assert mine.slope is not None and mine.slope_interval.low is None
    assert "% of the resamples of 3 generators have no value" in mine.r2_interval.reason
    assert mine.held_out_reason == "3 rows are needed where a generator is left out, not 2"


X, Y, GROUPS = data(0)
NOTHING = {
    "no rows": (X[:0], Y[:0], GROUPS[:0], None, "at least 3 rows with all values, not 0"),
    "all missing": (X * np.nan, Y, GROUPS, 2, "at least 3 rows with all values, not 0"),
    "constant PGR": (X, Y * 0 - 5, GROUPS, 2, "PGR is the same in all 35 rows"),
    "constant metrics": (X * 0 + 0.1, Y, GROUPS, 2, "is the same in all 35 rows"),
    "too few rows": (X[:5], Y[:5], GROUPS[:5], None, "4 predictors need at least 6 rows, not 5"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_where_there_is_no_regression_a_sentence_says_why(case):
    x, y, groups, components, sentence = NOTHING[case]
    with pytest.raises(NoValue, match=sentence):
        fit_regression(x, y, groups, components, draws=20)


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        ([1.0, 2.0], [1.0, 2.0], "at least 3 rows with both values, not 2"),
        ([1.0, np.nan, 2.0, 5.0], [1.0, 3.0, 2.0, np.nan], "both values, not 2"),
        ([0.1] * 4, [1.0, 2.0, 3.0, 4.0], "the metric is the same in all 4 rows"),
        ([1.0, 2.0, 3.0, 4.0], [-7.0] * 4, "PGR is the same in all 4 rows"),
    ],
)
def test_where_there_is_no_correlation_a_sentence_says_why(x, y, sentence):
    with pytest.raises(NoValue, match=sentence):
        correlate_columns(
            np.array(x), np.array(y), np.array(["a", "b", "c", "d"][: len(x)]), draws=20
        )


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"a": [1.0, 2.0], "b": [2.0, 1.0]}, "at least 3 rows with all metrics, not 2"),
        ({"a": [1.0, 2.0, 4.0], "b": [3.0] * 3}, "at least 2 metrics that differ, not 1"),
        ({"a": [np.nan] * 3, "b": [1.0, 2.0, 4.0]}, "at least 2 metrics that differ, not 1"),
    ],
)
def test_where_there_are_no_components_a_sentence_says_why(table, sentence):
    with pytest.raises(NoValue, match=sentence):
        fit_components(pandas.DataFrame(table))


def test_a_perfect_fit_has_a_p_of_zero_and_not_a_nan():
    x, _, groups = data(0, columns=1)
    mine = fit_regression(x, 3 * x[:, 0] - 100, groups, draws=50)
    assert mine.r2 == pytest.approx(1) and mine.p < 1e-100
    assert mine.r2_held_out == pytest.approx(1)


# ---- Where more data stops paying.

SIZES = np.array([100, 200, 400, 800, 1600, 3200])


def curve(top, lost, rate):
    return top - lost * (SIZES / 100.0) ** -rate


def test_a_curve_is_found_again_and_says_where_a_doubling_adds_less_than_a_point():
    found = fit_curve(SIZES, curve(80, 60, 0.7), np.full(6, 1.5))
    assert (found.top, found.lost, found.rate) == pytest.approx((80, 60, 0.7), rel=1e-3)
    enough = found.enough
    assert found.at(2 * enough) - found.at(enough) == pytest.approx(1, rel=1e-3)
    assert found.top_interval.low < 80 < found.top_interval.high
    assert found.enough_interval.low < enough < found.enough_interval.high
    assert fit_curve(SIZES, curve(80, 60, 0.7), gain=3.0).enough < enough


def test_the_interval_of_the_top_holds_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(1)
    hits = []
    for seed in range(40):
        noisy = curve(80, 60, 0.9) + random.normal(0, 1.5, 6)
        interval = fit_curve(SIZES, noisy, np.full(6, 1.5), seed=seed).top_interval
        hits.append(interval.low is None or interval.low <= 80 <= interval.high)
    assert np.mean(hits) >= 0.85


@pytest.mark.parametrize(
    ("sizes", "pgr", "sentence"),
    [
        (SIZES[:3], [1, 2, 3], "at least 4 sizes, not 3"),
        (SIZES, [50, 40, 30, 20, 10, 5], "does not rise"),
        (SIZES, [-3.3] * 6, "does not rise"),
        (SIZES, [20, 20.2, 19.9, 20.4, 20.1, 20.6], "a doubling adds 0.1 points"),
        (SIZES, 10 * np.log(SIZES), "show no levelling off"),
        (SIZES, SIZES / 50, "show no levelling off"),
    ],
)
def test_where_no_curve_can_be_fitted_a_sentence_says_why(sizes, pgr, sentence):
    with pytest.raises(NoValue, match=sentence):
        fit_curve(sizes, pgr, np.ones(len(sizes)))


def test_points_without_errors_have_a_curve_without_intervals():
    found = fit_curve(SIZES, curve(40, 60, 1.1))
    assert found.top == pytest.approx(40, abs=0.1)
    assert found.top_interval.reason == "the points have no standard errors"
