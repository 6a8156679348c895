"""The pinned environments say the same thing."""

import re
from importlib.metadata import version

import yaml
from helpers import ROOT

PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[\w+\])?==(\S+)$", re.M)


def pins(path):
    """Package -> version of a requirements file, names in their normal form."""
    text = (ROOT / path).read_text()
    return {name.lower().replace("_", "-"): pinned for name, pinned in PIN.findall(text)}


def test_the_lock_holds_every_requirement():
    wanted, locked = pins("envs/requirements.txt"), pins("envs/lock.txt")
    assert wanted.items() <= locked.items()


def test_what_is_installed_is_what_is_pinned():
    for name, pinned in pins("envs/requirements.txt").items():
        assert version(name).split("+")[0] == pinned, name


def test_every_rule_uses_an_environment_that_exists():
    for path in (ROOT / "rules").glob("*.smk"):
        for environment in re.findall(r'"\.\./(envs/\S+)"', path.read_text()):
            file = yaml.safe_load((ROOT / environment).read_text())
            assert {"pip": ["-r requirements.txt", "-c lock.txt"]} in file["dependencies"]
