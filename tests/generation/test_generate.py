"""N valid pairs exactly, the same whatever came before, and nothing asked twice."""

import generate
import pytest
from agorabench.files import json_fingerprint
from agorabench.generation import prompts, slots
from agorabench.llm.journal import Journal
from helpers.tasks import FORMS, METHODS

SEEDS = [
    {"id": f"s{i}", "instruction": f"question {i}", "response": f"answer {i}"} for i in range(7)
]


class Counting:
    """A generator that answers at once and counts; every `faulty`-th reply has no markers."""

    identity = "counting"

    def __init__(self, faulty=0, die_after=None):
        self.asked, self.faulty, self.die_after = [], faulty, die_after

    def complete(self, queue):
        while queue:
            request = queue.popleft()
            if self.die_after is not None and len(self.asked) == self.die_after:
                raise KeyboardInterrupt
            self.asked.append(request["fingerprint"])
            number = int(request["fingerprint"][:8], 16)
            broken = self.faulty and number % self.faulty == 0
            reply = "no markers" if broken else f"INPUT: q{number}\nOUTPUT: a{number}\n[END]"
            usage = {"input": 1, "output": 1}
            yield [
                {
                    "fingerprint": request["fingerprint"],
                    "reply": reply,
                    "finish_reason": "stop",
                    "usage": usage,
                }
            ]


def composer(method="instance", seed=1, template="{demonstrations} {theme}"):
    return prompts.Composer(
        domain="math", method=method, seed=seed, shows=METHODS[method]["shows"], form=FORMS[method],
        template=template, seeds=SEEDS,
        themes=["apples", "pens"], openings=[], demonstrations={"seed": 2, "generated": 1},
        system=None,
    )  # fmt: skip


def made(backend, size, path, writer=None, attempts=10, first_wave=8):
    """Rows of a generation against the journal at `path`."""
    with Journal(path) as journal:
        filled = slots.Slots(
            writer or composer(),
            journal,
            backend.identity,
            {},
            lambda pair: "valid",
            size,
            attempts,
        )
        filled.generate(backend, first_wave)
        return filled.rows


def valid(rows):
    return [(row["instruction"], row["response"]) for row in rows if row["verdict"] == "valid"]


def test_exactly_n_valid_pairs_and_every_reply_kept(tmp_path):
    backend = Counting(faulty=3)
    rows = made(backend, 50, tmp_path / "j.jsonl")
    assert len(valid(rows)) == 50
    assert len(rows) == len(backend.asked) > 50
    assert {row["verdict"] for row in rows} == {"valid", "no INPUT marker"}


def test_a_larger_set_extends_a_smaller_one_and_asks_for_what_is_missing(tmp_path):
    small = made(Counting(), 50, tmp_path / "j.jsonl")
    backend = Counting()
    large = made(backend, 80, tmp_path / "j.jsonl")
    assert len(backend.asked) == 30
    assert valid(large)[:50] == valid(small)
    assert valid(large) == valid(made(Counting(), 80, tmp_path / "fresh.jsonl"))


def test_a_finished_set_asks_for_nothing(tmp_path):
    rows = made(Counting(faulty=4), 40, tmp_path / "j.jsonl")
    backend = Counting(faulty=4)
    assert made(backend, 40, tmp_path / "j.jsonl") == rows
    assert backend.asked == []


@pytest.mark.parametrize("instant", [0, 1, 7, 8, 9, 30, 45])
def test_death_at_any_reply_loses_nothing(tmp_path, instant):
    whole = made(Counting(faulty=3), 40, tmp_path / "whole.jsonl")
    dying = Counting(faulty=3, die_after=instant)
    with pytest.raises(KeyboardInterrupt):
        made(dying, 40, tmp_path / "j.jsonl")
    second = Counting(faulty=3)
    assert made(second, 40, tmp_path / "j.jsonl") == whole
    assert not set(dying.asked) & set(second.asked)


def test_reverting_a_prompt_asks_for_nothing(tmp_path):
    path = tmp_path / "j.jsonl"
    first = made(Counting(), 20, path)
    edited = made(Counting(), 20, path, composer(template="Now: {demonstrations} {theme}"))
    assert valid(edited) != valid(first)
    backend = Counting()
    assert made(backend, 20, path) == first
    assert backend.asked == []


def test_generated_demonstrations_come_from_earlier_waves_only():
    pool = [{"instruction": "GENERATED", "response": "r"}]
    assert "GENERATED" in composer().compose_request(9, 0, pool)["messages"][0]["content"]
    assert "GENERATED" not in composer().compose_request(9, 0, [])["messages"][0]["content"]


def test_every_generator_is_shown_the_same_seeds_and_themes():
    """Whatever a generator has written itself, and however much of it is valid."""
    template = "{theme}: {demonstrations}"
    for slot in range(20):
        shown = set()
        for count in (0, 1, 63, 64):
            pool = [{"instruction": f"OWN {i}", "response": "r"} for i in range(count)]
            request = composer(template=template).compose_request(slot, 0, pool)
            content = request["messages"][0]["content"]
            shown.add((tuple(request["seeds"]), content.split("INPUT: OWN")[0].rstrip()))
        assert len(shown) == 1
    assert composer(seed=2).compose_request(5, 0, []) != composer().compose_request(5, 0, [])


@pytest.mark.parametrize("size", [8, 9, 10, 11, 16, 17, 18])
def test_a_finished_set_is_never_given_up(tmp_path, size):
    """One lost slot just after a wave has ended is no reason to stop."""
    rows = made(Counting(faulty=7), size, tmp_path / "j.jsonl", attempts=1, first_wave=8)
    assert len(valid(rows)) == size


def test_a_hopeless_generator_is_stopped_early_with_a_ledger(tmp_path):
    backend = Counting(faulty=1)
    with pytest.raises(slots.Shortfall, match=r"0 of 1000 pairs are valid.*no INPUT marker 24"):
        made(backend, 1000, tmp_path / "j.jsonl", attempts=3)
    assert len(backend.asked) == 24  # one wave of 8, three attempts each


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ({"reply": "INPUT: q\nOUTPUT: a", "finish_reason": "stop"}, "valid"),
        ({"reply": "INPUT: q\nOUTPUT: a", "finish_reason": "length"}, "truncated"),
        ({"reply": "", "finish_reason": "content_filter"}, "content_filter"),
    ],
)
def test_only_finished_replies_count(reply, verdict):
    read = slots.check_reply(composer(), None, reply, lambda pair: "valid")
    assert read["verdict"] == verdict


def test_response_generation_keeps_the_seed_instruction(tmp_path):
    writer = composer("response", template="{instruction}")
    backend = Counting()
    rows = made(backend, 14, tmp_path / "j.jsonl", writer)
    # Every seed is used once before any is used again.
    assert sorted(row["instruction"] for row in rows[:7]) == [row["instruction"] for row in SEEDS]


def test_a_data_set_stands_in_for_a_generator():
    pairs = [{"instruction": str(i), "response": "" if i % 2 else "r"} for i in range(20)]

    def check(pair):
        return "valid" if pair[1] else "empty response"

    rows = generate.adopt(pairs, check, 10, seed=1)
    assert len(valid(rows)) == 10
    assert rows == generate.adopt(pairs, check, 10, seed=1)
    assert rows != generate.adopt(pairs, check, 10, seed=2)
    told = "10 valid pairs of 20 and 11 are wanted; rejected: empty response 10"
    with pytest.raises(slots.Shortfall, match=told):
        generate.adopt(pairs, check, 11, seed=1)


def test_what_was_said_before_a_pair_is_checked_with_it():
    before = [{"role": "user", "content": "Q1"}, {"role": "assistant", "content": "A1"}]
    pairs, shown = [{"before": before, "instruction": "Q2", "response": "A2"}], []
    (row,) = generate.adopt(pairs, lambda pair: shown.append(pair) or "valid", 1, seed=1)
    assert shown == [("Q1\n\nA1\n\nQ2", "A2")] and row["before"] == before


def test_fingerprints_do_not_depend_on_key_order():
    assert json_fingerprint({"a": 1, "b": 2}) == json_fingerprint({"b": 2, "a": 1})
