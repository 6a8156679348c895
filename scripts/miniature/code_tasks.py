"""Code of the miniature: functions of one expression, answered with a fenced block."""

import random
import re
from functools import cache

from miniature.grammar import Family

DIGITS = tuple(range(2, 10))


def _fill_phrases(*forms: tuple[str, str]) -> dict[str, str]:
    """Every phrase, with its number filled in, and the expression that it stands for."""
    return {
        phrase.replace("#", str(k)): code.replace("#", str(k))
        for phrase, code in forms
        for k in (DIGITS if "#" in phrase else DIGITS[:1])
    }


STEPS = _fill_phrases(
    ("add #", "{} + #"),
    ("subtract #", "{} - #"),
    ("multiply by #", "{} * #"),
    ("divide by #", "{} // #"),
    ("take the remainder by #", "{} % #"),
    ("square it", "{} ** 2"),
    ("flip the sign", "-{}"),
    ("drop the sign", "abs({})"),
    ("cap at #", "min({}, #)"),
    ("keep at least #", "max({}, #)"),
)
TESTS = _fill_phrases(
    ("above #", "{} > #"),
    ("below #", "{} < #"),
    ("at least #", "{} >= #"),
    ("at most #", "{} <= #"),
    ("divisible by #", "{} % # == 0"),
    ("not divisible by #", "{} % # != 0"),
    ("equal to #", "{} == #"),
    ("other than #", "{} != #"),
)
GATHERS = _fill_phrases(
    ("count", "len({})"),
    ("add up", "sum({})"),
    ("list", "{}"),
    ("sort", "sorted({})"),
    ("reverse", "{}[::-1]"),
    ("repeat", "{} * 2"),
)
CUTS = _fill_phrases(
    ("take the first #", "s[:#]"),
    ("take the last #", "s[-#:]"),
    ("drop the first #", "s[#:]"),
    ("drop the last #", "s[:-#]"),
    ("take every #th of the", "s[::#]"),
)
CHANGES = _fill_phrases(
    ("reverse them", "{}[::-1]"),
    ("put them in upper case", "{}.upper()"),
    ("put them in lower case", "{}.lower()"),
    ("write them # times", "{} * #"),
    ("count them", "len({})"),
)
PROBES = {
    "x": (-11, -4, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 24),
    "v": ([], [7, 2, 9, 4], [5, 3, 8, 6, 12, 1], [-3, 0, 10, 18, 14, 35, 9, 8, 6, 7]),
    "s": ("", "Hi", "banana", "Good Morning", "abcdefghijklmnopqrstu"),
}


def _write_function(argument: str, expression: str) -> tuple[str, dict]:
    """A fenced function and the assertions that judge it, from its argument's probes."""
    source = f"def f({argument}):\n    return {expression}"
    return f"```python\n{source}\n```", {
        "entry_point": "f",
        "tests": [
            f"assert f({probe!r}) == {value}" for probe, value in probe_outputs(argument, source)
        ],
    }


@cache
def probe_outputs(argument: str, source: str) -> tuple[tuple[object, str], ...]:
    """What a function returns for each of its argument's probes.

    For this world's own expressions only: completions of models are run in the sandbox.
    """
    scope: dict = {}
    exec(source, scope)
    return tuple((probe, repr(scope["f"](probe))) for probe in PROBES[argument])


def _bracket_sum(expression: str) -> str:
    """The expression, in brackets where a sign would tear it apart."""
    return f"({expression})" if " " in expression and not expression.endswith(")") else expression


def _solve_numbers(values):
    first = STEPS[values["first"]].format("x")
    second = STEPS[values["second"]]
    wrapped = second.startswith(("min", "max", "abs"))
    return _write_function(
        "x", second.format(first if wrapped else _bracket_sum(_bracket_minus(first)))
    )


def _bracket_minus(expression: str) -> str:
    return f"({expression})" if expression.startswith("-") else expression


def _solve_choices(values):
    yes, no = (STEPS[values[slot]].format("x") for slot in ("first", "second"))
    return _write_function("x", f"{yes} if {TESTS[values['test']].format('x')} else {no}")


def _solve_lists(values):
    kept = f"[n for n in v if {TESTS[values['test']].format('n')}]"
    return _write_function("v", GATHERS[values["gather"]].format(kept))


def _solve_words(values):
    return _write_function("s", CHANGES[values["change"]].format(CUTS[values["cut"]]))


def _two_different(rng: random.Random, phrases: dict) -> tuple[str, str]:
    def verb(phrase):
        return phrase.rstrip("0123456789")

    first = second = _pick_phrase(rng, phrases)
    while verb(second) == verb(first):
        second = _pick_phrase(rng, phrases)
    return first, second


def _pick_phrase(rng: random.Random, phrases: dict) -> str:
    """A phrase, every form as likely as any other, whether or not it takes a number."""
    forms: dict[str, list[str]] = {}
    for phrase in phrases:
        forms.setdefault(re.sub(r"\d", "#", phrase), []).append(phrase)
    return rng.choice(forms[rng.choice(tuple(forms))])


def _draw_numbers(rng, theme):
    return dict(zip(("first", "second"), _two_different(rng, STEPS), strict=True))


def _draw_choices(rng, theme):
    first, second = _two_different(rng, STEPS)
    return {"test": _pick_phrase(rng, TESTS), "first": first, "second": second}


CODE = (
    Family(
        "code",
        "numbers",
        (
            "Write a function f(x) to {first}, then {second}.",
            "Write f(x): first {first}, then {second}.",
        ),
        "# {first}, then {second}\n{answer}",
        _draw_numbers,
        _solve_numbers,
    ),
    Family(
        "code",
        "choices",
        (
            "Write a function f(x) to {first} if x is {test}, else {second}.",
            "Write f(x): if x is {test}, {first}, else {second}.",
        ),
        "# {first} if x is {test}, else {second}\n{answer}",
        _draw_choices,
        _solve_choices,
    ),
    Family(
        "code",
        "lists",
        (
            "Write a function f(v) to {gather} the numbers {test}.",
            "Write f(v): {gather} all numbers {test}.",
        ),
        "# {gather} the numbers {test}\n{answer}",
        lambda rng, theme: {"gather": _pick_phrase(rng, GATHERS), "test": _pick_phrase(rng, TESTS)},
        _solve_lists,
    ),
    Family(
        "code",
        "words",
        (
            "Write a function f(s) to {cut} letters and {change}.",
            "Write f(s): {cut} letters, then {change}.",
        ),
        "# {cut} letters and {change}\n{answer}",
        lambda rng, theme: {"cut": _pick_phrase(rng, CUTS), "change": _pick_phrase(rng, CHANGES)},
        _solve_words,
    ),
)
