"""Programs that want to pass without passing, or to take of the host: none gets what it wants."""

import os
import subprocess
import sys
from functools import partial

import pytest
import yaml
from agorabench import sandbox
from agorabench.errors import UserError
from agorabench.sandbox import walls
from helpers import ROOT
from helpers.attacks import attack, available

CASES = ROOT / "tests/cases/sandbox"


def cases(name):
    rows = yaml.safe_load((CASES / f"{name}.yaml").read_text())
    return [pytest.param(row, id=row["name"]) for row in rows]


@pytest.fixture(scope="module", params=["self", "nobody"])
def user(request):
    if reason := available(sandbox.prove_isolation(), request.param):
        pytest.skip(reason)
    return request.param


@pytest.mark.parametrize("case", cases("verdicts"))
def test_no_program_passes_without_passing(case, user):
    tests = case.get("tests", "assert f() == 1")
    outcome = attack(sandbox.prove_isolation(), case["code"], tests, user, wall_seconds=2)
    assert outcome.status == "error"


@pytest.mark.parametrize("case", cases("takings"))
def test_no_program_takes_of_the_host(case, user):
    limits = {"wall_seconds": 5, "cpu_seconds": 1, "memory_mb": 200}
    limits |= {key: case[key] for key in limits.keys() & case.keys()}
    outcome = attack(sandbox.prove_isolation(), case["code"], None, user, **limits)
    assert outcome.status == case["status"], outcome.stderr
    assert "taken" not in outcome.stdout


def test_packages_can_be_imported_and_nothing_beside_them():
    code = "import numpy\ndef f(): return int(numpy.dot([1, 2], [3, 4]))"
    tests = "assert f() == 11\nimport pandas"
    allowed, missing = (
        next(sandbox.run_many([(code, tests)], packages=names)) for names in (["numpy"], [])
    )
    assert allowed.status == missing.status == "import"
    assert allowed.stderr.endswith("No module named 'pandas'\n")
    assert missing.stderr.endswith("No module named 'numpy'\n")
    code = "import numpy\nopen(numpy.__file__, 'a')"
    assert next(sandbox.run_many([code], packages=["numpy"])).status == "error"
    with pytest.raises(UserError, match="packages: no-such-thing is not installed in"):
        next(sandbox.run_many([code], packages=["no-such-thing"]))


@pytest.mark.parametrize("kind", ["namespaces", "bubblewrap"])
def test_packages_of_an_environment_in_tmp_are_shown(tmp_path, monkeypatch, kind):
    if reason := available(kind, "self"):
        pytest.skip(reason)
    about = tmp_path / "shown_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shown-package\nVersion: 1.0\n")
    (about / "RECORD").write_text("shown_package.py,,\n")
    (tmp_path / "shown_package.py").write_text("ANSWER = 11\n")
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.syspath_prepend(tmp_path)
    assert str(tmp_path).startswith("/tmp/")
    code = "import os, shown_package\ndef f(): return shown_package.ANSWER"
    tests = "assert f() == 11\nassert os.listdir(os.path.dirname(shown_package.__file__)) == "
    tests += "['shown_package.py']\nopen('/tmp/own', 'w').write('x')\n"
    ran = partial(sandbox.run_many, isolation=kind, packages=["shown-package"])
    assert next(ran([(code, tests)])).status == "ok"
    changed = "import shown_package\nopen(shown_package.__file__, 'a')"
    assert "shown_package.py" in next(ran([changed])).stderr  # read-only, and another user's
    assert (tmp_path / "shown_package.py").read_text() == "ANSWER = 11\n"


def test_sqlite_works_in_the_scratch_folder(user):
    code = "import sqlite3\nsqlite3.connect('x.db').execute('create table t (a)')"
    assert attack(sandbox.prove_isolation(), code, None, user).status == "ok"


def test_a_folder_of_the_host_whose_name_begins_like_a_systems_is_not_shown(monkeypatch):
    real = walls.os.listdir
    monkeypatch.setattr(walls.os, "listdir", lambda path: [*real(path), "library"])
    walls.survey_layout.cache_clear()
    assert "/library" not in walls.survey_layout(sys.executable)["walls"]["visible"]
    assert {"/usr"} <= set(walls.survey_layout(sys.executable)["walls"]["visible"])


def test_deep_and_closed_folders_are_gone_under_plain_limits(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = """
import os
for _ in range(3000):
    os.mkdir("d")
    os.chdir("d")
os.chmod(".", 0)
"""
    assert sandbox.run_code(code, isolation="limits").status == "ok"
    assert list(tmp_path.iterdir()) == []


def test_any_locale_will_do():
    """The sandbox's own text, and a program's, in a locale that has no such characters."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        "from agorabench import sandbox\n"
        "print(sandbox.run_code('print(ascii(chr(8230)), ascii(\"\\u2026\"))').stdout)"
    )
    for options in (["-X", "utf8=0"], []):
        done = subprocess.run(
            [sys.executable, *options, "-c", code], capture_output=True, text=True,
            env=os.environ | {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0"},
        )  # fmt: skip
        assert done.stdout.split() == ["'\\u2026'"] * 2, done.stderr
