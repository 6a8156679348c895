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

ALSO = ("strict",)

BRACE = re.compile(r"\\.|[{}]", re.S)
BOX = re.compile(r"\\(?:boxed|fbox)\s*(?:(\{)|(\\[A-Za-z]+|[^\s\\{}$]))")
RESULT = re.compile(r"\[RESULT\](.*?)\[/RESULT\]", re.S)
HASHES = re.compile(r"####[^\S\n]*(\S.*)")
# To the end of the sentence: a point that a blank follows, not the one in 3.5.
PHRASE = re.compile(r"answer\s+is:?\s*(\S.*?)(?:\.(?=\s|$)|\n|$)", re.I)
# $...$, \(...\) or \[...\], or several of them: $2$ and $3$
FORMULA = r"(?:(?<!\\)\${1,2}[^$]+(?<!\\)\${1,2}|\\\(.+?\\\)|\\\[.+?\\\])"
FORMULAS = re.compile(rf"{FORMULA}(?:\s*(?:,|,?\s*and|,?\s*or)\s*{FORMULA})*", re.S)


def read_items(rows: list[dict]) -> list[dict]:
    """Items from the published rows; the answer is in the solution's last box."""
    return [
        {
            "id": row.get("unique_id") or f"math/{number}",
            "prompt": row["problem"],
            "answer": row["answer"]
            if "answer" in row
            else solution_answer(row["solution"], number),
        }
        for number, row in enumerate(rows)
    ]


def solution_answer(solution: str, number: int) -> str:
    found = boxed_answer(solution)
    if found is None:
        raise ValueError(f"the solution of row {number} has no \\boxed answer")
    return found


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
    if marked := marked_answer(completion):
        return marked, True, answer_expression(marked)
    phrases = [text for text in PHRASE.findall(completion) if text.strip(" $*:")]
    if phrases:
        formulas = FORMULAS.findall(phrases[-1])
        text = formulas[0] if formulas else phrases[-1].strip()
        return text, False, answer_expression(text)
    if re.search(r"[\d$\\]", completion):
        return completion.strip(), False, completion
    return None, False, ""


def marked_answer(completion: str) -> str | None:
    """The text in the completion's last mark that has one, or None."""
    results = [text.strip() for text in RESULT.findall(completion) if text.strip()]
    if results:
        return boxed_answer(results[-1]) or _last_formula(results[-1])
    if found := boxed_answer(completion):
        return found
    hashes = HASHES.findall(completion)
    return _last_formula(hashes[-1].strip()) if hashes else None


def _last_formula(text):
    """The last formula in a text, or all of it where there is none."""
    return (FORMULAS.findall(text) or [text])[-1]


def boxed_answer(text: str) -> str | None:
    r"""What stands in the last \boxed{...} that is closed and not empty, or None.

    \boxed is also used without braces, of one token: \boxed 5.
    """
    opened, closed = [], {}
    for brace in BRACE.finditer(text):
        if brace.group() == "{":
            opened.append(brace.end())
        elif brace.group() == "}" and opened:
            closed[opened.pop()] = brace.start()
    for found in reversed(list(BOX.finditer(text))):
        end = found.end()
        inside = found.group(2) or text[end : closed.get(end, end)]
        if inside.strip():
            return inside.strip()
    return None


def as_boxed(text: str) -> str:
    r"""LaTeX as Math-Verify reads it whole."""
    return f"\\boxed{{{text}}}"


def answer_expression(text: str) -> str:
    """What Math-Verify is given for an answer: several formulas as they are, else all as LaTeX."""
    text = text.strip().strip("*").strip()
    if FORMULAS.fullmatch(text):
        if not re.fullmatch(FORMULA, text, re.S):
            return text
        text = text.strip("$") if text.startswith("$") else text[2:-2]
    return as_boxed(text.strip().removesuffix("."))
