"""What has changed in a stage's parameters, in words."""

import json

import pytest
from agorabench.config.changes import describe_change

CASES = [
    ({"limit": 5}, {"limit": 7}, "limit: 7, not 5"),
    ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 1.0}}}, "a.b.c: 1.0, not 1"),
    ({"v": {"math": ["length", "x"]}}, {"v": {"math": ["length"]}}, "v.math: without 'x'"),
    ({"v": ["a"]}, {"v": ["b", "a"]}, "v: with 'b'"),
    ({"v": ["a", "b"]}, {"v": ["b", "a"]}, "v: in another order"),
    ({"system": None}, {"system": "Be brief."}, "system: 'Be brief.', not null"),
    ({"x": 1}, {"x": 1, "top_p": 0.9}, "top_p: 0.9, not null"),
    ({"x": 1, "y": "k" * 99}, {"x": 2}, f"x: 2, not 1, y: null, not '{'k' * 59}..."),
    ({"x": 1}, {"x": 1}, ""),
    (
        dict.fromkeys("abcdefg", 1),
        dict.fromkeys("abcdefg", 2),
        "a: 2, not 1, b: 2, not 1, c: 2, not 1, d: 2, not 1, e: 2, not 1, and 2 more",
    ),
]


@pytest.mark.parametrize("before, now, words", CASES)
def test_keys_that_differ_are_named_with_both_values(before, now, words):
    kept = ([repr(json.dumps(value)), "'math'", "4"] for value in (before, now))
    assert describe_change(*kept) == words


def test_parameters_of_no_stage_have_no_words():
    assert describe_change(["'math'", "['--seed', '1']", "<object>"], ["'code'"]) == ""
