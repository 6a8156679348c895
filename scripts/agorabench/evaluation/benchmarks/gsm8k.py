"""GSM8K: grade-school word problems with a whole-number answer (Cobbe et al., arXiv 2110.14168).

    question  Natalia sold clips to 48 of her friends in April, and then she sold half as many ...
    answer    Natalia sold 48/2 = <<48/2=24>>24 clips in May. ... #### 72

The answer is looked for where the model says it is ([RESULT], \\boxed, ####, "the answer is"), and
only then in the last number of the text. Under `strict` it counts only if it stands in one of the
three marks.
"""

import re

from agorabench.evaluation.benchmarks.math import boxed_answer

ALSO = ("strict",)

# A minus is a sign where no word, bracket or minus touches it from before, nor a blank from behind:
# in "48 - 24", "48-24" and "- 72" it is none, in "-24" and "5 -3" it is.
NUMBER = r"(?:(?<![\w)\-])-)?\$?(?:\d[\d,]*)?\.?\d+"
# What is stated may be a sum, as in "3 + 4 = 7": its result counts.
SUM = re.compile(r"^[\s\d.,$()+\-*/\u00d7x]*[+\-*/\u00d7x][\s\d.,$()+\-*/\u00d7x]*=")
RESULT = re.compile(r"\[RESULT\](.*?)\[/RESULT\]", re.S)
HASHES = re.compile(r"####\s*(.*)")
PHRASE = re.compile(r"answer is:?\s*(.*)", re.I)


def read_items(rows: list[dict]) -> list[dict]:
    """Items from the published rows, whose answers stand after ####."""
    return [
        {
            "id": f"gsm8k/{number}",
            "prompt": row["question"],
            "answer": parse_number(row["answer"].rsplit("####", 1)[1]),
        }
        for number, row in enumerate(rows)
    ]


def grade_items(items: list[dict], completions: list[str], sandbox=None) -> list[dict]:
    """Numeric equality of the extracted answer."""
    return [
        grade_completion(item["answer"], text)
        for item, text in zip(items, completions, strict=True)
    ]


def grade_completion(answer: float, completion: str) -> dict:
    """Compare one completion with the right answer."""
    found, marked = extract_number(completion)
    if found is None:
        return {"score": 0.0, "strict": 0.0, "extracted": "", "reason": "no answer"}
    right = parse_number(found) == answer
    return {
        "score": float(right),
        "strict": float(right and marked),
        "extracted": found,
        "reason": "" if right else "wrong answer",
    }


def extract_number(completion: str) -> tuple[str | None, bool]:
    """(text of the number that the completion gives as its answer, does it stand in a mark?)

    (None, False) where there is no number.
    """
    marks = (
        last_match(RESULT, completion),
        boxed_answer(completion),
        last_match(HASHES, completion),
    )
    for stated, marked in (
        *((mark, True) for mark in marks),
        (last_match(PHRASE, completion), False),
    ):
        if stated and (numbers := re.findall(NUMBER, SUM.sub("", stated, count=1))):
            return numbers[0], marked
    numbers = re.findall(NUMBER, completion)
    return (numbers[-1] if numbers else None), False


def last_match(pattern: re.Pattern, text: str) -> str | None:
    """What the last match of a pattern with one group captures, or None."""
    found = pattern.findall(text)
    return found[-1] if found else None


def parse_number(text: str) -> float:
    """A number as written, without dollars, blanks and thousands separators."""
    return float(re.sub(r"[\s$,]", "", text))
