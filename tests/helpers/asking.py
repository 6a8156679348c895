"""One cell of a workflow, generated through a loopback server: in this process or as a program."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import generate
import yaml
from agorabench.files import read_json, read_jsonl, write_json, write_jsonl
from agorabench.llm.rate_limit import Pace

from helpers import ROOT

KEY = "TEST_KEY"
TEMPLATES = {
    "response": "Answer this.\n{instruction}\n",
    "instance": "Write a problem about {theme}.\n{demonstrations}\n",
}
OUTPUTS = {"response": "response", "instance": "instance"}  # the server's setting `write`


def config(generators, **more):
    """The miniature's config with other generators, all of which its experiment asks, and without
    its judges."""
    whole = yaml.safe_load((ROOT / "config/mini.yaml").read_text(encoding="utf-8"))
    whole["generators"] = generators
    whole["experiments"]["main"]["generators"] = list(generators)
    whole["intrinsic"] = {}
    return whole | more


def generator(server, protocol, **more):
    """The config entry of a generator at a server (a servers.Server, or an address)."""
    entry = {
        "backend": protocol,
        "model": "gpt-4o-mini",
        "base_url": getattr(server, protocol, server),
        "key": KEY,
        "sampling": {"max_tokens": 500},
        "price": {"input": 1.0, "output": 1.0},
        "timeout": 20.0,
        "patience": 20.0,
    }
    return entry | more


class Cell:
    """A journal and what is asked for it.

    Args:
        folder: where all files are.
        server: a servers.Server.
        protocol: "openai" or "anthropic".
        method: "response", or "instance" with generated demonstrations.
        size: valid pairs wanted.
        total: max_usd of the config.
        name: the generator's.
        more: keys of the generator's config.
    """

    def __init__(
        self, folder, server, protocol, method="response", size=60, total=None, name="g", **more
    ):
        self.folder, self.server, self.protocol, self.name = Path(folder), server, protocol, name
        self.method, self.size, self.total = method, size, total
        self.entry = generator(server, protocol, **more)
        self.journal = self.folder / f"journal/math/{method}/{name}/p/seed1.jsonl"
        self.output = self.folder / f"{name}.jsonl"

    def arguments(self):
        """Writes the files; returns the arguments of generate.py."""
        self.folder.mkdir(parents=True, exist_ok=True)
        seeds, prompt, themes, whole = (
            self.folder / name
            for name in ("seeds.jsonl", f"{self.method}.md", "themes.txt", "config.json")
        )
        if not seeds.exists():
            rows = (
                {"id": f"s{i}", "instruction": f"What is {i} + {i}?", "response": f"It is {2 * i}."}
                for i in range(500)
            )
            write_jsonl(seeds, rows)
            themes.write_text("apples\npens\n")
        prompt.write_text(TEMPLATES[self.method])
        known = json.loads(whole.read_text())["generators"] if whole.exists() else {}
        write_json(whole, config(known | {self.name: self.entry}, max_usd=self.total))
        kept = {key: self.entry[key] for key in ("backend", "model")}
        generation = {
            "attempts": 10,
            "validators": {"math": ["length"]},
            "max_characters": 20000,
            "system": None,
            "demonstrations": {"seed": 2, "generated": 1},
        }
        return [
            "--entry", json.dumps(kept), "--config", str(whole), "--generator", self.name,
            "--generation", json.dumps(generation), "--domain", "math", "--method", self.method,
            "--size", str(self.size), "--seed", "1", "--seeds", str(seeds),
            "--prompt", str(prompt), "--themes", str(themes),
            "--journal", str(self.journal), "--output", str(self.output),
        ]  # fmt: skip

    def run(self):
        """Generate in this process; returns the rows of the output."""
        generate.main(self.arguments())
        return self.rows()

    def child(self, **options):
        """Start generate.py as a program."""
        command = [sys.executable, str(ROOT / "scripts/generate.py"), *self.arguments()]
        environment = {**os.environ, KEY: self.server.key}
        options = {"env": environment, "cwd": self.folder, "text": True} | options
        return subprocess.Popen(command, stderr=subprocess.PIPE, **options)

    def rows(self):
        return read_jsonl(self.output)

    def journaled(self):
        return read_jsonl(self.journal) if self.journal.exists() else []

    def ledger(self):
        return read_json(self.journal.with_suffix(".ledger.json"))

    def received(self):
        """Requests for completions that the server has seen."""
        return self.server.books()["received"].get(f"{self.protocol} complete", 0)

    def holds(self):
        """The set is whole, and the ledger's sums are the server's."""
        rows = self.rows()
        assert sum(row["verdict"] == "valid" for row in rows) == self.size
        assert [row["slot"] for row in rows] == sorted(row["slot"] for row in rows)
        self.adds_up()

    def adds_up(self):
        """Every request that the server has seen is in the journal and in the ledger, once."""
        ledger, journal = self.ledger(), self.journaled()
        assert ledger["requests"] == len(journal) == self.received()
        replies = [row["fingerprint"] for row in journal if "fault" not in row]
        assert len(replies) == len(set(replies)) == ledger["replies"]
        assert Counter(row["fault"] for row in journal if "fault" in row) == ledger["faults"]
        # Nothing paid is lost: what went out whole is there, as a reply or as a fault with usage.
        paid = [row for row in journal if row.get("reply") is not None or "usage" in row]
        paid = [row for row in paid if row.get("finish_reason") != "unanswered"]
        assert len(paid) == self.server.books()["answered"]


def hurry(monkeypatch, factor=0.02):
    """Make all pauses shorter than they would be."""
    pause = Pace.pause
    monkeypatch.setattr(Pace, "pause", lambda self, *rest: factor * pause(self, *rest))
