"""One cell of a workflow, generated through a loopback server: in this process or as a program."""

import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import generate
import yaml
from agorabench import matrix, paths
from agorabench.files import read_json, read_jsonl, write_json, write_jsonl
from agorabench.llm.rate_limit import Pace

from helpers import ROOT

KEY = "TEST_KEY"
TEMPLATES = {
    "response": "Answer this.\n{instruction}\n",
    "instance": "Write a problem about {theme}.\n{demonstrations}\n",
    "enhancement": "Make this harder.\n{instruction}\n{response}\n",
}
SETTINGS = {  # of the config, in place of the miniature's
    "prompts": {"p": {"folder": "p"}},
    "themes": {"math": "themes.txt"},
    "generation": {
        "attempts": 10,
        "validators": {"math": ["length"]},
        "max_characters": 20000,
        "demonstrations": {"seed": 2, "generated": 1},
    },
}


def config(generators, **more):
    """The miniature's config with other generators, all of which its experiment asks, and without
    its judges."""
    whole = yaml.safe_load((ROOT / "config/mini.yaml").read_text(encoding="utf-8"))
    whole |= {"generators": generators, "intrinsic": {}}
    asked = {"generators": list(generators), "prompts": list(more.get("prompts", ["mini"]))}
    whole["experiments"]["main"] |= asked
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
    """A folder with the files of one cell: config, seed data, prompt, themes, journal, replies.

    Args:
        folder: the working directory; cells of several generators or methods can share it.
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

    @property
    def cell(self):
        return matrix.Cell("math", self.method, self.name, "p", self.size, seed=1)

    @property
    def journal(self):
        return self.folder / paths.set_journal(self.cell)

    @property
    def output(self):
        return self.folder / paths.raw_replies(self.cell)

    def arguments(self):
        """Writes the files; returns the arguments of generate.py."""
        seeds = self.folder / paths.seed_rows("math", self.method)
        prompt, whole = self.folder / f"p/{self.method}/math.md", self.folder / "config.json"
        if not seeds.exists():
            rows = (
                {"id": f"s{i}", "instruction": f"What is {i} + {i}?", "response": f"It is {2 * i}."}
                for i in range(500)
            )
            write_jsonl(seeds, rows)
        prompt.parent.mkdir(parents=True, exist_ok=True)
        prompt.write_text(TEMPLATES[self.method])
        (self.folder / "themes.txt").write_text("apples\npens\n")
        known = json.loads(whole.read_text())["generators"] if whole.exists() else {}
        write_json(whole, config(known | {self.name: self.entry}, max_usd=self.total, **SETTINGS))
        return ["--config", "config.json", "--cell", str(self.cell)]

    def run(self):
        """Generate in this process; returns the rows of the output."""
        arguments = self.arguments()
        with contextlib.chdir(self.folder):
            generate.main(arguments)
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
    pause = Pace.retry_pause
    monkeypatch.setattr(Pace, "retry_pause", lambda self, *rest: factor * pause(self, *rest))
