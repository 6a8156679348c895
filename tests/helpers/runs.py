"""How the tests run something on the cluster, and look at it."""

import contextlib
import re
import subprocess
from pathlib import Path

from helpers.lab import said

# A test does not wait as a cluster's users may.
PATIENCE = (
    "--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2",
    "--latency-wait", "10",
)  # fmt: skip
FIELDS = ("JobID", "State", "NodeList", "Timelimit", "ReqMem", "ReqTRES", "Comment")


@contextlib.contextmanager
def started(folder, *arguments):
    """A run under profiles/slurm, which writes to run.log of its folder and ends with the block."""
    command = folder.command("--profile", "slurm", *PATIENCE, "--retries", "1", *arguments)
    with (folder.path / "run.log").open("w") as log:
        run = subprocess.Popen(
            command, cwd=folder.path, env=folder.environment, stdout=log, stderr=log
        )
    try:
        yield run
    finally:
        run.kill()
        run.wait()


def rows(lab, rule, *wildcards):
    """What accounting knows of a rule's finished jobs, in order: a row for each attempt."""
    wanted = comment(rule, *wildcards)
    return [row for row in lab.jobs(*FIELDS) if row["Comment"] == wanted]


def running(rule, *wildcards):
    """(Number, node) of the job that runs now."""
    told = said("squeue", "--noheader", "--states=running", "--format=%A|%N|%k").splitlines()
    wanted = comment(rule, *wildcards)
    (found,) = (line.split("|") for line in told if line.endswith(f"|{wanted}"))
    return found[0], found[1]


def comment(rule, *wildcards):
    """What the executor calls a job."""
    told = "_".join(value.replace("/", "_") for value in wildcards)
    return f"rule_{rule}" + (f"_wildcards_{told}" if wildcards else "")


def processes(*arguments):
    """Numbers of the processes of Python that were started with these arguments."""
    wanted = b"\0" + b"\0".join(argument.encode() for argument in arguments) + b"\0"
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"python" in command.split(b"\0")[0] and wanted in command:
                found.append(int(entry.name))
    return found


def text_of(text, *parts):
    """The last paragraph of Snakemake's output that holds all these parts."""
    paragraphs = re.split(r"\n(?=\[)", text)
    return [part for part in paragraphs if all(piece in part for piece in parts)][-1]
