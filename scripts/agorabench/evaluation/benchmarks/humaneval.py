"""HumanEval: complete a Python function; unit tests decide (Chen et al., arXiv 2107.03374).

    prompt       def has_close_elements(numbers: List[float], threshold: float) -> bool: ...
    test         def check(candidate): assert candidate([1.0, 2.0], 0.3) == True ...
    entry_point  has_close_elements

A completion may be a fenced block, a whole function, or the body that continues the prompt.
"""

import ast
import re

FENCE = re.compile(r"```(?:python3?|py)?[^\S\n]*\n(.*?)(?:```|\Z)", re.S | re.I)


def read_items(rows: list[dict]) -> list[dict]:
    """Items from the published rows."""
    return [
        {
            "id": row["task_id"],
            "prompt": row["prompt"],
            "test": row["test"],
            "entry_point": row["entry_point"],
        }
        for row in rows
    ]


def grade_items(items: list[dict], completions: list[str], sandbox) -> list[dict]:
    """Run every completion against its tests in the sandbox."""
    programs = [
        (build_program(item, text), f"{item['test']}\n\ncheck({item['entry_point']})")
        for item, text in zip(items, completions, strict=True)
    ]
    return grade_programs(programs, sandbox)


def grade_programs(programs: list[tuple[str, str]], sandbox) -> list[dict]:
    """A verdict on each (code, tests): right where the tests run to their end."""
    return [
        {
            "score": float(outcome.status == "ok"),
            "extracted": code,
            "reason": "" if outcome.status == "ok" else outcome.status,
        }
        for (code, _), outcome in zip(programs, sandbox(programs), strict=True)
    ]


def plain_prompt(item: dict) -> str:
    """What a model without a conversation is shown: the function to be continued."""
    return item["prompt"]


# A model that continues text goes on after the function (Chen et al., section 3.1).
STOP = ("\ndef ", "\nclass ", "\nif ", "\nprint(", "\n#", "\n```")


def build_program(item: dict, completion: str):
    """The whole module that a completion stands for."""
    fenced = FENCE.search(completion)
    code = fenced.group(1) if fenced else completion
    if re.search(rf"^def\s+{re.escape(item['entry_point'])}\b", code, re.M):
        # The prompt's imports and helpers stay in force where the function is written again.
        return f"{item['prompt']}    pass\n\n{drop_tail(code)}"
    return drop_tail(item["prompt"] + code)


def drop_tail(code: str) -> str:
    """Drop lines from the end (prose, or a line cut in two) until what is left is Python."""
    lines = code.split("\n")
    for end in range(len(lines), 0, -1):
        try:
            tree = ast.parse("\n".join(lines[:end]))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        last = tree.body[-1] if tree.body else None
        # A lone word, or "Explanation: it is", happens to be Python too.
        word = isinstance(last, ast.Expr) and isinstance(last.value, ast.Name)
        if word or (isinstance(last, ast.AnnAssign) and last.value is None):
            continue
        return "\n".join(lines[:end])
    return code
