"""MBPP: write a Python function from a sentence; three assertions decide (Austin et al. 2021).

    text             Write a python function to remove first and last occurrence of a given ...
    code             the right solution
    test_list        assert remove_Occ("hello","l") == "heo" ...
    test_setup_code  what the assertions need

The prompt shows the first assertion, which tells the function's name. The setup runs after the
code: before it, it would break two of the tasks' own solutions.
"""

import ast
import builtins

from agorabench.evaluation.benchmarks.humaneval import (
    UNREADABLE,
    drop_tail,
    find_program,
    first_block,
    grade_programs,
)


def read_items(rows: list[dict]) -> list[dict]:
    """Items from the published rows."""
    return [
        {
            "id": f"mbpp/{row['task_id']}",
            "prompt": f"{row['text']}\nYour code has to pass: {row['test_list'][0]}",
            "tests": "\n".join([row.get("test_setup_code") or "", *row["test_list"]]),
            "names": called_names("\n".join(row["test_list"])),
        }
        for row in rows
    ]


def grade_items(items: list[dict], completions: list[str], sandbox) -> list[dict]:
    """Run every completion against its assertions in the sandbox."""
    programs = [
        (extract_program(text, item["names"]), item["tests"])
        for item, text in zip(items, completions, strict=True)
    ]
    return grade_programs(programs, sandbox)


def extract_program(completion: str, names: set[str]) -> str:
    """The module in a completion: what defines a function that the tests call, or its first block,
    or all of it that is Python."""
    code = find_program(completion, names)
    return drop_tail(first_block(completion)) if code is None else code


def called_names(tests: str) -> set[str]:
    """Functions that tests call, but for Python's own."""
    try:
        nodes = list(ast.walk(ast.parse(tests)))
    except UNREADABLE:
        return set()
    called = {node.func.id for node in nodes
              if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
    return called - set(dir(builtins)) or called
