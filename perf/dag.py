"""How long Snakemake thinks about the paper's matrix, beside a bare workflow of the same shape.

    python perf/dag.py            # or make bench-dag

Times `snakemake -n --profile slurm` on the whole matrix, in a copy of the project in which nothing
is made, and a dry run of a workflow that has as many jobs with the same edges between them and
nothing else: one rule, no config, no resources. Both in turn; medians of seconds. The goal is a
ratio of at most 2.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 7
TARGETS = ("models", "results/pgr_table.csv")
SOURCES = ("Snakefile", "rules", "scripts", "config", "profiles", "docs", "envs")
JOB = re.compile(r"^( *)(?:local)?rule (\w+):\n((?:\1    .*\n)+)", re.M)
BARE = """
import json

EDGES = json.load(open("edges.json"))

rule all:
    input: EDGES["all"]

rule job:
    input: lambda wildcards: EDGES[wildcards.number]
    output: "made/{number}"
    shell: "touch {output}"
"""


def main():
    with tempfile.TemporaryDirectory(prefix="agorabench-dag-") as place:
        whole, bare = Path(place, "whole"), Path(place, "bare")
        for name in SOURCES:
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            whole.mkdir(exist_ok=True)
            copy(source, whole / name)
        (whole / "slurm").symlink_to("profiles/slurm")
        commands = {
            whole: (*TARGETS, "--profile", "slurm"),
            bare: ("--executor", "slurm", "--jobs", "100"),
        }
        jobs = jobs_of(plan(whole, commands[whole]))
        edges = edges_of(jobs)
        bare.mkdir()
        (bare / "Snakefile").write_text(BARE)
        (bare / "edges.json").write_text(json.dumps(edges))
        found = plan(bare, commands[bare])
        assert len(jobs_of(found)) == len(jobs) + 1, found[-2000:]  # and `all`
        took = {folder: [] for folder in commands}
        for _ in range(ROUNDS):
            for folder, arguments in commands.items():
                start = time.perf_counter()
                plan(folder, arguments)
                took[folder].append(time.perf_counter() - start)
    told = {folder.name: statistics.median(times) for folder, times in took.items()}
    links = sum(len(inputs) for name, inputs in edges.items() if name != "all")
    print(f"{len(jobs)} jobs, {links} edges, median of {ROUNDS}:")
    for name, seconds in told.items():
        print(f"  {name:5} {seconds:5.2f} s")
    print(f"  ratio {told['whole'] / told['bare']:5.2f}")


def plan(folder, arguments):
    """What a dry run prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", *arguments],
        cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def jobs_of(text):
    """(Inputs, outputs) of every job that a dry run tells."""
    jobs = []
    for _, _, details in JOB.findall(text):
        named = dict(re.findall(r"^ +(input|output): (.+)", details, re.M))
        jobs.append(tuple(named.get(key, "").split(", ") for key in ("input", "output")))
    return jobs


def edges_of(jobs):
    """Number of a job -> the files of the jobs that it waits for; "all" waits for the last ones."""
    made = {name: number for number, (_, outputs) in enumerate(jobs) for name in outputs if name}
    edges = {}
    for number, (inputs, _) in enumerate(jobs):
        needs = sorted({made[name] for name in inputs if name in made})
        edges[str(number)] = [f"made/{need}" for need in needs]
    needed = {file for files in edges.values() for file in files}
    ends = [f"made/{number}" for number in range(len(jobs)) if f"made/{number}" not in needed]
    return edges | {"all": ends}


if __name__ == "__main__":
    main()
