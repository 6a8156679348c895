"""GSM8K: grade-school word problems with a whole-number answer (Cobbe et al., arXiv 2110.14168).

    question  Natalia sold clips to 48 of her friends in April, and then she sold half as many ...
    answer    Natalia sold 48/2 = <<48/2=24>>24 clips in May. ... #### 72

The answer is looked for where the model says it is ([RESULT], \\boxed, ####, "the answer is"), and
only then in the last number of the text.
"""

import re

# A minus is a sign where no word, bracket or minus touches it from before, nor a blank from behind:
# in "48 - 24", "48-24" and "- 72" it is none, in "-24" and "5 -3" it is.
NUMBER = r"(?:(?<![\w)\-])-)?\$?(?:\d[\d,]*)?\.?\d+"
# What is stated may be a sum, as in "3 + 4 = 7": its result counts.
SUM = re.compile(r"^[\s\d.,$()+\-*/\u00d7x]*[+\-*/\u00d7x][\s\d.,$()+\-*/\u00d7x]*=")
STATED = (
    re.compile(r"\[RESULT\](.*?)\[/RESULT\]", re.S),
    re.compile(r"\\boxed\{([^{}]*)\}"),
    re.compile(r"####\s*(.*)"),
    re.compile(r"answer is:?\s*(.*)", re.I),
)


def read(rows):
    """Items from the published rows, whose answers stand after ####."""
    return [
        {
            "id": f"gsm8k/{number}",
            "prompt": row["question"],
            "answer": value(row["answer"].rsplit("####", 1)[1]),
        }
        for number, row in enumerate(rows)
    ]


def grade(items, completions, sandbox=None):
    """Numeric equality of the extracted answer."""
    return [verdict(item["answer"], text) for item, text in zip(items, completions, strict=True)]


def verdict(answer, completion):
    """Compare one completion with the right answer."""
    found = extract(completion)
    if found is None:
        return {"score": 0.0, "extracted": "", "reason": "no answer"}
    right = value(found) == answer
    return {"score": float(right), "extracted": found, "reason": "" if right else "wrong answer"}


def extract(completion):
    """The text of the number that the completion gives as its answer, or None."""
    for pattern in STATED:
        stated = pattern.findall(completion)
        if stated and (numbers := re.findall(NUMBER, SUM.sub("", stated[-1], count=1))):
            return numbers[0]
    numbers = re.findall(NUMBER, completion)
    return numbers[-1] if numbers else None


def value(text):
    """A number as written, without dollars, blanks and thousands separators."""
    return float(re.sub(r"[\s$,]", "", text))
