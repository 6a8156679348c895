"""Programs run in the sandbox as whoever runs the tests, or as nobody."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from agorabench import sandbox
from agorabench.errors import UserError
from agorabench.sandbox import Limits, Outcome

from helpers import ROOT

SYSTEM_PYTHON = "/usr/bin/python3"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
DRIVER = f"""
import dataclasses, json, sys
sys.path.insert(0, {str(ROOT / "scripts")!r})
from agorabench import sandbox
order = json.load(sys.stdin)
limits = sandbox.Limits(**order["limits"])
kind = order["kind"]
if order["tests"] is None:
    outcome = sandbox.run_code(order["code"], limits, kind)
else:
    outcome = sandbox.check_code(order["code"], order["tests"], limits, kind)
print(json.dumps(dataclasses.asdict(outcome)))
"""


def attack(kind, code, tests=None, user="self", **limits):
    """Run one program in an isolation of this kind, started by this user or by nobody."""
    if user == "self":
        if tests is None:
            return sandbox.run_code(code, Limits(**limits), kind)
        return sandbox.check_code(code, tests, Limits(**limits), kind)
    order = json.dumps({"code": code, "tests": tests, "limits": limits, "kind": kind})
    done = subprocess.run(
        [*NOBODY, SYSTEM_PYTHON, "-c", DRIVER], input=order, capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return Outcome(**json.loads(done.stdout))


def available(kind, user):
    if kind == "bubblewrap" and not shutil.which("bwrap"):
        return "bubblewrap is not installed"
    if user == "nobody":
        if os.geteuid() != 0 or not shutil.which("setpriv") or not Path(SYSTEM_PYTHON).exists():
            return "becoming nobody takes root, setpriv and a Python that nobody can read"
        test = [*NOBODY, "test", "-r", str(sandbox.CHILD)]
        if subprocess.run(test).returncode:
            return "nobody cannot read the project"
    try:
        attack(kind, "", user=user)
    except (UserError, AssertionError) as error:
        return f"{kind} does not work here: {error}"
    return None
