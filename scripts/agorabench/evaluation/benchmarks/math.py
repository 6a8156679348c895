r"""MATH: competition problems with an answer in LaTeX (Hendrycks et al., arXiv 2103.03874).

    problem   What is the positive difference between $120\%$ of 30 and $130\%$ of 20?
    solution  One hundred twenty percent of 30 is $36$ ... The difference is $\boxed{10}$.

The rows are those of the test set (5,000), or of MATH-500, which say the `answer` too.

An answer is looked for where the model says it is ([RESULT], the last \boxed, ####, then "the
answer is"), and only then wherever Math-Verify finds one. Math-Verify decides whether it is equal
to the right one. Under `strict` it counts only if it stands in one of the three marks.
"""

import re

from agorabench.evaluation import math_equality
from agorabench.evaluation.answers import (
    FORMULA,
    LONGEST,
    PLAIN,
    VULGAR,
    Statement,
    boxed_answer,
    find_statements,
    parse_number,
)

ALSO = ("strict",)

# To the end of the sentence: a point that a blank follows, not the one in 3.5.
SENTENCE = re.compile(r"\.(?=\s|$)")
REMARK = re.compile(r"\s\((?=[^()]*(?<!\\)\b[A-Za-z]{3})")
# Several of them: $2$ and $3$
FORMULAS = re.compile(rf"{FORMULA}(?:\s*(?:,|,?\s*and|,?\s*or)\s*{FORMULA})*", re.S)

GROUPED = re.compile(r"(?<![\d.])[1-9]\d{0,2}(?:(?:\{,\}|\\[,;: ]|[ ~'])\d{3})+(?!\d)")


def read_items(rows: list[dict]) -> list[dict]:
    """Items from the published rows; the answer is in the solution's last box."""
    return [
        {
            "id": row.get("unique_id") or f"math/{number}",
            "prompt": row["problem"],
            "answer": row["answer"] if "answer" in row else solution_answer(row["solution"]),
        }
        for number, row in enumerate(rows)
    ]


def solution_answer(solution: str) -> str:
    found = boxed_answer(solution)
    if found is None:
        raise ValueError(r"the solution has no \boxed answer")
    return found.strip()


def grade_items(items: list[dict], completions: list[str], sandbox=None) -> list[dict]:
    """Equality of the stated answer by Math-Verify; `sandbox.workers` answers at a time."""
    found = [extract_answer(text) for text in completions]
    pairs = [
        (answer_expression(item["answer"]), theirs)
        for item, (text, _, theirs) in zip(items, found, strict=True)
        if text is not None
    ]
    verdicts = iter(math_equality.compare_answers(pairs, sandbox.workers if sandbox else 1))
    return [
        make_verdict(text, marked, None if text is None else next(verdicts))
        for text, marked, _ in found
    ]


def make_verdict(text: str | None, marked: bool, equal: bool | str | None) -> dict:
    """What becomes of one completion; `equal` is of math_equality, None for no answer."""
    right = equal is True
    reason = "no answer" if equal is None else "" if right else equal or "wrong answer"
    return {
        "score": float(right),
        "strict": float(right and marked),
        "extracted": text or "",
        "reason": reason,
    }


def extract_answer(completion: str) -> tuple[str | None, bool, str]:
    """(what the completion gives as its answer, does it stand in a mark?, Math-Verify's form of it)

    Of several marks of a kind the last counts, and in a mark its last formula; after "the answer
    is" the first. An answer without all that is looked for in the whole completion, by Math-Verify.
    (None, False, "") where there is nothing to look through.
    """
    for statement in find_statements(completion):
        if text := stated_formula(statement):
            return text, statement.marked, answer_expression(text)
    if re.search(r"[\d$\\]", completion):
        return completion.strip(), False, completion
    return None, False, ""


def stated_formula(statement: Statement) -> str:
    """The formula of a statement: in a mark the last, after a phrase the first; else all of it."""
    if statement.kind == "box":
        return statement.text
    if statement.kind == "result" and (box := boxed_answer(statement.text)):
        return box.strip()
    if statement.marked:
        text = statement.text[-LONGEST:]
        return (FORMULAS.findall(text) or [text])[-1]
    if formula := FORMULAS.match(statement.text):
        return formula.group()
    sentence = SENTENCE.split(statement.text, maxsplit=1)[0]
    return (FORMULAS.findall(sentence) or [REMARK.split(sentence, maxsplit=1)[0]])[0].strip()


def as_boxed(text: str) -> str:
    r"""LaTeX as Math-Verify reads it whole."""
    return f"\\boxed{{{text}}}"


def answer_expression(text: str) -> str:
    """What Math-Verify is given for an answer: several formulas as they are, else all as LaTeX."""
    text = text.strip().strip("*").strip().translate(PLAIN)
    if FORMULAS.fullmatch(text):
        if not re.fullmatch(FORMULA, text, re.S):
            return text
        text = text.strip("$") if text.startswith("$") else text[2:-2]
    text = text.strip().removesuffix(".")
    # What Math-Verify does not read: 1 234, 1\,234, 1'234, 1.8 million, a half as one sign.
    text = GROUPED.sub(lambda found: re.sub(r"\D", "", found[0]), text)
    if text and (text[-1].isalpha() or text[-1] in VULGAR):
        value = parse_number(text)
        text = text if value is None else str(value)
    return as_boxed(text)
