"""Answers in the ways people state them; numbers as people write them; nothing that cannot end."""

import re
import time
from fractions import Fraction

import pytest
import yaml
from agorabench.evaluation import answers, style_control
from agorabench.evaluation.benchmarks import alpaca_eval, arena_hard, gsm8k, ifeval, math, mbpp
from agorabench.files import read_jsonl
from agorabench.intrinsic import judged
from helpers import ROOT
from hypothesis import given
from hypothesis import strategies as some

CASES = yaml.safe_load((ROOT / "tests/cases/answers.yaml").read_text(encoding="utf-8"))
SEPARATORS = {"C": ",", "B": "{,}", "T": r"\,", "S": " ", "H": "\u00a0", "A": "\u202f", "Q": "'"}
SEPARATORS |= {"U": "\u2019", "W": r"\;", "L": "\u2009", "V": r",\!"}
NUMBERS = ("0", "7", "-3", "18", "100", "1000", "-1234", "57500", "1234567", "12.5")
FORMULAS = ("7", r"\frac{1}{2}", r"x^2 + 1", r"(3, \pi)", r"\$40", "1,2,3", r"2\sqrt{3}", "x")


def write_number(way, number):
    """A way of stating an answer, with a number in the form that it names."""
    whole, point, rest = number.removeprefix("-").partition(".")
    sign = "-" * number.startswith("-")
    forms = {"N": number, "R": "987", "M": number.replace("-", "\u2212")}
    for name, separator in SEPARATORS.items():
        forms[name] = sign + f"{int(whole):,}".replace(",", separator) + point + rest
    return re.sub(r"(?<![A-Za-z])[A-Z](?![A-Za-z])", lambda found: forms[found[0]], way)


def write_formula(way, formula):
    forms = {"N": formula, "R": "987"}
    return re.sub(r"(?<![A-Za-z\\])[NR](?![A-Za-z])", lambda found: forms[found[0]], way)


def read_number(text):
    found, _ = gsm8k.extract_number(text)
    return found and parse(found)


parse = answers.parse_number


@pytest.mark.parametrize("way", CASES["ways"])
def test_a_number_is_found_in_every_way_of_stating_it(way):
    numbers = [number for number in NUMBERS if "." not in number or "N.00" not in way]
    texts = [write_number(way, number) for number in numbers]
    assert [(text, read_number(text)) for text in texts] == [
        (text, Fraction(number)) for text, number in zip(texts, numbers, strict=True)
    ]


def test_every_published_answer_is_found_in_every_way(data):
    items = gsm8k.read_items(read_jsonl(data / "gsm8k/test.jsonl"))
    assert len(items) == 1319 and len(CASES["ways"]) >= 60
    for way in CASES["ways"]:
        texts = [write_number(way, str(item["answer"])) for item in items]
        verdicts = gsm8k.grade_items(items, texts)
        assert sum(verdict["score"] for verdict in verdicts) == 1319, way


@pytest.mark.parametrize("way", CASES["formulas"])
def test_a_formula_is_found_in_every_way_of_stating_it(way):
    for formula in FORMULAS:
        text = write_formula(way, formula)
        assert math.extract_answer(text)[2] == math.answer_expression(formula), text


def test_every_published_formula_is_found_in_every_way(data):
    formulas = {item["answer"] for item in math.read_items(read_jsonl(data / "math/test.jsonl"))}
    for way in CASES["formulas"]:
        texts = [(formula, write_formula(way, formula)) for formula in formulas]
        missed = [
            text
            for formula, text in texts
            if math.extract_answer(text)[2] != math.answer_expression(formula)
        ]
        assert missed == [], way


@pytest.mark.parametrize(("text", "number"), CASES["texts"].items())
def test_numbers_as_people_write_them(text, number):
    assert read_number(text) == (None if number is None else Fraction(str(number)))


@pytest.mark.parametrize(
    ("answer", "stated"),
    [
        ("1234", r"1\,234"),
        ("1234", "1 234"),
        ("1234", "1\u202f234"),
        ("1234", "1{,}234"),
        ("1234", "1'234"),
        ("-5", "\u22125"),
        ("1800000", "1.8 million"),
        (r"\frac{1}{2}", "\u00bd"),
    ],
)
def test_math_reads_the_same_numbers(answer, stated):
    (verdict,) = math.grade_items([{"answer": answer}], [rf"So \boxed{{{stated}}}."])
    assert verdict["score"] == verdict["strict"] == 1


@pytest.mark.parametrize(
    ("text", "box"),
    [
        (r"\boxed 12", "12"),
        (r"\boxed 12, or so", "12"),
        (r"$\boxed 12$", "12"),
        (r"\boxed-3", "-3"),
        (r"\boxed\frac12", r"\frac12"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed{a}, then \boxed{}", "a"),
        (r"\(\boxed 3.5\)", "3.5"),
        (r"{\boxed 7}", "7"),
        (r"\boxed", None),
        (r"\boxed{\frac{1}{2}", None),
    ],
)
def test_one_reader_of_boxes(text, box):
    assert answers.boxed_answer(text) == box


@given(some.integers(), some.sampled_from([",", "{,}", r"\,", " ", "\u202f", "'"]))
def test_a_number_comes_back_from_its_text(number, separator):
    text = f"{number:,}".replace(",", separator)
    assert parse(text) == parse(f"${text}"[1:]) == number
    assert read_number(f"The answer is {text}.") == number


@given(some.fractions(max_denominator=99))
def test_a_fraction_comes_back_from_its_text(value):
    sign, value = "-" * (value < 0), abs(value)
    text = rf"{sign}\frac{{{value.numerator}}}{{{value.denominator}}}"
    assert parse(text) == parse(f"{sign}{value}") == Fraction(f"{sign}{value}")


MARKS = r"\boxed { } [RESULT] [/RESULT] #### answer is : $ \( \) 1 / 0 , . e9 ** - \frac = x [ <<"
MARKS += " \u00bd [[A>B]] Score M *** \ud800"
ODD = some.text() | some.lists(some.sampled_from([*MARKS.split(" "), "\n"])).map(" ".join)


@given(ODD)
def test_no_text_raises(text):
    read_number(text)
    math.extract_answer(text)
    reply = {"reply": text, "finish_reason": "stop"}
    assert judged.parse_score(reply) in (None, 1, 2, 3, 4, 5)
    assert alpaca_eval.parse_verdict({}, {"swapped": False}, reply) in (None, 0.0, 1.0)
    for version in ("v0.1", "v2.0"):
        assert arena_hard.parse_label(text, version) in (None, *arena_hard.LABELS)


VERIFIERS = (
    ifeval.is_json, ifeval.has_title, ifeval.count_sentences, ifeval.two_responses,
    ifeval.loose_versions, ifeval.is_quoted,
    lambda text: ifeval.has_placeholders(text, 2),
    lambda text: ifeval.number_bullets(text, 2),
    lambda text: ifeval.number_highlights(text, 2),
    lambda text: ifeval.number_paragraphs(text, 2),
    lambda text: ifeval.capital_words(text, 2, "at least"),
    lambda text: ifeval.is_language(text, "en"),
)  # fmt: skip


@given(ODD)
def test_no_text_stops_a_verifier(text):
    for verify in VERIFIERS:
        verify(text)


PIECES = (
    "[", "[RESULT]", "#### ", "####\n", r"\boxed ", r"\boxed{", "answer is ", "answer: 1 ", r"\(",
    "\n", "1,", "1 234 ", "1+", "1=", "<<", "**", "1/", "score of ", "9", r"\frac", "a.", "$",
    '{"a":', "`", "```\n", "@half\n", "half\n", "half = (\n", "def half(x):\n", "from half\n",
)  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_time_grows_no_faster_than_the_text(piece):
    text = piece * (200_000 // len(piece))
    began = time.process_time()
    gsm8k.grade_completion(Fraction(5), text)
    math.extract_answer(text)
    judged.parse_score({"reply": text, "finish_reason": "stop"})
    arena_hard.parse_label(text)
    style_control.style_metadata(text)
    for verify in VERIFIERS[:-1]:
        verify(text)
    for tail in ("", "\ndef half(x):"):
        mbpp.extract_program(text + tail, {"half"})
    assert time.process_time() - began < 10  # a quadratic pattern takes minutes


def test_a_number_too_large_to_have_a_value_is_wrong_and_no_error():
    for text in ("1e999999", "10**10**10", "9" * 100_000, "1/0", r"\frac{1}{0}"):
        (verdict,) = gsm8k.grade_items([{"answer": Fraction(72)}], [f"The answer is {text}"])
        assert verdict["score"] == 0
