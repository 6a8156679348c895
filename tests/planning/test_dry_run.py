"""--dry-run of a program says what it then asks; it asks nobody, writes nothing, needs no key."""

import contextlib
import json
import shutil

import fetch
import generate
import judge
import predict
import pytest
import servers
from agorabench import paths
from agorabench.errors import UserError
from agorabench.files import read_jsonl, write_json, write_jsonl
from agorabench.llm import silent
from agorabench.matrix import Cell
from helpers import ROOT, asking
from helpers.asking import KEY, config, generator

SET = Cell("math", "response", "g", "mini", 12, seed=1)


def list_files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def run_dry(program, folder, arguments, capsys, monkeypatch):
    """What the program says that it would ask; checks that it only looks."""
    before = list_files(folder)
    with monkeypatch.context() as patch, contextlib.chdir(folder):
        patch.delenv(KEY, raising=False)
        capsys.readouterr()
        program.main([*arguments, "--dry-run"])
    assert list_files(folder) == before
    return json.loads(capsys.readouterr().out)


def keep_rows(path, count):
    write_jsonl(path, read_jsonl(path)[:count])


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
@pytest.mark.parametrize("keep", [0, 25])
def test_replies_of_a_set(tmp_path, monkeypatch, capsys, protocol, keep):
    monkeypatch.setenv(KEY, "test-key")
    with servers.start(write="response") as server:
        cell = asking.Cell(tmp_path / "f", server, protocol, size=60)
        cell.run()
        cell.output.unlink()
        keep_rows(cell.journal, keep)
        counts = run_dry(generate, cell.folder, cell.arguments(), capsys, monkeypatch)
        assert (counts["requests"], counts["journaled"]) == (60 - keep, keep)
        assert (counts["valid"], counts["size"]) == (keep, 60)
        assert counts["prompt_tokens"] > 5 * (60 - keep)
        asked = cell.received()
        cell.run()
        assert cell.received() - asked == counts["requests"]
        counts = run_dry(generate, cell.folder, cell.arguments(), capsys, monkeypatch)
        assert (counts["requests"], counts["valid"]) == (0, 60)


def test_what_shows_generated_pairs_is_known_up_to_the_first_wave(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(KEY, "test-key")
    with servers.start(write="instance") as server:
        cell = asking.Cell(tmp_path / "f", server, "openai", method="instance", size=100)
        counts = run_dry(generate, prepared(cell), cell.arguments(), capsys, monkeypatch)
        assert counts["requests"] == 64 and counts["valid"] == 0
        cell.run()
        keys = [row["fingerprint"] for row in cell.journaled()]
        keep_rows(cell.journal, 70)
        counts = run_dry(generate, cell.folder, cell.arguments(), capsys, monkeypatch)
        assert counts["requests"] == 30 and counts["valid"] == 70
        assert len(keys) == 100 == len(set(keys))


def prepared(cell):
    cell.arguments()
    return cell.folder


def test_replies_that_are_no_pairs_are_asked_for_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(KEY, "test-key")
    with servers.start(write="response") as server:
        cell = asking.Cell(tmp_path / "f", server, "openai", size=60)
        cell.run()
        rows = [row | {"finish_reason": "length"} for row in cell.journaled()]
        write_jsonl(cell.journal, rows)
        counts = run_dry(generate, cell.folder, cell.arguments(), capsys, monkeypatch)
        assert counts["requests"] == 60 and counts["journaled"] == 60


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a set, the items of a benchmark and rubrics."""
    monkeypatch.setenv(KEY, "test-key")
    shutil.copytree(ROOT / "config", tmp_path / "f/config")
    message = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]
    rows = [{"messages": message, "origin": "generated", "id": n} for n in range(12)]
    for number, row in enumerate(rows):
        row["messages"] = [message[0] | {"content": f"{number}+1?"}, message[1]]
    write_jsonl(tmp_path / "f" / paths.training_set(SET), rows)
    for name, count in (("sums", 15), ("more", 8)):
        items = [{"question": f"{n}+{count}?", "answer": f"#### {n + count}"} for n in range(count)]
        write_jsonl(tmp_path / "f" / paths.benchmark_items(name), items)
    return tmp_path / "f"


def write_config(folder, server, **more):
    """A config with the generator g at a server, two benchmarks and a judged metric."""
    whole = config({"g": generator(server, "openai")}, **more)
    whole["experiments"]["main"] |= {"domains": ["math"], "methods": ["instance", "response"]}
    benchmark = whole["benchmarks"]["mini-sums"] | {"protocol": "gsm8k"}
    benchmark["source"] = {"path": "items.jsonl", "licence": "none"}
    whole["benchmarks"] = {"sums": benchmark, "more": benchmark | {"max_tokens": 44}}
    metric = {"measure": "judged", "judge": "g", "sample": 10}
    whole["intrinsic"] = {"quality": metric | {"rubrics": "config/rubrics/mini/difficulty"}}
    write_json(folder / "config.json", whole)
    return ["--config", "config.json"]


def check_rerun(program, folder, server, arguments, journal, keep, capsys, monkeypatch):
    """A dry run, the run, and both once more with a part of the journal: the counts agree."""
    found = []
    for kept in (0, keep):
        if kept:
            keep_rows(folder / journal, kept)
        counts = run_dry(program, folder, arguments, capsys, monkeypatch)
        before = server.books()["answered"]
        with contextlib.chdir(folder):
            program.main(arguments)
        found.append((counts, server.books()["answered"] - before))
    return found


def test_a_generator_that_solves(folder, monkeypatch, capsys):
    with servers.start(write="response") as server:
        arguments = [*write_config(folder, server), "--model", "generators/g", "--domain", "math"]
        journal = paths.ability_journal("g", "math", 1)
        found = check_rerun(
            predict, folder, server, arguments, journal, 20, capsys, monkeypatch
        )  # fmt: skip
    assert [(counts["requests"], asked) for counts, asked in found] == [(23, 23), (3, 3)]
    assert found[1][0]["journaled"] == 20


def test_a_student_is_asked_nothing(folder):
    with servers.start() as server, contextlib.chdir(folder):
        arguments = [*write_config(folder, server), "--model", "mini/base", "--dry-run"]
        with pytest.raises(UserError, match="--dry-run: mini/base is asked nothing"):
            predict.main(arguments)


def test_a_judge_of_a_set(folder, monkeypatch, capsys):
    with servers.start(write="response") as server:  # no verdict among the replies
        arguments = [*write_config(folder, server), "--judge", "g", "--cell", str(SET)]
        journal = paths.assessment_journal(SET, "g")
        (first, asked), (later, again) = check_rerun(
            judge, folder, server, arguments, journal, 14, capsys, monkeypatch
        )  # fmt: skip
    assert (first["requests"], first["games"], asked) == (10, 10, 30)  # thrice, as none can be read
    assert later["requests"] == 6 and again == 30 - 14  # of the second replies; the third follow


def test_a_classifier_of_seed_data(folder, monkeypatch, capsys):
    write_jsonl(folder / "rows.jsonl", [{"q": f"{n}?", "a": f"{n}"} for n in range(40)])
    (folder / "classify.md").write_text("Mathematics? {instruction}")
    source = {"path": "rows.jsonl", "instruction": "q", "response": "a", "licence": "none"}
    source["classify"] = {"generator": "g", "prompt": "classify.md", "class": "1"}
    with servers.start(write="response") as server:
        plain = {"math": {"response": {"source": "mini"}, "instance": source}}
        arguments = write_config(folder, server, seeds=plain, lock="lock.json")
        arguments += ["--domain", "math", "--method"]
        counts = run_dry(fetch, folder, [*arguments, "instance"], capsys, monkeypatch)
        assert counts["requests"] == 40 and not (folder / "lock.json").exists()
        assert run_dry(fetch, folder, [*arguments, "response"], capsys, monkeypatch) == {
            "requests": 0
        }
        assert server.books()["answered"] == 0
        with pytest.raises(UserError, match="no row can be used"), contextlib.chdir(folder):
            fetch.main([*arguments, "instance"])
        assert server.books()["answered"] == counts["requests"]
    with pytest.raises(UserError, match="--dry-run: only seed data ask"), contextlib.chdir(folder):
        fetch.main(["--config", "config.json", "--benchmark", "sums", "--dry-run"])


def test_a_fault_before_anything_is_asked_is_the_jobs_own(tmp_path):
    entry = {"base_url": "", "model": "m"}
    for asked in (False, True):
        run = silent.DryRun(entry, tmp_path / "none.jsonl")
        fault = contextlib.nullcontext() if asked else pytest.raises(UserError, match="broken")
        with fault, run:
            if asked:
                run.backend.requests["a"] = {"messages": [{"content": "four"}]}
            raise UserError("broken")
        assert run.lengths == ({"a": 4} if asked else {})
