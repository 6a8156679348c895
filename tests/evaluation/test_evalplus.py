"""HumanEval+, MBPP+ and MBPP: verdicts of the real tools on real programs, and unfair programs."""

import gzip
import json
import subprocess
import sys

import pytest
from agorabench import sandbox
from agorabench.evaluation import grading
from agorabench.evaluation.benchmarks import humaneval, humaneval_plus, mbpp, mbpp_plus
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
    isolation = sandbox.choose_isolation("isolated")
    return list(sandbox.run_many(programs, workers, limits, isolation, packages=["numpy"]))


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


HELPERS = {
    "a helper without return": "def put(out, x):\n    out.append(x / 2)\n"
    "def half(x):\n    out = []\n    put(out, x)\n    return out[0]\n",
    "a generator": "def halves(x):\n    yield x / 2\ndef half(x):\n    return next(halves(x))\n",
    "a decorated function": "import functools\n@functools.cache\ndef half(x):\n    return x / 2\n",
    "a tuple of constants": "A, B = 1, 2\ndef half(x):\n    return A * x / B\n",
    "an import in a try": "try:\n    import numpy as m\nexcept ImportError:\n    import math as m\n"
    "def half(x):\n    return float(m.floor(x * 2)) / 4\n",
    "a function under another name": "def f(x):\n    return x / 2\nhalf = f\n",
    "a lambda": "half = lambda x: x / 2\n",
    "numpy": "import numpy as np\ndef half(x):\n    return float(np.divide(x, 2))\n",
}


@pytest.mark.parametrize("fence", ["", "```python"])
@pytest.mark.parametrize("name", HELPERS)
def test_a_program_runs_as_it_is_whatever_a_sanitizer_would_drop(name, fence):
    text = HELPERS[name]
    assert verdict(f"Thus:\n\n{fence}\n{text}```\nDone." if fence else text) == (1, 1, "")


def test_evalplus_own_verdict_stands_beside():
    items = humaneval_plus.read_items([TASK])
    (found,) = humaneval_plus.grade_items(items, [HELPERS["a helper without return"]], execute)
    assert (found["score"], found["evalplus"]) == (1, 0)


def test_a_missing_package_is_the_reason_and_is_counted():
    text = "import pandas\ndef half(x):\n    return x / 2\n"
    items = humaneval_plus.read_items([TASK])
    (found,) = humaneval_plus.grade_items(items, [text], execute)
    assert found["reason"].startswith("import: ModuleNotFoundError: No module named 'pandas'")
    rows = [{"completion": text, "finish_reason": "stop"}]
    summary = grading.summarise_score(rows, [found], {"score": {"score": 0, "standard_error": 0}})
    assert summary["failed_imports"] == 1


def test_the_canonical_solution_has_a_budget_of_its_own(monkeypatch):
    """It takes longer than a program may; the program is fast."""
    monkeypatch.setattr(
        humaneval_plus, "HARNESS", humaneval_plus.HARNESS.replace("max(60, ", "max(1, ")
    )
    slow = "    import time\n    end = time.process_time() + 0.7\n"
    slow += "    while time.process_time() < end: pass\n    return x / 2\n"
    assert verdict("    return x / 2\n", canonical_solution=slow) == (1, 1, "")
    assert (
        verdict("    while True: pass\n", canonical_solution="    return x / 2\n")[2] == "timeout"
    )


RIGHT = "def half(x):\n    return x / 2"
WRONG = "def half(x):\n    return x"
FENCED = f"```python\n{RIGHT}\n```\n\n"
FORMS = {
    "a pip install first": f"```bash\npip install numpy\n```\n\n```python\n{RIGHT}\n```",
    "a usage example first": f"```python\nprint(half(3))\n```\nwith\n```python\n{RIGHT}\n```",
    "a usage example last": f"```python\n{RIGHT}\n```\nUse:\n```python\nprint(half(3))\n```",
    "a first attempt, corrected": f"```python\n{WRONG}\n```\nNo:\n```python\n{RIGHT}\n```",
    "tildes": f"So:\n~~~python\n{RIGHT}\n~~~\n",
    "py3": f"```py3\n{RIGHT}\n```",
    "a title": f'```python title="half.py"\n{RIGHT}\n```',
    "four backticks": f"````python\n{RIGHT}\n````\nDone.",
    "no fence, after prose": f"Here is the function:\n\n{RIGHT}\n\nIt divides by two.",
    "no fence, prose like an import": f"from what I see, this will do:\nimport math\n{RIGHT}\n",
    "in a list": "1. Write\n   ```python\n   def half(x):\n       return x / 2\n   ```\n",
    "never closed": f"```python\n{RIGHT}\n",
    "a helper in another block": "```python\nimport math\ndef part(x):\n    return math.ceil(x) / 2"
    "\n```\nThen:\n```python\ndef half(x):\n    return part(x)\n```",
    "a fence in the docstring": 'def half(x):\n    """Half.\n    ```\n    half(2)\n    ```\n'
    '    """\n    return x / 2',
    "from __future__": f"```python\nfrom __future__ import annotations\n{RIGHT}\n```",
    "Windows lines": f"```python\r\n{RIGHT}\r\n```\r\n".replace("\n    ", "\r\n    "),
    "an import of itself last": f"{FENCED}```python\nfrom solution import half\nhalf(2)\n```",
    "tests that import it last": f"{FENCED}```python\nimport unittest\nfrom half import half\n"
    "class TestHalf(unittest.TestCase):\n    def test(self): assert half(2) == 1\n```",
    "only its signature last": f"{FENCED}```python\ndef half(x: int) -> float: ...\n```",
    "decorated in another block": f"{FENCED}```python\nfrom functools import lru_cache\n"
    "half = lru_cache(maxsize=None)(half)\n```",
    "the entry point first, its helper last": "```python\ndef half(x):\n    return part(x) / TWO\n"
    "```\nwith\n```python\nTWO = 2\npart = lambda x: x\n```",
    "helpers in a file of their own": "```python\n# parts.py\nimport math as m\ndef part(x):\n"
    "    return m.ceil(x)\n```\n```python\nfrom parts import part\n\ndef half(x):\n"
    "    return part(x) / 2\n```",
    "a helper bound by a condition": "```python\ntry:\n    import numpy as m\nexcept ImportError:\n"
    "    import math as m\n```\n```python\ndef half(x):\n    return float(m.floor(x * 2)) / 4\n```",
    "a global of another block": "```python\nseen = {}\n```\n```python\ndef half(x):\n    global "
    "seen"
    "\n    seen[x] = x / 2\n    return seen[x]\n```",
    "an example with its names": "```python\ny = half(list=[2])\n```\n```python\ndef half(x):\n"
    "    y = list([x])[0]\n    return y / 2\n```\n```python\nlist = [1, 2]\nhalf(2)\n```",
    "no-break spaces": f"```python\n{RIGHT}\n```".replace("    ", "\u00a0" * 4),
    "no-break spaces in some lines": "def half(x):\n    y = x\n\u00a0\u00a0\u00a0 return y / 2",
    "a byte order mark": f"\ufeff{RIGHT}",
    "tabs": f"Thus:\n```python\n{RIGHT}\n```".replace("    ", "\t"),
    "a session": "```python\n>>> def half(x):\n...     return x / 2\n...\n>>> half(2)\n1.0\n```",
    "a session after it": f"```python\n{RIGHT}\n\n>>> half(2)\n1.0\n```",
    "another language last": f"{FENCED}```ruby\ndef half(x) x / 2 end\n```\n"
    "```js\nhalf = x => 1\n```",
    "a fence in a fenced docstring": 'So:\n```python\ndef half(x):\n    """Half.\n\n    ```\n'
    '    half(2)\n    ```\n    """\n    return x / 2\n```\nDone.',
    "a fence within a fence": f"````markdown\n```python\n{RIGHT}\n```\n````\n",
    "never closed, and prose": f"```python\n{RIGHT}\n\nIt divides x by two.\n",
    "a condition": "```python\nimport sys\nif sys.version_info >= (3,):\n    def half(x):\n"
    "        return x / 2\nelse:\n    half = None\n\nif __name__ == '__main__':\n"
    "    print(half())\n```",
    "a class that is called": "```python\nclass Half:\n    def __call__(self, x):\n        "
    "return x / 2"
    "\n\nhalf = Half()\n```",
    "a method, bound": "```python\nclass Solution:\n    def half(self, x):\n        "
    "return x / 2\n```\n"
    "```python\nhalf = Solution().half\n```",
}


@pytest.mark.parametrize("name", FORMS)
def test_the_block_that_defines_the_function_is_run(name):
    plain = [{"task_id": "t", "prompt": TASK["prompt"], "entry_point": "half",
              "test": "def check(f):\n    assert f(4) == 2"}]  # fmt: skip
    (one,) = humaneval.grade_items(humaneval.read_items(plain), [FORMS[name]], execute)
    row = {"task_id": 1, "text": "Half.", "test_list": ["assert half(4) == 2"]}
    (other,) = mbpp.grade_items(mbpp.read_items([row]), [FORMS[name]], execute)
    assert (one["score"], other["score"]) == (1, 1), (one, other)
    assert verdict(FORMS[name])[:2] == (1, 1)


def test_blocks_that_define_what_the_tests_call_are_one_program():
    text = (
        "```python\nclass Pair:\n    def __init__(self, a, b):\n        self.a, "
        "self.b = a, b\n```\n"
        "```python\ndef widest(pairs):\n    return max(pair.b - pair.a for pair in pairs)\n```"
    )
    tests = ["assert widest([Pair(1, 4), Pair(2, 3)]) == 3"]
    items = mbpp.read_items([{"task_id": 1, "text": "Widest.", "test_list": tests}])
    (found,) = mbpp.grade_items(items, [text], execute)
    assert found["score"] == 1, found


@pytest.mark.parametrize("text", [
    "class Solution:\n    def half(self, x):\n        return x / 2\n",  # nobody calls a method
    "async def half(x):\n    return x / 2\n",
    "```python\nfrom solution import half\n```",
    f"```python\n{RIGHT}\n```\nNo:\n```python\n{WRONG}\n```",  # corrections come last
])  # fmt: skip
def test_what_defines_no_right_function_is_wrong(text):
    assert verdict(text)[:2] == (0, 0)


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
        (mbpp_plus, "mbpp/MbppPlus-v0.2.0-derived.jsonl", 378, []),
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
