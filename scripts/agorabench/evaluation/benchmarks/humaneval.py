"""HumanEval: complete a Python function; unit tests decide (Chen et al., arXiv 2107.03374).

    prompt       def has_close_elements(numbers: List[float], threshold: float) -> bool: ...
    test         def check(candidate): assert candidate([1.0, 2.0], 0.3) == True ...
    entry_point  has_close_elements

A completion may be a whole function, fenced or not, among prose and other blocks, or the body that
continues the prompt.
"""

import ast
import builtins
import re
import symtable
import sys
import textwrap
from collections import Counter
from typing import NamedTuple

# Fences on lines of their own, as Markdown has them; and as models write them.
FENCES = (
    re.compile(r"^[ \t]*(`{3,}+|~{3,}+)[^\n`]*\n(.*?)(?:^[ \t]*\1[^\S\n]*$|\Z)", re.S | re.M),
    re.compile(r"(?<![`~])(`{3,}+|~{3,}+)[^\n`]*\n(.*?)(?:\1|\Z)", re.S),
)
# Blanks that are none in Python, and signs that nobody sees.
BLANKS = dict.fromkeys(map(ord, "\u00a0\u2007\u202f\u3000"), " ")
BLANKS |= dict.fromkeys(map(ord, "\u200b\u2060\ufeff"))
PROMPTED = re.compile(r"^(?:>>>|\.\.\.)(?: (.*))?$", re.M)
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)
FUTURE = re.compile(r"^from __future__ import .*\n?", re.M)
DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
STARTS = 10  # lines that a program without a fence is looked for from
PARSED = 200_000  # characters that are parsed at most while a text's end is cut


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
    the last fenced block, since corrections come last, with what it lacks of the others; else what
    follows prose. None where there is none.
    """
    for whole in (text, text.translate(BLANKS)):
        if defines(whole, names):
            return whole
    for fence in FENCES:
        blocks = [block for _, block in fence.findall(text)]
        for trim in (str, straighten, lambda block: drop_tail(straighten(block)), read_session):
            if code := join_blocks([trim(block) for block in blocks], names):
                return code
    if text.strip("\n")[:1].isspace():  # the body of a function, which the prompt has begun
        return None
    lines, known = text.translate(BLANKS).split("\n"), "|".join(map(re.escape, names))
    start = re.compile(r"import|from|def|class|async|@|[A-Za-z_]\w* *=")
    begun = [number for number, line in enumerate(lines) if start.match(line)]
    own = re.compile(rf"(?:(?:async +)?def|class) +(?:{known})\b|(?:{known}) *=")
    first = next((number for number in begun if own.match(lines[number])), -1)
    for number in [*[before for before in begun if before < first][:STARTS], first]:
        if first >= 0 and defines(code := drop_tail("\n".join(lines[number:])), names):
            return code
    return None


def straighten(block: str) -> str:
    return textwrap.dedent(block.translate(BLANKS))


def read_session(block: str) -> str:
    """What was typed in an interactive session."""
    return "\n".join(PROMPTED.findall(straighten(block)))


def defines(code: str, names: set[str]) -> bool:
    """Is this Python, and does it bind one of `names` at its top level?"""
    try:
        return bool(bound_names(symtable.symtable(code, "<completion>", "exec")) & names)
    except UNREADABLE:
        return False


def bound_names(table: symtable.SymbolTable) -> set[str]:
    return {one.get_name() for one in table.get_symbols() if one.is_assigned() or one.is_imported()}


def used_names(table: symtable.SymbolTable) -> set[str]:
    """Names of the module that code reads, at once or in its functions."""
    own = {one.get_name() for one in table.get_symbols() if one.is_referenced() and one.is_global()}
    return own.union(*map(used_names, table.get_children()))


class Statement(NamedTuple):
    """A statement of a block's top level.

    Attributes:
        binds, reads, uses: names that it binds, reads at once, and reads at once or later.
        weak: does it bind what a definition elsewhere says better?
    """

    code: str
    binds: set
    reads: set
    uses: set
    weak: bool


def read_statements(block: str, names: set[str]) -> list[Statement]:
    """Statements of a block that is Python; [] for another."""
    found = []
    try:
        symtable.symtable(block, "<completion>", "exec")
        for node in ast.parse(block).body:
            table = symtable.symtable(code := ast.unparse(node), "<completion>", "exec")
            reads = {one.get_name() for one in table.get_symbols() if one.is_referenced()}
            binds = bound_names(table)
            if not isinstance(node, DEFINITION):  # list = [1, 2, 3] is part of an example
                binds -= set(dir(builtins)) - names
            if isinstance(node, ast.ImportFrom):  # of a file that is another block
                module = (node.module or "").partition(".")[0]
                weak = bool(binds & names) or module not in sys.stdlib_module_names
            else:  # only a signature
                weak = isinstance(node, DEFINITION) and all(
                    isinstance(part, ast.Pass)
                    or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
                    for part in node.body
                )
            found.append(Statement(code, binds, reads, used_names(table), weak))
    except UNREADABLE:
        return []
    return found


def join_blocks(blocks: list[str], names: set[str]) -> str | None:
    """The last block that defines one of `names`, after what it and who asks for `names` lack of
    the other blocks. None where none does."""
    if not any(name in block for block in blocks for name in names):
        return None
    whole = [read_statements(block, names) for block in blocks]
    made = [set().union(*(one.binds for one in part if not one.weak)) for part in whole]
    count = Counter(name for own in made for name in own)
    parts = [
        [one for one in part
         if not one.weak or any(count[name] == (name in own) for name in one.binds)]
        for part, own in zip(whole, made, strict=True)
    ]  # fmt: skip
    last = max((n for n, part in enumerate(parts) for one in part if one.binds & names), default=-1)
    if last < 0:
        return None
    has, lacks, found = set(), set(), []
    for one in parts[last]:
        lacks |= one.reads - has
        has |= one.binds
    lacks |= names.union(*(one.uses for one in parts[last])) - has
    others = [one for part in parts[last + 1 :] + parts[:last] for one in part]
    for one in reversed(others):
        if one.binds & lacks:
            has |= one.binds
            lacks = lacks - one.binds | one.uses - has | one.reads & one.binds
            found.append(one.code)
    same = len(parts[last]) == len(whole[last])
    code = [blocks[last]] if same else [one.code for one in parts[last]]
    return "\n".join([*reversed(found), *code])


def first_block(text: str) -> str:
    """The first fenced block of a text, or all of it."""
    found = next((match for fence in FENCES if (match := fence.search(text))), None)
    return found[2] if found else text


def drop_tail(code: str) -> str:
    """Drop lines from the end (prose, or a line cut in two) until what is left is Python."""
    lines = code.split("\n")
    end = len(lines)
    for _ in range(1 + PARSED // (len(code) + 1)):
        try:
            body = ast.parse("\n".join(lines[:end])).body
        except UNREADABLE as error:  # no longer text that begins so is Python either
            end = min(end, getattr(error, "lineno", None) or end) - 1
        else:
            # A lone word, or "Explanation: it is", happens to be Python too.
            while body and is_prose(body[-1]):
                end = body.pop().lineno - 1
            return "\n".join(lines[:end])
        if end <= 0:
            break
    return code


def is_prose(node: ast.stmt) -> bool:
    word = isinstance(node, ast.Expr) and isinstance(node.value, ast.Name)
    return word or (isinstance(node, ast.AnnAssign) and node.value is None)
