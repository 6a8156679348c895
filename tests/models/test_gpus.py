"""GPUs of one machine: each job has its own, and lets go of them when it has ended."""

import contextlib
import os
import subprocess
import sys

import pytest
from agorabench.models import gpus
from helpers import ROOT

MACHINE = """#!/bin/sh
echo "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa-0)"
echo "GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbb-1)"
echo "GPU 2: NVIDIA H100 80GB HBM3 (UUID: GPU-cccc-2)"
"""
JOB = """
import os, sys
from pathlib import Path
from agorabench.models import gpus
gpus.LOCKS, gpus.PATIENCE = Path(sys.argv[1]), 0.05
gpus.lease_gpus(int(sys.argv[2]))
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
if "exec" in sys.argv:
    os.execv("/bin/cat", ["cat"])
sys.stdin.read()
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with three GPUs, as far as the driver's tool tells."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/nvidia-smi").write_text(MACHINE)
    (tmp_path / "bin/nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "scripts"))
    for name in (gpus.VISIBLE, gpus.LEASED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gpus, "LOCKS", tmp_path / "locks")

    @contextlib.contextmanager
    def job(number, *how):
        """A job that has taken its GPUs: (process, what it sees)."""
        command = [sys.executable, "-c", JOB, str(tmp_path / "locks"), str(number), *how]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, text=True, **pipes) as process:
            yield process, process.stdout.readline().strip()
            process.stdin.close()

    return job


def test_jobs_side_by_side_have_gpus_of_their_own(machine):
    with machine(1) as (_, first), machine(2) as (_, second):
        assert first == "GPU-aaaa-0" and second == "GPU-bbbb-1,GPU-cccc-2"
    with machine(3) as (_, seen):
        assert seen == "GPU-aaaa-0,GPU-bbbb-1,GPU-cccc-2"


def test_a_job_waits_for_one_that_has_what_it_needs(machine):
    with machine(2) as (first, _):
        command = [*first.args[:-1], "2"]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as second:
            assert second.stderr.readline().startswith("waiting for 2 GPU(s)")
            first.kill()
            assert second.stdout.readline().strip() == "GPU-aaaa-0,GPU-bbbb-1"
            second.stdin.close()


def test_a_job_that_goes_on_in_another_interpreter_keeps_its_gpus(machine):
    with machine(1, "exec") as (_, first), machine(1) as (_, second):
        assert first == "GPU-aaaa-0" and second == "GPU-bbbb-1"


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        ("1", "GPU-bbbb-1"),
        ("2,0", "GPU-cccc-2"),
        ("GPU-bbbb-1,GPU-aaaa-0", "GPU-bbbb-1"),
        ("MIG-5", "MIG-5"),
    ],
)
def test_only_what_is_visible_is_taken(machine, monkeypatch, visible, seen):
    monkeypatch.setenv(gpus.VISIBLE, visible)
    with machine(1) as (_, found):
        assert found == seen


def test_none_are_seen_where_none_are_asked_for(machine):
    with machine(0) as (_, found):
        assert found == ""


def test_a_machine_with_too_few_is_left_as_it_is(machine, monkeypatch):
    with machine(4) as (_, found):
        assert found == "None"
    monkeypatch.setenv("PATH", "/nowhere")  # no driver
    gpus.lease_gpus(1)
    assert gpus.VISIBLE not in os.environ


def test_the_processes_of_a_job_take_no_more(machine, monkeypatch):
    monkeypatch.setenv(gpus.LEASED, "GPU-aaaa-0")
    gpus.lease_gpus(3)
    assert gpus.VISIBLE not in os.environ


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root: files of two users")
def test_a_lock_of_another_user_counts(machine, tmp_path):
    with machine(1) as (_, first):  # root makes folder and files
        assert first == "GPU-aaaa-0"
    program = "import fcntl, os; d = os.open('GPU-aaaa-0', os.O_RDONLY); "
    program += "fcntl.flock(d, fcntl.LOCK_EX); print('held', flush=True); input()"
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3"]
    with subprocess.Popen(
        [*nobody, "-c", program], cwd=tmp_path / "locks", text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as other:  # fmt: skip
        assert other.stdout.readline() == "held\n"
        with machine(1) as (_, second):
            assert second == "GPU-bbbb-1"
        other.stdin.close()
