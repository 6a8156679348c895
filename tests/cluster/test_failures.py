"""What a run with failures leaves: a config of what is whole, and why jobs failed."""

import csv
import io

import pytest
from agorabench import matrix, paths
from agorabench.analysis import pgr_table
from agorabench.cluster.failures import explain_failures, leave_out
from agorabench.config import load_config, result_stages
from helpers import ROOT


@pytest.fixture
def config():
    return load_config(ROOT / "config/mini.yaml")


def runs_of(config, generator):
    return [run for run in matrix.expand_runs(config) if run.generator == generator]


def scores_of(config, runs):
    pairs = [(run.model, name) for run in runs
             for name in matrix.scored_benchmarks(config, run.domain)]  # fmt: skip
    return {paths.score(*pair) for pair in pairs}


def test_a_generator_that_fails_leaves_the_others_whole(config):
    lost = runs_of(config, "narrow")
    unmade = scores_of(config, lost) | {paths.raw_replies(run.cell) for run in lost}
    unmade |= {paths.score(*pair) for pair in matrix.ability_evaluations(config, ["narrow"])}
    left = leave_out(config, unmade)
    assert left["missing"] == [run.model for run in lost]
    assert {run.generator for run in matrix.expand_runs(left)} == {"strong", "noisy"}
    assert not unmade & {paths.score(*pair) for pair in matrix.all_evaluations(left)}
    assert config["missing"] == []  # the user's own stays


def test_the_table_names_what_it_goes_without_and_nobody_takes_that_for_a_result(config):
    lost = runs_of(config, "narrow")[:1]
    left = leave_out(config, scores_of(config, lost))
    params = result_stages.aggregate(left, "pgr").params
    rows = pgr_table.missing_rows(params)
    assert [(row["generator"], row["flag"], row["pgr"]) for row in rows] == [
        ("narrow", "missing", None)
    ]
    sound = dict.fromkeys(pgr_table.COLUMNS, "x") | {"size": 1, "seed": 1, "n_items": 1, "flag": ""}
    sound |= dict.fromkeys(pgr_table.NUMBERS, 1.0)
    text = pgr_table.to_csv([sound, *rows])
    assert len(list(csv.DictReader(io.StringIO(text)))) == 2
    assert [row["generator"] for row in pgr_table.from_csv(text)] == ["x"]


def test_whole_tables_are_decided_by_what_decided_them_before(config):
    assert "missing" not in result_stages.aggregate(config, "pgr").text
    assert "missing" not in result_stages.report(config).text


def test_a_judge_or_a_metric_that_fails_leaves_the_pgrs(config):
    cell = matrix.list_cells(config)[0]
    name = matrix.model_metrics(config)[0]
    left = leave_out(config, {paths.metric(name, cell)})
    assert left["missing"] == [f"intrinsic/{name}"] and name not in left["intrinsic"]
    assert matrix.expand_runs(left) == matrix.expand_runs(config)


def test_a_benchmark_that_the_base_has_no_score_on_goes_and_its_domain_stays(config):
    first, second = matrix.scored_benchmarks(config, "math")
    left = leave_out(config, {paths.score("mini/base", first)})
    assert left["missing"] == [f"benchmarks/{first}"]
    assert matrix.scored_benchmarks(left, "math") == [second]


def test_nothing_is_made_of_nothing(config):
    every = {paths.score(*pair) for pair in matrix.all_evaluations(config)}
    assert leave_out(config, every) is None
    assert leave_out(config, set()) is None


def test_failed_jobs_are_told_by_their_sentences(tmp_path):
    logs = [tmp_path / f"{n}.log" for n in range(5)]
    for log in logs:
        log.write_text("loading\nerror: generator g: no pair is valid\nTraceback (of others)\n")
    text = explain_failures([("generate", f"raw/{log.stem}", str(log)) for log in logs])
    assert text.splitlines()[:2] == ["5 jobs failed:", "  error: generator g: no pair is valid"]
    assert text.splitlines()[-1] == "    and 2 more"
    (tmp_path / "empty.log").write_text("")
    text = explain_failures([("score", "x", str(tmp_path / name)) for name in ("empty.log", "no")])
    assert "its log is empty" in text and "it left no log" in text
