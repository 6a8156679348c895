"""How small a difference is found: against simulation, and what the paper's benchmarks allow."""

import math

import numpy as np
import pytest
from agorabench.stats.bootstrap import bootstrap_means
from agorabench.stats.comparisons import compare_pairs
from agorabench.stats.power import Items, Noise, average_noise, domain_noise, multiple


def test_the_papers_benchmarks_with_one_seed():
    math_ = domain_noise([Items(1319, gap=0.31), Items(5000, gap=0.31)], 0)
    code = domain_noise([Items(378, gap=0.19), Items(164, gap=0.19)], 0)
    assert math_.smallest() == pytest.approx(7, abs=0.1)
    assert code.smallest() == pytest.approx(34, abs=0.6)


def test_averages_seeds_and_items_buy_what_they_should():
    cell = Noise(4.0, 1.0)
    assert cell.smallest() == pytest.approx(2.8016 * math.sqrt(5), abs=1e-3)
    assert average_noise([cell] * 4).smallest() == pytest.approx(cell.smallest() / 2)
    assert cell.smallest(4) == pytest.approx(cell.smallest() / 2)
    assert cell.smallest(cell.seeds_for(1.0)) <= 1.0 < cell.smallest(cell.seeds_for(1.0) - 1)
    times = cell.items_for(3.0)
    assert Noise(4.0 / times, 1.0).smallest() == pytest.approx(3.0)
    assert cell.items_for(2.8) is None  # no number of items takes the noise of seeds away
    assert cell.items_for(2.8, seeds=2) is not None


def test_without_a_gap_nothing_is_found():
    noise = domain_noise([Items(100, gap=0.0)], 1)
    assert noise.smallest() == math.inf
    assert noise.seeds_for(5) is None and noise.items_for(5) is None


def test_the_promised_power_is_what_comparisons_have():
    """Students whose difference is the smallest that is found are told apart in 80 % of trials."""
    items, gap, correlation, trials = 800, 0.4, 0.5, 300
    noise = domain_noise([Items(items, correlation=correlation, gap=gap)], 0)
    half = noise.smallest() / 100 * gap / 2
    random, found = np.random.default_rng(1), 0
    for trial in range(trials):
        alike = random.random(items) < correlation  # the same answer of both, or their own
        own = random.random((items, 2))
        own[alike, 1] = own[alike, 0]
        scores = (own < 0.5 + half * np.array([1, -1])).astype(float)
        drawn = bootstrap_means(scores, 400, trial).T
        (pair,) = compare_pairs(scores.mean(axis=0), drawn)
        found += pair.p < 0.05
    assert found / trials == pytest.approx(0.8, abs=0.06)
    assert multiple() == pytest.approx(2.80, abs=0.005)
