"""What a run writes down of its config, and when it may begin."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from agorabench.cluster import locks
from agorabench.errors import UserError
from helpers import ROOT


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


CONFIG = {"warm": False, "generators": {"b": {"n": 1}, "a": {"n": 2}}, "mini": {}}


def test_a_snapshot_is_named_by_what_it_holds(tmp_path):
    path = locks.write_snapshot(CONFIG)
    assert path == locks.snapshot_path(CONFIG)
    assert path.parent == Path(".snakemake/agorabench")
    assert json.loads(path.read_text()) == CONFIG
    other = locks.write_snapshot(CONFIG | {"warm": True})
    assert other != path and json.loads(path.read_text()) == CONFIG  # which is kept
    assert sorted(path.parent.iterdir()) == sorted([path, other])


def test_a_snapshot_keeps_the_order_that_the_config_has_now(tmp_path):
    """A job may list the keys in another order: it still finds the file."""
    locks.write_snapshot(CONFIG)
    turned = CONFIG | {"generators": dict(reversed(CONFIG["generators"].items()))}
    path = locks.write_snapshot(turned)
    assert path == locks.snapshot_path(CONFIG)
    assert list(json.loads(path.read_text())["generators"]) == ["a", "b"]


def hold(folder, call):
    """A process that has called a function of `locks` and waits."""
    program = f"import sys; from agorabench.cluster import locks; locks.{call}; "
    program += "print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder, env={"PYTHONPATH": str(ROOT / "scripts")},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    holder.stdout.readline()
    return holder


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("hold_run_lock()", "another snakemake run is at work"),
        ("hold_job_lock()", "a job of an earlier, killed run is still at work"),
    ],
)
def test_a_run_begins_when_nobody_else_is_at_work(tmp_path, call, sentence):
    (tmp_path / ".snakemake").mkdir()
    holder = hold(tmp_path, call)
    with pytest.raises(UserError, match=sentence):
        locks.begin_run(CONFIG)
    assert not locks.snapshot_path(CONFIG).exists()
    holder.kill()
    holder.wait()


def test_jobs_of_one_run_are_at_work_together(tmp_path):
    (tmp_path / ".snakemake").mkdir()
    holders = [hold(tmp_path, "hold_job_lock()") for _ in range(2)]
    for holder in holders:
        holder.kill()
        holder.wait()
    locks.hold_run_lock()


def test_a_program_by_hand_leaves_no_lock(tmp_path):
    locks.hold_job_lock()
    assert not list(tmp_path.iterdir())
