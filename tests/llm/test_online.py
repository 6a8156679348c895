"""Generation online, at real servers: exact, in order, and nothing paid twice, come what may."""

import os
import random
import signal
import subprocess
import time
from collections import Counter

import pytest
import servers
from agorabench.errors import UserError
from agorabench.llm import anthropic, openai
from agorabench.llm import errors as meant
from agorabench.llm.online import SIGNALS
from agorabench.llm.request import fingerprint_parameters
from helpers.asking import KEY, Cell, generator, hurry

BOTH = pytest.mark.parametrize("protocol", ["openai", "anthropic"])


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv(KEY, "test-key")


# The same set, however it is asked for


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "method"), [("openai", "instance"), ("anthropic", "response")]
)
def test_ten_thousand_exactly_and_in_order(tmp_path, protocol, method):
    with servers.start(write=method, invalid=0.05) as server:
        cell = Cell(tmp_path / "all", server, protocol, method, size=10_000, concurrency=64)
        rows = cell.run()
        cell.holds()
        assert server.books()["peak"] <= 64
        first = Cell(tmp_path / "first", server, protocol, method, size=500)
        valid = [row for row in rows if row["verdict"] == "valid"]
        # A larger set extends a smaller one.
        assert [row for row in first.run() if row["verdict"] == "valid"] == valid[:500]
    rejected = Counter(row["verdict"] for row in rows if row["verdict"] != "valid")
    assert rejected.keys() == ({"no INPUT marker"} if method == "instance" else set())
    assert len(rows) == 10_000 + rejected.total() and rejected.total() in (0, *range(400, 700))


@pytest.mark.slow
@BOTH
def test_ten_thousand_in_batches_are_those_asked_online(tmp_path, protocol):
    """In several batches for a wave; but for the word that they came in one, the same rows."""
    batch = {"requests": 3000, "poll": 0.05}
    with servers.start(write="instance", invalid=0.02) as server:
        cells = [
            Cell(tmp_path / mode, server, protocol, "instance", size=10_000, mode=mode, batch=batch)
            for mode in ("online", "batch")
        ]
        online, batched = ([dict(row) for row in cell.run()] for cell in cells)
        books = server.books()
    assert {row.pop("mode") for row in batched} == {"batch"}
    assert batched == online
    assert sum(row["verdict"] == "valid" for row in batched) == 10_000
    assert books["billed"] == {"online": len(online), "batch": len(batched)}


@BOTH
@pytest.mark.parametrize("method", ["response", "instance"])
def test_the_same_bytes_at_any_concurrency(tmp_path, protocol, method):
    """One at a time, and many at a time whose replies come in another order."""
    made = []
    with servers.start(write=method, invalid=0.05) as server:
        for concurrency in (1, 64, 256):
            server.reset()
            server.set(jitter=0.0 if concurrency == 1 else 0.05)
            folder = tmp_path / str(concurrency)
            cell = Cell(folder, server, protocol, method, size=600, concurrency=concurrency)
            cell.run()
            cell.holds()
            assert server.books()["peak"] <= concurrency
            made.append(cell.output.read_bytes())
    assert made[0] == made[1] == made[2]


def test_a_finished_set_needs_neither_key_nor_server(tmp_path, monkeypatch):
    with servers.start() as server:
        cell = Cell(tmp_path, server, "openai")
        rows = cell.run()
    monkeypatch.delenv(KEY)
    cell.output.unlink()
    assert cell.run() == rows


# Faults that can pass

PASSING = {
    "429 storm": ([{"fault": "429", "first": 60}], "429"),
    "429 storm without Retry-After": ([{"fault": "429_bare", "first": 60}], "429"),
    "429 now and then": ([{"fault": "429_bare", "every": 5}], "429"),
    "500": ([{"fault": "500", "share": 0.3}], "500"),
    "502 with a page": ([{"fault": "502", "share": 0.3}], "502"),
    "503": ([{"fault": "503", "share": 0.2}], "503"),
    "529": ([{"fault": "529", "share": 0.2}], "529"),
    "reset in a body": ([{"fault": "reset", "share": 0.2}], "connection"),
    "reset before a reply": ([{"fault": "drop", "share": 0.2}], "connection"),
    "no reply": ([{"fault": "hang", "every": 40}], "timeout"),
    "malformed JSON": ([{"fault": "malformed", "share": 0.2, "tries": 1}], "malformed body"),
    "nobody at first": ([{"fault": "503", "first": 60}], "503"),
    "many at once": (
        [{"fault": name, "share": 0.05, "seed": n} for n, name in enumerate(
            ["429_bare", "500", "502", "529", "reset", "drop"])]
        + [{"fault": "malformed", "share": 0.05, "tries": 1}],
        None,
    ),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("name", PASSING)
def test_what_can_pass_costs_time_only(tmp_path, monkeypatch, protocol, name):
    hurry(monkeypatch)
    faults, reason = PASSING[name]
    with servers.start() as server:
        undisturbed = Cell(tmp_path / "a", server, protocol, "instance", size=150)
        undisturbed.run()
        server.set(faults=faults, latency=0.002)
        server.reset()
        cell = Cell(tmp_path / "b", server, protocol, "instance", size=150, timeout=0.5)
        cell.run()
        cell.holds()
        struck = Counter(server.books()["kinds"][f"{protocol} complete"])
        assert struck["ok"] == 150
        assert cell.ledger()["faults"].keys() == {reason} or reason is None
        assert cell.ledger()["requests"] == struck.total() > 150
    assert cell.output.read_bytes() == undisturbed.output.read_bytes()


@BOTH
@pytest.mark.parametrize("name", ["500", "503", "malformed"])
def test_a_request_that_always_fails_is_given_up_where_others_are_answered(
    tmp_path, monkeypatch, protocol, name
):
    hurry(monkeypatch, 0.005)
    # It is in one prompt only, whose slot is replaced by the next.
    faults = [{"fault": name, "match": "154 + 154"}]
    with servers.start(write="response", faults=faults, latency=0.02) as server:
        cell = Cell(tmp_path, server, protocol, size=400, concurrency=8)
        rows = cell.run()
        cell.holds()
        lost = [row for row in rows if row["verdict"] == "unanswered"]
        assert [row["instruction"] for row in lost] == ["What is 154 + 154?"]
        # What cannot be read may have been paid for, and is not asked for a third time.
        assert sum(cell.ledger()["faults"].values()) == (2 if name == "malformed" else 10)


# Replies that are no use


USELESS = {
    "empty content": ("empty", {"no INPUT marker"}),
    "finish_reason length": ("length", {"truncated"}),
    "refusal": ("refusal", {"refusal"}),
    "content filter": ("content_filter", {"content_filter", "unanswered"}),
    "prompt refused": ("content_policy", {"unanswered"}),
}


@BOTH
@pytest.mark.parametrize("name", USELESS)
def test_a_reply_that_is_no_use_is_kept_counted_and_asked_for_again(tmp_path, protocol, name):
    fault, verdicts = USELESS[name]
    with servers.start(faults=[{"fault": fault, "every": 6}]) as server:
        cell = Cell(tmp_path, server, protocol, "instance", size=150)
        rows = cell.run()
        cell.holds()
        assert cell.ledger()["faults"] == {}
        rejected = cell.ledger()["set"]["rejected"]
        assert rejected.keys() <= verdicts and len(rejected) == 1
        assert len(rows) == cell.received() == 150 + sum(rejected.values()) > 170


@BOTH
def test_usage_that_is_not_told(tmp_path, protocol):
    with servers.start(faults=[{"fault": "no_usage", "every": 10}]) as server:
        cell = Cell(tmp_path, server, protocol, "instance", size=150)
        rows = cell.run()
        cell.holds()
        ledger, books = cell.ledger(), server.books()
        silent = [row for row in rows if row["usage"] is None]
        assert ledger["replies_without_usage"] == len(silent) == 15
        assert 0 < ledger["output_tokens"] < books["tokens"]["online"]["output"]
        # What is not known is counted at the most that it can be.
        assert ledger["usd"] > 1e-6 * sum(books["tokens"]["online"].values())


# Faults that end the work


FATAL = {
    "bad key": ("401", ["does not accept the key in TEST_KEY (401)", "'gpt-4o-mini'"]),
    "forbidden": ("403", ["does not permit this to the key in TEST_KEY (403)", "'gpt-4o-mini'"]),
    "unknown model": ("404", ["does not serve the model 'gpt-4o-mini'"]),
    "unfit parameters": ("400", ["model 'gpt-4o-mini' at", "cannot go on: 400: "]),
    "insufficient quota": ("quota", ["no credit left for model 'gpt-4o-mini' at"]),
    "wrong model": ("wrong_model", ["answers as 'another-model-1'", "answers_as", "'gpt-4o-mini'"]),
}


@BOTH
@pytest.mark.parametrize("name", FATAL)
def test_what_cannot_pass_stops_the_work_with_a_sentence(tmp_path, protocol, name):
    """In the middle, at 10 of 150; what was under way comes in, and the next run goes on."""
    fault, words = FATAL[name]
    strikes = [{"fault": fault, "after": 10}]
    with servers.start(faults=strikes, latency=0.02, jitter=0.1) as server:
        cell = Cell(tmp_path, server, protocol, "instance", size=150, concurrency=16)
        with pytest.raises(UserError) as told:
            cell.run()
        sentence = str(told.value)
        assert all(word in sentence for word in [*words, getattr(server, protocol)]), sentence
        cell.adds_up()
        # No more were sent than were under way when the first said no.
        assert 10 < cell.received() <= 10 + 2 * 16
        ledger = cell.ledger()
        assert ledger["replies"] == ledger["set"]["replies"] == 10
        assert not cell.output.exists()
        server.set(faults=[])
        cell.run()
        cell.holds()
        # The second asked for what was missing.
        missing = 150 - ledger["set"]["valid"]
        assert cell.received() - ledger["requests"] == missing


def test_a_program_that_is_stopped_says_one_sentence_and_exits_with_1(tmp_path):
    with servers.start(faults=[{"fault": "quota", "after": 20}]) as server:
        child = Cell(tmp_path, server, "openai").child()
        _, told = child.communicate(timeout=60)
    assert child.returncode == 1
    assert told.startswith("error: no credit left for model 'gpt-4o-mini' at http")
    assert told.count("\n") == 1


@BOTH
@pytest.mark.parametrize("fault", ["503", "500"])
def test_nobody_answers_for_the_length_of_the_patience(tmp_path, monkeypatch, protocol, fault):
    """No request is given up for that, however often it was tried."""
    hurry(monkeypatch, 0.001)
    with servers.start(faults=[{"fault": fault, "after": 40}]) as server:
        cell = Cell(tmp_path, server, protocol, "instance", size=150, patience=1.5)
        told = rf"no response for \ds; last error: {fault}: .*; replies are kept"
        with pytest.raises(UserError, match=told):
            cell.run()
        cell.adds_up()
        assert cell.ledger()["replies"] == 40
        server.set(faults=[])
        cell.run()
        cell.holds()
        assert cell.ledger()["set"]["rejected"] == {}


def test_an_endpoint_that_is_not_there(tmp_path, monkeypatch):
    hurry(monkeypatch)
    with servers.start() as server:
        cell = Cell(tmp_path, server, "openai", patience=0.5)
    with pytest.raises(UserError, match=f"{server.openai}: no response for"):
        cell.run()
    assert cell.ledger()["faults"].keys() == {"unreachable"}
    assert cell.ledger()["usd"] == 0  # nothing was sent


def test_a_fault_of_ours_is_not_taken_for_an_answer(tmp_path, monkeypatch):
    """An error that nobody has thought of ends the work, and is seen."""
    from agorabench.llm.openai import OpenAI

    body = OpenAI.request_body
    count = iter(range(100))

    def broken(self, request):
        if next(count) == 30:
            raise AssertionError("unthought of")
        return body(self, request)

    monkeypatch.setattr(OpenAI, "request_body", broken)
    with servers.start(latency=0.05) as server:
        cell = Cell(tmp_path, server, "openai", concurrency=8)
        with pytest.raises(AssertionError, match="unthought of"):
            cell.run()
        cell.adds_up()
        assert cell.ledger()["replies"] == cell.received() >= 30


# Death


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["openai"])
def test_killed_at_twenty_instants_nothing_is_answered_twice(tmp_path, protocol):
    concurrency, dice = 64, random.Random(20)
    with servers.start(invalid=0.05, latency=0.03, jitter=0.02) as server:
        whole = Cell(tmp_path / "whole", server, protocol, "instance", 2000, concurrency=256)
        whole.run()
        server.reset()
        cell = Cell(tmp_path / "b", server, protocol, "instance", 2000, concurrency=concurrency)
        flying = kills = 0
        while kills < 20:
            before, child = cell.received(), cell.child()
            # From the first request on, until about a twentieth has been done.
            while cell.received() == before and child.poll() is None:
                time.sleep(0.005)
            time.sleep(dice.uniform(0, 0.1))
            assert child.poll() is None, "it was finished before the twentieth kill"
            child.kill()
            child.communicate()
            kills += 1
            wait_for(lambda: server.books()["in_flight"] == 0)
            lost = server.books()["billed"]["online"] - len(cell.journaled())
            assert lost - flying <= concurrency  # under way at this kill
            flying = lost
        child = cell.child()
        child.communicate(timeout=60)
        assert child.returncode == 0
        books = server.books(bodies=True)
        rows, journal = cell.rows(), cell.journaled()
        assert sum(row["verdict"] == "valid" for row in rows) == 2000
        assert len({row["fingerprint"] for row in journal}) == len(journal)
        assert books["billed"]["online"] - len(journal) == flying <= 20 * concurrency
        assert sum(times - 1 for times in books["bodies"].values()) == flying
    assert cell.output.read_bytes() == whole.output.read_bytes()


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
def test_a_signal_at_ten_instants_loses_nothing_that_had_arrived(tmp_path, number):
    with servers.start(latency=0.05, jitter=0.05) as server:
        cell = Cell(tmp_path, server, "openai", size=2000, concurrency=16)
        for instant in range(10):
            before, child = server.books()["answered"], cell.child()
            wait_for(lambda before=before: server.books()["answered"] > before)
            time.sleep(0.02 * instant)
            child.send_signal(number)
            _, told = child.communicate(timeout=30)
            assert child.returncode == 1 and f"error: stopped by {number.name}" in told
            cell.adds_up()
            assert cell.ledger()["replies"] == server.books()["billed"]["online"] < 2000


@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
def test_a_signal_waits_for_what_is_under_way(tmp_path, number):
    with servers.start(latency=0.5) as server:
        cell = Cell(tmp_path, server, "openai", size=400, concurrency=32)
        child = cell.child()
        wait_for(lambda: server.books()["answered"] >= 32)
        child.send_signal(number)
        _, told = child.communicate(timeout=30)
        assert child.returncode == 1
        assert f"error: stopped by {number.name}; replies are kept" in told
        cell.adds_up()
        assert cell.ledger()["replies"] == server.books()["billed"]["online"] < 400
        server.set(latency=0)
        cell.run()
        cell.holds()


def test_a_second_signal_does_not_wait(tmp_path):
    with servers.start(faults=[{"fault": "hang", "after": 20}]) as server:
        cell = Cell(tmp_path, server, "openai", size=400, concurrency=32)
        child = cell.child()
        wait_for(lambda: server.books()["in_flight"] == 32)
        child.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1.5)
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=10)
        assert child.returncode not in (0, None)
        assert cell.ledger()["replies"] == 20


# Keys


def test_no_key_is_written_anywhere(tmp_path, monkeypatch, capfd):
    key = "sk-RECOGNISABLE-0123456789-abcdef"
    monkeypatch.setenv(KEY, key)
    hurry(monkeypatch)
    told = []
    with servers.start(key=key, latency=0.01) as server:
        for protocol in ("openai", "anthropic"):
            for name in (None, "401", "403", "404", "400", "500", "hang", "drop", "malformed"):
                server.set(faults=[{"fault": name, "after": 20}] if name else [])
                folder = tmp_path / f"{protocol} {name}"
                cell = Cell(folder, server, protocol, timeout=0.2, patience=0.5)
                if name:
                    with pytest.raises(UserError) as error:
                        cell.run()
                    told.append(str(error.value))
                else:
                    cell.run()
        # A wrong key, which the server quotes a part of; as a program, with all that it prints.
        wrong = Cell(tmp_path / "wrong", server, "openai")
        child = wrong.child(env={**os.environ, KEY: f"{key}-wrong"}, stdout=subprocess.PIPE)
        told += child.communicate(timeout=60)
    assert "does not accept the key in TEST_KEY (401)" in told[-1]
    assert sum(path.is_file() for path in tmp_path.rglob("*")) > 100
    assert leaks(tmp_path, key, *told, *capfd.readouterr()) == []


@pytest.mark.parametrize("more", ["\nsk-another", " and text", "é"])
def test_what_is_no_key_is_not_sent_and_not_quoted(tmp_path, monkeypatch, more):
    monkeypatch.setenv(KEY, f"sk-RECOGNISABLE{more}")
    with servers.start() as server:
        cell = Cell(tmp_path, server, "openai")
        with pytest.raises(UserError) as told:
            cell.run()
        assert "the environment variable TEST_KEY holds more than a key" in str(told.value)
        assert "RECOG" not in str(told.value) and cell.received() == 0


def leaks(folder, key, *texts):
    """Where a part of the key is: files under `folder`, and texts."""
    part = key[:8].encode()
    found = [
        str(path) for path in folder.rglob("*") if path.is_file() and part in path.read_bytes()
    ]
    return found + [text for text in texts if text and part.decode() in text]


@pytest.mark.parametrize(
    ("asked", "served", "right"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4", "gpt-4-0613", True),
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", True),
        ("meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1-8B-Instruct", True),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
        ("gpt-4o", "gpt-4o-mini", False),
    ],
)
def test_a_snapshot_is_the_model_and_a_sibling_is_not(asked, served, right):
    provider = openai.make_provider({"model": asked, "base_url": "", "answers_as": None})
    choice = {"message": {"content": "x"}, "finish_reason": "stop"}
    body = {"choices": [choice], "model": served, "usage": None}
    if right:
        assert provider.read_reply(body)["model"] == served
    else:
        with pytest.raises(meant.Fatal, match=f"answers as '{served}'"):
            provider.read_reply(body)


def test_no_finish_reason_is_a_verdict():
    provider = openai.make_provider({"model": "m", "base_url": "", "answers_as": None})
    choice = {"message": {"content": "x"}, "finish_reason": None}
    assert provider.read_reply({"choices": [choice]})["finish_reason"] == "no finish reason"


@BOTH
def test_a_prompt_that_is_refused_among_others_does_not_stop_them(tmp_path, protocol):
    """A 400 for no known reason says nothing about others where nearly all were answered."""
    faults = [{"fault": "400", "match": "What is 7 + 7?"}]
    with servers.start(write="response", faults=faults) as server:
        cell = Cell(tmp_path, server, protocol, size=500, concurrency=1)
        cell.run()
        cell.holds()
        assert cell.ledger()["set"]["rejected"] == {"unanswered": 1}


def test_an_endpoint_that_asks_for_more_patience_than_there_is(tmp_path):
    faults = [{"fault": "429", "after": 5, "retry_after": 7200}]
    with servers.start(write="response", faults=faults) as server:
        cell = Cell(tmp_path, server, "openai", patience=60.0)
        with pytest.raises(UserError, match=r"asks to wait 2h00m .* longer than its patience"):
            cell.run()
        cell.adds_up()


def test_a_minute_without_an_answer_is_told(tmp_path, monkeypatch, capfd):
    """What was last heard, though nothing comes in."""
    monkeypatch.setattr("agorabench.llm.online.TELL", 0.3)
    with servers.start(faults=[{"fault": "hang", "after": 5}]) as server:
        cell = Cell(tmp_path, server, "openai", timeout=1.5, patience=2.0, concurrency=8)
        with pytest.raises(UserError, match=r"no response for \ds; last error: no reply in 1.5 s"):
            cell.run()
        told = capfd.readouterr().err
        assert "no response for 0s; last error: none; 8 requests are under way" in told
        cell.adds_up()


def test_a_list_of_models_that_never_ends(monkeypatch):
    """A byte now and then is no answer: each comes within the library's own time."""

    class Endless:
        class models:
            @staticmethod
            def list():
                while True:
                    time.sleep(0.01)
                    yield type("Model", (), {"id": "one-more"})

        def close(self):
            pass

    provider = openai.make_provider(generator("http://127.0.0.1:9/v1", "openai"))
    library, _, *others = provider.client_libraries()
    monkeypatch.setattr(
        provider, "client_libraries", lambda: (library, lambda **_: Endless(), *others)
    )
    monkeypatch.setattr("agorabench.llm.api.PROBE_TIMEOUT", 0.1)
    with pytest.raises(UserError, match=r"does not end its list of models in 0\.2 s"):
        provider.served_models(["x"])


@pytest.mark.parametrize("protocol", [openai, anthropic], ids=lambda module: module.__name__)
@pytest.mark.parametrize(
    "setting",
    ["SSL_CERT_FILE=/nowhere", f"SSL_CERT_FILE={__file__}", "HTTPS_PROXY=odd://127.0.0.1:9"],
)
def test_an_environment_that_no_connection_can_be_made_with(monkeypatch, protocol, setting):
    monkeypatch.setenv(*setting.split("="))
    entry = generator("https://127.0.0.1:9/v1", "openai", concurrency=4)
    provider = protocol.make_provider(entry)
    for ask in (
        provider.open_client,
        provider.open_async_client,
        lambda: provider.served_models([]),
    ):
        with pytest.raises(UserError, match=r"no connection to .* look at SSL_CERT_FILE"):
            ask()


def test_waiting_as_long_as_was_asked_is_told(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("agorabench.llm.online.TELL", 0.3)
    faults = [{"fault": "429", "after": 5, "times": 1, "retry_after": 2}]
    with servers.start(write="response", faults=faults) as server:
        cell = Cell(tmp_path, server, "openai", concurrency=1, size=10)
        cell.run()
        cell.holds()
    assert "last error: 429" in (told := capfd.readouterr().err)
    assert "and none is sent for 2s, as it asked" in told


def test_what_decides_a_reply_is_in_its_fingerprint():
    usual = {"temperature": 1.0, "top_p": 0.9, "max_tokens": 9}
    entry = {"backend": "vllm", "model": "m", "sampling": usual}

    def asked(replies="text", **more):
        return fingerprint_parameters(entry | more, replies)

    assert asked() == usual  # on every backend, so that a model has one fingerprint
    assert asked(sampling=usual | {"stop": True, "seeded": False}) == usual
    for change in (
        {"sampling": usual | {"stop": False}},
        {"sampling": usual | {"seeded": True}},
        {"engine": {"quantization": "fp8"}},
        {"extra": {"reasoning_effort": "low"}},
        {"replies": "json", "structured": "json_schema"},
    ):
        assert asked(**change) != usual, change
    speed = {"gpu_memory_utilization": 0.8, "enforce_eager": True}
    assert asked(engine=speed, base_url="x", mode="batch", price={}) == usual
