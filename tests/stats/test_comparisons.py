"""Pairs, ranks and the best set: against other libraries, and where there is little to compare."""

import numpy as np
import pytest
from agorabench.stats.bootstrap import bootstrap_means
from agorabench.stats.comparisons import (
    LEVEL,
    add_seed_noise,
    compare_pairs,
    estimate_spread,
    holm_adjust,
    rank_generators,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, ttest_rel
from statsmodels.stats.multitest import multipletests


def answers(rates, items=400, seed=1):
    """Right or wrong, in percent: [items, generators]; items are as hard for all alike."""
    random = np.random.default_rng(seed)
    luck = 0.7 * random.standard_normal((items, 1)) + 0.7 * random.standard_normal(
        (items, len(rates))
    )
    return 100.0 * (luck < np.quantile(luck, rates))


def compare(scores, draws=2000):
    """(Pairs, ranks) of scores [items, generators]."""
    values, drawn = scores.mean(axis=0), bootstrap_means(scores, draws, 1).T
    pairs = compare_pairs(values, drawn)
    return pairs, rank_generators(values, drawn, pairs)


@given(st.lists(st.sampled_from([0.0, 1e-9, 0.004, 0.01, 0.02, 0.3, 0.3, 1.0]), min_size=1))
def test_p_values_are_adjusted_as_statsmodels_does(p):
    assert holm_adjust(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_pairs_agree_with_a_paired_test():
    scores = answers([0.5, 0.5, 0.55, 0.6, 0.62, 0.9])
    pairs, _ = compare(scores, draws=20_000)
    assert len(pairs) == 15
    for pair in pairs:
        test = ttest_rel(scores[:, pair.first], scores[:, pair.second])
        low, high = test.confidence_interval(0.95)
        assert pair.difference == pytest.approx(
            scores[:, pair.first].mean() - scores[:, pair.second].mean()
        )
        assert (pair.low, pair.high) == pytest.approx((low, high), abs=0.5)
        assert pair.p == pytest.approx(test.pvalue, rel=0.25, abs=0.02)
        assert pair.better == pytest.approx(0.5 + 0.5 * np.sign(test.statistic) * (
            1 - test.pvalue), abs=0.02)  # fmt: skip
        assert pair.established == (pair.p_holm < LEVEL)


def test_ranks_are_scipys_and_their_intervals_follow_the_pairs():
    scores = answers([0.2, 0.5, 0.52, 0.9])
    pairs, ranks = compare(scores)
    assert [rank.rank for rank in ranks] == list(rankdata(-scores.mean(axis=0), method="min"))
    assert [(rank.low, rank.high) for rank in ranks] == [(4, 4), (2, 3), (2, 3), (1, 1)]
    assert [rank.best for rank in ranks] == [False, False, False, True]
    assert sum(rank.p_best for rank in ranks) == pytest.approx(1)
    assert [pair.established for pair in pairs] == [True, True, True, False, True, True]


def test_equal_generators_are_one_place():
    scores = np.repeat(answers([0.4]), 3, axis=1)
    pairs, ranks = compare(scores)
    for pair in pairs:
        assert (pair.difference, pair.low, pair.high) == (0, 0, 0)
        assert (pair.p, pair.p_holm, pair.better, pair.established) == (1, 1, 0.5, False)
    assert {(rank.rank, rank.low, rank.high, rank.best) for rank in ranks} == {(1, 1, 3, True)}
    assert [rank.p_best for rank in ranks] == pytest.approx([1 / 3] * 3)


def test_one_generator_has_no_pair():
    pairs, (rank,) = compare(answers([0.4]))
    assert pairs == []
    assert (rank.rank, rank.low, rank.high, rank.p_best, rank.best) == (1, 1, 1, 1.0, True)


def test_what_no_resample_changes_is_no_more_certain_than_the_draws():
    values, draws = np.array([100.0, 0.0]), np.repeat([[100.0], [0.0]], 200, axis=1)
    (pair,) = compare_pairs(values, draws)
    assert pair.p == pytest.approx(2 / 201) and pair.better == 1


def test_draws_without_a_value_count_against_a_difference():
    draws = np.vstack([np.full(1000, 5.0), np.linspace(-1, 1, 1000)])
    draws[:, :60] = np.nan
    (pair,) = compare_pairs([5.0, 0.0], draws)
    assert pair.p == pytest.approx(2 * 61 / 1001)
    assert (pair.low, pair.high) == (None, None)
    assert pair.better == pytest.approx(0.97)
    assert not np.isnan([rank.p_best for rank in rank_generators([5.0, 0.0], draws, [pair])]).any()


def simulate_seeds(generators, seeds, spread, items=4.0, both=2.0, draws=1000, seed=1):
    """Values [generators][seeds] and draws [generators][seeds, draws] with known components."""
    random = np.random.default_rng(seed)
    common, drawn = random.normal(0, items), random.normal(0, items, draws)
    values, resampled = [], []
    for _ in range(generators):
        own = common + random.normal(0, spread, seeds) + random.normal(0, both, seeds)
        values.append(own)
        resampled.append(own[:, None] + drawn + random.normal(0, both, (seeds, draws)))
    return values, resampled


def test_components_of_the_noise_are_found():
    values, draws = simulate_seeds(100, 5, spread=3.0)
    spread = estimate_spread(values, draws)
    assert spread.freedom == 400
    assert (spread.items, spread.seeds, spread.both) == pytest.approx((4, 3, 2), rel=0.1)
    values, draws = simulate_seeds(100, 5, spread=0.0)
    assert estimate_spread(values, draws).seeds < 0.8


def test_one_seed_says_nothing_of_seeds():
    spread = estimate_spread(*simulate_seeds(3, 1, spread=9.0))
    assert (spread.seeds, spread.both, spread.freedom) == (0, 0, 0)
    assert spread.items == pytest.approx(np.hypot(4, 2), rel=0.2)


@pytest.mark.parametrize("seeds", [2, 5])
def test_with_seeds_equals_are_told_apart_as_often_as_they_may(seeds):
    """200 tables of six equal generators, whose seeds differ by more than their items say."""
    told, family = 0, 0
    for trial in range(200):
        values, draws = simulate_seeds(6, seeds, 3.0, draws=400, seed=trial)
        spread = estimate_spread(values, draws)
        means = np.array([own.mean(axis=0) for own in draws])
        numbers = [own.mean() for own in values]
        noisy = add_seed_noise(numbers, means, spread, seeds, trial)
        pairs = compare_pairs(numbers, noisy, normal=False)
        told += sum(pair.p < LEVEL for pair in pairs)
        family += any(pair.established for pair in pairs)
    assert told / (200 * 15) < 0.08
    assert family / 200 < 0.08
