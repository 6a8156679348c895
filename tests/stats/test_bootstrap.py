import math
import random

import numpy as np
import pytest
from agorabench.stats.bootstrap import (
    bootstrap_means,
    influence,
    percentile_interval,
    standard_error,
)


def test_standard_error_is_the_textbooks():
    # 3 of 4 right: s^2 = 4/3 x 3/4 x 1/4 = 1/4, so s / sqrt(4) = 1/4
    assert standard_error([1, 1, 1, 0]) == pytest.approx(0.25)
    many = [1.0] * 300 + [0.0] * 700
    assert standard_error(many) == pytest.approx(math.sqrt(0.3 * 0.7 / 999), rel=1e-3)


def test_weights_are_items_of_several_parts():
    scores, parts = [1.0, 0.5, 0.0, 1.0], [1, 2, 3, 1]
    assert standard_error(scores, [2] * 4) == pytest.approx(standard_error(scores))
    # Cochran's formula for a ratio of totals, written out.
    ratio = 3 / 7
    residuals = [part * (score - ratio) for part, score in zip(parts, scores, strict=True)]
    expected = math.sqrt(sum(one**2 for one in residuals) / 3 / 4) / (7 / 4)
    assert standard_error(scores, parts) == pytest.approx(expected)


@pytest.mark.parametrize("scores", [[], [1.0]])
def test_no_standard_error_of_fewer_than_two_items(scores):
    with pytest.raises(ValueError, match="at least two"):
        standard_error(scores)


def test_bootstrap_agrees_with_a_plain_loop():
    scores = np.random.default_rng(3).random((40, 2))
    fast = bootstrap_means(scores, 4000, 1)
    loop = random.Random(4)
    slow = []
    for _ in range(4000):
        picked = [loop.randrange(40) for _ in range(40)]
        slow.append([sum(scores[i, model] for i in picked) / 40 for model in (0, 1)])
    slow = np.array(slow)
    # The two differ by their own randomness only: about sd / sqrt(4000) = 0.0007 in the mean.
    assert fast.mean(axis=0) == pytest.approx(slow.mean(axis=0), abs=0.004)
    for model in (0, 1):
        assert percentile_interval(fast[:, model]) == pytest.approx(
            np.quantile(slow[:, model], [0.025, 0.975]), abs=0.01
        )


def test_models_share_the_resampled_items():
    scores = np.random.default_rng(1).random(50)
    draws = bootstrap_means(np.stack([scores, scores, scores + 0.1], axis=1), 200, 1)
    assert (draws[:, 0] == draws[:, 1]).all()
    assert draws[:, 2] - draws[:, 0] == pytest.approx(np.full(200, 0.1))


def test_resamples_depend_on_seed_and_name_and_not_on_the_other_models():
    scores = np.random.default_rng(1).random((50, 3))
    draws = bootstrap_means(scores, 100, 1, "gsm8k")
    assert bootstrap_means(scores[:, [2]], 100, 1, "gsm8k")[:, 0] == pytest.approx(draws[:, 2])
    assert (bootstrap_means(scores, 100, 1, "math") != draws).any()
    assert (bootstrap_means(scores, 100, 2, "gsm8k") != draws).any()


def test_chunks_do_not_change_the_draws(monkeypatch):
    scores = np.random.default_rng(1).random((30, 2))
    whole = bootstrap_means(scores, 100, 1)
    monkeypatch.setattr("agorabench.stats.bootstrap.CHUNK", 70)
    assert bootstrap_means(scores, 100, 1) == pytest.approx(whole)


@pytest.mark.parametrize("scores", [np.empty((0, 2)), np.array([[1.0, np.nan]]), np.ones(4)])
def test_bootstrap_refuses_what_it_cannot_resample(scores):
    with pytest.raises(ValueError, match="scores must be"):
        bootstrap_means(scores, 10, 1)
    with pytest.raises(ValueError, match="draw"):
        bootstrap_means(np.ones((3, 1)), 0, 1)


def test_percentile_interval_is_numpys_where_all_draws_have_a_value():
    draws = np.random.default_rng(2).normal(size=333)
    assert percentile_interval(draws, 0.9) == pytest.approx(np.quantile(draws, [0.05, 0.95]))


def test_a_draw_without_a_value_counts_against_both_ends():
    draws = np.arange(1000.0)
    sound = percentile_interval(draws)
    draws[500:510] = np.nan  # from the middle: dropping them would leave the ends as they were
    low, high = percentile_interval(draws)
    assert low < sound[0] and high > sound[1]
    draws[500:530] = np.nan  # 3 %: more than either tail
    assert percentile_interval(draws) == (-np.inf, np.inf)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    simulated = np.random.default_rng(11)
    hits = 0
    for _ in range(300):
        scores = (simulated.random((150, 1)) < 0.4).astype(float)
        low, high = percentile_interval(bootstrap_means(scores, 400, 1)[:, 0])
        hits += low <= 0.4 <= high
    assert 0.91 <= hits / 300 <= 0.98


def test_the_influence_on_a_mean_is_the_distance_to_it():
    """Normal likelihood with variance 1: gradient y - mean, second derivative -1 each."""
    values = np.array([1.0, 2.0, 6.0])
    found = influence((values - 3)[:, None], np.array([[3.0]]), np.array([1.0]))
    assert found == pytest.approx(values - 3)
    # A function of two coefficients of which one does not matter to it.
    pull = np.column_stack([values - 3, [5.0, -2.0, -3.0]])
    assert influence(pull, 3 * np.eye(2), np.array([2.0, 0.0])) == pytest.approx(2 * (values - 3))
