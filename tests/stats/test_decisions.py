"""Predictors judged by the decisions that they make."""

import itertools

import numpy as np
import pytest
from agorabench.stats import decisions as stats
from agorabench.stats.regression import NoValue
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

VALUES = st.lists(st.integers(0, 4), min_size=2, max_size=7)


@given(VALUES, VALUES)
def test_accuracy_is_the_share_of_pairs(x, y):
    x, y = np.array(x[: len(y)], dtype=float), np.array(y[: len(x)], dtype=float)
    right = []
    for i, j in itertools.combinations(range(len(x)), 2):
        if y[i] != y[j]:
            right.append(0.5 if x[i] == x[j] else float((x[i] > x[j]) == (y[i] > y[j])))
    if right:
        assert stats.accurate_share(x, y) == pytest.approx(np.mean(right))


def test_without_ties_accuracy_is_kendalls_tau():
    random = np.random.default_rng(1)
    x, y = random.permutation(9), random.permutation(9)
    assert stats.accurate_share(x, y) == pytest.approx((1 + kendalltau(x, y).statistic) / 2)


def test_regret_is_what_the_first_choice_loses_and_ties_their_mean():
    y = np.array([10.0, 30.0, 25.0])
    assert stats.lost_points(np.array([1.0, 3.0, 2.0]), y) == 0
    assert stats.lost_points(np.array([1.0, 2.0, 3.0]), y) == 5
    assert stats.lost_points(np.array([3.0, 1.0, 3.0]), y) == 12.5


def rows(settings=4, generators=5, seed=1):
    random = np.random.default_rng(seed)
    y = random.normal(size=settings * generators)
    places = np.repeat(np.arange(settings), generators)
    return y, places, np.tile(np.arange(generators), settings), random


def test_a_perfect_predictor_and_one_that_knows_nothing():
    y, places, *_ = rows()
    perfect = stats.judge_predictor(np.exp(y), y, places)
    assert [*perfect.accuracy, *perfect.regret] == [1] * 4 + [0] * 4
    assert perfect.rho == pytest.approx(1) and perfect.p < 0.001
    assert perfect.intervals(1) == [(1, 1, 1), (0, 0, 0)]
    constant = stats.judge_predictor(np.zeros(len(y)), y, places)
    assert (constant.accuracy.mean(), constant.rho, constant.p) == (0.5, None, 1)
    assert stats.explained(np.zeros(len(y)), y, places) == (None, None)


def test_p_is_uniform_where_nothing_is_known():
    p = []
    for seed in range(100):
        y, places, _, random = rows(seed=seed)
        p.append(stats.judge_predictor(random.normal(size=len(y)), y, places, seed).p)
    assert 0 <= np.mean(np.array(p) < 0.05) <= 0.12
    assert 0.4 < np.mean(p) < 0.6


def test_what_has_no_value_is_left_out_and_nothing_left_is_said():
    y, places, *_ = rows(settings=3)
    x = y.copy()
    x[0] = np.nan
    y[5:10] = 7.0  # all alike: nothing to choose
    found = stats.judge_predictor(x, y, places)
    assert len(found.accuracy) == 2 and found.generators == 5
    with pytest.raises(NoValue, match="no setting has two generators"):
        stats.judge_predictor(np.full(len(y), np.nan), y, places)


def test_the_mean_elsewhere_has_not_seen_the_setting():
    found = stats.mean_elsewhere([1.0, 2, 3, 4, 5], list("ababc"), [1, 1, 2, 2, 2])
    assert found[:4].tolist() == [3, 4, 1, 2] and np.isnan(found[4])


def test_a_nested_choice_is_made_without_the_setting():
    y, places, *_ = rows(settings=3, generators=3)
    lucky = y.copy()
    lucky[3:] = -y[3:]  # right in the first setting only
    judged = {"lucky": stats.judge_predictor(lucky, y, places)}
    judged["good"] = stats.judge_predictor(y, y, places)
    assert stats.choose_nested(judged) == (1, 0, ["good"])
    with pytest.raises(NoValue, match="two of them"):
        stats.choose_nested({})
