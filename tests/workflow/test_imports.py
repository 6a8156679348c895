"""Which package may import which (pyproject.toml), and that breaking it is noticed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

BROKEN = {
    "a lower layer imports a higher one": (
        "llm/journal.py",
        "from agorabench.config import stages",
        "Imports go one way BROKEN",
    ),
    "within a function, too": (
        "files.py",
        "def late():\n    from agorabench import cli",
        "Imports go one way BROKEN",
    ),
    "a package that has no layer": (
        "new/__init__.py",
        "",
        "Imports go one way",
    ),
    "a circle within a package": (
        "llm/rate_limit.py",
        "from agorabench.llm import online",
        "No import circle BROKEN",
    ),
    "the product imports the plug-in": (
        "evaluation/grading.py",
        "from miniature import world",
        "The miniature is a plug-in: nothing imports it by name BROKEN",
    ),
}


def lint(folder):
    """Exit status and text of the linter."""
    ended = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder, env={**os.environ, "PYTHONPATH": "scripts"}, capture_output=True, text=True,
    )  # fmt: skip
    return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
def copy(tmp_path):
    """A folder with the packages and the contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("agorabench", "miniature"):
        shutil.copytree(ROOT / "scripts" / package, tmp_path / "scripts" / package)
    return tmp_path


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_contract_is_noticed(copy, fault):
    file, line, sentence = BROKEN[fault]
    path = copy / "scripts/agorabench" / file
    path.parent.mkdir(exist_ok=True)
    with open(path, "a", encoding="utf-8") as module:
        module.write(f"\n{line}\n")
    status, text = lint(copy)
    assert status == 1 and sentence in text, text


def test_all_contracts_are_kept(copy):
    status, text = lint(copy)
    assert status == 0 and "0 broken" in text, text
