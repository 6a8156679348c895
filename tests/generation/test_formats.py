"""Replies become pairs or are rejected, and pairs are valid or not, each with its reason.

The cases are data, named after the failure they come from. `text` is a reply, in the form that
`replies` says, text where it says none; `expected` is a pair or a reason, and "valid" or a reason.
Limits of validators are set to 40 characters here.
"""

import json

import pytest
from agorabench.generation import formats, validators
from helpers import ROOT
from helpers.tasks import FORMS


def cases(name):
    text = (ROOT / "tests/cases" / f"{name}.jsonl").read_text(encoding="utf-8")
    found = [json.loads(line) for line in text.strip().split("\n")]
    return [pytest.param(case, id=f"{_kind(case)}: {case['name']}") for case in found]


def _kind(case):
    return case.get("validator") or " in ".join(
        case[key] for key in ("method", "replies") if key in case
    )


@pytest.mark.parametrize("case", cases("parsing"))
def test_parse(case):
    form = case.get("replies", "text")
    if isinstance(case["expected"], list):
        assert formats.parse_reply(FORMS[case["method"]], case["text"], form) == tuple(
            case["expected"]
        )
    else:
        with pytest.raises(formats.Malformed) as caught:
            formats.parse_reply(FORMS[case["method"]], case["text"], form)
        assert str(caught.value) == case["expected"]


@pytest.mark.parametrize("end", ["", f"1{'}' * 200_000}"])
def test_nesting_deeper_than_python_reads_is_no_json(end):
    with pytest.raises(formats.Malformed, match=r"^not JSON$"):
        formats.parse_reply(FORMS["instance"], '{"instruction": ' * 200_000 + end, "json")


def test_method_response_has_no_json():
    with pytest.raises(ValueError, match=r"^a reply without an instruction is not in JSON$"):
        formats.parse_reply(FORMS["response"], '{"response": "2"}', "json")


def test_the_schema_says_what_the_parser_accepts():
    assert formats.SCHEMA == {
        "type": "object",
        "properties": {"instruction": {"type": "string"}, "response": {"type": "string"}},
        "required": ["instruction", "response"],
        "additionalProperties": False,
    }


def test_latex_in_json_is_read_as_it_was_meant_or_rejected(data):
    """Real solutions: each survives a proper escape, none passes with its backslashes undoubled."""
    text = (data / "math" / "train_partial.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.strip().split("\n")]
    reasons = set()
    for row in rows:
        pair = row["problem"].strip(), row["solution"].strip()
        reply = json.dumps(dict(zip(formats.KEYS, pair, strict=True)))
        assert formats.parse_reply(FORMS["instance"], reply, "json") == pair
        with pytest.raises(formats.Malformed) as caught:
            formats.parse_reply(FORMS["instance"], reply.replace("\\\\", "\\"), "json")
        reasons.add(str(caught.value))
    assert reasons == {"JSON escape of LaTeX", "invalid escape in JSON"}


def test_code_in_json_keeps_its_tabs_and_line_breaks(data):
    text = (data / "mbpp" / "mbpp.jsonl").read_text(encoding="utf-8")
    for row in map(json.loads, text.strip().split("\n")):
        pair = row["text"].strip(), row["code"].strip()
        reply = json.dumps(dict(zip(formats.KEYS, pair, strict=True)))
        assert formats.parse_reply(FORMS["instance"], reply, "json") == pair


@pytest.mark.parametrize("case", cases("validation"))
def test_validator(case):
    pair = (case["instruction"], case["response"])
    limit = 40 if case["validator"] == "length" else 20_000
    assert (
        validators.validate_pair(pair, [case["validator"]], max_characters=limit)
        == case["expected"]
    )


def test_every_validator_has_cases_that_pass_and_that_fail():
    seen = {
        (case.values[0]["validator"], case.values[0]["expected"] == "valid")
        for case in cases("validation")
    }
    names = [*validators.VALIDATORS, "not_held_out"]  # which the miniature offers
    assert seen == {(name, verdict) for name in names for verdict in (True, False)}


def test_validators_apply_in_their_order():
    pair = ("Do it.", "[RESULT] 2 [/RESULT] [END]")
    assert validators.validate_pair(pair, ["one_result", "no_markers"]) == "text after [/RESULT]"
    assert validators.validate_pair(pair, ["no_markers", "one_result"]) == "[END] in response"
    assert validators.validate_pair(pair, []) == "valid"
