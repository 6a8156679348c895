"""MATH's answers: found where they stand, compared as Math-Verify does, and never for ever."""

import ast
import multiprocessing
import random
import threading
import time

import pytest
from agorabench.errors import UserError
from agorabench.evaluation import benchmarks, math_equality
from agorabench.evaluation.benchmarks import math
from agorabench.evaluation.math_equality import compare_answers
from agorabench.files import read_jsonl, write_jsonl


@pytest.mark.parametrize(
    ("completion", "found", "marked"),
    [
        (r"so $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}", True),
        (r"\boxed{1} or rather \boxed{2}", "2", True),
        (r"\boxed{2}, and \boxed{\frac{1", "2", True),  # cut off
        (r"\boxed{2} of \boxed{}", "2", True),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}", True),
        (r"\boxed{\left\{1, 2\right.}", r"\left\{1, 2\right.", True),
        (r"\fbox{7}", "7", True),
        (r"\boxed 7", "7", True),
        (r"\boxed\pi", r"\pi", True),
        (r"[RESULT] 7 [/RESULT]", "7", True),
        (r"\boxed{6} [RESULT] 7 [/RESULT]", "7", True),
        (r"[RESULT] $x = \boxed{7}$ [/RESULT]", "7", True),
        ("[RESULT] [/RESULT] #### 7", "7", True),
        ("#### 7", "7", True),
        ("The answer is 7.", "7", False),
        ("The answer is: 3.5. The rest is silence.", "3.5", False),
        (r"The final answer is $\frac{1}{2}$. I hope it is correct.", r"$\frac{1}{2}$", False),
        ("The answer is $7$", "$7$", False),
        ("The answer is $7$, as $x = 2$.", "$7$", False),
        ("[RESULT] As $x = 2$, it is $7$ [/RESULT]", "$7$", True),
        ("[RESULT] $2$, $3$ and $7$ [/RESULT]", "$2$, $3$ and $7$", True),
        ("first 3, then 12", "first 3, then 12", False),
        ("I do not know.", None, False),
        ("", None, False),
    ],
)
def test_an_answer_is_found_where_it_is_stated(completion, found, marked):
    assert math.extract_answer(completion)[:2] == (found, marked)


@pytest.mark.parametrize(
    ("answer", "completion", "score", "strict"),
    [
        (r"\frac{1}{2}", r"\boxed{0.5}", 1, 1),
        (r"\frac{1}{2}", r"[RESULT] 1/2 [/RESULT]", 1, 1),
        (r"\frac{1}{2}", r"[RESULT] $\frac{2}{4}$ [/RESULT]", 1, 1),
        (r"\frac{1}{2}", r"[RESULT] \(x = \frac{2}{4}\) [/RESULT]", 1, 1),
        (r"\frac{1}{2}", r"The answer is $\frac{1}{2}$.", 1, 0),
        (r"\frac{1}{2}", r"The answer is \frac{1}{2}.", 1, 0),
        (r"\frac{1}{2}", r"The answer is **1/2**.", 1, 0),
        (r"\sqrt{2}", r"The answer is \sqrt{2}.", 1, 0),
        ("2", r"The answer is \sqrt{2}.", 0, 0),
        ("5", "The answer is 5 apples.", 1, 0),
        ("5", "The answer is $5$, since $x = 2$.", 1, 0),
        ("18", r"#### \$18", 1, 1),
        (r"18\text{ dollars}", "so it is $18.", 1, 0),
        (r"\text{Evelyn}", "[RESULT] Evelyn [/RESULT]", 1, 1),
        ("3", r"so $x = 3$", 1, 0),
        ("2, 3", "The answers: the answer is $3$ and $2$.", 1, 0),
        ("3", r"\boxed{4}, not 3", 0, 0),
        ("3", "", 0, 0),
    ],
)
def test_the_score_finds_what_strict_does_not(answer, completion, score, strict):
    (verdict,) = math.grade_items([{"answer": answer}], [completion])
    assert (verdict["score"], verdict["strict"]) == (score, strict), verdict


def test_a_solution_without_an_answer_is_not_a_math_file(tmp_path):
    write_jsonl(tmp_path / "items.jsonl", [{"problem": "1?", "solution": "One."}])
    with pytest.raises(UserError, match=r"row 1: the solution has no \\boxed answer; is it a"):
        benchmarks.load_items({"protocol": "math"}, tmp_path / "items.jsonl")


# The real problems


@pytest.fixture
def items(data):
    return math.read_items(read_jsonl(data / "math" / "test.jsonl"))


def test_the_answer_of_every_solution_is_found(items, data):
    assert len(items) == 5000 and all(item["answer"] for item in items)
    rows = read_jsonl(data / "math" / "math500.jsonl")
    found = math.read_items([{key: row[key] for key in ("problem", "solution")} for row in rows])
    assert [item["answer"] for item in found] == [row["answer"] for row in rows]
    assert len(rows) == 500
    assert math.read_items(rows)[0]["id"] == rows[0]["unique_id"]


def test_every_solution_is_right_and_strictly_so(items, data):
    solutions = [row["solution"] for row in read_jsonl(data / "math" / "test.jsonl")]
    verdicts = math.grade_items(items, solutions)
    assert all(verdict["score"] == verdict["strict"] == 1 for verdict in verdicts)


def plain(right, answer):
    """Math-Verify as it is called by itself, with its own time limits."""
    from math_verify import parse, verify

    return verify(parse(right), parse(answer))


def test_what_is_decided_at_once_is_what_math_verify_says(items):
    right = list(dict.fromkeys(math.answer_expression(item["answer"]) for item in items))
    plain_ones = [
        text
        for text in right
        if math_equality._parse_number(math_equality._normalise_text(text) or "")
    ]
    chosen = random.Random(1)
    pairs = [(text, text) for text in chosen.sample(right, 200)]
    pairs += [(text, written_otherwise(text)) for text in chosen.sample(right, 400)]
    pairs += [(text, chosen.choice(plain_ones)) for text in chosen.sample(plain_ones, 400)]
    decided = [(pair, math_equality._compare_directly(*pair)) for pair in pairs]
    decided = [(pair, verdict) for pair, verdict in decided if verdict is not None]
    verdicts = [verdict for _, verdict in decided]
    assert verdicts.count(True) > 300 and verdicts.count(False) > 300
    assert verdicts == [plain(*pair) for pair, _ in decided]


@pytest.mark.parametrize(
    ("right", "answer", "verdict"),
    [
        ("12", "13", False),
        ("12", r"12\text{ cm}", True),
        (r"\dfrac{1}{2}", r"\frac{1}{2}", True),
        ("0.5", r"\frac{2}{3}", False),
        ("0.333333", r"\frac{1}{3}", None),  # Math-Verify's rounding decides
        ("0.0000001", "0.0000002", None),
        ("50", r"50\%", None),
        ("3", "x = 3", None),
        ("1", "1" * 40, None),
        ("1,000", "1000", None),
        (r"\text{$x$}", "x", None),
        ("", "1", None),
    ],
)
def test_only_what_is_plain_is_decided_at_once(right, answer, verdict):
    pair = math.as_boxed(right), math.as_boxed(answer)
    assert math_equality._compare_directly(*pair) is verdict
    assert verdict in (None, plain(*pair))


def written_otherwise(text):
    chosen = ((r"\frac", r"\dfrac"), ("{", "{ "), (",", ", "), ("(", r"\left("), (")", r"\right)"))
    for before, after in chosen:
        text = text.replace(before, after)
    return text.replace(r"\boxed{ ", r"\boxed{").replace(r"\left\left", r"\left")


@pytest.mark.slow
def test_every_verdict_is_that_of_math_verify_by_itself(items):
    pairs = variants(items)
    ours = compare_answers(pairs, workers=2)
    assert ours == [plain(*pair) for pair in pairs]
    assert 0.3 < ours.count(True) / len(ours) < 0.8
    assert compare_answers(pairs, workers=1) == ours


def variants(items, seed=1):
    """(right answer, answer) as models write them: as it is, otherwise, or that of another item."""
    chosen = random.Random(seed)
    pairs = []
    for item in items:
        right = answer = item["answer"]
        kind = chosen.choice(("same", "otherwise", "wrong"))
        if kind == "otherwise":
            answer = answer.replace("dfrac", "frac") if "dfrac" in answer else f"{answer} + 0"
            answer = answer.replace(r"\left", "").replace(r"\right", "")
        elif kind == "wrong":
            answer = chosen.choice(items)["answer"]
        pairs.append((math.as_boxed(right), math.as_boxed(answer)))
    return pairs


# The cases of the graders that the field uses


def cases(data, source):
    rows = read_jsonl(data / "answer_equivalence" / "cases.jsonl")
    return [row for row in rows if row["source"].startswith(source)]


def test_math_verifys_own_cases_come_out(data):
    """As its own tests call it: the case says where to look and what to tolerate."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    looking = {"latex": LatexExtractionConfig(), "expr": ExprExtractionConfig()}
    rows = cases(data, "math-verify")
    assert len(rows) == 254
    for row in rows:
        where = [looking[name] for name in ast.literal_eval(row["match_types"])]
        options = dict(row.get("extra") or {})
        if "precision" in options:  # its name in the tests' own helper
            options["float_rounding"] = options.pop("precision")
        found = verify(parse(row["gold"], where), parse(row["pred"], where), **options)
        assert found == bool(row["expected"]), row


# What comes out otherwise under our settings, which are Math-Verify's defaults for every case:
# docs/graders.md says why. (source, test, right answer, answer, our verdict)
OTHERWISE = [
    ("math-verify", "test_latex_notation", "$9$", "Answer $ \n 9 \n $", True),
    ("math-verify", "test_latex_notation", "$9$", "Answer \\( \n 9 \n \\)", True),
    (
        "math-verify",
        "test_complex_math_expressions",
        r"$(\begin{pmatrix}\frac{1}{3}\\ \frac{1}{5} \end{pmatrix})$",
        r"$\begin{pmatrix}0.33\\0.2 \end{pmatrix}$",
        False,
    ),
    (
        "math-verify",
        "test_complex_math_expressions",
        r"$(\frac{3}{5},\frac{8}{3}]$",
        "$(0.6,2.6667]$",
        False,
    ),
    ("math-verify", "test_set_rel_assymetry", r"$x \in [-2,7]$", r"$-2 \\le x \\le 7$", False),
    ("math-verify", "test_strict_variable_comparison", "$f(x)$", "$f(y)$", False),
    ("hendrycks", "test_order", "4, 10, -2", "10, 4, -2", True),
    ("hendrycks", "test_decimals", "4, .1, 2", "0.1, 4, 2", True),
]


def test_the_graders_cases_under_our_settings(data):
    found = []
    for source, form in (("math-verify", str), ("hendrycks", math.as_boxed)):
        rows = cases(data, source)
        pairs = [(form(row["gold"]), form(row["pred"])) for row in rows]
        found += [
            (source, row["test"], row["gold"], row["pred"], verdict)
            for row, verdict in zip(rows, compare_answers(pairs, 2), strict=True)
            if verdict != bool(row["expected"])
        ]
    assert found == OTHERWISE


# Answers that would keep a grader busy for ever

NASTY = (
    r"\boxed{9^{9^{9^{9}}}}",  # one multiplication in C that no Python signal interrupts
    r"\boxed{(10^{9})!}",
    r"\boxed{" + "{" * 30 + "1" + "}" * 30 + "}",
    r"\boxed{" + "(" * 5000 + "1" + ")" * 5000 + "}",
)


def test_no_answer_can_hang_the_grader():
    pairs = [(r"\boxed{3}", NASTY[0]), (r"\boxed{3}", r"\boxed{6/2}")]
    assert compare_answers(pairs, seconds=1) == ["timeout", True]


@pytest.mark.slow
def test_nothing_nasty_can_hang_the_grader():
    pairs = [(r"\boxed{3}", text) for text in (*NASTY, r"\boxed{6/2}")]
    assert compare_answers(pairs, workers=2, seconds=2) == ["timeout"] * len(NASTY) + [True]


def test_a_timeout_is_a_wrong_answer_with_that_reason(monkeypatch):
    monkeypatch.setattr(
        math_equality, "_query_workers", lambda pairs, *_: dict.fromkeys(pairs, "timeout")
    )
    (verdict,) = math.grade_items([{"answer": r"\pi"}], [r"\boxed{9^{9^{9^{9}}}}"])
    assert (verdict["score"], verdict["strict"], verdict["reason"]) == (0, 0, "timeout")


def test_grading_works_off_the_main_thread():
    found = []
    thread = threading.Thread(
        target=lambda: found.extend(compare_answers([(r"\boxed{\frac12}", r"\boxed{0.5}")]))
    )
    thread.start()
    thread.join()
    assert found == [True]


def test_a_worker_that_dies_costs_one_answer():
    found = []
    pairs = [(r"\boxed{3}", NASTY[0]), (r"\boxed{3}", r"\boxed{6/2}")]
    thread = threading.Thread(target=lambda: found.extend(compare_answers(pairs, seconds=60)))
    thread.start()
    while not (children := multiprocessing.active_children()):
        time.sleep(0.05)
    time.sleep(1)  # it is at work by now
    children[0].kill()
    thread.join()
    assert found == ["crash", True]
