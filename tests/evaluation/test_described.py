"""Benchmarks that the config describes: answers compared, choices, a judge with a rubric."""

import pytest
from agorabench.errors import UserError
from agorabench.evaluation import benchmarks
from agorabench.evaluation.benchmarks import choice, match, rubric
from agorabench.files import read_jsonl

PLAIN = {"protocol": "match", "prompt": "{question}", "answer": "answer"}


def grade(entry, rows, *completions, **more):
    items = benchmarks.parse_items(entry, rows, "rows")
    protocol = benchmarks.load_protocol(entry)
    predictions = [{"completion": text} for text in completions]
    return protocol.grade_items(
        items * len(completions) if len(items) == 1 else items,
        list(completions), entry=entry, predictions=predictions, **more,
    )  # fmt: skip


def scores(*arguments, **more):
    return [verdict["score"] for verdict in grade(*arguments, **more)]


def compare(how, answer, *completions, **more):
    entry = PLAIN | {"compare": how} | more
    return scores(entry, [{"question": "?", "answer": answer}], *completions)


def test_a_prompt_is_a_template_over_a_rows_fields():
    entry = PLAIN | {"compare": "text", "prompt": 'Of {a.b}: {q} {{q}} {"x": 1} {none} {n}'}
    row = {"q": "why {a}?", "a": {"b": ["c"]}, "none": None, "n": 2, "answer": "x"}
    (item,) = benchmarks.parse_items(entry, [row], "rows")
    assert item["prompt"] == 'Of ["c"]: why {a}? {q} {"x": 1}  2'
    with pytest.raises(UserError, match=r"^rows, row 1: no field 'q'; it has: answer$"):
        benchmarks.parse_items(entry | {"prompt": "{q}"}, [{"answer": "x"}], "rows")


@pytest.mark.parametrize(("how", "answer", "right", "wrong"), [
    ("text", "New  York", ["New York", "The answer is New York.", "[RESULT] New York [/RESULT]"],
     ["new york", "York", ""]),
    ("text", ["a", "b"], ["a", "b"], ["c"]),
    ("casefold", "Straße", ['"STRASSE."', "**strasse**", "Answer: Straße"], ["Gasse", ""]),
    ("number", 1234.5, ["$1,234.50", "It costs 12, so 1234.5", r"\boxed{2469/2}"], ["1234", "no"]),
    ("number", "7 of 9: #### 7", ["#### 7", "7.0"], ["9"]),
    ("math", "so \\boxed{\\frac{1}{2}}", [r"\boxed{0.5}", "The answer is $1/2$."], ["2", ""]),
    ("math", ["2", "3"], [r"\boxed{3}", "#### 2"], [r"\boxed{4}"]),
    ("set", ["Anna", "ben"], ["Ben, anna", "- anna\n- ben", '["Ben", "Anna"]', "1. Ben\n2. Anna"],
     ["Anna", "Anna, Ben, Carl", ""]),
    ("set", "a, b", ["b; a"], ["a"]),
    ("json", {"a": [1, 2.0], "b": None}, ['{"b": null, "a": [1.0, 2]}',
     'Thus:\n```json\n{"a": [1, 2],\n "b": null}\n```\n'], ['{"a": [2, 1], "b": null}', "{", ""]),
    ("json", '{"a": true}', ['{"a": true}'], ['{"a": 1}']),
])  # fmt: skip
def test_answers_are_compared_as_the_config_says(how, answer, right, wrong):
    assert compare(how, answer, *right) == [1] * len(right)
    assert compare(how, answer, *wrong) == [0] * len(wrong)


def test_patterns_are_tried_in_order_and_each_where_it_is_last():
    patterns = [r"(?s)```sql\n(.*?)```", r"SELECT .*|(WITH .*)"]
    found = [
        match.find_answers(text, {"extract": patterns, "compare": "text"})
        for text in ("SELECT 0\n```sql\nSELECT 1\n```\n```sql\nSELECT 2\n```", "SELECT 3", "-")
    ]
    assert found == [["SELECT 2\n"], ["SELECT 3"], []]
    assert compare("text", "SELECT 1", "```sql\nSELECT\n 1\n```", extract=patterns) == [1]
    assert compare("number", 7, "x=7; y=8", extract=[r"x=(\d+)"]) == [1]


def test_an_answer_that_cannot_be_compared_is_refused():
    for how, answer in (("number", "none"), ("json", "{"), ("text", " "), ("text", [])):
        with pytest.raises(UserError, match=r"^rows, row 1: "):
            compare(how, answer, "x")


@pytest.mark.parametrize(
    ("model", "correct"),
    [
        ("6b_finetuning", 286),
        ("6b_verification", 515),
        ("175b_finetuning", 458),
        ("175b_verification", 742),
    ],
)
def test_gsm8k_is_a_benchmark_of_the_config(data, model, correct):
    rows = read_jsonl(data / "gsm8k/test.jsonl")
    solutions = read_jsonl(data / "math_outputs/gsm8k_openai_example_solutions.jsonl")
    found = scores(
        PLAIN | {"compare": "number"}, rows, *(row[model]["solution"] for row in solutions)
    )
    assert found == [row[model]["is_correct"] for row in solutions] and sum(found) == correct


def test_maths_own_solutions_are_right_by_config(data):
    rows = read_jsonl(data / "math/test.jsonl")[::50]
    entry = {"protocol": "match", "prompt": "{problem}", "answer": "solution", "compare": "math"}
    assert scores(entry, rows, *(row["solution"] for row in rows)) == [1] * 100


CHOICE = {"protocol": "choice", "prompt": "{q}", "choices": "options", "answer": "key"}
TEXTS = ["a cat", "Bern", "Cologne", "I do not know"]


@pytest.mark.parametrize(("options", "key"), [
    (TEXTS, "B"), (TEXTS, 1), (TEXTS, "1"), (TEXTS, "Bern"),
    ({"A": "a cat", "B": "Bern"}, "B"), ({"label": ["1", "2"], "text": TEXTS[:2]}, "2"),
    ([{"label": "A", "text": "a cat"}, {"label": "B", "text": "Bern"}], "B"),
])  # fmt: skip
def test_choices_are_lists_or_mappings_and_answers_labels_places_or_texts(options, key):
    (item,) = benchmarks.parse_items(CHOICE, [{"q": "?", "options": options, "key": key}], "rows")
    assert item["choices"][item["answer"]] == "Bern"
    assert item["prompt"].startswith(f"?\n\n{next(iter(item['choices']))}. a cat\n")


@pytest.mark.parametrize(("key", "label"), [(1, "B"), ("1", "D"), ("2", "A"), ("3", "B"), (3, "D")])
def test_a_number_is_a_place_and_text_a_choice(key, label):
    row = {"q": "?", "options": ["2", "3", "4", "1"], "key": key}
    (item,) = benchmarks.parse_items(CHOICE, [row], "rows")
    assert item["answer"] == label


def test_choices_may_be_fields_and_stand_where_the_prompt_says():
    entry = CHOICE | {"choices": ["one", "two"], "prompt": "Of\n{choices}\nwhich {q}?"}
    row = {"q": "is it", "one": "x", "two": 2, "key": "x"}
    (item,) = benchmarks.parse_items(entry, [row], "rows")
    assert item["prompt"] == "Of\nA. x\nB. 2\nwhich is it?" and item["answer"] == "A"


@pytest.mark.parametrize(
    ("options", "key"), [(TEXTS, 4), (TEXTS, "E"), (["one"], "A"), ("x", 0), (["x"] * 27, 0)]
)
def test_an_answer_that_is_no_choice_is_refused(options, key):
    with pytest.raises(UserError, match=r"^rows, row 1: "):
        benchmarks.parse_items(CHOICE, [{"q": "?", "options": options, "key": key}], "rows")


B = ["B", "(B)", "B.", "b) Bern" , "B. Bern", "Bern", "bern.", "**B**", "**B. Bern**", "[B]", "`B`",
     "The answer is B.", "The answer is (B) Bern.", "Answer: B", "answer is **B**", "**Answer:** B",
     "The correct answer is: B) Bern", "[RESULT] B [/RESULT]", "#### B", "\\boxed{B}",
     "\\boxed{\\text{B}}", "The correct option is B, as A is an animal.", "Option B", "B: Bern",
     "A cat is an animal, so it is not A.\n\nAnswer: B", "It cannot be A. I choose (B).",
     "Let us see. A is an animal.\nB", "B, because it is a city.",
     "So the choice is (B)"]  # fmt: skip


@pytest.mark.parametrize("text", B)
def test_the_choice_that_a_text_gives_is_read(text):
    choices = dict(zip("ABCD", TEXTS, strict=True))
    assert choice.read_label(text, choices, CHOICE) == "B"


@pytest.mark.parametrize("text", [
    "", "I cannot tell.", "A cat is an animal.", "Either (A) or (B).", "Because of this.", "E",
])  # fmt: skip
def test_what_gives_no_choice_has_none(text):
    assert choice.read_label(text, dict(zip("ABCD", TEXTS, strict=True)), CHOICE) is None


def test_the_likeliest_label_counts():
    entry = CHOICE | {"by": "likelihood"}
    rows = [{"q": "?", "options": TEXTS[:2], "key": "B"}]
    items = benchmarks.parse_items(entry, rows, "rows")
    assert items[0]["continuations"] == ["A", "B"]
    for likely, score in (([-2.0, -1.0], 1), ([-1.0, -2.0], 0)):
        told = [{"likelihoods": [{"logprob": one, "greedy": False} for one in likely]}]
        (verdict,) = choice.grade_items(items, ["A"], entry=entry, predictions=told)
        assert verdict["score"] == score


RUBRIC = {"protocol": "rubric", "prompt": "{q}", "answer": "ref"}
RIGHT = ["[RESULT] right", "So.\n[RESULT] Correct.", "**[RESULT]** **right**", "Verdict: correct",
         "yes", "The last step holds.\nYes.", "[RESULT]: True", "Judgement: the answer is correct.",
         "It is incorrect at first.\n\nVerdict: **right**", "[RESULT] not wrong"]  # fmt: skip
WRONG = ["[RESULT] wrong", "[RESULT] incorrect", "Verdict: not correct", "no", "[RESULT] false",
         "[RESULT] right? No: [RESULT] wrong", "**Wrong**"]  # fmt: skip
NONE = [
    "[RESULT] right, or wrong?",
    "[RESULT] partly right",
    "[RESULT] right/wrong",
    "[RESULT] neither right nor wrong",
    "[RESULT] rightly wrong",
    "[RESULT] isn't right",
    "",
    "It is right in parts.",
    "[RESULT]",
    "right or wrong",
    "[RESULT] 5",
    "I say right now",
]


@pytest.mark.parametrize(
    ("texts", "verdict"), [(RIGHT, 1), (WRONG, 0), (NONE, None)], ids=["right", "wrong", "none"]
)
def test_a_judge_says_right_or_wrong(texts, verdict):
    for text in texts:
        reply = {"reply": text, "finish_reason": "stop"}
        assert rubric.parse_verdict({"scale": "right"}, {}, reply) == verdict, text
        assert (
            rubric.parse_verdict({"scale": "right"}, {}, reply | {"finish_reason": "length"})
            is None
        )


@pytest.mark.parametrize(("text", "verdict"), [
    ("Feedback: good. [RESULT] 5", 1), ("[RESULT] 1", 0), ("Score: 3", 0.5), ("[RESULT] 6", None),
    ("3 of 5 steps", None),
])  # fmt: skip
def test_a_judges_score_is_a_share_of_the_best(text, verdict):
    assert rubric.parse_verdict(RUBRIC, {}, {"reply": text, "finish_reason": "stop"}) == verdict


def test_a_rubric_shows_question_completion_and_reference(tmp_path):
    file = tmp_path / "rubric.md"
    file.write_text("Q: {prompt}\nR: {reference}\nC: {completion}\nEnd with [RESULT] 1 to 5.")
    items = benchmarks.parse_items(RUBRIC, [{"q": "Why?", "ref": "So."}], "rows")
    predictions = [{"completion": "{prompt} it is"}]
    entry = RUBRIC | {"rubric": str(file)}
    files = benchmarks.protocol_files(entry, tmp_path)
    (game,) = benchmarks.build_games(entry, items, predictions, files, seed=1)
    assert game["messages"][0]["content"].startswith("Q: Why?\nR: So.\nC: {prompt} it is\nEnd")
    del items[0]["reference"]
    with pytest.raises(UserError, match=r"rubric.md: {reference} has no value.*give the benchmark"):
        benchmarks.build_games(entry, items, predictions, files, seed=1)
    told = [[{"verdict": 0.75, "judge": "j", "reply": "[RESULT] 4"}], [{"verdict": None}]]
    graded = rubric.grade_items(items, [], judgements=told, files=files, entry=entry)
    assert [one["score"] for one in graded] == [0.75, None]
    (row,) = rubric.official_rows(items, predictions, told[:1], "m", "j", entry=entry, files=files)[
        "verdicts.jsonl"
    ]
    assert row["verdict"] == 0.75 and row["completion"] == "{prompt} it is"
