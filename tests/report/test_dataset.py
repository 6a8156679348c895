"""Generated sets load in `datasets` as they are, and exported with a card, without a network."""

import csv
import os
import re
import subprocess
import sys

import export
import pytest
import yaml
from agorabench import matrix, paths
from agorabench.config import load_config
from agorabench.errors import UserError
from agorabench.files import file_digest, read_json, read_jsonl, to_json, write_json, write_jsonl
from agorabench.report import card
from helpers.workflow import Folder

HUB = {
    "hub": "lab/seeds", "revision": "0" * 40, "licence": "MIT", "rows": 90, "taken": 40,
    "left_out": {},
}  # fmt: skip


def conversation(question, answer, origin="generated"):
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns, "origin": origin}


def loaded(folder, *arguments, **options):
    """What load_dataset gives in a process of its own that cannot reach the hub."""
    program = (
        "import json, sys, datasets\n"
        "arguments, options = json.loads(sys.argv[1])\n"
        "rows = datasets.load_dataset(*arguments, split='train', **options)\n"
        "print(json.dumps(list(rows)))"
    )
    text = to_json([arguments, options])
    ended = subprocess.run(
        [sys.executable, "-c", program, text], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": f"{folder}/hf"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    return yaml.safe_load(ended.stdout)


def place(cell):
    """A cell's coordinates in a table."""
    return {axis: getattr(cell, axis) for axis in matrix.COORDINATES}


MADE = """
seeds: {math: {instance: {path: mine.jsonl, licence: null}}}
benchmarks: {gsm8k: {domain: math, protocol: gsm8k, source: {path: quiz.jsonl}}}
generators:
  big:
    backend: openai
    base_url: http://localhost:1
    model: big-1
    sampling: {temperature: 1.0, top_p: 0.9, max_tokens: 9}
    price: {input: 1.0, output: 1.0}
  human: {backend: dataset, data: {math: {path: pairs.jsonl}}}
generation: {validators: {math: [length]}, duplicates: near}
prompts: {free: {folder: free}, bare: {folder: bare}}
dataset: {title: "Mine: a title", license: cc-by-4.0, languages: [en]}
students:
  s:
    base: {model: base, chat: false}
    reference: {model: reference, chat: true}
    recipe: {epochs: 1, learning_rate: 0.002, batch_size: 4, max_length: 64, precision: float32}
experiments:
  x:
    domains: [math]
    methods: [instance]
    generators: [big, human]
    prompts: [free, bare]
    sizes: [2]
    seeds: [1]
    students: [s]
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Files of a study of three sets, and the arguments that export them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made.yaml").write_text(MADE)
    table, costs = [], []
    for cell in matrix.list_cells(load_config("made.yaml")):
        rows = [conversation(f"q {cell.generator} \u2028 ü", "a"), conversation("q", "a", "seed")]
        write_jsonl(paths.training_set(cell), rows)
        ledger = {"models": {"big-2025": 3} if cell.generator == "big" else {}}
        write_json(paths.set_ledger(cell), ledger)
        found = {"pairs": 1, "replies": 3, "rejected": 2, "exact_duplicate_pairs": 12.5}
        table.append(place(cell) | found | {"near_duplicate_pairs": 25.0, "in_benchmarks": 0.1})
        costs.append(place(cell) | {"input_tokens": 700, "output_tokens": 800, "usd": 0.0123})
    (tmp_path / "results/tables").mkdir()
    for name, rows in (("data", table), ("cost", costs)):
        with open(paths.table(name), "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    local = {"path": f"{tmp_path}/mine.jsonl", "sha256": "f" * 64, "licence": None, "taken": 5}
    manifest = {"rows": 45, "sha256": "e" * 64, "origins": {"far": HUB, "near": local}}
    write_json(paths.manifest(paths.seed_rows("math", "instance")), manifest)
    for prompt in ("free", "bare"):
        file = tmp_path / prompt / "instance/math.md"
        file.parent.mkdir(parents=True)
        file.write_text(prompt)
    return ["--config", "made.yaml"]


def test_every_set_is_a_configuration_of_the_packed_folder(made, tmp_path):
    export.main(made)
    for name in ("math-instance-big-free", "math-instance-big-bare", "math-instance-human-none"):
        generator = name.split("-")[2]
        assert loaded(tmp_path, str(tmp_path / "results/dataset"), name) == [
            conversation(f"q {generator} \u2028 ü", "a"),
            conversation("q", "a", "seed"),
        ]
    with pytest.raises(UserError, match="is not empty"):
        export.main(made)


def test_the_card_says_what_it_is_and_how_it_was_made(made, tmp_path):
    export.main(made)
    text = (tmp_path / "results/dataset/README.md").read_text(encoding="utf-8")
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert metadata["pretty_name"] == "Mine: a title"
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["size_categories"] == ["n<1K"]
    assert [entry["config_name"] for entry in metadata["configs"]] == [
        "math-instance-big-free", "math-instance-big-bare", "math-instance-human-none",
    ]  # fmt: skip
    rows = [re.sub(" +", " ", line) for line in text.splitlines() if line.startswith("| ")]
    free = "math-instance-big-free | 2 | 1 | 3 | 2 | 12.5 | 25.0 | 0.1 | 700 | 800 | 0.0123"
    assert f"| {free} |" in rows
    sampling = "temperature 1.0, top_p 0.9, max_tokens 9, stop True, seeded False"
    assert f"| big | big-1 | {sampling} | big-2025 |" in rows
    assert "| human | dataset | | |" in rows
    prompt = file_digest(tmp_path / "free/instance/math.md")
    assert f"| free | instance | math | {prompt} |" in rows
    assert any("| far: lab/seeds | " + "0" * 40 + " | MIT | 40 |" in row for row in rows)
    assert any("| near: mine.jsonl | " + "f" * 64 + " | not stated | 5 |" in row for row in rows)
    assert "`duplicates: near`" in text
    assert "$" not in text
    assert str(tmp_path) not in text


def test_a_configuration_is_named_by_no_more_than_it_takes():
    axes = {"domains": ["math"], "methods": ["response"], "generators": ["a"], "prompts": ["p"]}
    axes |= {"sizes": [5], "seeds": [1], "students": ["s", "t"]}
    study = {"experiments": {"x": axes}, "generators": {"a": {"backend": "openai"}}}
    assert list(card.name_sets(matrix.list_cells(study))) == ["math-response-a"]
    study["experiments"]["y"] = axes | {"sizes": [5, 9], "seeds": [1, 2]}
    assert list(card.name_sets(matrix.list_cells(study))) == [
        "math-response-a-n5-seed1", "math-response-a-n5-seed2",
        "math-response-a-n9-seed1", "math-response-a-n9-seed2",
    ]  # fmt: skip


CONFIG = """
plugins: [miniature]
seeds: {math: {response: {source: mini}}}
mini: {tokenizer: {}, base: {}, reference: {}}
benchmarks:
  quiz: {domain: math, protocol: gsm8k, source: {path: quiz.jsonl}}
  idle: {domain: math, protocol: unscored, source: {path: idle.jsonl}}
  other: {domain: code, protocol: unscored, source: {path: idle.jsonl}}
generators:
  human: {backend: dataset, data: {math: {path: pairs.jsonl}}}
generation: {validators: {math: [length]}}
prompts: {mini: {folder: config/prompts/mini}}
students:
  mini:
    base: {model: resources/models/base, chat: false}
    reference: {model: resources/models/reference, chat: true}
    recipe: {epochs: 1, learning_rate: 0.002, batch_size: 4, max_length: 64, precision: float32}
experiments:
  main:
    domains: [math]
    methods: [response]
    generators: [human]
    prompts: [none]
    sizes: [20]
    seeds: [1]
    students: [mini]
"""
ITEM = "A farmer has twelve hens and each hen lays seven eggs in a week how many eggs are there"
CELL = "results/data/math/response/human/none/n20-seed1"


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path / "clone")
    (folder.path / "mine.yaml").write_text(CONFIG)
    pairs = [
        {"instruction": f"What is {i // 2}?", "response": f"It is {i // 2}."} for i in range(50)
    ]
    pairs += [{"instruction": f"{i}. {ITEM}?", "response": "84"} for i in range(50)]
    write_jsonl(folder.path / "pairs.jsonl", pairs)
    write_jsonl(folder.path / "quiz.jsonl", [{"question": ITEM, "answer": "#### 84"}])
    write_jsonl(
        folder.path / "idle.jsonl", [{"text": "Who is there at this late hour of the night?"}]
    )
    return folder


def test_export_from_pairs_to_a_folder_that_loads(folder):
    options = ("--configfile", "mine.yaml")
    folder.snakemake("export", *options)
    with open(folder.path / "results/tables/data.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["in_quiz"]) == float(row["in_benchmarks"]) > 0
    assert float(row["in_idle"]) == 0
    assert "in_other" not in row
    rows = read_jsonl(folder.path / f"{CELL}.jsonl")
    assert loaded(folder.path, "json", data_files=f"{CELL}.jsonl") == rows
    assert loaded(folder.path, "results/dataset", "math-response-human") == rows
    # An edit of a benchmark is seen in the report and makes no data, so no student, stale.
    folder.edit("idle.jsonl", lambda text: text.replace("night", "day"))
    stale = [rule for rule, _ in folder.stale("export", "models", *options)]
    assert {"audit", "aggregate_data", "export"} <= set(stale)
    assert not {"generate", "curate"} & set(stale)


def test_filters_leave_n_pairs(folder):
    more = "generation: {duplicates: exact, overlap: drop, validators"
    folder.edit("mine.yaml", lambda text: text.replace("generation: {validators", more))
    folder.snakemake("data", "--configfile", "mine.yaml")
    audit = read_json(folder.path / f"{CELL}.audit.json")
    assert audit["pairs"] == 20
    assert audit["duplicates"]["pair"]["exact"] == audit["overlap_any"] == 0
    ledger = read_json(folder.path / f"{CELL}.ledger.json")
    assert ledger["rejected"].keys() == {"duplicate", "in benchmark"}
