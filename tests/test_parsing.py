"""Replies become pairs or are rejected, and pairs are valid or not, each with its reason.

The cases are data, named after the failure they come from. `text` is a reply; `expected` is a pair
or a reason, and "valid" or a reason. Limits of validators are set to 40 characters here.
"""

import json

import pytest
from agorabench import parsing, validation
from conftest import ROOT


def cases(name):
    text = (ROOT / "tests/cases" / f"{name}.jsonl").read_text(encoding="utf-8")
    found = [json.loads(line) for line in text.strip().split("\n")]
    return [
        pytest.param(case, id=f"{case.get('method') or case['validator']}: {case['name']}")
        for case in found
    ]


@pytest.mark.parametrize("case", cases("parsing"))
def test_parse(case):
    if isinstance(case["expected"], list):
        assert parsing.parse(case["method"], case["text"]) == tuple(case["expected"])
    else:
        with pytest.raises(parsing.Malformed) as caught:
            parsing.parse(case["method"], case["text"])
        assert str(caught.value) == case["expected"]


@pytest.mark.parametrize("case", cases("validation"))
def test_validator(case):
    pair = (case["instruction"], case["response"])
    limit = 40 if case["validator"] == "length" else 20_000
    assert validation.validate(pair, [case["validator"]], max_characters=limit) == case["expected"]


def test_every_validator_has_cases_that_pass_and_that_fail():
    seen = {
        (case.values[0]["validator"], case.values[0]["expected"] == "valid")
        for case in cases("validation")
    }
    assert seen == {(name, verdict) for name in validation.VALIDATORS for verdict in (True, False)}


def test_validators_apply_in_their_order():
    pair = ("Do it.", "[RESULT] 2 [/RESULT] [END]")
    assert validation.validate(pair, ["one_result", "no_markers"]) == "text after [/RESULT]"
    assert validation.validate(pair, ["no_markers", "one_result"]) == "[END] in response"
    assert validation.validate(pair, []) == "valid"
