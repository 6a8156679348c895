"""What an experiment can tell apart, before anything is spent and with results there."""

import csv
import sys

import pytest
from agorabench.analysis.comparisons import COLUMNS, RANK_COLUMNS
from agorabench.config import load_config
from agorabench.errors import UserError
from agorabench.planning.power import render_power
from agorabench.report.table import to_csv
from helpers import ROOT

sys.path.insert(0, str(ROOT / "scripts/tools"))


@pytest.fixture
def config(tmp_path, monkeypatch):
    found = load_config(ROOT / "config/agorabench.yaml")
    monkeypatch.chdir(tmp_path)
    return found


def read_lines(text):
    """(what is compared, of) -> cells of a line of the table."""
    table = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in table[2:]]
    return {(line[0], line[1]): line[2:] for line in cells}


MAIN = "llama-3.1-8b, free-form, 10,000"


def test_before_anything_is_spent(config):
    text = render_power(config, 5.0, gap=0.31)
    lines = read_lines(text)
    assert lines[MAIN, "math"][1] == "7.0"  # GSM8K and MATH, known before they are fetched
    assert lines[MAIN, "average of all"][-1] == "assumed"
    assert float(lines[MAIN, "average of all"][1]) < float(lines[MAIN, "math"][1])
    assert "a gap of 0.31" in text and "2.0 points (assumed)" in text


def test_results_are_taken_where_they_are(config, tmp_path):
    place = {"student": "llama-3.1-8b", "prompt": "free-form", "size": 10000, "seed": 1}
    place |= {"method": "response", "domain": "math"}
    row = place | {"generator": "a", "other": "b", "measure": "PGR", "low": -1.96, "high": 1.96}
    row |= {"noise": "items"}
    folder = tmp_path / "results/tables"
    folder.mkdir(parents=True)
    (folder / "comparisons.csv").write_text(to_csv([row], COLUMNS))
    ranks = [place | {"seed": "mean", "generator": "a", "sd_seeds": 0.0}]
    (folder / "ranks.csv").write_text(to_csv(ranks, RANK_COLUMNS))
    text = render_power(config, 5.0)
    assert read_lines(text)[MAIN, "math"][1:] == ["2.8", "2.8", "1", "x 1.0", "measured"]
    assert "0.0 points (measured)" in text


def test_the_program_adds_the_price_of_a_seed(config, tmp_path, capsys, monkeypatch):
    import power

    folder = tmp_path / "results/tables"
    folder.mkdir(parents=True)
    with open(folder / "cost.csv", "w", newline="") as file:
        csv.writer(file).writerows([["usd"], ["12.5"], [""], ["7.5"]])
    path = str(ROOT / "config/agorabench.yaml")
    power.main(["--config", path, "--difference", "3"])
    told = capsys.readouterr().out
    assert "seeds for 3 points" in told and "about $20.00." in told
    with pytest.raises(UserError, match="--gap"):
        power.main(["--config", path, "--gap", "0"])
    assert list(folder.iterdir()) == [folder / "cost.csv"]
