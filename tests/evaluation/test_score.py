"""Completions become verdicts: matched to their items, graded by protocol, code in the sandbox."""

import contextlib
import json
from pathlib import Path

import pandas
import pytest
import score
import yaml
from agorabench import paths, sandbox
from agorabench.errors import UserError
from agorabench.evaluation import benchmarks, grading
from agorabench.evaluation.benchmarks import gsm8k, humaneval
from agorabench.files import file_digest, read_json, read_jsonl, write_json, write_jsonl
from helpers import ROOT
from miniature import world

ITEMS = [{"id": "a"}, {"id": "b"}]


def execute(programs):
    return list(sandbox.run_many(programs, workers=2))


def test_predictions_are_put_in_the_order_of_the_items():
    rows = [{"id": "b", "completion": "2"}, {"id": "a", "completion": "1"}]
    assert [row["completion"] for row in grading.match_items(ITEMS, rows, "p")] == ["1", "2"]


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [
        (["a"], "p: the item b has no prediction"),
        (["a", "b", "b"], "p: the item b is predicted twice"),
        (["a", "b", "c"], "p: the item c is not in the benchmark"),
    ],
)
def test_predictions_of_other_items_are_refused(ids, sentence):
    with pytest.raises(UserError) as error:
        grading.match_items(ITEMS, [{"id": name} for name in ids], "p")
    assert str(error.value) == sentence


@pytest.mark.parametrize("name", ["mini-sums", "mini-steps", "mini-code", "mini-constraints"])
def test_the_miniatures_own_answers_are_right_and_nonsense_is_wrong(name):
    items = world.make_benchmark(name)[:12]
    grade = benchmarks.load_protocol({"protocol": "mini"}).grade_items
    right = grade(items, [item["reference"] for item in items], execute)
    assert [verdict["score"] for verdict in right] == [1.0] * len(items)
    wrong = grade(items, ["```python\ndef f(x):\n    return None\n```"] * len(items), execute)
    assert [verdict["score"] for verdict in wrong] == [0.0] * len(items)
    assert all(verdict["reason"] for verdict in wrong)


def answered(items, replies, model="mini/base"):
    """Rows as predict.py writes them."""
    return [
        {"id": item["id"], "model": model, "prompt": item["prompt"], "completion": reply,
         "finish_reason": "stop" if reply else "length"}
        for item, reply in zip(items, replies, strict=True)
    ]  # fmt: skip


ITEMS_FILE = Path(paths.benchmark_items("b"))
ANSWERS_FILE = Path(paths.predictions("mini/base", "b"))
SCORE_FILE = Path(paths.score("mini/base", "b"))
VERDICTS_FILE = Path(paths.verdicts("mini/base", "b"))


def scored(folder, protocol):
    """Run score.py on the benchmark b of a folder and the answers of mini/base."""
    config = yaml.safe_load((ROOT / "config/mini.yaml").read_text())
    source = {"path": "items.jsonl", "licence": "mine"}
    config["benchmarks"]["b"] = config["benchmarks"]["mini-sums"] | {
        "protocol": protocol,
        "source": source,
    }
    write_json(folder / "config.json", config)
    with contextlib.chdir(folder):
        score.main(
            ["--config", "config.json", "--benchmark", "b", "--model", "mini/base",
             "--threads", "2"]
        )  # fmt: skip
    return read_json(folder / SCORE_FILE)


def test_the_score_file_says_what_was_graded(tmp_path):
    items = world.make_benchmark("mini-sums")[:4]
    write_jsonl(tmp_path / ITEMS_FILE, items)
    replies = [items[0]["reference"], items[1]["reference"], "no idea", ""]
    write_jsonl(tmp_path / ANSWERS_FILE, answered(items, replies))
    made = scored(tmp_path, "mini")
    assert made["score"] == 50 and made["n"] == 4 and made["unfinished"] == 0.25
    assert made["empty"] == 0.25 and made["also"] == {}
    assert made["standard_error"] == pytest.approx(100 * (1 / 3) ** 0.5 / 2)
    verdicts = pandas.read_parquet(tmp_path / VERDICTS_FILE)
    assert list(verdicts["id"]) == [item["id"] for item in items]
    assert list(verdicts["score"]) == [1, 1, 0, 0]


SUMS = [{"question": f"{n} + {n}?", "answer": f"#### {2 * n}"} for n in range(4)]
WORDS = ["#### 0", "The answer is 2.", "[RESULT] 5 [/RESULT]", "I cannot say."]


def test_further_scores_stand_beside_the_one_that_counts(tmp_path):
    write_jsonl(tmp_path / ITEMS_FILE, SUMS)
    items = benchmarks.load_items({"protocol": "gsm8k"}, tmp_path / ITEMS_FILE)
    write_jsonl(tmp_path / ANSWERS_FILE, answered(items, WORDS))
    made = scored(tmp_path, "gsm8k")
    assert made["score"] == 50
    assert made["also"] == {"strict": {"score": 25, "standard_error": 25}}
    assert list(pandas.read_parquet(tmp_path / VERDICTS_FILE)["strict"]) == [1, 0, 0, 0]


def spoilt(rows, **changes):
    return [rows[0] | changes, *rows[1:]]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda rows: answered(ROWS, WORDS, "mini/reference"),
         "these are completions of mini/reference, not of mini/base"),
        (lambda rows: spoilt(rows, prompt="1 + 0?"),
         "the item gsm8k/0 was another question when it was answered; these are predictions on "
         "another version of the benchmark"),
        (lambda rows: spoilt(rows, completion=None), "row 1: no text in 'completion'"),
        (lambda rows: [{"id": "gsm8k/0", "completion": "0"}], "row 1: no text in 'model'"),
        (lambda rows: ["gsm8k/0"], "row 1: no text in 'id'"),
        (lambda rows: answered(ROWS, ["", " ", "", "\n"]), "all 4 completions are empty"),
        (lambda rows: rows[1:], "the item gsm8k/0 has no prediction"),
        (lambda rows: [], "the item gsm8k/0 has no prediction"),
        (lambda rows: [*rows, rows[0]], "the item gsm8k/0 is predicted twice"),
        (lambda rows: [*rows, rows[0] | {"id": "x"}], "the item x is not in the benchmark"),
    ],
)  # fmt: skip
def test_predictions_that_cannot_be_scored_are_refused_in_one_sentence(tmp_path, spoil, sentence):
    write_jsonl(tmp_path / ITEMS_FILE, SUMS)
    write_jsonl(tmp_path / ANSWERS_FILE, spoil(answered(ROWS, WORDS)))
    with pytest.raises(UserError) as error:
        scored(tmp_path, "gsm8k")
    text = str(error.value)
    assert text.startswith(str(ANSWERS_FILE)) and sentence in text
    assert "\n" not in text and not (tmp_path / SCORE_FILE).exists()


ROWS = gsm8k.read_items(SUMS)


def test_a_benchmark_file_of_another_version_is_refused(tmp_path):
    path = tmp_path / "items.jsonl"
    write_jsonl(path, SUMS)
    write_json(tmp_path / "items.manifest.json", {"sha256": file_digest(path)})
    assert len(benchmarks.load_items({"protocol": "gsm8k"}, path)) == 4
    write_jsonl(path, SUMS[:3])
    with pytest.raises(UserError, match=r"another version than .*items\.manifest\.json desc"):
        benchmarks.load_items({"protocol": "gsm8k"}, path)


def test_a_benchmark_file_without_items_or_fields_is_refused(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text("")
    with pytest.raises(UserError, match="has no items"):
        benchmarks.load_items({"protocol": "gsm8k"}, path)
    path.write_text('{"prompt": "p"}\n')
    with pytest.raises(UserError, match="no field 'question'; is it a gsm8k file"):
        benchmarks.load_items({"protocol": "gsm8k"}, path)


PROBLEM = {
    "task_id": "t/0",
    "prompt": 'from math import pi\n\n\ndef area(r):\n    """Area of a disc."""\n',
    "test": "def check(candidate):\n    assert abs(candidate(1) - 3.14159) < 0.001",
    "entry_point": "area",
}


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        ("    return pi * r * r\n", 1),
        ("Here it is:\n```python\ndef area(r):\n    return pi * r ** 2\n```", 1),
        ("```python\n    return pi * r ** 2\n```", 1),
        ("def area(r):\n    return 3.14159 * r ** 2", 1),
        ("    return pi * r * r\n\nThis uses the formula for a disc.", 1),
        ("def area(r):\n    return pi * r * r\n\ndef circumference(r):\n    return 2 * p(", 1),
        ("    return pi * r * r\n\nDone", 1),
        ("    return pi * r * r\n\nExplanation: trivial", 1),
        ('    s = """a\nb\nc"""\n    return pi * r * r', 1),
        ("    y = (pi *\nr)\n    return y * r", 1),
        ("    return square(r) * pi\n\ndef square(x):\n    return x * x", 1),
        ("```python3\ndef area(r):\n    return pi * r ** 2\n```", 1),
        ("def area(r):\n    return " + "1+" * 9000 + "1", 0),
        ("    return r\n", 0),
        ("    import os; os._exit(0)\n", 0),
        ("I cannot do that.", 0),
    ],
)
def test_humaneval_completions_in_all_forms(completion, right):
    (verdict,) = humaneval.grade_items(humaneval.read_items([PROBLEM]), [completion], execute)
    assert verdict["score"] == right


def test_humaneval_canonical_solutions_pass(data):
    rows = read_jsonl(data / "humaneval" / "HumanEval.jsonl")
    solutions = [row["canonical_solution"] for row in rows]
    verdicts = humaneval.grade_items(humaneval.read_items(rows), solutions, execute)
    assert sum(verdict["score"] for verdict in verdicts) == len(rows) == 164


def test_verdicts_survive_any_text(tmp_path):
    items = world.make_benchmark("mini-constraints")[:3]
    grade = benchmarks.load_protocol({"protocol": "mini"}).grade_items
    for text in ("", "\0", "🙂" * 1000, "[RESULT]", "```python", json.dumps(items[0])):
        assert all(0 <= verdict["score"] <= 1 for verdict in grade(items, [text] * 3, execute))
