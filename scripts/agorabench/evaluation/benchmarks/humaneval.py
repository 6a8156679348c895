"""HumanEval: complete a Python function; unit tests decide (Chen et al., arXiv 2107.03374).

    prompt       def has_close_elements(numbers: List[float], threshold: float) -> bool: ...
    test         def check(candidate): assert candidate([1.0, 2.0], 0.3) == True ...
    entry_point  has_close_elements

A completion may be a whole function, fenced or not, among prose and other blocks, or the body that
continues the prompt.
"""

import ast
import re
import symtable
import textwrap

# Fences on lines of their own, as Markdown has them; and as models write them.
FENCES = (
    re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)(?:^[ \t]*\1[^\S\n]*$|\Z)", re.S | re.M),
    re.compile(r"(`{3,}|~{3,})[^\n`]*\n(.*?)(?:\1|\Z)", re.S),
)
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)
FUTURE = re.compile(r"^from __future__ import .*\n?", re.M)
DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


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
            "reason": failure_reason(outcome),
        }
        for (code, _), outcome in zip(programs, sandbox(programs), strict=True)
    ]


def failure_reason(outcome) -> str:
    """Why a program has failed: its status, and the module that it could not import; or ""."""
    if outcome.status == "import":
        return f"import: {outcome.stderr.strip().rpartition(chr(10))[2][-100:]}"
    return "" if outcome.status == "ok" else outcome.status


def plain_prompt(item: dict) -> str:
    """What a model without a conversation is shown: the function to be continued."""
    return item["prompt"]


# A model that continues text goes on after the function (Chen et al., section 3.1).
STOP = ("\ndef ", "\nclass ", "\nif ", "\nprint(", "\n#", "\n```")


def build_program(item: dict, completion: str):
    """The whole module that a completion stands for."""
    code = find_program(completion, {item["entry_point"]})
    if code is None:
        return drop_tail(item["prompt"] + first_block(completion))
    # The prompt's imports and helpers stay in force where the function is written again.
    first = "".join(f"{line.strip()}\n" for line in FUTURE.findall(code))
    whole = f"{first}{item['prompt']}    pass\n\n{FUTURE.sub('', code)}"
    return whole if defines(whole, {item["entry_point"]}) else code


def find_program(text: str, names: set[str]) -> str | None:
    """The program in a completion that defines one of `names`: all of it where that is Python; else
    the last fenced block, since corrections come last, with what it uses of the others; else what
    follows prose. None where there is none.
    """
    if defines(text, names):
        return text
    for fence in FENCES:
        blocks = [textwrap.dedent(block) for _, block in fence.findall(text)]
        for trim in (str, drop_tail):
            for number in reversed(range(len(blocks))):
                if defines(code := trim(blocks[number]), names):
                    others = blocks[number + 1 :] + blocks[:number]
                    return add_helpers(code, others, names)
    lines = text.split("\n")
    if text.strip("\n")[:1].isspace():  # the body of a function, which the prompt has begun
        return None
    start = re.compile(r"(import|from|def|class|async|@|[A-Za-z_]\w* *=)")
    for number, line in enumerate(lines):
        if start.match(line):
            if defines(code := drop_tail("\n".join(lines[number:])), names):
                return code
            if any(re.match(rf"(async )?def +{name}\b", line) for name in names):
                break
    return None


def defines(code: str, names: set[str]) -> bool:
    """Is this Python, and does it bind one of `names` at its top level?"""
    try:
        table = symtable.symtable(code, "<completion>", "exec")
    except UNREADABLE:
        return False
    return any(
        symbol.is_assigned() or symbol.is_imported()
        for symbol in table.get_symbols()
        if symbol.get_name() in names
    )


def add_helpers(code: str, blocks: list[str], names: set[str]) -> str:
    """Put before a block the imports and definitions of other blocks that it uses and lacks."""
    tree = ast.parse(code)
    wanted, found = used_names(tree), []
    has = {name for node in tree.body for name in bound_names(node)} | names
    for block in reversed(blocks):
        try:
            body = ast.parse(block).body
        except UNREADABLE:
            continue
        for node in reversed(body):
            if bound_names(node) & wanted - has:
                has |= bound_names(node)
                wanted |= used_names(node)
                found.append(ast.unparse(node))
    return "\n".join([*reversed(found), code])


def used_names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def bound_names(node: ast.stmt) -> set[str]:
    if isinstance(node, DEFINITION):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return set()


def first_block(text: str) -> str:
    """The first fenced block of a text, or all of it."""
    found = next((match for fence in FENCES if (match := fence.search(text))), None)
    return found[2] if found else text


def drop_tail(code: str) -> str:
    """Drop lines from the end (prose, or a line cut in two) until what is left is Python."""
    lines = code.split("\n")
    for end in range(len(lines), 0, -1):
        try:
            tree = ast.parse("\n".join(lines[:end]))
        except UNREADABLE:
            continue
        last = tree.body[-1] if tree.body else None
        # A lone word, or "Explanation: it is", happens to be Python too.
        word = isinstance(last, ast.Expr) and isinstance(last.value, ast.Name)
        if word or (isinstance(last, ast.AnnAssign) and last.value is None):
            continue
        return "\n".join(lines[:end])
    return code
