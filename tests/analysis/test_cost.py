"""What sets took and what was paid: tokens, dollars, batches, faults."""

import contextlib

import aggregate
import pandas
import pytest
from agorabench.errors import UserError
from agorabench.files import write_json, write_jsonl
from curate import count_replies, select_pairs
from helpers.tasks import METHODS, STUDENT

PRICE = {"input": 2.0, "output": 10.0, "batch": 0.5}
PLACE = "math/response/{}/p"


def reply(number, verdict="valid", **more):
    """A raw row with 100 prompt and 10 completion tokens."""
    row = {"fingerprint": f"{number:064}", "slot": number, "attempt": 0, "verdict": verdict}
    row |= {"instruction": f"q{number}", "response": f"a{number}", "model": "m-1"}
    return row | {"usage": {"input": 100, "output": 10}} | more


def books(tmp_path, generators, journals=None, prices=None, classified=None):
    """(Rows of cost.csv by (generator, size), rows of paid.csv by generator).

    `generators` maps names to {size: raw rows}, `journals` names to journal rows.
    """
    sizes = sorted({size for sets in generators.values() for size in sets})
    for name, sets in generators.items():
        for size, raw in sets.items():
            path = tmp_path / "results/data" / PLACE.format(name) / f"n{size}-seed1.ledger.json"
            write_json(path, count_replies(raw, select_pairs(raw, size), 0))
    for name, rows in (journals or {}).items():
        write_jsonl(tmp_path / "journal" / PLACE.format(name) / "seed1.jsonl", rows)
    axes = {"students": ["s", "t"], "domains": ["math"], "methods": ["response"]}
    axes |= {"generators": list(generators), "prompts": ["p"], "sizes": sizes, "seeds": [1]}
    prices = prices or dict.fromkeys([*generators, *(classified or {}).values()], PRICE)
    config = {"experiments": {"main": axes}, "benchmarks": {}, "intrinsic": {}}
    config["generators"] = {n: {"backend": "openai", "price": prices[n]} for n in prices}
    config |= {"students": dict.fromkeys(axes["students"], STUDENT), "methods": METHODS}
    config["seeds"] = {
        "math": {
            str(i): {"classify": {"prompt": prompt, "generator": name}}
            for i, (prompt, name) in enumerate((classified or {}).items())
        }
    }
    with contextlib.chdir(tmp_path):
        aggregate.write_table(config, "cost")
        aggregate.write_table(config, "paid")
    sets = pandas.read_csv(tmp_path / "results/tables/cost.csv").to_dict("records")
    paid = pandas.read_csv(tmp_path / "results/tables/paid.csv").to_dict("records")
    found = {(row["generator"], row["size"]): row for row in sets}
    assert len(found) == len(sets)  # a row for each set, not for each student
    return found, {row["generator"]: row for row in paid}


def test_rejected_replies_are_paid_for_too(tmp_path):
    raw = [reply(0), reply(1, "truncated"), reply(1, attempt=1), reply(2, "truncated"), reply(3)]
    row = books(tmp_path, {"g": {3: raw}})[0]["g", 3]
    assert (row["pairs"], row["replies"], row["replies_without_usage"]) == (3, 5, 0)
    assert (row["input_tokens"], row["output_tokens"]) == (500, 50)
    assert row["usd"] == pytest.approx((500 * 2 + 50 * 10) / 1e6)
    assert row["usd_per_reply"] == pytest.approx(row["usd"] / 5)
    assert row["usd_per_pair"] == pytest.approx(row["usd"] / 3)
    assert (row["input_tokens_per_reply"], row["output_tokens_per_reply"]) == (100, 10)


def test_batch_replies_cost_the_price_of_batches(tmp_path):
    raw = [reply(0), reply(1, mode="batch"), reply(2, mode="batch")]
    row = books(tmp_path, {"g": {3: raw}})[0]["g", 3]
    one = (100 * 2 + 10 * 10) / 1e6
    assert row["usd"] == pytest.approx(one + 2 * one / 2)
    assert (row["input_tokens"], row["batch_input_tokens"]) == (300, 200)


def test_replies_without_usage_are_counted_and_left_out_of_means(tmp_path):
    raw = [reply(0), reply(1, usage=None), reply(2, usage=None)]
    row = books(tmp_path, {"g": {3: raw}})[0]["g", 3]
    assert (row["replies"], row["replies_without_usage"]) == (3, 2)
    assert row["usd"] == row["usd_per_reply"] == pytest.approx((100 * 2 + 10 * 10) / 1e6)
    assert row["input_tokens_per_reply"] == 100


def test_models_that_answered_are_named(tmp_path):
    raw = [reply(0), reply(1, model="m-2"), reply(2)]
    row = books(tmp_path, {"g": {3: raw}})[0]["g", 3]
    assert row["models"] == "m-1;m-2"


def test_what_a_data_set_takes(tmp_path):
    raw = [reply(n, usage={"input": 0, "output": 0}) for n in range(3)]
    for row in raw:
        del row["model"]
    sets, paid = books(tmp_path, {"human": {3: raw}}, prices={"human": {"input": 0, "output": 0}})
    row = sets["human", 3]
    assert (row["usd"], row["usd_per_pair"], row["replies"]) == (0, 0, 3)
    assert (paid["human"]["replies"], paid["human"]["usd"], paid["human"]["pairs"]) == (0, 0, 3)


def test_sets_that_share_a_journal_are_paid_for_once(tmp_path):
    raw = [reply(n) for n in range(5)]
    sets, paid = books(tmp_path, {"g": {3: raw[:3], 5: raw}}, {"g": raw})
    one = (100 * 2 + 10 * 10) / 1e6
    assert [sets["g", size]["usd"] for size in (3, 5)] == pytest.approx([3 * one, 5 * one])
    assert paid["g"]["usd"] == pytest.approx(5 * one)
    assert (paid["g"]["pairs"], paid["g"]["replies"]) == (5, 5)


def test_faults_and_what_was_given_up_are_paid_for(tmp_path):
    raw = [reply(n) for n in range(3)]
    usage = {"input": 100, "output": 1}
    lost = [
        {"fingerprint": "a", "fault": "429"},
        {"fingerprint": "a", "fault": "wrong model", "usage": usage, "model": "m-9"},
        {"fingerprint": "b", "fault": "empty", "usage": usage, "mode": "batch"},
        {"fingerprint": "b", "fault": "timeout", "most": {"input": 150, "output": 500}},
        reply(9, mode="batch"),  # to a prompt that is no longer asked
        reply(8, usage=None),
    ]
    sets, paid = books(tmp_path, {"g": {3: raw}}, {"g": raw + lost})
    row = paid["g"]
    assert (row["replies"], row["replies_without_usage"]) == (5, 1)
    assert (row["faults"], row["paid_faults"], row["unclear_faults"]) == (4, 2, 1)
    assert (row["input_tokens"], row["batch_input_tokens"]) == (600, 200)
    online = 3 * 100 + 100, 3 * 10 + 1
    batch = 100 + 100, 1 + 10
    expected = online[0] * 2 + online[1] * 10 + (batch[0] * 2 + batch[1] * 10) / 2
    assert row["usd"] == pytest.approx(expected / 1e6)
    assert row["usd_per_pair"] == pytest.approx(row["usd"] / 3, rel=1e-3)
    assert sets["g", 3]["usd"] < row["usd"]
    assert row["models"] == "m-1;m-9"


def test_a_classification_is_paid_by_the_generator_that_did_it(tmp_path):
    raw = [reply(n) for n in range(3)]
    place = tmp_path / "journal/classify/kinds.jsonl"
    write_jsonl(place, raw[:2])
    paid = books(tmp_path, {"g": {3: raw}}, {"g": raw}, classified={"kinds.md": "sorter"})[1]
    assert (paid["sorter"]["replies"], paid["sorter"]["pairs"], paid["g"]["replies"]) == (2, 0, 3)
    assert paid["sorter"]["usd"] == pytest.approx(2 * (100 * 2 + 10 * 10) / 1e6)


def test_a_torn_line_is_left_out_and_a_damaged_one_refused(tmp_path):
    raw = [reply(n) for n in range(3)]
    path = tmp_path / "journal" / PLACE.format("g") / "seed1.jsonl"
    write_jsonl(path, raw)
    with open(path, "a") as file:
        file.write('{"fingerprint": "x", "usa')
    assert books(tmp_path, {"g": {3: raw}})[1]["g"]["replies"] == 3
    path.write_text("no row\n")
    with pytest.raises(UserError, match=r"seed1.jsonl, line 1: not a journal row"):
        books(tmp_path, {"g": {3: raw}})
