"""Seed data and benchmark items arrive with a manifest, from the miniature or a local file."""

import json

import fetch
import pytest
from agorabench import jsonl
from agorabench.errors import UserError


def fetched(tmp_path, *arguments):
    output, manifest = tmp_path / "rows.jsonl", tmp_path / "manifest.json"
    fetch.main([*arguments, "--output", str(output), "--manifest", str(manifest)])
    return jsonl.read(output), jsonl.read_json(manifest)


def test_built_in_seeds_and_items(tmp_path):
    source = ["--source", '{"source": "mini"}']
    rows, manifest = fetched(tmp_path, "seeds", *source, "--domain", "math", "--method", "instance")
    assert len(rows) == manifest["rows"] == 40
    assert set(rows[0]) == {"id", "instruction", "response"}
    items, manifest = fetched(tmp_path, "benchmark", *source, "--name", "mini-code")
    assert manifest["sha256"] == jsonl.digest(tmp_path / "rows.jsonl")
    assert all(item["tests"] for item in items)


def test_a_local_file_gets_ids_and_a_digest(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([{"instruction": "q", "response": "a"}, {"instruction": "r"}]))
    source = ["--source", json.dumps({"path": str(path)})]
    rows, manifest = fetched(tmp_path, "seeds", *source, "--domain", "math", "--method", "response")
    assert rows == [
        {"id": "mine/0", "instruction": "q", "response": "a"},
        {"id": "mine/1", "instruction": "r", "response": ""},
    ]
    assert manifest["source_sha256"] == jsonl.digest(path)


def test_a_row_without_an_instruction_is_named(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"instruction": "q"}\n{"response": "a"}\n')
    source = ["--source", json.dumps({"path": str(path)})]
    with pytest.raises(UserError, match=r"mine\.jsonl, row 2: no instruction"):
        fetched(tmp_path, "seeds", *source, "--domain", "math", "--method", "response")
