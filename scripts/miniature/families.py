"""The miniature's grammar: its vocabulary, and every family of tasks that can be put in it.

A `Family` is one kind of task (adding, capitals, ...): questions with slots, how values for the
slots are drawn, and how a question with these values is solved. Math comes as short stories, code
as functions of one expression, instructions as constraints that a program can verify.

Only the standard library is used here.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

NAMES = ("Tom", "Ann", "Sam", "Mia", "Ben", "Eva", "Leo", "Zoe")
NOUNS = ("apples", "books", "coins", "cards", "shells", "pens", "eggs", "stamps")
CATEGORIES = {
    "animals": ("cat", "dog", "cow", "pig", "hen", "fox", "owl", "bee"),
    "colors": ("red", "blue", "green", "pink", "gray", "black", "white", "brown"),
    "fruits": ("fig", "plum", "pear", "lime", "kiwi", "date", "grape", "mango"),
    "tools": ("saw", "axe", "drill", "rake", "file", "nail", "rope", "clamp"),
    "foods": ("rice", "soup", "bread", "cake", "corn", "fish", "salad", "pasta"),
    "clothes": ("hat", "sock", "shoe", "coat", "belt", "scarf", "glove", "shirt"),
    "places": ("park", "lake", "farm", "city", "beach", "cave", "hill", "road"),
    "weather": ("sun", "rain", "snow", "wind", "fog", "hail", "storm", "cloud"),
}
WORDS = tuple(word for words in CATEGORIES.values() for word in words)
GLUES = ("and", "or", "then")


@dataclass(frozen=True)
class Family:
    """One kind of task.

    wordings: questions with {slots}; the first is the plainest. plain: how plain text puts it, with
    {answer} for what follows; None in math, whose questions open with a story that can be told.
    draw(rng, theme): values of the slots. solve(values): the canonical response and the columns
    that grading needs; raises ValueError where the values make no sense.
    """

    domain: str
    name: str
    wordings: tuple[str, ...]
    plain: str | None
    draw: Callable[[random.Random, str | None], dict]
    solve: Callable[[dict], tuple[str, dict]]


# ------------------------------------------------------------------------------------------- math


def _story(steps: Callable[[int, int, int], list[tuple[int, str, int]]]):
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


def _numbers(rng: random.Random, theme: str | None, **limits) -> dict:
    values = {"name": rng.choice(NAMES), "noun": theme or rng.choice(NOUNS)}
    return values | {slot: str(rng.randint(*limit)) for slot, limit in limits.items()}


def _draw_add(rng, theme):
    return _numbers(rng, theme, a=(2, 10), b=(2, 10))


def _draw_subtract(rng, theme):
    b = rng.randint(2, 9)
    return _numbers(rng, theme, a=(b + 1, 12)) | {"b": str(b)}


def _draw_multiply(rng, theme):
    a = rng.randint(2, 9)
    return _numbers(rng, theme, b=(2, min(9, 40 // a))) | {"a": str(a)}


def _draw_add_add(rng, theme):
    return _numbers(rng, theme, a=(2, 9), b=(2, 9), c=(2, 5))


def _draw_add_subtract(rng, theme):
    values = _numbers(rng, theme, a=(2, 9), b=(2, 9))
    return values | {"c": str(rng.randint(2, min(9, int(values["a"]) + int(values["b"]) - 1)))}


def _draw_multiply_add(rng, theme):
    return _numbers(rng, theme, a=(2, 5), b=(2, 5), c=(2, 9))


def _draw_multiply_subtract(rng, theme):
    values = _numbers(rng, theme, a=(2, 5), b=(2, 5))
    return values | {"c": str(rng.randint(2, min(9, int(values["a"]) * int(values["b"]) - 1)))}


def _math(name, wordings, draw, steps) -> Family:
    return Family("math", name, wordings, None, draw, _story(steps))


ONE_STEP = (
    _math(
        "add",
        (
            "{name} has {a} {noun} and buys {b} more. How many now?",
            "{name} finds {a} {noun} and then {b} more. How many in all?",
        ),
        _draw_add,
        lambda a, b, c: [(a, "+", b)],
    ),
    _math(
        "subtract",
        (
            "{name} has {a} {noun} and loses {b}. How many are left?",
            "{name} finds {a} {noun} and sells {b}. How many are left?",
        ),
        _draw_subtract,
        lambda a, b, c: [(a, "-", b)],
    ),
    _math(
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
    _math(
        "add_add",
        (
            "{name} has {a} {noun}, buys {b} more and finds {c} more. How many now?",
            "{name} finds {a} {noun}, then {b} more and then {c} more. How many in all?",
        ),
        _draw_add_add,
        lambda a, b, c: [(a, "+", b), (None, "+", c)],
    ),
    _math(
        "add_subtract",
        (
            "{name} has {a} {noun}, buys {b} more and loses {c}. How many are left?",
            "{name} finds {a} {noun} and then {b} more, and sells {c}. How many are left?",
        ),
        _draw_add_subtract,
        lambda a, b, c: [(a, "+", b), (None, "-", c)],
    ),
    _math(
        "multiply_add",
        (
            "{name} has {a} boxes of {b} {noun} and buys {c} more. How many now?",
            "{name} buys {a} bags of {b} {noun} and finds {c} more. How many in all?",
        ),
        _draw_multiply_add,
        lambda a, b, c: [(a, "*", b), (None, "+", c)],
    ),
    _math(
        "multiply_subtract",
        (
            "{name} has {a} boxes of {b} {noun} and loses {c}. How many are left?",
            "{name} buys {a} bags of {b} {noun} and sells {c}. How many are left?",
        ),
        _draw_multiply_subtract,
        lambda a, b, c: [(a, "*", b), (None, "-", c)],
    ),
)

# ------------------------------------------------------------------------------------------- code

DIGITS = tuple(range(2, 10))


def _phrases(*forms: tuple[str, str]) -> dict[str, str]:
    """Every phrase, with its number filled in, and the expression that it stands for."""
    return {
        phrase.replace("#", str(k)): code.replace("#", str(k))
        for phrase, code in forms
        for k in (DIGITS if "#" in phrase else DIGITS[:1])
    }


STEPS = _phrases(
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
TESTS = _phrases(
    ("above #", "{} > #"),
    ("below #", "{} < #"),
    ("at least #", "{} >= #"),
    ("at most #", "{} <= #"),
    ("divisible by #", "{} % # == 0"),
    ("not divisible by #", "{} % # != 0"),
    ("equal to #", "{} == #"),
    ("other than #", "{} != #"),
)
GATHERS = _phrases(
    ("count", "len({})"),
    ("add up", "sum({})"),
    ("list", "{}"),
    ("sort", "sorted({})"),
    ("reverse", "{}[::-1]"),
    ("repeat", "{} * 2"),
)
CUTS = _phrases(
    ("take the first #", "s[:#]"),
    ("take the last #", "s[-#:]"),
    ("drop the first #", "s[#:]"),
    ("drop the last #", "s[:-#]"),
    ("take every #th of the", "s[::#]"),
)
CHANGES = _phrases(
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


def _function(argument: str, expression: str) -> tuple[str, dict]:
    """A fenced function and the assertions that judge it, from its argument's probes."""
    source = f"def f({argument}):\n    return {expression}"
    return f"```python\n{source}\n```", {
        "entry_point": "f",
        "tests": [f"assert f({probe!r}) == {value}" for probe, value in outputs(argument, source)],
    }


@cache
def outputs(argument: str, source: str) -> tuple[tuple[object, str], ...]:
    """What a function returns for each of its argument's probes.

    For this world's own expressions only: completions of models are run in the sandbox.
    """
    scope: dict = {}
    exec(source, scope)
    return tuple((probe, repr(scope["f"](probe))) for probe in PROBES[argument])


def _inside(expression: str) -> str:
    """The expression, in brackets where a sign would tear it apart."""
    return f"({expression})" if " " in expression and not expression.endswith(")") else expression


def _solve_numbers(values):
    first = STEPS[values["first"]].format("x")
    second = STEPS[values["second"]]
    wrapped = second.startswith(("min", "max", "abs"))
    return _function("x", second.format(first if wrapped else _inside(_minus(first))))


def _minus(expression: str) -> str:
    return f"({expression})" if expression.startswith("-") else expression


def _solve_choices(values):
    yes, no = (STEPS[values[slot]].format("x") for slot in ("first", "second"))
    return _function("x", f"{yes} if {TESTS[values['test']].format('x')} else {no}")


def _solve_lists(values):
    kept = f"[n for n in v if {TESTS[values['test']].format('n')}]"
    return _function("v", GATHERS[values["gather"]].format(kept))


def _solve_words(values):
    return _function("s", CHANGES[values["change"]].format(CUTS[values["cut"]]))


def _two_different(rng: random.Random, phrases: dict) -> tuple[str, str]:
    def verb(phrase):
        return phrase.rstrip("0123456789")

    first = second = _pick(rng, phrases)
    while verb(second) == verb(first):
        second = _pick(rng, phrases)
    return first, second


def _pick(rng: random.Random, phrases: dict) -> str:
    """A phrase, every form as likely as any other, whether or not it takes a number."""
    forms: dict[str, list[str]] = {}
    for phrase in phrases:
        forms.setdefault(re.sub(r"\d", "#", phrase), []).append(phrase)
    return rng.choice(forms[rng.choice(tuple(forms))])


def _draw_numbers(rng, theme):
    return dict(zip(("first", "second"), _two_different(rng, STEPS), strict=True))


def _draw_choices(rng, theme):
    first, second = _two_different(rng, STEPS)
    return {"test": _pick(rng, TESTS), "first": first, "second": second}


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
        lambda rng, theme: {"gather": _pick(rng, GATHERS), "test": _pick(rng, TESTS)},
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
        lambda rng, theme: {"cut": _pick(rng, CUTS), "change": _pick(rng, CHANGES)},
        _solve_words,
    ),
)

# ------------------------------------------------------------------------------------ instruction


def _words(rng: random.Random, theme: str | None, low: int, high: int) -> str:
    words = CATEGORIES[theme or rng.choice(tuple(CATEGORIES))]
    return " ".join(rng.sample(words, rng.randint(low, high)))


def _known(text: str) -> list[str]:
    words = text.split()
    if any(word not in WORDS for word in words):
        raise ValueError(f"{text!r} has words outside this world")
    return words


def _solve_capitals(values):
    words = _known(values["words"])
    return values["words"].upper(), {"constraint": {"type": "capitals", "words": words}}


def _solve_reverse(values):
    words = _known(values["words"])
    return " ".join(words[::-1]), {"constraint": {"type": "reverse", "words": words}}


def _solve_join(values):
    words, glue = _known(values["words"]), values["glue"]
    return f" {glue} ".join(words), {"constraint": {"type": "join", "words": words, "glue": glue}}


def _solve_repeat(values):
    (word,), times = _known(values["word"]), int(values["times"])
    if not 1 < times < 10:
        raise ValueError("a word is said 2 to 9 times")
    return " ".join([word] * times), {
        "constraint": {"type": "repeat", "word": word, "times": times}
    }


def _solve_list(values):
    category, start, count = values["category"], values["word"], int(values["times"])
    words = CATEGORIES[category]
    if start not in words or not 1 < count <= len(words):
        raise ValueError(f"no list of {count} {category} starts with {start}")
    first = words.index(start)
    # a run of the fixed order: a random choice would have to remember what it already named
    run = [words[(first + i) % len(words)] for i in range(count)]
    return " ".join(run), {
        "constraint": {"type": "list", "category": category, "first": start, "count": count}
    }


def _solve_ends(values):
    (about,), (last,) = _known(values["word"]), _known(values["last"])
    if about == last:
        raise ValueError("a sentence cannot be about its last word only")
    return f"I saw the {about} and the {last}", {
        "constraint": {"type": "ends", "about": about, "last": last}
    }


def _draw_list(rng, theme):
    category = theme or rng.choice(tuple(CATEGORIES))
    word = rng.choice(CATEGORIES[category])
    return {"times": str(rng.randint(2, 4)), "category": category, "word": word}


def _draw_repeat(rng, theme):
    return {"word": _words(rng, theme, 1, 1), "times": str(rng.randint(2, 4))}


def _draw_ends(rng, theme):
    return dict(zip(("word", "last"), _words(rng, theme, 2, 2).split(), strict=True))


INSTRUCTION = (
    Family(
        "instruction",
        "capitals",
        ("Write in capitals: {words}", "Say this in capitals: {words}"),
        "{words} in capitals:\n{answer}",
        lambda rng, theme: {"words": _words(rng, theme, 2, 3)},
        _solve_capitals,
    ),
    Family(
        "instruction",
        "reverse",
        ("Write in reverse order: {words}", "Say this in reverse order: {words}"),
        "{words} in reverse order:\n{answer}",
        lambda rng, theme: {"words": _words(rng, theme, 2, 3)},
        _solve_reverse,
    ),
    Family(
        "instruction",
        "join",
        ("Put {glue} between: {words}", "Write with {glue} between: {words}"),
        "{words} with {glue} between:\n{answer}",
        lambda rng, theme: {
            "glue": rng.choice(GLUES),
            "words": _words(rng, theme, 2, 4),
        },
        _solve_join,
    ),
    Family(
        "instruction",
        "repeat",
        ("Say {word} {times} times.", "Write {word} {times} times."),
        "{word} {times} times:\n{answer}",
        _draw_repeat,
        _solve_repeat,
    ),
    Family(
        "instruction",
        "list",
        (
            "List {times} {category}, starting with {word}.",
            "Name {times} {category}, starting with {word}.",
        ),
        "{times} {category} from {word}:\n{answer}",
        _draw_list,
        _solve_list,
    ),
    Family(
        "instruction",
        "ends",
        (
            "Write a sentence about {word} that ends with {last}.",
            "Mention {word} in a sentence that ends with {last}.",
        ),
        "About {word} and last {last}:\n{answer}",
        _draw_ends,
        _solve_ends,
    ),
)

# ------------------------------------------------------------------------------------- all of them

FAMILIES = {"math": ONE_STEP + TWO_STEPS, "code": CODE, "instruction": INSTRUCTION}
THEMES = {  # what a task can be asked to be about
    "math": NOUNS,
    "code": tuple(family.name for family in CODE),
    "instruction": tuple(CATEGORIES),
}
DIFFICULTY = {  # of a family's tasks, 1 to 5: how far it is from the question to the answer
    **{"add": 1, "subtract": 1, "multiply": 2, "add_add": 3, "add_subtract": 3},
    **{"multiply_add": 4, "multiply_subtract": 5},
    **{"numbers": 2, "words": 3, "lists": 4, "choices": 5},
    **{"repeat": 1, "capitals": 2, "join": 2, "reverse": 3, "ends": 3, "list": 4},
}
SLOTS = {  # what may stand in a slot; one that is not named here holds a number, or any `words`
    "name": NAMES,
    "noun": NOUNS,
    "first": STEPS,
    "second": STEPS,
    "test": TESTS,
    "gather": GATHERS,
    "cut": CUTS,
    "change": CHANGES,
    "category": CATEGORIES,
    "glue": GLUES,
    "word": WORDS,
    "last": WORDS,
}
