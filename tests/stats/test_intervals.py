"""The simulation behind docs/coverage.png, smaller: intervals hold the true PGR, and no more."""

import csv
import sys

import numpy as np
import pytest
from agorabench.evaluation.benchmarks.alpaca_eval import length_controlled
from helpers import ROOT

sys.path.append(str(ROOT / "perf"))

import intervals


@pytest.fixture(scope="module")
def found():
    return intervals.simulate({"small": 164, "large": 378}, trials=range(300), draws=400)


@pytest.mark.parametrize("name", ["small", "large", "mean"])
def test_coverage_may_be_what_it_should_be(found, name):
    # 300 trials tell the coverage to about 2.5 points: its own interval has to meet the band.
    _, low, high = intervals.coverage(found[name])
    assert low <= intervals.BAND[1] and high >= intervals.BAND[0]
    row = found[name]
    assert row["held"] + row["below"] + row["above"] + row["flagged"] == 300


def test_narrower_intervals_would_be_noticed(monkeypatch):
    from agorabench.stats.pgr import Estimate

    whole = Estimate.interval

    def narrowed(self):
        ends = whole(self)
        return ends and (self.pgr + 0.7 * (end - self.pgr) for end in ends)

    monkeypatch.setattr(Estimate, "interval", narrowed)
    row = intervals.simulate({"small": 164}, trials=range(300), draws=400)["small"]
    assert intervals.coverage(row)[2] < intervals.BAND[0]


def test_a_simulation_goes_on_where_it_stopped(found):
    first = intervals.simulate({"small": 164, "large": 378}, trials=range(120), draws=400)
    assert intervals.simulate({"small": 164, "large": 378}, range(120, 300), 400, first) == found


def test_models_answer_as_often_as_they_are_able_to_and_items_are_hard_for_all():
    right = intervals.answers(np.random.default_rng(1), 20_000, (0.2, 0.5, 0.9))
    assert right.mean(axis=0) == pytest.approx([0.2, 0.5, 0.9], abs=0.01)
    assert np.corrcoef(right[:, 0], right[:, 1])[0, 1] > 0.2


# AlpacaEval: its length-controlled win rate is a fit


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
def test_a_model_has_the_length_controlled_win_rate_that_it_is_given(rate):
    draw = np.random.default_rng(1)
    difficulty = draw.normal(0, intervals.SPREAD, 200_000)
    chances = draw.standard_normal(len(difficulty))
    told = intervals.preferred(
        np.zeros(len(chances)), difficulty, intervals.strength(rate), chances
    )
    assert told.mean() == pytest.approx(rate, abs=0.005)


def test_the_standard_error_of_a_fit_is_that_of_resampled_items(tmp_path):
    """Items are resampled with the gamed baselines' answers to them."""
    draw, items = np.random.default_rng(3), 300
    difficulty = draw.normal(0, intervals.SPREAD, items)
    lengths = draw.normal([1.2, *intervals.GAMED], 1, (items, 3))
    told = np.column_stack(
        [
            intervals.preferred(column, difficulty, -0.8, draw.standard_normal(items))
            for column in lengths.T
        ]
    )

    def fitted(picked):
        with open(tmp_path / "control.csv", "w") as file:
            writer = csv.writer(file)
            writer.writerow(["index", "preference", "std_delta_len", "instruction_difficulty"])
            for place, item in enumerate(picked):
                for gamed in (1, 2):
                    row = (place, told[item, gamed], lengths[item, gamed], difficulty[item])
                    writer.writerow(row)
        own = (told[picked, 0], lengths[picked, 0], range(items), tmp_path / "control.csv")
        return length_controlled(*own)

    scores = np.sum(fitted(np.arange(items)), axis=0)
    error = np.std(scores, ddof=1) / items**0.5
    again = [np.mean(fitted(draw.integers(items, size=items))[0]) for _ in range(60)]
    assert error == pytest.approx(np.std(again, ddof=1), rel=0.25)
    assert error > 1.3 * np.std(told[:, 0], ddof=1) / items**0.5
