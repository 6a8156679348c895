r"""Seed rows in the form that the paper used, from rows as their publisher wrote them.

The forms are those of the 20 rows that the repository neulab/data-agora shows of eight of the nine
sets (libs/data-agora/tests/seed_data at d7e66e1). Known from them: MATH's solution is followed by
its last \boxed answer in [RESULT] marks; MBPP's task and first assertion stand in a docstring and
its code in a fence; LIMA, Magpie and WebInstruct are left as they are; MBPP is its training split
in its order, LIMA keeps its order with rows left out. Inferred, because no row of them is shown:
GSM8K gets [RESULT] marks like MATH and loses its <<calculator>> notes, xP3x gets a fence like MBPP,
CoNaLa is left as it is.

A conversion maps (instruction, response, row) to a pair (instruction, response).
"""

import re

from agorabench.evaluation.answers import boxed_answer
from agorabench.rows import Unfit, read_field, read_pairs, text_fault


def keep_texts(instruction: str, response: str, _) -> tuple[str, str]:
    """Both texts as they are."""
    return instruction, response


def convert_gsm8k(question: str, answer: str, _) -> tuple[str, str]:
    """The steps without notes such as <<48/2=24>>, then the number after ####."""
    steps, mark, result = answer.rpartition("####")
    if not mark:
        raise Unfit("no answer after ####")
    steps = re.sub(r"<<[^<>]*>>", "", steps).rstrip()
    return question, f"{steps}\n[RESULT] {result.strip()} [/RESULT]"


def convert_math(problem: str, solution: str, _) -> tuple[str, str]:
    r"""The solution, then what stands in its last \boxed."""
    answer = boxed_answer(solution)
    if answer is None:
        raise Unfit("no boxed answer")
    return problem, f"{solution}\n[RESULT] {answer} [/RESULT]"


def convert_mbpp(task: str, code: str, row: dict) -> tuple[str, str]:
    """Task and first assertion in a docstring; fenced code."""
    tests = row.get("test_list")
    if not tests:
        raise Unfit("no assertion")
    return f'"""\n{task}\n{tests[0]}\n"""\n', f"```python\n{code}\n```"


def fence_python(task: str, code: str, _) -> tuple[str, str]:
    """Fenced code."""
    return task, f"```python\n{code.strip()}\n```"


CONVERSIONS = {
    "plain": keep_texts,
    "gsm8k": convert_gsm8k,
    "math": convert_math,
    "mbpp": convert_mbpp,
    "python": fence_python,
}


def convert_row(row: dict, source: dict, answered: bool) -> list[dict[str, str]]:
    """The pairs {"instruction", "response"} of a row, by the fields and conversion of a source.

    Raises:
        Unfit: a text is missing or is no text, or the conversion cannot be made.
        KeyError: a field is absent; its argument is the dotted path. Where not `answered`, the
            response may be absent.
    """
    try:
        pairs = read_pairs(row, source)
    except KeyError:
        if answered:
            raise
        pairs = [{"instruction": read_field(row, source.get("instruction", "instruction"))}]
    return [_convert_pair(pair, row, source, answered) for pair in pairs]


def _convert_pair(pair, row, source, answered):
    instruction, response = (pair.get(field) or "" for field in ("instruction", "response"))
    if text_fault(instruction) or text_fault(response):
        raise Unfit("not text")
    if not instruction.strip() or (answered and not response.strip()):
        raise Unfit("empty")
    convert = CONVERSIONS[source.get("convert", "plain")]
    instruction, response = convert(instruction, response, row)
    return {"instruction": instruction, "response": response}
