"""The real workflow, run as a user runs it, in a folder of its own."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from helpers import ROOT

# What a clone holds, as far as the workflow reads it.
SOURCES = ("Snakefile", "rules", "scripts", "config", "profiles", "slurm", "envs", "docs")
MADE = ("resources", "results", "journal", ".snakemake")
JOB = re.compile(r"^( *)(?:local)?rule ([\w.-]+):\n((?:\1    .*\n)+)", re.M)  # indented in a group


class Folder:
    """A working copy of the project in which `snakemake` can be run."""

    def __init__(self, path, made_from=None):
        self.path = Path(path)
        self.path.mkdir(parents=True)
        for name in SOURCES:
            copy(ROOT / name, self.path / name)
        for name in MADE if made_from else ():
            copy(Path(made_from) / name, self.path / name)

    def command(self, *arguments):
        return [sys.executable, "-m", "snakemake", *arguments]

    @property
    def environment(self):
        # Rules call `python`: the one that runs the tests.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path}

    def snakemake(self, *arguments, check=True, timeout=1800):
        """Run it and return what it printed; fails with that text unless it succeeds."""
        ended = subprocess.run(
            self.command(*arguments),
            cwd=self.path, env=self.environment, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
        text = ended.stdout + ended.stderr
        assert not check or ended.returncode == 0, text[-6000:]
        return text if check else (ended.returncode, text)

    def stale(self, *arguments):
        """Jobs that a run would do now: (rule, first output) of each."""
        text = self.snakemake("-n", *arguments)
        jobs = []
        for _, rule, details in JOB.findall(text):
            output = re.search(r"^ +output: ([^\s,]+)", details, re.M)
            jobs.append((rule, output[1] if output else ""))
        assert jobs or "Nothing to be done" in text, text
        return [job for job in jobs if job[0] != "all"]

    def edit(self, name, change):
        """Rewrite a file of the folder; returns its former text."""
        path = self.path / name
        before = path.read_text(encoding="utf-8")
        after = change(before)
        assert after != before, f"{name} was not changed"
        path.write_text(after, encoding="utf-8")
        return before


def copy(source, target):
    """Copy a file or a folder, times of last change included (Snakemake compares them)."""
    if source.is_symlink():
        target.symlink_to(source.readlink())
    elif source.is_dir():
        ignore = shutil.ignore_patterns("__pycache__", "real", "cluster.yaml")
        shutil.copytree(source, target, ignore=ignore, symlinks=True)
    elif source.exists():
        shutil.copy2(source, target)


def count(jobs):
    """Jobs by rule."""
    return Counter(rule for rule, _ in jobs)
