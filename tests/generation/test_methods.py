"""A method of the user's own, from its entry in the config to the pair in a reply."""

import json

import pytest
from agorabench.config.models import MethodEntry
from agorabench.generation import cells, prompts, slots
from agorabench.generation.validators import validate_pair

SEEDS = [{"id": f"s{n}", "instruction": f"task {n}", "response": f"answer {n}"} for n in range(4)]
MARKED = {"instruction": "New task:", "response": "New answer:"}
# Name -> (entry of the method, prompt, form of replies, reply, pair or reason).
CASES = {
    "examples, one of them generated": (
        {"shows": "examples", "reply": MARKED},
        "About {theme}:\n{demonstrations}",
        "text",
        "New task: a\nNew answer: b\n[END] and more",
        ("a", "b"),
    ),
    "examples in JSON": (
        {"shows": "examples", "reply": MARKED},
        "{demonstrations}",
        "json",
        '{"instruction": "a", "response": "b"}',
        ("a", "b"),
    ),
    "no examples": (
        {"shows": "nothing", "reply": MARKED},
        "Something about {theme}, begin with {opening}.",
        "text",
        "New task: a\nNew answer: b",
        ("a", "b"),
    ),
    "a seed's instruction, and both anew": (
        {"shows": "instruction", "reply": MARKED},
        "Harder than {instruction}?",
        "text",
        "New task: a\nNew answer: b",
        ("a", "b"),
    ),
    "a pair, and both anew in JSON": (
        {"shows": "pair", "reply": MARKED},
        "Mend {instruction} and {response}",
        "json",
        '```json\n{"instruction": "a", "response": "b"}\n```',
        ("a", "b"),
    ),
    "the whole reply": (
        {"shows": "instruction"},
        "{instruction}",
        "text",
        "New task: is no marker here",
        ("task", "New task: is no marker here"),
    ),
    "the response behind a marker": (
        {"shows": "pair", "reply": {"response": "Better:"}},
        "{instruction} {response}",
        "text",
        "\nBetter: b\nc",
        ("task", "b\nc"),
    ),
    "words before the marker": (
        {"shows": "pair", "reply": {"response": "Better:"}},
        "{instruction} {response}",
        "text",
        "Sure!\nBetter: b",
        "text before Better",
    ),
    "the marker twice": (
        {"shows": "pair", "reply": {"response": "Better:"}},
        "{instruction} {response}",
        "text",
        "Better: a\nBetter: b",
        "Better marker twice",
    ),
    "the other order": (
        {"shows": "instruction", "reply": MARKED},
        "{instruction}",
        "text",
        "New answer: b\nNew task: a",
        "markers out of order",
    ),
}


@pytest.mark.parametrize("entry, prompt, replies, reply, expected", CASES.values(), ids=CASES)
def test_from_an_entry_to_a_pair(entry, prompt, replies, reply, expected):
    method = MethodEntry.model_validate(entry).model_dump()
    prompts.check_template(prompt, method["shows"], "p.md")
    composer = prompts.Composer(
        domain="a_b", method="own", seed=1, shows=method["shows"], form=method["reply"],
        template=prompt, seeds=SEEDS, themes=["apples"], openings=["Why"],
        demonstrations={"seed": 1, "generated": 1}, system=None, replies=replies,
    )  # fmt: skip
    pool = [{"instruction": "made", "response": "before"}]
    request = composer.compose_request(0, 0, pool)
    (message,) = request["messages"]
    assert "{" not in message["content"] or replies == "json"
    if method["shows"] == "examples":
        shown = [row for row in [*SEEDS, *pool] if row["instruction"] in message["content"]]
        assert len(shown) == 2 and pool[0] in shown
    assert bool(request["seeds"]) == (method["shows"] != "nothing")
    asked = {"finish_reason": "stop", "reply": reply}
    row = slots.check_reply(composer, request["instruction"], asked, lambda pair: "valid")
    if isinstance(expected, str):
        assert row["verdict"] == expected
    else:
        found = row["instruction"].rstrip(" 0123456789"), row["response"]
        assert (*found, row["verdict"]) == (*expected, "valid")


def test_a_demonstration_is_a_reply_of_its_own_method():
    shown = prompts.format_demonstrations(SEEDS[:1], MARKED)
    assert shown == "New task: task 0\nNew answer: answer 0\n[END]"
    assert json.loads(prompts.format_demonstrations(SEEDS[:1], MARKED, "json")) == {
        "instruction": "task 0",
        "response": "answer 0",
    }


def test_a_pair_with_a_marker_of_its_own_method_is_two_replies():
    markers = cells.list_markers({"reply": MARKED})
    pair = ("a", "b\nNew task: c")
    assert validate_pair(pair, ["no_markers"]) == "valid"
    assert validate_pair(pair, ["no_markers"], markers=markers) == "New task: in response"
