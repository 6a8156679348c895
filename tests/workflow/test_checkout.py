"""No test reads or writes what runs of the checkout have made, so `make demo` and `make test` can
be called in either order."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT


@pytest.fixture
def noted(request):
    """What tests/conftest.py has against this test, which forgets it at the end."""
    guard = request.config.pluginmanager.get_plugin(str(ROOT / "tests/conftest.py"))
    yield guard.touched
    guard.touched.clear()


TOUCHES = {
    "a journal is read": lambda: (ROOT / "journal/x.jsonl").read_text(),
    "results are listed": lambda: list((ROOT / "results").iterdir()),
    "a folder is made": lambda: (ROOT / "resources/x/y").mkdir(),
    "a log is removed": lambda: (ROOT / "logs/x").unlink(),
    "relative paths lead to them": lambda: contextlib.chdir(ROOT).__enter__(),
    "a program starts there": lambda: subprocess.run([sys.executable, "-c", ""], cwd=ROOT),
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_what_runs_of_the_checkout_make_is_out_of_bounds(noted, touch, monkeypatch):
    monkeypatch.chdir(Path.cwd())  # whatever happens to it
    assert not noted
    with contextlib.suppress(OSError):
        TOUCHES[touch]()
    assert len(noted) >= 1


def test_tests_stand_where_a_clone_is_and_nothing_is_made(noted):
    assert Path("config/mini.yaml").is_file() and Path.cwd().resolve() != ROOT
    assert not any(Path(name).exists() for name in ("results", "journal", "resources"))
    Path("config/mini.yaml").read_text(encoding="utf-8")
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert not noted
