"""One SLURM for all tests of the cluster, and a run in which everything goes wrong."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from helpers.lab import Lab, unfit, wait
from helpers.runs import processes, running, started
from helpers.workflow import Folder

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A cluster that is up; it is stopped when the tests end, however they end."""
    if reason := unfit():
        pytest.skip(reason)
    with Lab(tmp_path_factory.mktemp("slurm")) as lab:
        yield lab


@pytest.fixture(scope="session")
def disturbed(lab, tmp_path_factory):
    """A run of trouble.smk, still going on, after its jobs were disturbed; and the node it lost.

    It waits for a time limit, for minutes: other tests have the machine meanwhile.
    """
    folder = Folder(tmp_path_factory.mktemp("trouble") / "folder")
    for name in ("trouble.smk", "trouble.py"):
        shutil.copy(HERE / name, folder.path)
    with started(folder, "-s", "trouble.smk") as run:
        for trouble in ("signal", "warning", "kill", "preempt", "node"):
            wait((folder.path / f"begun-{trouble}").exists, 120, trouble)
            job, node = running("work", trouble)
            if trouble == "signal":
                subprocess.run(["scancel", "--signal=KILL", job], check=True)
            elif trouble == "warning":  # as SLURM does before a time limit
                subprocess.run(["scancel", "--signal=USR1", job], check=True)
            elif trouble == "kill":
                for process in processes("trouble.py", "kill"):
                    os.kill(process, signal.SIGKILL)
            elif trouble == "preempt":
                urgent = ["--partition=urgent", f"--nodelist={node}", "--exclusive"]
                subprocess.run(
                    ["sbatch", *urgent, "--output=/dev/null", "--wrap=sleep 1"], check=True
                )
            else:
                lab.update(node, state="down", reason="test")
        yield folder, run, node
