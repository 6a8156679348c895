"""The miniature's world: a grammar of tasks, their right and wrong answers, and who may see which.

A `Family` is one kind of task (adding, capitals, ...). Its questions are `wordings` with slots, and
a draw of values for the slots is a `Task`. Reading is the inverse of writing: `parse` finds the
task that a question states, so that anything a generator wrote can be solved again and checked.

The `key` of a task is its family and values, without the wording and the person's name. A hash of
the key decides whether it is held out: held-out tasks appear in benchmarks only, never in seeds, in
pre-training text or in post-training pairs, whatever their wording. Facts such as `3+4=7` and the
spelling of words are common knowledge, which all of them may use.

Only the standard library is used here.
"""

import ast
import hashlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from agorabench.errors import UserError

DOMAINS = ("math", "code", "instruction")
METHODS = ("instance", "response", "enhancement")
HELD_OUT = 0.2  # share of the tasks of every family

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
CODE_THEMES = ("numbers", "choices", "lists", "words")
THEMES = {"math": NOUNS, "code": CODE_THEMES, "instruction": tuple(CATEGORIES)}


# ------------------------------------------------------------------------------------- the grammar


@dataclass(frozen=True)
class Family:
    """One kind of task.

    wordings: questions with {slots}; the first is the plainest. plain: how plain text puts it, with
    {answer} for what follows. draw(rng, theme): values of the slots. solve(values): the canonical
    response and the columns that grading needs; raises ValueError where the values make no sense.
    """

    domain: str
    name: str
    wordings: tuple[str, ...]
    plain: str
    draw: Callable[[random.Random, str | None], dict]
    solve: Callable[[dict], tuple[str, dict]]
    theme: Callable[[dict], str]


@dataclass(frozen=True)
class Task:
    """A family with values: a question, its canonical response, and what grading needs."""

    family: Family
    values: tuple[tuple[str, str], ...]
    wording: int

    @property
    def domain(self) -> str:
        return self.family.domain

    @property
    def theme(self) -> str:
        return self.family.theme(dict(self.values))

    @property
    def key(self) -> str:
        values = (v for slot, v in self.values if slot != "name")
        return "/".join((self.domain, self.family.name, *values))

    @property
    def prompt(self) -> str:
        return self.family.wordings[self.wording].format(**dict(self.values))

    @property
    def response(self) -> str:
        return self.family.solve(dict(self.values))[0]

    @property
    def grading(self) -> dict:
        return self.family.solve(dict(self.values))[1]


def held_out(key: str) -> bool:
    """Whether the task of this key is reserved for benchmarks (a fixed share of every family)."""
    head = hashlib.sha256(key.encode()).digest()[:8]
    return int.from_bytes(head, "big") < HELD_OUT * 2**64


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
    # what precedes the question is the story, and plain text tells it with its sum
    story = wordings[0].rpartition(" How many")[0]
    plain = f"{story} {{answer}}"
    return Family("math", name, wordings, plain, draw, _story(steps), lambda v: v["noun"])


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
    """A fenced function and the assertions that judge it, from the argument's probes."""
    source = f"def f({argument}):\n    return {expression}"
    return f"```python\n{source}\n```", {
        "entry_point": "f",
        "tests": [f"assert f({probe!r}) == {value}" for probe, value in _outputs(argument, source)],
    }


@cache
def _outputs(argument: str, source: str) -> tuple[tuple[object, str], ...]:
    # this world's own expressions only: completions of models are run in the sandbox
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
        lambda v: "numbers",
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
        lambda v: "choices",
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
        lambda v: "lists",
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
        lambda v: "words",
    ),
)


# ------------------------------------------------------------------------------------ instruction

CATEGORY_OF = {word: category for category, words in CATEGORIES.items() for word in words}


def _words(rng: random.Random, theme: str | None, low: int, high: int) -> str:
    words = CATEGORIES[theme or rng.choice(tuple(CATEGORIES))]
    return " ".join(rng.sample(words, rng.randint(low, high)))


def _known(text: str) -> list[str]:
    words = text.split()
    if not words or any(word not in CATEGORY_OF for word in words):
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


def _of_word(slot: str) -> Callable[[dict], str]:
    return lambda values: CATEGORY_OF[values[slot].split()[0]]


INSTRUCTION = (
    Family(
        "instruction",
        "capitals",
        ("Write in capitals: {words}", "Say this in capitals: {words}"),
        "{words} in capitals:\n{answer}",
        lambda rng, theme: {"words": _words(rng, theme, 2, 3)},
        _solve_capitals,
        _of_word("words"),
    ),
    Family(
        "instruction",
        "reverse",
        ("Write in reverse order: {words}", "Say this in reverse order: {words}"),
        "{words} in reverse order:\n{answer}",
        lambda rng, theme: {"words": _words(rng, theme, 2, 3)},
        _solve_reverse,
        _of_word("words"),
    ),
    Family(
        "instruction",
        "join",
        ("Put {glue} between: {words}", "Write with {glue} between: {words}"),
        "{words} with {glue} between:\n{answer}",
        lambda rng, theme: {
            "glue": rng.choice(("and", "or", "then")),
            "words": _words(rng, theme, 2, 4),
        },
        _solve_join,
        _of_word("words"),
    ),
    Family(
        "instruction",
        "repeat",
        ("Say {word} {times} times.", "Write {word} {times} times."),
        "{word} {times} times:\n{answer}",
        _draw_repeat,
        _solve_repeat,
        _of_word("word"),
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
        lambda v: v["category"],
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
        _of_word("word"),
    ),
)

FAMILIES = {"math": ONE_STEP + TWO_STEPS, "code": CODE, "instruction": INSTRUCTION}
BENCHMARKS = {
    "mini-sums": (ONE_STEP, 200),
    "mini-steps": (TWO_STEPS, 200),
    "mini-code": (CODE, 120),
    "mini-constraints": (INSTRUCTION, 200),
}


# ------------------------------------------------------------------------------ drawing and reading


def draw(
    rng: random.Random,
    families: tuple[Family, ...],
    theme: str | None = None,
    benchmark: bool = False,
    wordings: int | None = None,
) -> Task:
    """A random task from the held-out part (`benchmark`) or from the rest.

    theme: one of the domain's THEMES, or None for any; wordings: how many of a family's wordings
    may be used, or None for all of them.
    """
    if theme in CODE_THEMES:
        families = tuple(family for family in families if family.name == theme) or families
    while True:
        family = rng.choice(families)
        values = family.draw(rng, theme)
        wording = rng.randrange(wordings or len(family.wordings))
        task = Task(family, tuple(sorted(values.items())), wording)
        if held_out(task.key) == benchmark:
            return task


_SLOTS = {
    "name": NAMES,
    "noun": NOUNS,
    "first": STEPS,
    "second": STEPS,
    "test": TESTS,
    "gather": GATHERS,
    "cut": CUTS,
    "change": CHANGES,
    "category": CATEGORIES,
    "glue": ("and", "or", "then"),
    "word": CATEGORY_OF,
    "last": CATEGORY_OF,
}


def _slot(name: str) -> str:
    if name in _SLOTS:
        return f"(?P<{name}>{'|'.join(map(re.escape, _SLOTS[name]))})"
    if name == "words":
        return r"(?P<words>[a-z]+(?: [a-z]+)+)"
    return rf"(?P<{name}>\d{{1,2}})"


@cache
def _readers() -> tuple[tuple[Family, int, re.Pattern], ...]:
    readers = []
    for families in FAMILIES.values():
        for family in families:
            for wording, text in enumerate(family.wordings):
                parts = re.split(r"\{(\w+)\}", text)
                pattern = "".join(
                    _slot(part) if i % 2 else re.escape(part) for i, part in enumerate(parts)
                )
                readers.append((family, wording, re.compile(pattern)))
    return tuple(readers)


def parse(question: str) -> Task | None:
    """The task that a question states, or None when this world has no such task."""
    for family, wording, pattern in _readers():
        match = pattern.fullmatch(question.strip())
        if match is None:
            continue
        task = Task(family, tuple(sorted(match.groupdict().items())), wording)
        try:
            family.solve(dict(task.values))
        except ValueError:
            return None
        return task
    return None


# ---------------------------------------------------------------------------------------- grading


def extract_result(completion: str) -> str | None:
    """The number inside the one [RESULT] pair that ends the text, or None."""
    if completion.count("[RESULT]") != 1 or completion.count("[/RESULT]") != 1:
        return None
    match = re.search(r"\[RESULT\]\s*(-?\d+)\s*\[/RESULT\]\s*$", completion)
    return match.group(1) if match else None


def extract_code(completion: str) -> str | None:
    """The code inside the one fenced block that is the whole text, or None."""
    match = re.fullmatch(r"\s*```python\n(.*?)\n?```\s*", completion, re.DOTALL)
    return None if match is None or "```" in match.group(1) else match.group(1)


def _meets(constraint: dict, text: str) -> str:
    """Why the text breaks the constraint; empty when it does not."""
    words, kind = text.split(), constraint["type"]
    if kind == "capitals":
        wanted = [word.upper() for word in constraint["words"]]
        return "" if words == wanted else f"not {' '.join(wanted)!r}"
    if kind == "reverse":
        return "" if words == constraint["words"][::-1] else "not in reverse order"
    if kind == "join":
        wanted = f" {constraint['glue']} ".join(constraint["words"]).split()
        return "" if words == wanted else f"not joined by {constraint['glue']!r}"
    if kind == "repeat":
        wanted = [constraint["word"]] * constraint["times"]
        return "" if words == wanted else f"not {constraint['word']!r} {constraint['times']} times"
    if kind == "list":
        if len(words) != constraint["count"]:
            return f"{len(words)} words, not {constraint['count']}"
        if len(set(words)) != len(words):
            return "a word is named twice"
        if any(word not in CATEGORIES[constraint["category"]] for word in words):
            return f"not all are {constraint['category']}"
        return "" if words[0] == constraint["first"] else f"does not start with {words[0]!r}"
    if constraint["about"] not in words[:-1]:
        return f"does not mention {constraint['about']!r}"
    return "" if words[-1] == constraint["last"] else f"does not end with {constraint['last']!r}"


def verify(
    row: dict, completion: str, run: Callable[[str, list[str]], tuple[bool, str]] | None = None
) -> tuple[float, str, str]:
    """Grade one completion: (score 0.0 or 1.0, what was extracted, why it failed or "").

    row: a benchmark row. run(code, tests): runs assertions after code and says (passed, reason);
    needed for code only, and the caller's, as code from models belongs in the sandbox.
    """
    if row["kind"] == "math":
        result = extract_result(completion)
        if result is None:
            return 0.0, "", "no single [RESULT] pair at the end"
        right = int(result) == int(row["answer"])
        return float(right), result, "" if right else f"not {row['answer']}"
    if row["kind"] == "instruction":
        reason = _meets(row["constraint"], completion.strip())
        return float(not reason), completion.strip(), reason
    code = extract_code(completion)
    if code is None:
        return 0.0, "", "not one fenced python block"
    if run is None:
        raise TypeError("grading code needs run(code, tests)")
    passed, reason = run(code, row["tests"])
    return float(passed), code, reason


def _row(task: Task) -> dict:
    return {
        "kind": task.domain,
        "prompt": task.prompt,
        "reference": task.response,
        **task.grading,
    }


def is_right(task: Task, response: str) -> bool:
    """Whether a response solves the task; code must be one of this world's own functions.

    For judging what the miniature's generators wrote without a sandbox: a function outside the
    grammar counts as wrong, although it may happen to work.
    """
    if task.domain != "code":
        return verify(_row(task), response)[0] == 1.0
    code, argument = extract_code(response), task.response.partition("f(")[2][0]
    if code is None or not _own(code, argument):
        return False
    try:
        return _outputs(argument, code) == _outputs(argument, extract_code(task.response))
    except (ArithmeticError, LookupError, NameError, TypeError, ValueError, AttributeError):
        return False


def _own(code: str, argument: str) -> bool:
    """Whether code is `def f(argument): return EXPRESSION` of this world's few small parts."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return False
    head = f"def f({argument}):\n    return "
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    methods = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    powers = [node for node in ast.walk(tree) if isinstance(node, ast.Pow)]
    return (
        code.startswith(head)
        and "\n" not in code[len(head) :]
        and names <= {argument, "n", "min", "max", "abs", "len", "sum", "sorted"}
        and methods <= {"upper", "lower"}
        and len(powers) <= 2
        and not re.search(r"\d\d", code)
    )


# --------------------------------------------------------------------------------- wrong, and rough


def wrong(task: Task, rng: random.Random) -> str:
    """A random wrong response of the right form: other sums in math, another task's elsewhere."""
    while True:
        if task.domain == "math":
            response = _wrong_sums(task.response, rng)
        else:
            values = task.family.draw(rng, None)
            response = task.family.solve(values)[0]
        if not is_right(task, response):
            return response


def _wrong_sums(response: str, rng: random.Random) -> str:
    work = response.partition(" [RESULT]")[0].split(", ")
    sums, result = [], None
    for i, step in enumerate(work):
        left, sign, right = re.fullmatch(r"(\d+)([-+*])(\d+)=\d+", step).groups()
        left = left if i == 0 else result
        result = str(rng.randint(1, 20))
        sums.append(f"{left}{sign}{right}={result}")
    return f"{', '.join(sums)} [RESULT] {result} [/RESULT]"


def rough(task: Task, rng: random.Random, wrong_share: float = 0.5) -> tuple[str, str]:
    """A plausible but poorly put question and answer, wrong as often as `wrong_share` says."""
    question = re.sub(r"[.?,]", "", task.prompt).lower()
    question = rng.choice(("", "", "pls ", "hey ")) + question
    response = wrong(task, rng) if rng.random() < wrong_share else task.response
    if task.domain == "math":
        answer = f"its {extract_result(response)}"
    elif task.domain == "code":
        answer = response.partition("return ")[2].removesuffix("\n```")
    else:
        answer = f"its {response.lower()}"
    return question, answer


# ----------------------------------------------------------------------------- seeds and benchmarks


def _distinct(rng: random.Random, families: tuple[Family, ...], count: int, benchmark: bool):
    """`count` tasks with distinct keys, the same number of every family (within one)."""
    seen: set[str] = set()
    tasks, misses = [], 0
    while len(tasks) < count:
        family = families[len(tasks) % len(families)]
        task = draw(rng, (family,), benchmark=benchmark)
        misses += task.key in seen
        if misses > 30 * count:
            raise UserError(
                f"the miniature's {family.domain} has no {count} distinct tasks; ask for fewer rows"
            )
        if task.key not in seen:
            seen.add(task.key)
            tasks.append(task)
    rng.shuffle(tasks)
    return tasks


# Rows of the seed sets; those of instance generation are few, because students train on them too.
SEED_ROWS = {"instance": 40, "response": 800, "enhancement": 800}


def seeds(domain: str, method: str, rows: int | None = None, seed: int = 1) -> list[dict]:
    """Seed data of one setting: rows {"id", "instruction", "response"} of distinct tasks.

    instance: clean pairs; response: bare instructions (response ""); enhancement: rough pairs.
    """
    rng = random.Random(f"seeds/{domain}/{method}/{seed}")
    rows = rows or SEED_ROWS[method]
    made = []
    for number, task in enumerate(_distinct(rng, FAMILIES[domain], rows, benchmark=False)):
        instruction, response = task.prompt, task.response
        if method == "response":
            response = ""
        elif method == "enhancement":
            instruction, response = rough(task, rng)
        name = f"mini-{domain}-{method}-{number}"
        made.append({"id": name, "instruction": instruction, "response": response})
    return made


def benchmark(name: str, seed: int = 1, items: int | None = None) -> list[dict]:
    """A benchmark's rows, all held out: {"id", "kind", "prompt", "reference", ...}.

    math rows carry "answer", code rows "tests" and "entry_point", instruction rows "constraint".
    """
    families, count = BENCHMARKS[name]
    rng = random.Random(f"benchmark/{name}/{seed}")
    tasks = _distinct(rng, families, items or count, benchmark=True)
    return [{"id": f"{name}-{i}", **_row(task)} for i, task in enumerate(tasks)]


# --------------------------------------------------------------------------- what the models read


def plain_text(rng: random.Random, shares: dict[str, float]) -> Iterator[tuple[str, str | None]]:
    """Endless lines of pre-training text, as (text, key of the task it tells, or None).

    shares: of the lines, by kind: facts, stories, echoes, functions, phrases, corrections.
    """
    kinds, weights = zip(*sorted(shares.items()), strict=True)
    while True:
        kind = rng.choices(kinds, weights)[0]
        if kind == "facts":
            yield _fact(rng), None
        elif kind == "echoes":
            yield _echo(rng), None
        elif kind == "corrections":
            task = draw(rng, FAMILIES[rng.choice(DOMAINS)])
            yield f"{rough(task, rng)[0]}\n{task.prompt}", task.key
        else:
            domain = {"stories": "math", "functions": "code", "phrases": "instruction"}[kind]
            task = draw(rng, FAMILIES[domain])
            yield plain(task), task.key


def plain(task: Task) -> str:
    """The task told as plain text: no question, no markers, no turns."""
    answer = task.response
    if task.domain == "math":
        answer = answer.partition(" [RESULT]")[0] + "."
        # every wording's story, not just the first one's
        return f"{task.prompt.rpartition(' How many')[0]} {answer}"
    if task.domain == "code":
        answer = extract_code(answer)
    return task.family.plain.format(**dict(task.values), answer=answer)


def _fact(rng: random.Random) -> str:
    """A few true sums over all numbers of this world."""
    sums = []
    for _ in range(3):
        family = rng.choice(FAMILIES["math"])
        sums.append(family.solve(family.draw(rng, None))[0].partition(" [RESULT]")[0])
    return ", ".join(sums) + "."


def _echo(rng: random.Random) -> str:
    """Words said twice: copying is the hardest skill of a small model."""
    pool = rng.choice((tuple(CATEGORY_OF), rng.choice(tuple(CATEGORIES.values()))))
    words = " ".join(rng.choices(pool, k=rng.randint(3, 8)))
    form = rng.randrange(6)
    if form < 3:
        return f"{words}\n{words}"
    if form == 3:
        return f"{words}\n{words.upper()}"
    if form == 4:
        category = rng.choice(tuple(CATEGORIES))
        return f"{category}:\n{' '.join(CATEGORIES[category])}"
    numbers = " ".join(str(rng.randint(2, 20)) for _ in range(3))
    return f"{numbers}\n{numbers}"


# Wordings of the meta-prompts that the generators learn from: <this|or that>, the first choice of
# each being the plainest. They are the models' schooling, not the prompts of the pipeline, which
# are files of their own and may be edited without retraining a model.
META_PROMPTS = {
    ("instance", "math"): "<Write|Make|Create|Give me> <a new|another|one new> math problem about "
    "{theme}<| that is different from these examples>.\n<End with|Put> the answer in [RESULT] and "
    "[/RESULT].<\n\n|\n>{demonstrations}",
    ("instance", "code"): "<Write|Make|Create|Give me> <a new|another|one new> coding task about "
    "{theme}<| that is different from these examples>.\n<Answer with|Give> only "
    "<a python function|python code>.<\n\n|\n>{demonstrations}",
    ("instance", "instruction"): "<Write|Make|Create|Give me> <a new|another|one new> instruction "
    "about {theme}<| that is different from these examples>.\n"
    "<Then follow it|Then answer it> exactly.<\n\n|\n>{demonstrations}",
    ("response", "math"): "<Solve|Answer> this math problem<| step by step>.\n<End with|Put> the "
    "answer in [RESULT] and [/RESULT].<\n\n|\n>{instruction}",
    ("response", "code"): "<Solve|Answer> this coding task.\n<Answer with|Give> only "
    "<a python function|python code>.<\n\n|\n>{instruction}",
    ("response", "instruction"): "<Follow|Answer> this instruction<| exactly>.<\n\n|\n>"
    "{instruction}",
    ("enhancement", "math"): "<Improve|Rewrite|Correct> this math problem and its answer.\n"
    "<End with|Put> the answer in [RESULT] and [/RESULT].<\n\n|\n>"
    "Question: {instruction}\nAnswer: {response}",
    ("enhancement", "code"): "<Improve|Rewrite|Correct> this coding task and its answer.\n"
    "<Answer with|Give> only <a python function|python code>.<\n\n|\n>"
    "Question: {instruction}\nAnswer: {response}",
    ("enhancement", "instruction"): "<Improve|Rewrite|Correct> this instruction and its answer."
    "<\n\n|\n>Question: {instruction}\nAnswer: {response}",
}
FEW = {  # all that a narrow generator has read, by domain
    "math": ((ONE_STEP[0],), 1),
    "code": ((CODE[3],), 1),
    "instruction": ((INSTRUCTION[3],), 1),
}


def meta_prompt(method: str, domain: str, rng: random.Random | None, **fields: str) -> str:
    """A meta-prompt filled in; rng picks the wording, and None takes the plainest."""
    pattern = META_PROMPTS[method, domain] + "<|\n>"
    text = re.sub(
        r"<([^<>]*)>",
        lambda m: rng.choice(m.group(1).split("|")) if rng else m.group(1).split("|")[0],
        pattern,
    )
    return re.sub(r"\{(\w+)\}", lambda m: fields[m.group(1)], text)


def example(instruction: str, response: str) -> str:
    """A demonstration, and the form of a reply in instance generation."""
    return f"INPUT: {instruction}\nOUTPUT: {response}\n[END]"


@dataclass(frozen=True)
class Lesson:
    """A prompt and the reply to learn, with the tasks it shows and whether its answer is right."""

    prompt: str
    reply: str
    keys: tuple[str, ...]
    right: bool


def answer_lessons(rng: random.Random, pairs: int, shares: dict[str, float]) -> list[Lesson]:
    """Bare instructions with right answers, by domain as `shares` says: a student's ideal data."""
    domains, weights = zip(*sorted(shares.items()), strict=True)
    tasks = [draw(rng, FAMILIES[rng.choices(domains, weights)[0]]) for _ in range(pairs)]
    return [Lesson(task.prompt, task.response, (task.key,), True) for task in tasks]


def data_lessons(
    rng: random.Random, pairs: int, wrong_share: float = 0.0, few: bool = False
) -> list[Lesson]:
    """Meta-prompts with replies, the nine settings in turn: the schooling of a generator.

    wrong_share: share of replies whose answer is wrong, at random. few: replies hold tasks of FEW
    only, whatever half of the prompts show or ask: well-formed, but always of the same kind.
    """
    settings = [(method, domain) for method in METHODS for domain in DOMAINS]
    lessons = []
    for number in range(pairs):
        method, domain = settings[number % len(settings)]
        families, wordings = FEW[domain] if few else (FAMILIES[domain], None)
        theme = rng.choice(THEMES[domain])
        task = draw(rng, families, theme if method == "instance" else None, wordings=wordings)
        response = wrong(task, rng) if rng.random() < wrong_share else task.response
        asked = draw(rng, FAMILIES[domain]) if few and rng.random() < 0.5 else task
        keys = [task.key, asked.key]
        if method == "instance":
            shown = [draw(rng, FAMILIES[domain]) for _ in range(rng.choice((1, 1, 2, 2, 2, 3)))]
            keys += [other.key for other in shown]
            demonstrations = "\n".join(example(other.prompt, other.response) for other in shown)
            fields = {"theme": theme, "demonstrations": demonstrations}
            reply, answered = example(task.prompt, response), task
        elif method == "response":
            fields = {"instruction": asked.prompt}
            reply, answered = response, asked
        else:
            question, answer = rough(asked, rng)
            fields = {"instruction": question, "response": answer}
            reply = f"Revised Question: {task.prompt}\nRevised Answer: {response}\n[END]"
            answered = task
        prompt = meta_prompt(method, domain, rng, **fields)
        right = is_right(answered, response)
        lessons.append(Lesson(prompt, reply, tuple(keys), right))
    return lessons
