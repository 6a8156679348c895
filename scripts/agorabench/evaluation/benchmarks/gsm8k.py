"""GSM8K: grade-school word problems with a whole-number answer (Cobbe et al., arXiv 2110.14168).

    question  Natalia sold clips to 48 of her friends in April, and then she sold half as many ...
    answer    Natalia sold 48/2 = <<48/2=24>>24 clips in May. ... #### 72

The answer is looked for where the model says it is (evaluation/answers.py), and only then in the
last number of the text. Under `strict` it counts only if it stands in one of the
three marks: [RESULT], \\boxed and ####.
"""

from fractions import Fraction

from agorabench.evaluation.answers import find_numbers, find_statements, first_number, parse_number

ALSO = ("strict",)


def read_items(rows: list[dict]) -> list[dict]:
    """Items from the published rows, whose answers stand after ####."""
    items = []
    for number, row in enumerate(rows):
        item = {"id": f"gsm8k/{number}", "prompt": row["question"]}
        item["answer"] = parse_number(row["answer"].rsplit("####", 1)[1])
        if item["answer"] is None:
            raise ValueError("the answer is not a number")
        items.append(item)
    return items


def grade_items(items: list[dict], completions: list[str], sandbox=None) -> list[dict]:
    """Numeric equality of the extracted answer."""
    return [
        grade_completion(item["answer"], text)
        for item, text in zip(items, completions, strict=True)
    ]


def grade_completion(answer: Fraction, completion: str) -> dict:
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
    for statement in find_statements(completion):
        if number := first_number(statement.text):
            return number, statement.marked
    numbers = find_numbers(completion)
    return (numbers[-1] if numbers else None), False
