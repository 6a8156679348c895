"""HumanEval+ and MBPP+: functions tested on EvalPlus's inputs (Liu et al., arXiv 2305.01210).

    prompt               def has_close_elements(numbers: List[float], threshold: float) -> bool: ...
    canonical_solution   the right solution, whose results are the expected ones
    entry_point          has_close_elements
    base_input           inputs of the original tests
    plus_input           inputs that EvalPlus added
    atol                 how far a number may be off

Data, the form of MBPP's inputs and the oracles of tasks with several right answers are EvalPlus's
own. What it runs in a process of its own, the canonical solution and the model's, we run in the
sandbox. A test may take as long as EvalPlus allows: a second, or four times what the canonical
solution took, if that is more; here of the processor's time, so that a busy machine changes no
verdict. All tests together may take EvalPlus's minute, or again four times the canonical solution,
whose own time is not in that. A program that was too slow beside others is run again alone before
that counts.

A completion that is a program runs as it is. The score is 1 where all tests are passed, EvalPlus's
"plus"; `base` beside it is that of the original tests alone, `evalplus` that of what EvalPlus's
sanitizer leaves of the completion.
"""

import ast
import base64
import inspect
import pickle
import re

from agorabench.evaluation.benchmarks.humaneval import (
    UNREADABLE,
    defines,
    failure_reason,
    find_program,
)
from agorabench.sandbox import Limits, Outcome

DATASET = "humaneval"
ALSO = ("base", "evalplus")
LEAST, FACTOR = 1.0, 4.0  # seconds of a test, and times the canonical solution's (evalplus.config)
BUDGET = 60  # seconds of all tests (evalplus.eval)
# Of the canonical solution and the program; memory as at EvalPlus.
LIMITS = Limits(wall_seconds=900, cpu_seconds=600, memory_mb=4096)
SLOW = 97  # exit status of a program whose test ran out of time


def read_items(rows: list[dict]) -> list[dict]:
    """Items from EvalPlus's rows, of HumanEval+ or MBPP+."""
    return [
        {
            "id": row["task_id"],
            "prompt": row["prompt"],
            "entry_point": row["entry_point"],
            "reference": row["prompt"] + row["canonical_solution"],
            "base": row["base_input"],
            "plus": row["plus_input"],
            "atol": row["atol"],
        }
        for row in rows
    ]


def plain_prompt(item: dict) -> str:
    """What a model without a conversation is shown: the function to be continued."""
    return item["prompt"]


# A model that continues text goes on after the function (EvalPlus's stop strings).
END = ("\nif __name__", "\ndef main(", "\nprint(", "\n```")
STOP = (*END, "\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ")


def grade_items(
    items: list[dict], completions: list[str], sandbox, dataset: str = DATASET
) -> list[dict]:
    """Run every completion on its tests in the sandbox."""
    codes = [find_solution(item, text) for item, text in zip(items, completions, strict=True)]
    official = [sanitize_solution(*pair) for pair in zip(items, completions, strict=True)]
    apart = [n for n, pair in enumerate(zip(codes, official, strict=True)) if not same(*pair)]
    items, runs = items + [items[n] for n in apart], codes + [official[n] for n in apart]
    base = failure_reasons(dataset, items, runs, "base", sandbox)
    left = [n for n, reason in enumerate(base) if not reason]
    plus = failure_reasons(
        dataset, [items[n] for n in left], [runs[n] for n in left], "plus", sandbox
    )
    reasons = dict(zip(left, plus, strict=True))
    passed = [float(reasons.get(n) == "") for n in range(len(runs))]
    evalplus = dict(zip(apart, passed[len(codes) :], strict=True))
    return [
        {
            "score": passed[n],
            "base": float(not base[n]),
            "evalplus": evalplus.get(n, passed[n]),
            "extracted": code,
            "reason": base[n] or (reasons[n] and f"plus: {reasons[n]}"),
        }
        for n, code in enumerate(codes)
    ]


def find_solution(item: dict, completion: str) -> str:
    """The program in a completion, as it is, or what it continues the prompt with; what EvalPlus
    makes of it where neither is Python."""
    names = {item["entry_point"]}
    if (code := find_program(completion, names)) is not None:
        return code
    whole = item["prompt"] + completion
    return whole if defines(whole, names) else sanitize_solution(item, completion)


def sanitize_solution(item: dict, completion: str) -> str:
    """What EvalPlus makes of a completion: what it defines, or else continues the prompt with."""
    from evalplus.sanitize import sanitize

    entry = item["entry_point"]
    alone = sanitize(completion, entry)
    if re.search(rf"^(async\s+)?def\s+{re.escape(entry)}\b", alone, re.M):
        return alone
    return sanitize(item["prompt"] + completion, entry)


def same(one: str, other: str) -> bool:
    """Can two programs differ in nothing that matters?"""
    try:
        return one == other or outline(one) == outline(other)
    except UNREADABLE:
        return False


def outline(code: str):
    """What matters of a program: its imports, and of functions the last of each name; all of it but
    comments and spaces where there is more."""
    tree = ast.parse(code)
    imports, functions = set(), {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            functions[node.name] = ast.dump(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            imports.add(ast.dump(node))
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            return ast.dump(tree)
    return imports, functions


def failure_reasons(
    dataset: str, items: list[dict], codes: list[str], which: str, sandbox
) -> list[str]:
    """Why each program fails its `which` ("base" or "plus") tests; "" for those that pass."""
    programs = [build_program(dataset, *pair, which) for pair in zip(items, codes, strict=True)]
    outcomes = list(sandbox(programs, limits=LIMITS))
    slow = [n for n, outcome in enumerate(outcomes) if timed_out(outcome)]
    alone = sandbox([programs[n] for n in slow], limits=LIMITS, workers=1)
    for n, outcome in zip(slow, alone, strict=True):
        outcomes[n] = outcome
    return ["timeout" if timed_out(one) else failure_reason(one) for one in outcomes]


def timed_out(outcome: Outcome) -> bool:
    """Was time the reason?"""
    return outcome.status == "timeout" or outcome.exit_code == SLOW


def build_program(dataset: str, item: dict, code: str, which: str):
    """(code, tests) for the sandbox: first the canonical solution runs, then the model's."""
    inputs = item[which]
    if dataset == "mbpp":
        from evalplus.data.mbpp import mbpp_deserialize_inputs

        inputs = mbpp_deserialize_inputs(item["id"], inputs)
    from evalplus.eval import _special_oracle

    task = {
        "dataset": dataset,
        "entry": item["entry_point"],
        "reference": item["reference"],
        "code": code,
        "inputs": inputs,
        "atol": item["atol"],
        "oracles": inspect.getsource(_special_oracle),
    }
    packed = base64.b64encode(pickle.dumps(task)).decode()
    return "", HARNESS.replace("PACKED", packed)


# Runs in the sandbox. Results are compared as EvalPlus compares them; `close` is numpy.allclose
# with the tolerances that it is called with there, and once a result has been a float, later ones
# may be off as well. What it needs of Python it holds, since the program could replace it.
HARNESS = f"""
import base64, io, math, pickle, resource, signal, sys, time


class Slow(BaseException):
    pass


class Mute(io.StringIO):
    def write(self, text):
        return len(text)


def grade(task, abs=abs, all=all, bool=bool, float=float, isinstance=isinstance, len=len,
          list=list, set=set, tuple=tuple, type=type, zip=zip, setitimer=signal.setitimer):
    oracles = {{}}
    exec(task["oracles"], oracles)
    entry, dataset = task["entry"], task["dataset"]
    presence = dataset == "mbpp" and entry in oracles["MBPP_OUTPUT_NOT_NONE_TASKS"]

    def close(one, two, atol):
        if isinstance(one, (list, tuple)) or isinstance(two, (list, tuple)):
            if len(one) != len(two):
                raise AssertionError
            return all([close(a, b, atol) for a, b in zip(one, two)])
        if one == two:
            return True
        return abs(one - two) <= atol + 1e-7 * abs(two)

    def floats(value):
        if isinstance(value, (list, tuple)) and value:
            return all([isinstance(part, float) for part in value])
        return isinstance(value, float)

    def right(out, wanted, inputs, atol):
        equal = out == wanted
        if dataset == "mbpp":
            if entry == "are_equivalent":
                equal = True
            elif entry == "sum_div":
                equal = equal or out == 0
            elif entry == "surface_Area":
                equal = equal or abs(out - oracles["_surface_Area"](*inputs)) <= atol
            elif entry == "digit_distance_nums":
                equal = equal or out == oracles["_digit_distance_nums"](*inputs)
            elif entry in oracles["MBPP_OUTPUT_SET_EQ_TASKS"]:
                equal = set(out) == set(wanted)
            elif presence:
                equal = out == wanted if isinstance(out, bool) else wanted == (out is not None)
        elif entry == "find_zero":
            return abs(oracles["_poly"](*inputs, out)) <= atol
        if equal or atol == 0:
            return bool(equal)
        return type(out) == type(wanted) and close(out, wanted, atol)

    def function(text):
        names = {{"__name__": "solution"}}
        exec(text, names)
        return names[entry]

    def clock(seconds):
        # Of the processor, which other programs do not slow down; by the wall for one that sleeps.
        setitimer(signal.ITIMER_PROF, seconds)
        setitimer(signal.ITIMER_REAL, 10 * seconds)

    def late(*_):
        raise Slow

    canonical = function(task["reference"])
    expected, begun = [], time.process_time()
    for inputs in task["inputs"]:
        own = pickle.loads(pickle.dumps(inputs))  # a copy
        start = time.process_time()
        out = canonical(*own)
        took = time.process_time() - start
        if presence:
            out = out if isinstance(out, bool) else out is not None
        expected.append((out, max({LEAST}, {FACTOR} * took)))
    now = time.process_time()
    budget = math.ceil(now + max({BUDGET}, {FACTOR} * (now - begun)))
    most = resource.getrlimit(resource.RLIMIT_CPU)[0]
    resource.setrlimit(resource.RLIMIT_CPU, (min(budget, most), min(budget, most) + 1))
    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGPROF, late)
    atol = task["atol"]
    try:
        clock(5)
        candidate = function(task["code"])
        for inputs, (wanted, seconds) in zip(task["inputs"], expected):
            clock(seconds)
            out = candidate(*inputs)
            clock(0)
            if atol == 0 and floats(wanted):
                atol = 1e-6
            # In Python's optimised mode too: no assert statement.
            if not right(out, wanted, inputs, atol):
                raise ValueError(f"wrong result for {{inputs!r:.200}}")
    except Slow:
        sys.exit({SLOW})
    finally:
        clock(0)


heard = sys.stderr
sys.stdout, sys.stderr = Mute(), Mute()
sys.stdin = io.StringIO()
sys.set_int_max_str_digits(0)
try:
    grade(pickle.loads(base64.b64decode("PACKED")))
finally:
    sys.stderr = heard
"""
