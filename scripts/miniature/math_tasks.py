"""Math of the miniature: short stories of one or two sums, answered with the work and a result."""

import random
from collections.abc import Callable

from miniature.grammar import NAMES, NOUNS, Family


def _story_solver(steps: Callable[[int, int, int], list[tuple[int, str, int]]]):
    """A solver for a story: `steps(a, b, c)` lists (left, sign, right); left None = last result."""

    def solve(values: dict) -> tuple[str, dict]:
        a, b, c = (int(values.get(slot, 0)) for slot in "abc")
        work, result = [], None
        for left, sign, right in steps(a, b, c):
            left = result if left is None else left
            result = {"+": left + right, "-": left - right, "*": left * right}[sign]
            if result < 0 or result > 99:
                raise ValueError(f"{left}{sign}{right} leaves this world's numbers")
            work.append(f"{left}{sign}{right}={result}")
        return f"{', '.join(work)} [RESULT] {result} [/RESULT]", {"answer": str(result)}

    return solve


def _draw_slots(rng: random.Random, theme: str | None, **limits) -> dict:
    values = {"name": rng.choice(NAMES), "noun": theme or rng.choice(NOUNS)}
    return values | {slot: str(rng.randint(*limit)) for slot, limit in limits.items()}


def _draw_add(rng, theme):
    return _draw_slots(rng, theme, a=(2, 10), b=(2, 10))


def _draw_subtract(rng, theme):
    b = rng.randint(2, 9)
    return _draw_slots(rng, theme, a=(b + 1, 12)) | {"b": str(b)}


def _draw_multiply(rng, theme):
    a = rng.randint(2, 9)
    return _draw_slots(rng, theme, b=(2, min(9, 40 // a))) | {"a": str(a)}


def _draw_add_add(rng, theme):
    return _draw_slots(rng, theme, a=(2, 9), b=(2, 9), c=(2, 5))


def _draw_add_subtract(rng, theme):
    values = _draw_slots(rng, theme, a=(2, 9), b=(2, 9))
    return values | {"c": str(rng.randint(2, min(9, int(values["a"]) + int(values["b"]) - 1)))}


def _draw_multiply_add(rng, theme):
    return _draw_slots(rng, theme, a=(2, 5), b=(2, 5), c=(2, 9))


def _draw_multiply_subtract(rng, theme):
    values = _draw_slots(rng, theme, a=(2, 5), b=(2, 5))
    return values | {"c": str(rng.randint(2, min(9, int(values["a"]) * int(values["b"]) - 1)))}


def _math_family(name, wordings, draw, steps) -> Family:
    return Family("math", name, wordings, None, draw, _story_solver(steps))


ONE_STEP = (
    _math_family(
        "add",
        (
            "{name} has {a} {noun} and buys {b} more. How many now?",
            "{name} finds {a} {noun} and then {b} more. How many in all?",
        ),
        _draw_add,
        lambda a, b, c: [(a, "+", b)],
    ),
    _math_family(
        "subtract",
        (
            "{name} has {a} {noun} and loses {b}. How many are left?",
            "{name} finds {a} {noun} and sells {b}. How many are left?",
        ),
        _draw_subtract,
        lambda a, b, c: [(a, "-", b)],
    ),
    _math_family(
        "multiply",
        (
            "{name} has {a} boxes of {b} {noun}. How many in all?",
            "{name} buys {a} bags of {b} {noun}. How many in all?",
        ),
        _draw_multiply,
        lambda a, b, c: [(a, "*", b)],
    ),
)
TWO_STEPS = (
    _math_family(
        "add_add",
        (
            "{name} has {a} {noun}, buys {b} more and finds {c} more. How many now?",
            "{name} finds {a} {noun}, then {b} more and then {c} more. How many in all?",
        ),
        _draw_add_add,
        lambda a, b, c: [(a, "+", b), (None, "+", c)],
    ),
    _math_family(
        "add_subtract",
        (
            "{name} has {a} {noun}, buys {b} more and loses {c}. How many are left?",
            "{name} finds {a} {noun} and then {b} more, and sells {c}. How many are left?",
        ),
        _draw_add_subtract,
        lambda a, b, c: [(a, "+", b), (None, "-", c)],
    ),
    _math_family(
        "multiply_add",
        (
            "{name} has {a} boxes of {b} {noun} and buys {c} more. How many now?",
            "{name} buys {a} bags of {b} {noun} and finds {c} more. How many in all?",
        ),
        _draw_multiply_add,
        lambda a, b, c: [(a, "*", b), (None, "+", c)],
    ),
    _math_family(
        "multiply_subtract",
        (
            "{name} has {a} boxes of {b} {noun} and loses {c}. How many are left?",
            "{name} buys {a} bags of {b} {noun} and sells {c}. How many are left?",
        ),
        _draw_multiply_subtract,
        lambda a, b, c: [(a, "*", b), (None, "-", c)],
    ),
)
