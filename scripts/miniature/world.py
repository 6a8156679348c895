"""The miniature's world: tasks drawn and read, held out or not, answered and graded.

A `Task` is a family of the grammar (families.py) with values for its slots. Reading is the inverse
of writing: `parse_task` finds the task that a question states, so that anything a generator wrote
can be solved again and checked. `make_seeds` and `make_benchmark` are the data of the miniature.

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
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from agorabench.errors import UserError

from miniature.code_tasks import probe_outputs
from miniature.families import (
    CODE,
    FAMILIES,
    INSTRUCTION,
    ONE_STEP,
    SLOTS,
    TWO_STEPS,
)
from miniature.grammar import CATEGORIES, Family

HELD_OUT = 0.2  # share of the tasks of every family
# Rows of the seed sets; those of instance generation are few, because students train on them too.
SEED_ROWS = {"instance": 40, "response": 800, "enhancement": 800}
BENCHMARKS = {  # the families of each, and how many tasks
    "mini-sums": (ONE_STEP, 200),
    "mini-steps": (TWO_STEPS, 200),
    "mini-code": (CODE, 120),
    "mini-constraints": (INSTRUCTION, 200),
}


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


def is_held_out(key: str) -> bool:
    """Whether the task of this key is reserved for benchmarks (a fixed share of every family)."""
    head = hashlib.sha256(key.encode()).digest()[:8]
    return int.from_bytes(head, "big") < HELD_OUT * 2**64


# ------------------------------------------------------------------------------ drawing and reading


def draw_task(
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
    # the themes of code are its families; others leave the choice of the family open
    families = tuple(family for family in families if family.name == theme) or families
    while True:
        family = rng.choice(families)
        values = family.draw(rng, theme)
        wording = rng.randrange(wordings or len(family.wordings))
        task = Task(family, tuple(sorted(values.items())), wording)
        if is_held_out(task.key) == benchmark:
            return task


def _slot_pattern(name: str) -> str:
    if name in SLOTS:
        return f"(?P<{name}>{'|'.join(map(re.escape, SLOTS[name]))})"
    if name == "words":
        return r"(?P<words>[a-z]+(?: [a-z]+)+)"
    return rf"(?P<{name}>\d{{1,2}})"


@cache
def _wording_patterns() -> tuple[tuple[Family, int, re.Pattern], ...]:
    readers = []
    for families in FAMILIES.values():
        for family in families:
            for wording, text in enumerate(family.wordings):
                parts = re.split(r"\{(\w+)\}", text)
                pattern = "".join(
                    _slot_pattern(part) if i % 2 else re.escape(part)
                    for i, part in enumerate(parts)
                )
                readers.append((family, wording, re.compile(pattern)))
    return tuple(readers)


def parse_task(question: str) -> Task | None:
    """The task that a question states, or None when this world has no such task."""
    for family, wording, pattern in _wording_patterns():
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


def _explain_failure(constraint: dict, text: str) -> str:
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
        first = constraint["first"]
        return "" if words[0] == first else f"does not start with {first!r}"
    if constraint["about"] not in words[:-1]:
        return f"does not mention {constraint['about']!r}"
    return "" if words[-1] == constraint["last"] else f"does not end with {constraint['last']!r}"


def grade_completion(
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
        reason = _explain_failure(row["constraint"], completion.strip())
        return float(not reason), completion.strip(), reason
    code = extract_code(completion)
    if code is None:
        return 0.0, "", "not one fenced python block"
    if run is None:
        raise TypeError("grading code needs run(code, tests)")
    passed, reason = run(code, row["tests"])
    return float(passed), code, reason


def _benchmark_row(task: Task) -> dict:
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
        return grade_completion(_benchmark_row(task), response)[0] == 1.0
    code, argument = extract_code(response), task.response.partition("f(")[2][0]
    if code is None or not _is_own_function(code, argument):
        return False
    try:
        return probe_outputs(argument, code) == probe_outputs(argument, extract_code(task.response))
    except (ArithmeticError, LookupError, NameError, TypeError, ValueError, AttributeError):
        return False


def _is_own_function(code: str, argument: str) -> bool:
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


def write_wrong(task: Task, rng: random.Random) -> str:
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


def write_rough(task: Task, rng: random.Random) -> tuple[str, str]:
    """A plausible but poorly put question and answer, which is wrong half of the time."""
    question = re.sub(r"[.?,]", "", task.prompt).lower()
    question = rng.choice(("", "", "pls ", "hey ")) + question
    response = write_wrong(task, rng) if rng.random() < 0.5 else task.response
    if task.domain == "math":
        answer = f"its {extract_result(response)}"
    elif task.domain == "code":
        answer = response.partition("return ")[2].removesuffix("\n```")
    else:
        answer = f"its {response.lower()}"
    return question, answer


# ----------------------------------------------------------------------------- seeds and benchmarks


def _draw_distinct(rng: random.Random, families: tuple[Family, ...], count: int, benchmark: bool):
    """`count` tasks with distinct keys, the same number of every family (within one)."""
    seen: set[str] = set()
    tasks, misses = [], 0
    while len(tasks) < count:
        family = families[len(tasks) % len(families)]
        task = draw_task(rng, (family,), benchmark=benchmark)
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


def make_seeds(domain: str, method: str) -> list[dict]:
    """Seed data of one setting: rows {"id", "instruction", "response"} of distinct tasks.

    instance: clean pairs; response: bare instructions (response ""); enhancement: rough pairs.
    """
    rng = random.Random(f"seeds/{domain}/{method}/1")
    tasks = _draw_distinct(rng, FAMILIES[domain], SEED_ROWS[method], benchmark=False)
    made = []
    for number, task in enumerate(tasks):
        instruction, response = task.prompt, task.response
        if method == "response":
            response = ""
        elif method == "enhancement":
            instruction, response = write_rough(task, rng)
        name = f"mini-{domain}-{method}-{number}"
        made.append({"id": name, "instruction": instruction, "response": response})
    return made


def make_benchmark(name: str) -> list[dict]:
    """A benchmark's rows, all held out: {"id", "kind", "prompt", "reference", ...}.

    math rows carry "answer", code rows "tests" and "entry_point", instruction rows "constraint".
    """
    families, count = BENCHMARKS[name]
    rng = random.Random(f"benchmark/{name}/1")
    tasks = _draw_distinct(rng, families, count, benchmark=True)
    return [{"id": f"{name}-{i}", **_benchmark_row(task)} for i, task in enumerate(tasks)]
