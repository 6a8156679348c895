"""A set from a provider with bad habits: exact or stopped, all counted, nothing paid for thrice."""

import os
import signal
import time
from collections import Counter

import pytest
import servers
from agorabench.errors import UserError
from agorabench.llm import batch
from helpers.asking import KEY, Cell, hurry

SEEDS = int(os.environ.get("AGORABENCH_SEEDS", 24))  # of each mode and protocol; 500 take an hour
SIZE = 12
PATIENCE = 2.0  # seconds, of any single wait


@pytest.fixture(scope="module")
def server():
    with servers.start() as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setenv(KEY, "test-key")
    monkeypatch.setattr(batch, "SETTLE", 0.05)
    hurry(monkeypatch)


@pytest.fixture(autouse=True)
def deadline():
    """A hang is a failure, not a wait."""

    def give_up(*_):
        raise TimeoutError(f"still at work after {PATIENCE + 20} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE + 20)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
@pytest.mark.parametrize("mode", ["online", "batch"])
def test_a_provider_with_bad_habits(tmp_path, server, mode, protocol, seed):
    server.set(habits=seed, write="instance" if seed % 2 else "response")
    server.reset()
    cell = Cell(
        tmp_path, server, protocol, "instance" if seed % 2 else "response", size=SIZE, mode=mode,
        timeout=1.0, patience=PATIENCE, concurrency=4, batch={"poll": 0.02},
    )  # fmt: skip
    began = time.monotonic()
    try:
        rows = cell.run()
    except UserError as stop:
        print(stop)
        assert len(str(stop).splitlines()) == 1
    else:
        assert sum(row["verdict"] == "valid" for row in rows) == SIZE
    assert time.monotonic() - began < PATIENCE + 18
    ledger, books = cell.ledger(), server.books()
    seen = books["received"].get(f"{protocol} complete", 0)
    if mode == "batch":
        seen += sum(books["kinds"].get(f"{protocol} item", {}).values())
    twice = ledger["faults"].get("duplicate id", 0)  # a line more than there were requests
    assert ledger["requests"] == seen + twice, (ledger, books["kinds"])
    # What arrived is asked for once more where it cannot be read, and not a third time; a broken
    # connection is tried again for as long as the patience lasts.
    arrived = [r["fingerprint"] for r in cell.journaled() if {"usage", "most"} & r.keys()
               and r.get("fault") not in ("connection", "timeout", "duplicate id")]  # fmt: skip
    assert all(count <= 2 for key, count in Counter(arrived).items() if key)
    factor = 0.5 if mode == "batch" else 1.0
    billed = factor * sum(books["tokens"][mode].values()) / 1e6
    unclear = factor * sum(books["unclear"][mode].values()) / 1e6
    assert billed * (1 - 1e-9) <= ledger["usd"] <= (billed + unclear) * (1 + 1e-9)
