"""The simulation behind docs/comparisons.png, smaller: equals stay untold, others are found."""

import json
import sys

import pytest
from helpers import ROOT

sys.path.append(str(ROOT / "perf"))

import comparisons


def simulate(kind, trials):
    row = dict.fromkeys(comparisons.COUNTS, 0)
    for trial in range(trials):
        comparisons.count(row, kind, trial, 500)
    return row, comparisons.shares_of(row)


def test_equal_generators_are_told_apart_as_seldom_as_promised():
    row, shares = simulate("equal", 150)
    assert (row["trials"], row["pairs"]) == (150, 150 * 15)
    assert 2 < shares["significant"] < 8
    assert shares["established"] < 9 and shares["outside"] < 9
    assert shares["uncovered"] == pytest.approx(shares["significant"], abs=1.5)


def test_a_difference_is_found_as_often_as_promised():
    row, shares = simulate("power", 150)
    assert row["pairs"] == 150
    assert shares["significant"] == pytest.approx(80, abs=9)


def test_ranks_of_generators_apart_hold_the_true_ones():
    _, shares = simulate("apart", 80)
    assert shares["outside"] < 11 and shares["significant"] > 20


def test_seeds_that_are_not_there_are_not_in_the_intervals():
    _, alone = simulate("seeds-1", 40)
    _, several = simulate("seeds-5", 40)
    assert alone["significant"] > 8 > several["established"]


def test_a_simulation_goes_on_where_it_stopped(tmp_path, capsys):
    output = tmp_path / "found.json"
    arguments = ["--kinds", "power", "--draws", "200", "--output", str(output)]
    comparisons.main([*arguments, "--trials", "3"])
    comparisons.main([*arguments, "--trials", "6", "--figure", str(tmp_path / "found.png")])
    found = json.loads(output.read_text())
    row = dict.fromkeys(comparisons.COUNTS, 0)
    for trial in range(6):
        comparisons.count(row, "power", trial, 200)
    assert found == {"power": row}
    assert "| power | 6 |" in capsys.readouterr().out and (tmp_path / "found.png").exists()


def test_the_papers_matrix_is_measured(capsys):
    comparisons.measure()
    told = capsys.readouterr().out
    # 16 blocks of 6 generators: nine cells, three averages of methods, three of domains, one of all
    assert f"{16 * 15} pairs, {16 * 6} ranks" in told and "MB" in told
