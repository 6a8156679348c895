"""What to take from a run, in sentences."""

import pytest
from agorabench.analysis.comparisons import compare_views
from agorabench.analysis.pgr_table import list_views, table_rows
from agorabench.analysis.study import Costs
from agorabench.analysis.verdicts import decide_views, render_decision
from agorabench.stats.comparisons import needed_times

from .test_comparisons import GENERATORS, estimates_of, read_back, runs_of


@pytest.fixture
def decide(tmp_path):
    def verdicts(runs, usd=None, **more):
        from agorabench.analysis.comparisons import COLUMNS, RANK_COLUMNS

        estimates = estimates_of(runs, **more)
        pairs, ranks = compare_views(estimates, 1)
        costs = [
            {**vars(run), "usd": (usd or {}).get(run.generator), "usd_per_pair": None}
            for run in runs
        ]
        return decide_views(
            list_views(table_rows(estimates)),
            read_back(tmp_path, ranks, RANK_COLUMNS),
            read_back(tmp_path, pairs, COLUMNS),
            Costs(costs),
        )

    return verdicts


def test_the_best_whom_it_beats_and_whom_not(decide):
    (verdict,) = decide(runs_of(), {"strong": 3.0, "twin": 0.5, "weak": 0.25})
    where, words = verdict.sentences[0]
    best, other = (line[0] for line in verdict.lines[:2])
    assert where == "all cells" and {best, other} == {"strong", "twin"}
    assert words.startswith(f"{best} is highest, with a PGR of ")
    assert "It is established as better than weak (by " in words
    assert f"It cannot be told from {other} (by " in words
    assert ("The cheapest of these is twin, at $1.00." in words) == (best == "strong")
    assert "Next: a second seed" in words and "$7.50 of sets and 6 trainings" in words
    assert f"To tell {other} from the best" in words
    assert [where for where, _ in verdict.sentences] == ["all cells", "math", "code"]
    assert [line[0] for line in verdict.lines][2] == "weak"
    assert verdict.lines[0][3] == "" and verdict.lines[2][4] == "0.5000"


def test_several_seeds_need_no_second(decide):
    (verdict,) = decide(runs_of(seeds=(1, 2, 3)))
    assert "second seed" not in verdict.sentences[0][1]
    assert "mean of seeds 1, 2 and 3" in verdict.title


def test_without_a_gap_scores_are_told_as_such(decide):
    (verdict,) = decide(runs_of(), reference=0.2)
    words = verdict.sentences[0][1]
    assert "a score of its student of" in words and "no sound PGR" in words


def test_what_was_not_run_is_named(decide):
    runs = [run for run in runs_of() if (run.generator, run.domain) != ("twin", "code")]
    (verdict,) = decide(runs)
    assert "Not compared, for want of some cells: twin." in verdict.sentences[0][1]
    assert [line[0] for line in verdict.lines] == ["strong", "weak"]
    (verdict,) = decide(runs_of(["strong"], ["math"]))
    assert "strong has no other to be compared with" in verdict.sentences[0][1]


def test_a_domain_each_leaves_nothing_to_average(decide):
    runs = runs_of(["strong"], ["math"]) + runs_of(["weak"], ["code"])
    (verdict,) = decide(runs)
    assert verdict.sentences[0][1].startswith("No generator has all cells that are averaged.")
    assert verdict.lines == []


def test_the_document_has_warnings_first(decide):
    text = render_decision(decide(runs_of()), ["One seed: so much."])
    assert text.index("One seed") < text.index("- **all cells**") < text.index("| strong")
    assert "nan" not in text.lower() and len(GENERATORS) == 3


@pytest.mark.parametrize(
    ("difference", "low", "high", "times"),
    [(1.96, 0.0, 3.92, 2.04), (10, 9, 11, 1.0), (0, -1, 1, None), (3, 3, 3, None)],
)
def test_times_the_data(difference, low, high, times):
    found = needed_times(difference, low, high)
    assert found == times or found == pytest.approx(times, abs=0.01)
