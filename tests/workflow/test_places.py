"""The workflow in a folder that is not its own: with --directory, and as a Snakemake module."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from agorabench.config.shipped import link_shipped
from helpers.workflow import MADE, Folder, copy

TABLE = "results/pgr_table.csv"


def test_what_a_folder_has_of_config_stays_and_the_rest_is_linked(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name / "config/prompts/free").mkdir(parents=True)
        (tmp_path / name / "config/mini.yaml").write_text(name)
    (tmp_path / "run/config/prompts/mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run")
    link_shipped(tmp_path / "a")
    assert Path("config/mini.yaml").read_text() == "a"
    assert {path.name for path in Path("config/prompts").iterdir()} == {"free", "mine"}
    link_shipped(tmp_path / "b")  # another version of the repository
    assert Path("config/mini.yaml").read_text() == "b"
    Path("config/mini.yaml").unlink()
    Path("config/mini.yaml").write_text("mine")
    link_shipped(tmp_path / "b")
    assert Path("config/mini.yaml").read_text() == "mine"


def test_the_repository_itself_gets_no_links(tmp_path, monkeypatch):
    (tmp_path / "config").mkdir()
    monkeypatch.chdir(tmp_path)
    link_shipped(tmp_path)
    assert list(Path("config").iterdir()) == []


@pytest.mark.slow
def test_another_folder_and_a_module_end_in_the_same_table(finished, tmp_path):
    source, run = Folder(tmp_path / "source"), tmp_path / "run"
    for name in MADE:
        copy(finished.path / name, run / name)
    before = (run / TABLE).read_bytes()
    (run / TABLE).unlink()
    replies = read_all(run / "journal")

    def snakemake(*arguments):
        command = [sys.executable, "-m", "snakemake", *arguments]
        ended = subprocess.run(
            command, cwd=run, env=source.environment | {"PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, timeout=1800,
        )  # fmt: skip
        assert ended.returncode == 0, (ended.stdout + ended.stderr)[-4000:]
        return ended.stdout + ended.stderr

    snakefile = str(source.path / "Snakefile")
    snakemake("--snakefile", snakefile, "--directory", str(run), TABLE)
    assert (run / TABLE).read_bytes() == before
    assert read_all(run / "journal") == replies

    shutil.rmtree(run / "config")
    (run / "Snakefile").write_text(
        f"module agorabench:\n    snakefile: {snakefile!r}\nuse rule * from agorabench\n"
    )
    profile = ("--workflow-profile", str(source.path / "profiles/default"))
    assert "Nothing to be done" in snakemake(*profile, "--dry-run", TABLE)
    log = snakemake(*profile, TABLE, "--config", "bootstrap=400")
    assert "rule aggregate_pgr:" in log and (run / TABLE).read_bytes() != before
    assert not any((source.path / name).exists() for name in MADE)


def read_all(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.jsonl")}
