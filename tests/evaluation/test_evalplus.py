"""HumanEval+, MBPP+ and MBPP: verdicts of the real tools on real programs, and unfair programs."""

import gzip
import json
import subprocess
import sys

import pytest
from agorabench import sandbox
from agorabench.evaluation import grading
from agorabench.evaluation.benchmarks import humaneval_plus, mbpp, mbpp_plus
from agorabench.files import read_json

TASK = {
    "task_id": "HumanEval/900",
    "prompt": 'def half(x):\n    """Half of x."""\n',
    "canonical_solution": "    return x / 2\n",
    "entry_point": "half",
    "base_input": [[2], [4.0]],
    "plus_input": [[1], [-3.0], [0]],
    "atol": 0,
}


def execute(programs, limits=grading.LIMITS, workers=2):
    return list(sandbox.run_many(programs, workers, limits, sandbox.choose_isolation("isolated")))


def verdict(text, **changes):
    items = humaneval_plus.read_items([TASK | changes])
    (found,) = humaneval_plus.grade_items(items, [text], execute)
    return found["base"], found["score"], found["reason"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("    return x / 2\n", (1, 1, "")),
        ("    def half_of(y):\n        return y / 2\n    return half_of(x)\n", (1, 1, "")),
        ("Here it is:\n```python\ndef half(x):\n    return x * 0.5\n```\nDone.", (1, 1, "")),
        ("def half(x):\n    return x / 2 + 1e-9\n", (1, 1, "")),  # floats may be off by 1e-6
        ("def half(x):\n    return x / 2 + 1e-3\n", (0, 0, "error")),
        ("def half(x):\n    return abs(x) / 2\n", (1, 0, "plus: error")),
        ("def half(x):\n    return 0 if x == 0 else x / 2\n", (1, 1, "")),  # 0 == 0.0
        ("def half(x):\n    print('x' * 10**6)\n    return x / 2\n", (1, 1, "")),
        ("def half(x):\n    while True: pass\n", (0, 0, "timeout")),
        ("def half(x):\n    return input()\n", (0, 0, "error")),
        ("import os\ndef half(x):\n    os._exit(0)\n", (0, 0, "error")),
        ("def half(x):\n    raise SystemExit(0)\n", (0, 0, "error")),
        ("class Same:\n    def __eq__(self, other): return True\n"
         "def half(x):\n    return Same()\n", (1, 1, "")),  # as at EvalPlus
        ("", (0, 0, "error")),
        ("I cannot do that.", (0, 0, "error")),
    ],
)  # fmt: skip
def test_programs_of_all_kinds(text, found):
    assert verdict(text) == found


def test_a_program_that_was_slow_beside_others_is_run_again_alone():
    asked = []

    def slow_at_first(programs, limits=None, workers=2):
        asked.append((len(programs), workers))
        if workers == 2:
            return [sandbox.Outcome("error", humaneval_plus.SLOW, "", "", 1.0) for _ in programs]
        return execute(programs, limits, workers)

    items = humaneval_plus.read_items([TASK])
    reasons = humaneval_plus.failure_reasons(
        "humaneval", items, [items[0]["reference"]], "base", slow_at_first
    )
    assert reasons == [""] and asked == [(1, 2), (1, 1)]


def rows(path):
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_verdicts_on_a_real_models_samples_are_evalplus_own(data):
    items = humaneval_plus.read_items(rows(data / "humaneval/HumanEvalPlus-v0.1.9.jsonl.gz"))
    path = data / "code_outputs/7b-base_humaneval_eval_results.json"
    stored = read_json(path)["eval"]
    codes = [stored[item["id"]][0]["solution"] for item in items]
    for which, passed in (("base", 101), ("plus", 89)):
        reasons = humaneval_plus.failure_reasons("humaneval", items, codes, which, execute)
        found = {item["id"]: not why for item, why in zip(items, reasons, strict=True)}
        wanted = {name: runs[0][f"{which}_status"] == "pass" for name, runs in stored.items()}
        assert found == wanted and sum(found.values()) == passed
    graded = humaneval_plus.grade_items(items, codes, execute)
    assert sum(row["base"] for row in graded) == 101  # 61.6 %
    assert sum(row["score"] for row in graded) == 87  # 53.0 %


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "file", "count", "cut"),
    [
        (humaneval_plus, "humaneval/HumanEvalPlus-v0.1.10.jsonl.gz", 164, []),
        # EvalPlus's sanitize drops a function that yields and does not return.
        (mbpp_plus, "mbpp/MbppPlus-v0.2.0-derived.jsonl", 378, [("Mbpp/630", "error")]),
    ],
)
def test_canonical_solutions_pass(data, module, file, count, cut):
    items = module.read_items(rows(data / file))
    graded = module.grade_items(items, [item["reference"] for item in items], execute)
    assert len(graded) == count
    assert [(item["id"], row["reason"]) for item, row in zip(items, graded, strict=True)
            if not row["score"]] == cut  # fmt: skip


def test_the_solutions_of_mbpp_pass(data):
    found = rows(data / "mbpp/mbpp.jsonl")
    graded = mbpp.grade_items(mbpp.read_items(found), [row["code"] for row in found], execute)
    failed = [(row["task_id"], one["reason"]) for row, one in zip(found, graded, strict=True)
              if not one["score"]]  # fmt: skip
    assert failed == [] and len(found) == 974


@pytest.mark.slow
def test_a_busy_machine_and_more_workers_change_no_verdict(data):
    """Three times with one worker and with two, while other processes keep both cores busy."""
    items = humaneval_plus.read_items(rows(data / "humaneval/HumanEvalPlus-v0.1.9.jsonl.gz"))[:60]
    path = data / "code_outputs/7b-base_humaneval_eval_results.json"
    stored = read_json(path)["eval"]
    codes = [stored[item["id"]][0]["solution"] for item in items]
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        seen = []
        for workers in (1, 2) * 3:

            def run(programs, limits=grading.LIMITS, workers=workers):
                return execute(programs, limits, workers)

            seen.append(humaneval_plus.failure_reasons("humaneval", items, codes, "plus", run))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert all(one == seen[0] for one in seen)
