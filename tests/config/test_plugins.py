"""Python that a config brings along: what it offers is found, and a fault of it is one sentence."""

import os
import subprocess
import sys

import pytest
import yaml
from agorabench import plugins
from agorabench.config import check_config
from agorabench.errors import UserError
from agorabench.evaluation import benchmarks
from agorabench.generation.validators import validate_pair
from helpers import ROOT

MINE = """
def validator_short(pair, limits):
    return "too long" if len(pair[1]) > 10 else None


def seed_source_mine(domain, method):
    return [{"id": domain, "instruction": method, "response": "x"}]


class protocol_yes:
    ALSO = ("strict",)

    @staticmethod
    def read_items(rows):
        return rows


def check_config(config):
    if config["seed"] == 13:
        yield ("seed",), "13 is of no use"
"""


@pytest.fixture
def mini():
    return yaml.safe_load((ROOT / "config/mini.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "_loaded", dict(plugins._loaded))
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    return tmp_path


def check(config, project):
    return check_config(config, (), project, files_too=False)


def test_what_a_file_offers_is_found(mini, project):
    mini["plugins"].append("mine.py")
    mini["generation"]["validators"]["math"].append("short")
    mini["seeds"]["math"]["response"] = {"source": "mini"}
    mini["benchmarks"]["mini-sums"] |= {"protocol": "yes", "score": "strict"}
    check(mini, project)
    assert validate_pair(("a", "long enough for it"), ["length", "short"]) == "too long"
    assert plugins.find_plugin("seed_source", "mine")("math", "response")[0]["id"] == "math"
    assert benchmarks.load_protocol({"protocol": "yes"}).read_items([1]) == [1]
    file = (project / "mine.py").resolve()
    assert benchmarks.protocol_file("yes") == os.path.relpath(file, ROOT / "scripts")
    assert plugins.find_plugin("validator", "unknown") is None


def test_what_a_plugin_says_against_a_config(mini, project):
    mini["plugins"].append("mine.py")
    with pytest.raises(UserError, match=r"^seed: 13 is of no use$"):
        check(mini | {"seed": 13}, project)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["absent.py"], "plugins: no file absent.py"),
        (["no_such_module"], "plugins: cannot import no_such_module: No module named"),
        (["broken.py"], "plugins: cannot import broken.py: invalid syntax"),
        ([], "benchmarks.mini-sums.source.source: unknown source 'mini'; known: none; name"),
    ],
)
def test_a_plugin_that_is_not_there(mini, project, names, sentence):
    (project / "broken.py").write_text("def\n", encoding="utf-8")
    with pytest.raises(UserError) as fault:
        check(mini | {"plugins": names}, project)
    assert str(fault.value).startswith(sentence)


def test_a_validator_is_of_a_plugin_of_this_config(mini, project):
    plugins.load_plugins(["mine.py"], project)
    mini["generation"]["validators"]["math"] = ["short"]
    with pytest.raises(UserError, match=r"unknown validator 'short'; known: .*not_held_out"):
        check(mini, project)


def test_where_a_protocol_stands():
    assert benchmarks.protocol_file("mini") == "miniature/protocol.py"
    assert benchmarks.protocol_file("gsm8k") == "agorabench/evaluation/benchmarks/gsm8k.py"


def test_the_product_reads_a_config_without_the_miniature():
    """A matrix that is not the miniature's imports nothing of it."""
    program = "import sys; from agorabench.config import load_config; "
    program += "load_config('config/agorabench.yaml'); print('miniature' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": "scripts"}, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.stdout == "False\n", ended.stderr
