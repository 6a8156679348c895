"""The paper's six benchmarks in one run: real items, a tiny model, judges behind HTTP, a table."""

import csv
from collections import Counter

import pytest
import servers
from agorabench.files import read_json, read_jsonl
from helpers import ROOT
from helpers.asking import KEY
from helpers.workflow import Folder
from servers.providers import invalid

pytestmark = pytest.mark.slow

SHARE = 0.5  # of the judges' replies have no verdict that can be read
ITEMS = {"gsm8k": 12, "math": 12, "humaneval": 4, "mbpp": 4, "alpaca-eval": 30, "arena-hard": 20}
GAMES = {"alpaca-eval": 1, "arena-hard": 2}  # of an item
ALSO = {"gsm8k": {"strict"}, "math": {"strict"}}
ALSO |= {name: {"base", "evalplus"} for name in ("humaneval", "mbpp")}
ALSO |= {"alpaca-eval": {"raw", "predicted"}, "arena-hard": {"style_controlled"}}
STUDENTS = {
    name: f"tiny/{domain}/response/human/none/n60-seed1"
    for domain, names in {
        "math": ("gsm8k", "math"),
        "code": ("humaneval", "mbpp"),
        "instruction": ("alpaca-eval", "arena-hard"),
    }.items()
    for name in names
}


def test_six_scores_of_base_reference_and_student_reach_the_table(data, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY, "test-key")
    folder = Folder(tmp_path / "six")
    path = folder.path
    (path / "resources").mkdir()
    (path / "resources/real").symlink_to(data)
    # The tool's own, but for the system message, which the tool has in its code.
    official = (data / "arena_hard/arena-hard-v0.1.yaml").read_text()
    system = "system_prompt: End with one of [[A>>B]], [[A>B]], [[A=B]], [[B>A]], [[B>>A]].\n"
    (path / "arena-judge.yaml").write_text(system + official)
    settings = {"invalid": SHARE, "models": {"judge-1": "judge-1"}}
    with (
        servers.start(write="name", **settings) as first,
        servers.start(write="label", **settings) as second,
    ):
        judges = {"alpaca-eval": first, "arena-hard": second}
        text = (ROOT / "tests/cases/six.yaml").read_text()
        text = text.replace("JUDGE_1", first.openai).replace("JUDGE_2", second.openai)
        (path / "six.yaml").write_text(text)
        command = ("results/pgr_table.csv", "--configfile", "six.yaml")
        folder.snakemake(*command)

        for name, count in ITEMS.items():
            for model in models(name):
                told = read_json(path / f"results/scores/{model}/{name}.json")
                assert (told["model"], told["benchmark"]) == (model, name)
                assert told["n"] + told["without_verdict"] == count
                assert told["score"] >= 0 and told["standard_error"] >= 0
                assert set(told["also"]) == ALSO[name]
                assert told["judge"] == ("judge-1" if name in judges else None)
        for name, server in judges.items():
            check_judge(path, name, server.books(bodies=True))
        check_table(path / "results/pgr_table.csv")

        asked = {name: server.books()["answered"] for name, server in judges.items()}
        assert "Nothing to be done" in folder.snakemake(*command)
        assert {name: server.books()["answered"] for name, server in judges.items()} == asked


def models(name):
    """Base, reference and student that answer a benchmark."""
    return ["tiny/base", "tiny/reference", STUDENTS[name]]


def check_judge(path, name, books):
    """What the judge was asked and could not be read is what judgements and scores say."""
    judgements = {
        model: read_jsonl(path / f"results/judgements/{model}/{name}.jsonl")
        for model in models(name)
    }
    games = [row for rows in judgements.values() for row in rows]
    assert len(games) == 3 * GAMES[name] * ITEMS[name]
    assert {row["judge"] for row in games} == {row["answered_by"] for row in games} == {"judge-1"}

    # Asked again while it could not be read, at most three times; and nothing was asked twice.
    attempts = sum(row["attempts"] for row in games)
    assert len(books["bodies"]) == attempts and set(books["bodies"].values()) == {1}
    journals = (path / f"journal/judge/{name}").glob("**/seed*.jsonl")
    keys = [row["fingerprint"] for journal in journals for row in read_jsonl(journal)]
    assert len(set(keys)) == len(keys) == attempts

    # The server knows which of its replies it has spoilt: no verdict was guessed, none was lost.
    spoilt = sum(invalid({"invalid": SHARE}, body) for body in books["bodies"])
    assert spoilt == sum(row["attempts"] - (row["verdict"] is not None) for row in games)
    silent = [row for row in games if row["verdict"] is None]
    assert silent and {row["attempts"] for row in silent} == {3}
    assert {row["attempts"] for row in games if row["verdict"] is not None} == {1, 2, 3}
    for model, rows in judgements.items():
        read = Counter(row["id"] for row in rows if row["verdict"] is not None)
        told = read_json(path / f"results/scores/{model}/{name}.json")
        assert told["without_verdict"] == ITEMS[name] - len(read)


def check_table(path):
    """Every benchmark has its row, with three scores, and a PGR or the reason why not."""
    with open(path) as file:
        rows = [row for row in csv.DictReader(file) if row["benchmark"] != "mean"]
    assert {row["benchmark"] for row in rows} == set(ITEMS) and len(rows) == len(ITEMS)
    for row in rows:
        assert all(row[f"{who}_score"] for who in ("student", "base", "reference"))
        assert (row["pgr_low"] and row["pgr_high"]) or row["flag"]
        assert 0 < int(row["n_items"]) <= ITEMS[row["benchmark"]]
