"""GSM8K's answers and graders, against real solutions with known verdicts."""

import pytest
from agorabench.evaluation.answers import parse_number
from agorabench.evaluation.benchmarks import gsm8k
from agorabench.files import read_jsonl


@pytest.mark.parametrize(
    ("model", "correct"),
    [
        ("6b_finetuning", 286),
        ("6b_verification", 515),
        ("175b_finetuning", 458),
        ("175b_verification", 742),
    ],
)
def test_published_verdicts_come_out(data, model, correct):
    items = gsm8k.read_items(read_jsonl(data / "gsm8k" / "test.jsonl"))
    solutions = read_jsonl(data / "math_outputs" / "gsm8k_openai_example_solutions.jsonl")
    assert [item["prompt"] for item in items] == [row["question"] for row in solutions]
    verdicts = gsm8k.grade_items(items, [row[model]["solution"] for row in solutions])
    assert [verdict["score"] for verdict in verdicts] == [
        row[model]["is_correct"] for row in solutions
    ]
    assert sum(verdict["score"] for verdict in verdicts) == correct


def test_every_answer_is_a_whole_number(data):
    items = gsm8k.read_items(read_jsonl(data / "gsm8k" / "test.jsonl"))
    assert len(items) == 1319
    assert all(item["answer"] == int(item["answer"]) for item in items)


@pytest.mark.parametrize(
    ("completion", "found"),
    [
        ("3+4=7 [RESULT] 7 [/RESULT]", 7),
        ("[RESULT] 7 [/RESULT] and 9 more", 7),
        (r"so \boxed{1,200}", 1200),
        ("The answer is $1,234.50.", 1234.5),
        ("#### -3", -3),
        ("first 3, then 12", 12),
        ("none at all", None),
        ("The answer is 18. (1 dozen = 12 eggs)", 18),
        ("#### 18 = 9 * 2", 18),
        ("The answer is 20. Half of that = 10.", 20),
        ("- 72", 72),
        ("---\n72", 72),
        ("it is 48 - 24", 24),
        ("it is 48-24", 24),
        ("-24", -24),
        ("$-24", -24),
        ("The answer is 3 + 4 = 7.", 7),
        ("[RESULT] 3+4=7 [/RESULT]", 7),
        ("The answer is 12 * 3 = 36 dollars", 36),
        (r"\boxed{\text{36 dollars}} of 40", 36),
    ],
)
def test_the_stated_answer_goes_before_the_last_number(completion, found):
    text, _ = gsm8k.extract_number(completion)
    assert (text and parse_number(text)) == found


@pytest.mark.parametrize(
    ("completion", "score", "strict"),
    [
        ("#### 72", 1, 1),
        ("[RESULT] 72 [/RESULT]", 1, 1),
        (r"\boxed{72}", 1, 1),
        ("The answer is 72.", 1, 0),
        ("So 48 + 24 = 72 clips", 1, 0),
        ("#### 71\nThe answer is 72.", 0, 0),
    ],
)
def test_strict_counts_an_answer_only_in_its_mark(completion, score, strict):
    (verdict,) = gsm8k.grade_items([{"answer": 72.0}], [completion])
    assert (verdict["score"], verdict["strict"]) == (score, strict)
