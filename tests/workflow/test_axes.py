"""Axes that the paper leaves open: seeds, students, mixtures of generators, references."""

import contextlib
import json

import aggregate
import mix
import numpy as np
import pytest
import yaml
from agorabench import matrix
from agorabench.analysis.pgr_table import to_csv
from agorabench.analysis.seeds import COLUMNS, spread_rows
from agorabench.config import check_config
from agorabench.errors import UserError
from agorabench.files import write_json, write_jsonl
from agorabench.generation.duplicates import repeat_filter
from agorabench.generation.slots import Shortfall
from agorabench.planning import forecast, survey
from agorabench.report import card
from agorabench.stats.pgr import MEAN
from analysis import test_aggregate
from curate import count_by_generator, count_replies, select_pairs
from helpers import ROOT
from helpers.tasks import STUDENT
from helpers.workflow import Folder, count

PLACE = {"domain": "math", "method": "response", "prompt": "mini", "size": 300}


# Seeds


def rows_of(pgrs, **place):
    """Rows of a PGR table, one for each seed."""
    names = ("generator", "method", "domain", "benchmark", "prompt", "size", "student")
    same = dict.fromkeys(names, "x") | place
    return [same | {"seed": seed, "pgr": pgr} for seed, pgr in enumerate(pgrs, 1)]


def test_the_spread_between_seeds_is_numpys():
    draws = np.random.default_rng(1)
    for number in (2, 3, 10):
        pgrs = draws.normal(50, 30, number).tolist()
        mean = [{**rows_of([0.0])[0], "seed": MEAN}]  # a row of the table, and no further seed
        (row,) = spread_rows(rows_of(pgrs) + mean)
        assert row["seeds"] == number
        assert row["pgr_mean"] == pytest.approx(np.mean(pgrs))
        assert row["pgr_sd"] == pytest.approx(np.std(pgrs, ddof=1))
        assert (row["pgr_lowest"], row["pgr_highest"]) == (np.min(pgrs), np.max(pgrs))


def test_one_seed_has_no_deviation_and_no_gap_no_numbers():
    one, none = spread_rows(rows_of([40.0], generator="a") + rows_of([None, None], generator="b"))
    assert (one["seeds"], one["pgr_mean"], one["pgr_sd"]) == (1, 40.0, None)
    assert none["seeds"] == 2
    assert {none[name] for name in COLUMNS if name.startswith("pgr")} == {None}
    assert to_csv([one], COLUMNS).splitlines()[1].endswith(",1,40.0000,,40.0000,40.0000")


# Mixtures


def slot(number, name, verdicts=("valid",)):
    """Replies to one slot; the last is the pair, if any."""
    return [
        {
            "slot": number, "attempt": attempt, "verdict": verdict, "model": f"{name}-1",
            "instruction": f"q{number}", "response": f"{name} {number}",
            "usage": {"input": 100, "output": 10},
        }
        for attempt, verdict in enumerate(verdicts)
    ]  # fmt: skip


def sets(size, *names, **special):
    """generator -> rows of a set; `special`: generator -> {slot: verdicts}."""
    return {
        name: [
            row
            for number in range(size)
            for row in slot(number, name, special.get(name, {}).get(number, ("valid",)))
        ]
        for name in names
    }


def pairs(rows):
    return [(row["generator"], row["response"]) for row in rows if row["verdict"] == "valid"]


def test_a_mixture_takes_turns_and_uses_every_seed_once():
    rows = mix.mix(sets(6, "a", "b"), {"a": 0.5, "b": 0.5}, 6)
    assert pairs(rows) == [(name, f"{name} {slot}") for slot, name in enumerate("ababab")]
    assert [row["slot"] for row in rows] == list(range(6))


@pytest.mark.parametrize(
    "shares", [[0.3, 0.7], [0.05, 0.95], [1 / 3, 1 / 3, 1 / 3], [0.1, 0.2, 0.3, 0.4]]
)
def test_shares_hold_at_every_length(shares):
    """Within one pair, so that a larger mixture extends a smaller one."""
    shares = dict(zip("abcd", shares, strict=False))
    names = [name for name, _ in pairs(mix.mix(sets(100, *shares), shares, 100))]
    for length in range(1, 101):
        for name, share in shares.items():
            assert abs(names[:length].count(name) - share * length) < 1
        assert [name for name, _ in pairs(mix.mix(sets(100, *shares), shares, length))] == (
            names[:length]
        )


def test_rejected_replies_come_along_and_a_slot_that_failed_is_made_up_for():
    special = {"a": {0: ("truncated", "valid"), 2: ("truncated", "truncated")}}
    rows = mix.mix(sets(5, "a", "b", **special), {"a": 0.5, "b": 0.5}, 4)
    assert pairs(rows) == [("a", "a 0"), ("b", "b 1"), ("a", "a 3"), ("b", "b 4")]
    assert [row["verdict"] for row in rows if row["generator"] == "a"] == [
        "truncated", "valid", "truncated", "truncated", "valid",
    ]  # fmt: skip
    told = count_replies(rows, select_pairs(rows, 4), 0)
    assert (told["replies"], told["slots_given_up"]) == (7, 1)
    assert told["models"] == {"a-1": 5, "b-1": 2}


def test_repeats_between_parts_are_replaced_by_what_their_parts_have_left():
    made = sets(4, "a", "b")
    made["b"][1] |= {key: made["a"][0][key] for key in ("instruction", "response")}
    kept = mix.mix(made, {"a": 0.5, "b": 0.5}, 4)
    assert [row["verdict"] for row in kept] == ["valid"] * 4
    rows = mix.mix(made, {"a": 0.5, "b": 0.5}, 4, repeat_filter("exact"))
    assert pairs(rows) == [("a", "a 0"), ("a", "a 2"), ("b", "b 3"), ("b", "b 0")]
    assert [row["verdict"] for row in rows].count("duplicate") == 1
    assert all(row["verdict"] == "valid" for row in made["b"])  # the parts' own rows stay


def test_a_mixture_that_cannot_be_filled_says_why():
    same = {name: [row | {"instruction": "q", "response": "r"} for row in rows]
            for name, rows in sets(4, "a", "b").items()}  # fmt: skip
    with pytest.raises(Shortfall) as caught:
        mix.mix(same, {"a": 0.5, "b": 0.5}, 4, repeat_filter("near"))
    assert str(caught.value) == (
        "b has no further pair to give: the mixture has 1 of 4 pairs, 0 of them from b; "
        "rejected: duplicate 6"
    )


def test_a_mixture_is_a_set_like_others(tmp_path):
    """As files; and it costs what its parts' sets do, which are made whole."""
    made = sets(4, "a", "b", a={1: ("truncated", "valid")}, b={0: ("truncated", "valid")})
    raw = mix.mix(made, {"a": 0.25, "b": 0.75}, 4)
    chosen = select_pairs(raw, 4)
    told = count_replies(raw, chosen, 0) | {"parts": count_by_generator(raw, chosen)}
    assert {name: part["pairs"] for name, part in told["parts"].items()} == {"a": 1, "b": 3}

    config = {"experiments": {"main": experiment(generators=["ab", "b"])}}
    config |= {"benchmarks": {}, "intrinsic": {}, "seeds": {}}
    config["students"] = {"mini": STUDENT}
    config["generators"] = {
        "a": {"backend": "openai", "price": {"input": 2, "output": 10}},
        "b": {"backend": "openai", "price": {"input": 1, "output": 0}},
        "ab": {"backend": "mixture", "of": {"a": 0.25, "b": 0.75}},
    }
    books = {name: count_replies(made[name], select_pairs(made[name], 4), 0) for name in "ab"}
    data = tmp_path / "results/data/math/response"
    for name, book in (books | {"ab": told}).items():
        write_json(data / f"{name}/mini/n4-seed1.ledger.json", book)
    for name in "ab":
        write_jsonl(
            tmp_path / f"journal/math/response/{name}/mini/seed1.jsonl",
            [{**row, "fingerprint": f"{name}{i}"} for i, row in enumerate(made[name])],
        )
    with contextlib.chdir(tmp_path):
        aggregate.write_table(config, "cost")
        (data / "a/mini/n4-seed1.ledger.json").unlink()
        aggregate.write_table(config, "paid")
    cost, paid = (
        {
            row["generator"]: row
            for row in test_aggregate.read(tmp_path / f"results/tables/{name}.csv")
        }
        for name in ("cost", "paid")
    )
    # Five replies of a and five of b, of each one that was rejected; the mixture has three of b's.
    usd = (5 * (100 * 2 + 10 * 10) + 5 * 100 * 1) / 1e6
    assert float(cost["ab"]["usd"]) == pytest.approx(usd)
    assert float(cost["ab"]["usd_per_pair"]) == pytest.approx(usd / 4, rel=1e-3)
    assert (cost["ab"]["pairs"], cost["ab"]["replies"]) == ("4", "10")
    assert (cost["ab"]["input_tokens"], cost["ab"]["models"]) == ("1000", "a-1;b-1")
    assert float(cost["b"]["usd"]) == pytest.approx(5 * 100 * 1 / 1e6)
    assert {name: row["pairs"] for name, row in paid.items()} == {"a": "1", "b": "4"}
    assert float(paid["a"]["usd"]) == pytest.approx(5 * (100 * 2 + 10 * 10) / 1e6)


def experiment(**axes):
    """The axes of a small experiment."""
    same = {"domains": ["math"], "methods": ["response"], "prompts": ["mini"], "sizes": [4]}
    return same | {"seeds": [1], "students": ["mini"]} | axes


def test_the_plan_asks_for_parts_once_and_weighs_them(monkeypatch, tmp_path):
    whole = yaml.safe_load((ROOT / "config/mini.yaml").read_text())
    whole["generators"]["mixed"] = {"backend": "mixture", "of": {"strong": 0.25, "noisy": 0.75}}
    whole["generators"]["strong"]["sampling"] = {"max_tokens": 40}
    whole["generators"]["noisy"]["sampling"] = {"max_tokens": 20}
    whole["experiments"] = {"main": experiment(generators=["mixed", "strong"], sizes=[100])}
    for folder in ("config", "scripts"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    config = check_config(whole)
    runs = {run.generator: run for run in matrix.expand_runs(config)}
    assert list(runs) == ["mixed", "strong"]
    due = [part for _, part in matrix.mixture_parts(config, runs["mixed"])]
    jobs = [job("generate", run) for run in due] + [job("train", run) for run in runs.values()]
    known = survey.survey(config, jobs, 1)
    rows = forecast.forecast(config, jobs, known)
    asked = {row["asks"]: row["requests_at_least"] for row in rows if "asks" in row}
    assert asked == {"strong": 100, "noisy": 100}
    mixed, strong = (row["trained_tokens"] for row in rows if row["rule"] == "train")
    difference = 100 * 5 * (0.25 * 40 + 0.75 * 20 - 40)  # pairs, epochs, tokens of a response
    assert mixed - strong == pytest.approx(difference)


def job(rule, run):
    names = ("student", "domain", "method", "generator", "prompt", "size", "seed")
    wildcards = {name: str(getattr(run, name)) for name in names}
    made = {"generate": f"results/raw/{run.cell}.jsonl", "train": f"results/models/{run.model}"}
    return {"rule": rule, "wildcards": wildcards, "output": [made[rule]]}


# References


def test_another_reference_takes_the_place_of_the_usual_one(tmp_path, monkeypatch):
    axes = {"domains": ["math"], "methods": ["response"]}
    config = test_aggregate.config_of(["g"], {"sums": "math"}, draws=100, **axes)
    (run,) = test_aggregate.runs_of(config)
    scores = {"mini/base": 0.2, "mini/reference": 0.8, "mini/reference-weak": 0.5}
    for model, share in (scores | {test_aggregate.model_of(run): 0.35}).items():
        test_aggregate.write_scores(tmp_path / "results/scores", model, "sums", share)
    config["students"]["mini"]["references"] = {"weak": {}, "none": {}}
    monkeypatch.chdir(tmp_path)
    aggregate.write_pgr_table(config)
    aggregate.write_pgr_table(config, "weak")
    usual, weak = (
        test_aggregate.read(tmp_path / f"results/{name}.csv")[0]
        for name in ("pgr_table", "references/weak")
    )
    assert (usual["pgr"], usual["reference_score"]) == ("25.0000", "80.0000")
    assert (weak["pgr"], weak["reference_score"]) == ("50.0000", "50.0000")
    assert list(weak) == list(usual)
    with pytest.raises(UserError, match="mini/reference-none"):
        aggregate.write_pgr_table(config, "none")
    with pytest.raises(UserError, match="unknown reference 'other'; known: weak, none"):
        aggregate.write_pgr_table(config, "other")


# The miniature's experiments


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Jobs of config/axes.yaml and of the miniature alone, in a fresh clone."""
    clone = Folder(tmp_path_factory.mktemp("axes") / "clone")
    return clone, clone.stale("--configfile", "config/axes.yaml"), clone.stale()


def test_the_axes_add_little_to_the_miniature(planned):
    _, jobs, mini = planned
    assert count(jobs) - count(mini) == {
        "generate": 8,  # of strong and noisy with three seeds each; of half the size; reworded
        "mix": 3, "curate": 11, "audit": 11, "train": 13, "predict_math": 13,
        "predict_anchor": 3,  # of the second student two, and the further reference
        "score": 2 * (13 + 2) + 4, "aggregate_reference": 1,
        "judge_set": 2 * 11, "measure": 4 * 11,  # of each new set, by two judges and four metrics
    }  # fmt: skip


def test_parts_are_made_where_no_student_needs_them(planned):
    clone, *_ = planned
    alone = {"experiments": {"main": experiment(generators=["mixed"])}}
    mini = yaml.safe_load((clone.path / "config/mini.yaml").read_text())
    axes = yaml.safe_load((clone.path / "config/axes.yaml").read_text())
    mini["generators"] |= axes["generators"]
    (clone.path / "alone.json").write_text(json.dumps(mini | alone))
    jobs = clone.stale("data", "--configfile", "alone.json")
    assert sorted(output for rule, output in jobs if rule in ("generate", "mix", "curate")) == [
        "results/data/math/response/mixed/mini/n4-seed1.jsonl",
        "results/raw/math/response/mixed/mini/n4-seed1.jsonl",
        "results/raw/math/response/noisy/mini/n4-seed1.jsonl",
        "results/raw/math/response/strong/mini/n4-seed1.jsonl",
    ]
    jobs = clone.stale("results/tables/cost.csv", "--configfile", "alone.json")
    assert sorted(output for rule, output in jobs if rule == "curate") == [
        f"results/data/math/response/{name}/mini/n4-seed1.jsonl"
        for name in ("mixed", "noisy", "strong")  # the parts' ledgers say what it costs
    ]
    jobs = clone.stale("abilities", "--configfile", "alone.json")
    assert jobs == [("abilities", "")]  # a mixture has none


def test_a_matrix_that_lacks_its_seeds_is_not_taken_for_an_addition(planned):
    clone, *_ = planned
    mini = yaml.safe_load((clone.path / "config/mini.yaml").read_text())
    del mini["seeds"]
    (clone.path / "mine.json").write_text(json.dumps(mini))
    status, text = clone.snakemake("-n", "--configfile", "mine.json", check=False)
    assert status == 1 and "error: mine.json: missing key 'seeds'" in text


def test_the_card_names_the_parts_of_a_mixture():
    cell = matrix.Cell("math", "response", "ab", "mini", 4, 1)
    sampling = {"top_p": 0.9}
    entries = {name: {"model": f"{name}-1", "sampling": sampling} for name in "ab"}
    entries["ab"] = {"of": {"a": 0.25, "b": 0.75}}
    rows = card.list_generators([cell], entries, {cell: {"models": {"a-1": 1, "b-1": 3}}})
    assert [(row["generator"], row["model"], row["sampling"]) for row in rows] == [
        ("ab", "0.25 a + 0.75 b", ""), ("a", "a-1", "top_p 0.9"), ("b", "b-1", "top_p 0.9"),
    ]  # fmt: skip
