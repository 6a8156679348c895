"""The example of docs/benchmarks.md is a benchmark: its module grades, its stanza is a config."""

import re
import sys

import pytest
import yaml
from agorabench.config import check_config, references
from agorabench.evaluation import benchmarks, grading
from agorabench.files import write_jsonl
from helpers import ROOT

ROWS = [
    {"id": "a", "question": "2 + 2?", "choices": {"text": ["3", "4"], "label": ["A", "B"]},
     "answerKey": "B"},
    {"id": "b", "question": "1 + 1?", "choices": {"text": ["2", "4"], "label": ["A", "B"]},
     "answerKey": "A"},
    {"id": "c", "question": "3 + 3?", "choices": {"text": ["6", "4"], "label": ["A", "B"]},
     "answerKey": "A"},
]  # fmt: skip


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The documented module, importable as others are; its stanza."""
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    (module,) = re.findall(r"```python\n(.*?)```", text, re.S)
    *_, stanza = re.findall(r"```yaml\n(.*?)\n```", text, re.S)
    (tmp_path / "arc.py").write_text(module, encoding="utf-8")
    monkeypatch.setattr(benchmarks, "__path__", [*benchmarks.__path__, str(tmp_path)])
    monkeypatch.setattr(references, "PROTOCOLS", tmp_path)
    yield yaml.safe_load(stanza)["benchmarks"]["arc-challenge"]
    sys.modules.pop("agorabench.evaluation.benchmarks.arc", None)


def test_the_documented_module_grades(example, tmp_path):
    write_jsonl(tmp_path / "items.jsonl", ROWS)
    items = benchmarks.load_items(example, tmp_path / "items.jsonl")
    assert items[0]["prompt"] == "2 + 2?\nA. 3\nB. 4\nAnswer with one letter."
    protocol = benchmarks.load_protocol(example)
    verdicts = protocol.grade_items(items, ["It is B.", "A", "I cannot say."])
    assert [verdict["score"] for verdict in verdicts] == [1, 1, 0]
    assert [verdict["strict"] for verdict in verdicts] == [0, 1, 0]
    assert [verdict["reason"] for verdict in verdicts] == ["", "", "no answer"]
    _, means = grading.select_score(protocol, verdicts)
    assert means["strict"]["score"] == pytest.approx(100 / 3)


def test_the_documented_stanza_is_a_config(example):
    paper = yaml.safe_load((ROOT / "config" / "agorabench.yaml").read_text(encoding="utf-8"))
    paper["benchmarks"] = {
        name: entry | {"protocol": "arc", "judge": None}
        for name, entry in paper["benchmarks"].items()
    }
    paper["benchmarks"]["arc-challenge"] = example
    found = check_config(paper, root=ROOT)["benchmarks"]["arc-challenge"]
    assert found["protocol"] == "arc" and not found["in_mean"] and found["temperature"] == 0


def test_the_documented_descriptions_are_benchmarks():
    text = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    described, *_ = re.findall(r"```yaml\n(.*?)\n```", text, re.S)
    rows = {
        "spider": {"schema": "CREATE ...", "question": "?", "query": "SELECT 1"},
        "medqa": {"question": "?", "options": {"A": "x", "B": "y"}, "answer_idx": "B"},
        "support": {"question": "?", "reference": "So."},
    }
    for name, entry in yaml.safe_load(described)["benchmarks"].items():
        (item,) = benchmarks.parse_items(entry, [rows[name]], name)
        assert "?" in item["prompt"]
    assert set(yaml.safe_load(described)["benchmarks"]) == set(rows)
