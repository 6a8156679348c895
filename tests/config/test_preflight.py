"""Before any job: can every generator that will be asked be asked? Through the real workflow."""

import json
import os
import signal
import subprocess
import sys
import time

import anthropic
import pytest
import servers
import yaml
from agorabench.config.preflight import check_endpoints
from agorabench.errors import UserError
from agorabench.files import read_jsonl
from helpers import ROOT
from helpers.asking import KEY, config, generator
from helpers.workflow import Folder
from llm.test_online import leaks
from seeds.test_fetch import Server, body, status

CONFIG = "config/api.yaml"
TOKEN = "sk-RECOGNISABLE-0123456789-abcdef"
NOBODY = "http://127.0.0.1:9"  # the port of a service that throws everything away


def cell(name, size=20):
    return f"results/data/math/response/{name}/mini/n{size}-seed1.jsonl"


class Workplace(Folder):
    """A clone whose generators are behind an address."""

    def configure(self, generators, **more):
        whole = config(generators, warm=False, **more)
        (self.path / CONFIG).write_text(yaml.safe_dump(whole), encoding="utf-8")

    def make(self, *names, size=20, check=True):
        targets = [cell(name, size) for name in names]
        return self.snakemake("--configfile", CONFIG, "--", *targets, check=check, timeout=100)

    def refused(self, *names):
        """The one sentence of a run that must not begin."""
        status, text = self.make(*names, check=False)
        told = [line for line in text.splitlines() if line.startswith("error: ")]
        assert status == 1 and len(told) == 1 and "Traceback" not in text, text
        assert "rule " not in text and not (self.path / "results/raw").exists(), text
        return told[0]


@pytest.fixture
def clone(tmp_path, monkeypatch):
    monkeypatch.setenv(KEY, TOKEN)
    return Workplace(tmp_path / "clone")


@pytest.fixture(scope="module")
def server():
    with servers.start(key=TOKEN, write="response", models={"one": "one", "two": "two"}) as running:
        yield running


def test_a_missing_key_is_told_with_all_who_need_it(clone, server, monkeypatch):
    monkeypatch.delenv(KEY)
    clone.configure(
        {
            "one": generator(server, "openai", model="one"),
            "two": generator(server, "anthropic", model="two"),
            "three": generator(server, "openai", model="two", key=None),
        }
    )
    told = clone.refused("one", "two", "three")
    assert told.startswith(
        "error: generators one, two: the environment variable TEST_KEY is not set"
    )


def test_nobody_at_the_address(clone, server):
    clone.configure(
        {
            "one": generator(NOBODY, "openai", model="one"),
            "two": generator(NOBODY, "openai", model="two"),
            "three": generator(server, "openai", model="one"),
        }
    )
    told = clone.refused("one", "two", "three")
    assert told.startswith(f"error: generators one, two: no response from {NOBODY}: ")


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_a_model_that_is_not_served(clone, server, protocol):
    clone.configure(
        {
            "one": generator(server, protocol, model="one"),
            "two": generator(server, protocol, model="gpt-9"),
        }
    )
    address = getattr(server, protocol)
    assert clone.refused("one", "two") == (
        f"error: generator two: {address} does not serve the model 'gpt-9'; it serves: one, two"
    )


@pytest.mark.slow
def test_only_generators_that_will_be_asked_are_looked_at(clone, server, monkeypatch):
    """A finished set needs no key, and neither does a dry run; then no key is in any file."""
    entries = {
        "one": generator(server, "openai", model="one"),
        "two": generator(server, "anthropic", model="two"),
    }
    clone.configure(entries)
    with monkeypatch.context() as bare:
        bare.delenv(KEY)
        clone.snakemake("--configfile", CONFIG, "-n", "--", cell("one"))
    texts = [clone.make("one", "two")]
    with monkeypatch.context() as bare:
        bare.delenv(KEY)
        assert "Nothing to be done" in clone.make("one", "two")
        before = server.books()["received"]
        # A new reading of what was paid for takes a run of `curate` only.
        (clone.path / cell("two")).unlink()
        clone.make("one", "two")
        assert server.books()["received"] == before
    clone.configure(entries | {"two": generator(NOBODY, "anthropic", model="two")})
    texts.append(clone.make("one", "two", size=25, check=False)[1])
    assert f"generator two: no response from {NOBODY}" in texts[-1]
    texts.append(clone.make("one", size=25))
    server.set(faults=[{"fault": "401", "at": "complete"}])
    status, text = clone.make("one", size=30, check=False)
    server.set(faults=[])
    assert status == 1 and "does not accept the key in TEST_KEY (401), needed for 'one'" in text
    assert len(read_jsonl(clone.path / cell("one", 25))) == 25
    assert list((clone.path / ".snakemake/log").iterdir())
    assert leaks(clone.path, TOKEN, *texts, text) == []


@pytest.mark.slow
def test_ctrl_c_lets_what_is_under_way_come_in(clone, server):
    server.reset()
    server.set(latency=1.0)
    entry = generator(server, "openai", model="one", concurrency=8)
    clone.configure({"one": entry})
    run = subprocess.Popen(
        clone.command("--configfile", CONFIG, "--", cell("one", 100)),
        cwd=clone.path, env=clone.environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while server.books()["answered"] < 8:
        assert time.monotonic() < end and run.poll() is None, run.communicate()
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)  # as the terminal does it
    text = run.communicate(timeout=60)[0]
    server.set(latency=0.0)
    assert run.returncode == 1
    journal = read_jsonl(clone.path / "journal/math/response/one/mini/seed1.jsonl")
    assert 8 <= len(journal) == server.books()["billed"]["online"] < 100, text
    log = (clone.path / "logs/generate/math/response/one/mini/n100-seed1.log").read_text()
    assert "error: stopped by SIGINT; replies are kept" in log
    clone.make("one", size=100)
    assert server.books()["billed"]["online"] == 100


# Models of the hub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with the model acme/there, and with acme/gated for whoever has accepted its terms."""
    with Server() as running:
        found = body(b"{}", ETag='"1"', X_Repo_Commit="0" * 40)
        running.answers["/acme/there/resolve/main/config.json"] = found
        gated = status(403, X_Error_Code="GatedRepo")
        running.answers["/acme/gated/resolve/main/config.json"] = gated
        for name in ("/models/reference", "/acme/lost"):
            lost = status(401, X_Error_Code="RepoNotFound")
            running.answers[f"{name}/resolve/main/config.json"] = lost
        for name in [name for name in os.environ if name.startswith("HF_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("no_proxy", "*")
        yield running


def test_a_folder_that_was_forgotten(clone, server, hub):
    """What looks like an id is looked for once, and not by every job for minutes."""
    reward = {"measure": "reward", "model": "models/reference"}
    one = generator(server, "openai", model="one")
    clone.configure({"one": one}, intrinsic={"reward": reward, "again": reward})
    place = cell("one").removeprefix("results/data/").removesuffix("l")
    targets = [f"results/intrinsic/{name}/{place}" for name in ("reward", "again")]
    outcome, text = clone.snakemake("--configfile", CONFIG, "--", *targets, check=False)
    told = [line for line in text.splitlines() if line.startswith("error: ")]
    assert outcome == 1 and "rule " not in text, text
    assert told == [
        "error: metric again, metric reward: no model models/reference: neither a folder here nor "
        "on the hub, nor in its cache: not there, or private and HF_TOKEN does not open it (HTTP "
        "status 401); did you mean resources/models/reference?"
    ]
    assert hub.asked.count("HEAD /models/reference/resolve/main/config.json") == 1
    clone.make("one")  # which needs no metric


def find(entries, **environment):
    """What `check_models` says, in a process of its own."""
    program = "import json, sys; from agorabench.cli import run_program; "
    program += "from agorabench.config.preflight import check_models; "
    program += "run_program(lambda: check_models(json.loads(sys.argv[1])))"
    ended = subprocess.run(
        [sys.executable, "-c", program, json.dumps(entries)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts"), **environment},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return ended.returncode, ended.stderr


def test_a_model_of_the_hub_or_of_its_cache(hub):
    there, lost = {"m": {"model": "acme/there"}}, {"l": {"model": "acme/lost", "engine": {}}}
    assert find(there) == (0, "") and hub.asked
    assert find(there, HF_ENDPOINT=NOBODY) == find(there, HF_HUB_OFFLINE="1") == (0, "")
    for entries in (lost, there | lost):
        code, said = find(entries, HF_HUB_OFFLINE="1")
        assert code == 1 and said.startswith("error: l: no model acme/lost: neither"), said
    assert find({"g": {"model": "acme/gated"}})[1] == (
        "error: g: no model acme/gated: neither a folder here nor on the hub, nor in its cache: "
        "gated: accept its terms on its page on the hub and set HF_TOKEN in the environment\n"
    )
    assert find({"s": {"model": "resources/models/none/built/yet"}}) == (0, "")


# Without the workflow


def test_models_that_go_by_another_name_are_looked_for(monkeypatch):
    """Anthropic's list has no aliases, so every generator's model is asked for by itself."""
    monkeypatch.setenv(KEY, TOKEN)
    models = {"one": "one", "two-latest": "two-1", "three-latest": "three-1"}
    # The server lists its aliases; what is left of the list here is what the real one would say.
    listed = anthropic.resources.Models.list
    monkeypatch.setattr(
        anthropic.resources.Models,
        "list",
        lambda self: [model for model in listed(self) if model.id == "one"],
    )
    with servers.start(key=TOKEN, models=models) as aliased:
        entries = {name: generator(aliased, "anthropic", model=name) for name in models}
        check_endpoints(entries)
        entries |= dict.fromkeys(("x", "y"), generator(aliased, "anthropic", model="four"))
        with pytest.raises(UserError, match=r"^generators x, y: .* not serve the model 'four'"):
            check_endpoints(entries)


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_a_key_that_is_refused(monkeypatch, protocol):
    monkeypatch.setenv(KEY, f"{TOKEN}-wrong")
    with servers.start(key=TOKEN) as locked, pytest.raises(UserError) as told:
        check_endpoints({"one": generator(locked, protocol)})
    assert "generator one: " in str(told.value)
    assert "does not accept the key in TEST_KEY (401), needed for" in str(told.value)
    assert "RECOG" not in str(told.value)


@pytest.mark.parametrize("fault", ["500", "404", "malformed", "429"])
def test_an_endpoint_without_a_list_of_models_may_have_the_model(monkeypatch, fault):
    monkeypatch.setenv(KEY, "test-key")
    with servers.start(faults=[{"fault": fault, "at": "models"}], models={"x": "x"}) as shy:
        check_endpoints({"one": generator(shy, "openai", model="y")})
