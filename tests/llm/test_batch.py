"""Batches at either provider: whatever happens to them, each request is processed once."""

import os
import signal
import traceback
from collections import Counter, deque
from importlib import import_module

import openai
import pytest
import servers
import yaml
from agorabench.errors import UserError
from agorabench.files import json_fingerprint, read_json, read_jsonl, to_json, write_jsonl
from agorabench.generation.slots import Slots
from agorabench.llm import batch as batches
from agorabench.llm import batch_log, budget
from agorabench.llm.api import make_backend as provider_backend
from agorabench.llm.batch_log import read_batches
from agorabench.llm.journal import Journal, read_rows
from generation.test_generate import composer
from helpers import ROOT
from tools import batches as commands

BOTH = pytest.mark.parametrize("protocol", ["openai", "anthropic"])


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No pause is longer than it must be."""
    monkeypatch.setenv("TEST_KEY", "test-key")
    monkeypatch.setattr(batches, "SETTLE", 0.05)
    monkeypatch.setattr(batches.Pace, "retry_pause", lambda self, tries, after=None: after or 0.02)


def entry(server, protocol, **more):
    limits = {"requests": 1000, "bytes": 10**6, "tokens": None, "poll": 0.02} | more.pop(
        "batch", {}
    )
    return {
        "backend": protocol,
        "model": "gpt-4o-mini",
        "base_url": getattr(server, protocol),
        "key": "TEST_KEY",
        "mode": "batch",
        "sampling": {
            "temperature": 1.0,
            "top_p": None,
            "max_tokens": 500,
            "stop": True,
            "seeded": False,
        },
        "extra": {},
        "structured": "none",
        "answers_as": None,
        "length_key": "auto",
        "concurrency": 4,
        "timeout": 30.0,
        "patience": 20.0,
        "price": {"input": 1.0, "output": 1.0, "batch": 0.5},
        "max_usd": None,
        "batch": limits,
    } | more


def asked(count, start=0):
    """Requests with texts that differ."""
    texts = [f"Write problem number {number}." for number in range(start, start + count)]
    return [
        {
            "fingerprint": json_fingerprint(text),
            "messages": [{"role": "user", "content": text}],
        }
        for text in texts
    ]


class Job:
    """One cell of a workflow: its folder, and runs of it against a server."""

    def __init__(self, folder, server, protocol, **more):
        self.folder, self.server, self.protocol = folder, server, protocol
        self.entry = entry(server, protocol, **more)
        self.state = folder / "journal" / "math" / "response" / "strong" / "mini" / "seed1.batches"
        self.lists = []

    def backend(self, budget=None):
        provider = import_module(f"agorabench.llm.{self.protocol}").make_provider(self.entry)
        return batches.Batches(provider, self.state, budget)

    def run(self, requests, budget=None):
        """Rows of one run, journaled; a UserError is raised after they were."""
        backend = self.backend(budget)
        self.rows = []
        with Journal(self.state.with_suffix(".jsonl")) as journal:
            wanted = deque(r for r in requests if r["fingerprint"] not in journal)
            try:
                for rows in backend.complete(wanted):
                    journal.add(rows)
                    self.lists.append(rows)
                    self.rows += rows
            finally:
                backend.close()
        return self.rows

    def journal(self):
        return read_jsonl(self.state.with_suffix(".jsonl"))

    def told(self):
        """What became of every request line at the provider, by its name in the books."""
        return Counter(self.server.books()["kinds"].get(f"{self.protocol} item", {}))

    def open_batches(self):
        return read_batches(self.state)[0]


def replies(rows):
    return {row["fingerprint"]: row for row in rows if "fault" not in row}


def reasons(rows):
    return Counter(row["fault"] for row in rows if "fault" in row)


def holds(job, requests):
    """Every request has one reply, all rows are of a batch, and the sums are the server's."""
    rows = job.journal()
    assert sorted(row["fingerprint"] for row in rows if "fault" not in row) == sorted(
        request["fingerprint"] for request in requests
    )
    assert {row["mode"] for row in rows} == {"batch"}
    books = job.server.books()
    assert len(rows) == job.told().total()
    usage = [row["usage"] for row in rows if row.get("usage")]
    for side in ("input", "output"):
        assert sum(part[side] for part in usage) == books["tokens"]["batch"][side]
    assert job.open_batches() == {}


@BOTH
def test_every_request_is_answered_once(tmp_path, protocol):
    requests = asked(50)
    with servers.start(write="echo") as server:
        job = Job(tmp_path, server, protocol, batch={"requests": 20})
        job.run(requests)
        holds(job, requests)
        assert server.books()["batches"] == {protocol: 3}
        found = replies(job.rows)
        for request in requests:
            row = found[request["fingerprint"]]
            assert row["reply"] == request["messages"][0]["content"]
            assert row["finish_reason"] == "stop" and row["model"] == "gpt-4o-mini"
        assert len(job.lists) == 3  # a batch's rows are journaled together
        # A second run needs neither server nor key.
        os.environ.pop("TEST_KEY")
        assert job.run(requests) == []


# Splitting


def test_batches_are_split_by_bytes_and_by_tokens(tmp_path):
    requests = asked(40)
    size = 0
    with servers.start() as server:
        job = Job(tmp_path / "bytes", server, "openai")
        provider = job.backend().provider
        size = max(len(to_json(provider.batch_task(request))) for request in requests) + 1
        job.entry["batch"]["bytes"] = 8 * size
        job.run(requests)
        holds(job, requests)
        assert server.books()["batches"] == {"openai": 5}
    with servers.start() as server:
        job = Job(tmp_path / "tokens", server, "openai", batch={"tokens": 330})
        seen = []
        advance = batches.Batches._advance_batch

        def watched(self, batch):
            seen.append(sum(b.tokens for b in self._log.open_batches))
            return advance(self, batch)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batches.Batches, "_advance_batch", watched)
            job.run(requests)
        holds(job, requests)
        # Each counts for its 24 or 25 bytes at 2 bytes a token, and for 20 more.
        assert server.books()["batches"] == {"openai": 4}
        assert 0 < max(seen) <= 330


def test_a_request_larger_than_the_limits_goes_alone(tmp_path):
    requests = asked(3)
    with servers.start() as server:
        job = Job(tmp_path, server, "openai", batch={"tokens": 5, "bytes": 10})
        job.run(requests)
        holds(job, requests)
        assert server.books()["batches"] == {"openai": 3}


@BOTH
def test_a_batch_that_is_too_large_for_the_provider_is_split(tmp_path, protocol):
    requests = asked(30)
    with servers.start(batch={"bytes": 4000}) as server:
        job = Job(tmp_path, server, protocol)
        if protocol == "openai":  # says so with status 400, which means anything
            with pytest.raises(UserError, match="cannot go on: 400: The file is too large"):
                job.run(requests)
            assert job.open_batches() == {}
        else:
            job.run(requests)
            holds(job, requests)
            assert server.books()["batches"][protocol] > 1


def test_the_organisations_limit_of_enqueued_tokens_is_found_by_halving(tmp_path):
    requests = asked(40)
    with servers.start(batch={"enqueued": 45}) as server:  # room for 11 of 4 tokens each
        job = Job(tmp_path, server, "openai")
        job.run(requests)
        holds(job, requests)


def test_a_batch_waits_for_room_that_own_ones_take(tmp_path):
    requests = asked(40)
    with servers.start(batch={"enqueued": 90, "polls": 4}) as server:
        job = Job(tmp_path, server, "openai", batch={"requests": 20})
        job.run(requests)
        holds(job, requests)
        assert server.books()["batches"]["openai"] == 3  # the second was refused once


def test_a_batch_waits_for_room_that_others_take(tmp_path):
    with servers.start(batch={"queue": 10, "polls": 1000}) as server:
        job = Job(tmp_path, server, "anthropic")
        provider = job.backend().provider
        others = provider.submit_batch(
            provider.open_client(), "", [provider.batch_task(request) for request in asked(8, 100)]
        )
        pauses = []

        def pause(seconds):
            pauses.append(seconds)
            if len(pauses) == 4:
                provider.cancel_batch(provider.open_client(), others)
                provider.batch_status(provider.open_client(), others)
                server.set(batch={"polls": 1})

        backend = batches.Batches(provider, job.state, sleep=lambda s: pause(s))
        clock = iter(range(0, 10**9, 100))
        backend.clock = lambda: next(clock)
        rows = [row for rows in backend.complete(deque(asked(8))) for row in rows]
        assert len(replies(rows)) == 8
        assert server.books()["statuses"]["anthropic create"]["429"] >= 2


# What a provider does to requests


@BOTH
def test_results_in_another_order(tmp_path, protocol):
    requests = asked(30)
    with servers.start(write="echo", faults=[{"fault": "shuffled"}]) as server:
        job = Job(tmp_path, server, protocol)
        job.run(requests)
        holds(job, requests)
        assert list(replies(job.rows)) != [request["fingerprint"] for request in requests]
        for request in requests:
            row = replies(job.rows)[request["fingerprint"]]
            assert row["reply"] == request["messages"][0]["content"]


@BOTH
@pytest.mark.parametrize(
    ("name", "reason"), [("500", "500"), ("529", "529"), ("429", "429"), ("expired", "expired"),
                         ("missing", "missing"), ("malformed", "malformed line"),
                         ("no_id", "unknown id"), ("canceled", "cancelled")],
)  # fmt: skip
def test_only_what_failed_is_asked_again(tmp_path, protocol, name, reason):
    requests = asked(30)
    fault = {"fault": name, "at": "item", "every": 3, "times": 10}
    with servers.start(faults=[fault]) as server:
        job = Job(tmp_path, server, protocol)
        job.run(requests)
        told = job.told()
        assert told == {"ok": 30, name: 10}
        assert reasons(job.rows) == {reason: 10}
        rows = job.journal()
        assert len(rows) == 40 and len(replies(rows)) == 30
        assert {row["mode"] for row in rows} == {"batch"}
        assert server.books()["batches"] == {protocol: 2}
        usage = [row["usage"]["output"] for row in rows if row.get("usage")]
        billed = server.books()["tokens"]["batch"]["output"]
        if name in ("missing", "malformed"):  # billed, and the provider told nobody
            assert sum(usage) < billed
        else:
            assert sum(usage) == billed


@BOTH
@pytest.mark.parametrize("done", [0.0, 0.4])
def test_a_batch_that_expired_keeps_what_is_finished(tmp_path, protocol, done):
    requests = asked(30)
    with servers.start(faults=[{"fault": "expired", "done": done, "first": 1}]) as server:
        job = Job(tmp_path, server, protocol)
        job.run(requests)
        holds(job, requests)
        assert reasons(job.rows) == {"expired": 30 - int(30 * done)}
        assert server.books()["distinct"] == server.books()["billed"]["batch"] == 30


@BOTH
def test_a_custom_id_that_is_there_twice(tmp_path, protocol):
    requests = asked(30)
    with servers.start(faults=[{"fault": "duplicate", "every": 10}]) as server:
        job = Job(tmp_path, server, protocol)
        job.run(requests)
        assert reasons(job.rows) == {"duplicate id": 3}
        assert len(replies(job.rows)) == 30 and server.books()["billed"] == {"batch": 30}
        usage = [row["usage"]["output"] for row in job.rows if row.get("usage")]
        assert sum(usage) == server.books()["tokens"]["batch"]["output"]


def test_two_different_completions_of_one_request_are_both_counted(tmp_path):
    with servers.start() as server:
        job = Job(tmp_path, server, "openai")
        backend = job.backend()
        results = backend.provider.fetch_results

        def twice(client, look):
            lines = results(client, look)
            other = lines[0].replace(b'"completion_tokens": ', b'"completion_tokens": 7')
            return [*lines, other]

        backend.provider.fetch_results = twice
        rows = [row for rows in backend.complete(deque(asked(2))) for row in rows]
        first, other = rows[0], rows[-1]
        assert other["fault"] == "duplicate id"
        assert other["usage"]["output"] == int(f"7{first['usage']['output']}")


@BOTH
def test_a_request_that_always_fails_is_given_up_where_others_are_answered(tmp_path, protocol):
    requests = asked(5)
    fault = {"fault": "500", "at": "item", "match": requests[2]["fingerprint"]}
    with servers.start(faults=[fault]) as server:
        job = Job(tmp_path, server, protocol)
        job.run(requests)
        rows = job.journal()
        assert len(rows) == job.told().total() == 4 + batches.TRIES
        assert requests[2]["fingerprint"] not in replies(rows)  # another run may ask again
        assert reasons(rows) == {"500": batches.TRIES}
        assert [row["fingerprint"] for row in rows if "given_up" in row] == [
            requests[2]["fingerprint"]
        ]


@BOTH
def test_a_provider_that_answers_nothing_is_left(tmp_path, protocol):
    with servers.start(faults=[{"fault": "500", "at": "item"}]) as server:
        job = Job(tmp_path, server, protocol)
        with pytest.raises(UserError, match="no replies in 10 batches; last error: 500"):
            job.run(asked(3))
        assert reasons(job.journal()) == {"500": 3 * batches.TRIES} == {"500": job.told().total()}


@BOTH
def test_a_filtered_request_is_not_asked_again(tmp_path, protocol):
    requests = asked(6)
    name = "content_policy" if protocol == "openai" else "content_filter"
    with servers.start(faults=[{"fault": name, "at": "item", "first": 2}]) as server:
        job = Job(tmp_path, server, protocol)
        job.run(requests)
        finishes = Counter(row["finish_reason"] for row in replies(job.rows).values())
        assert finishes == {"unanswered": 2, "stop": 4}
        assert len(job.rows) == job.told().total() == 6


@BOTH
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("quota", "no credit left for model 'gpt-4o-mini'"),
        ("wrong_model", "it answers as 'another-model-1'"),
        ("400", "cannot go on: 400"),
        ("401", r"does not accept the key in TEST_KEY \(401\)"),
        ("404", "does not serve the model 'gpt-4o-mini'"),
    ],
)
def test_what_cannot_pass_in_the_middle_stops_when_all_is_collected(
    tmp_path, protocol, name, sentence
):
    requests = asked(40)
    fault = {"fault": name, "at": "item", "after": 15, "first": 5}
    with servers.start(faults=[fault]) as server:
        job = Job(tmp_path, server, protocol, batch={"requests": 10})
        with pytest.raises(UserError, match=sentence) as stopped:
            job.run(requests)
        assert "test-key" not in str(stopped.value)
        told = job.told()
        assert told == {"ok": 35, name: 5}
        rows = job.journal()
        assert len(rows) == 40 and len(replies(rows)) == 35 and job.open_batches() == {}
        if name == "wrong_model":  # paid for
            assert sum("usage" in row for row in rows if "fault" in row) == 5
        server.set(faults=[])
        job.run(requests)
        rows = job.journal()
        assert len(rows) == job.told().total() == 45 and len(replies(rows)) == 40


@BOTH
def test_usage_that_is_not_told(tmp_path, protocol):
    with servers.start(faults=[{"fault": "no_usage", "at": "item", "first": 2}]) as server:
        job = Job(tmp_path, server, protocol)
        job.run(asked(5))
        assert [row["usage"] for row in job.rows].count(None) == 2 and len(replies(job.rows)) == 5


# Batches that are refused as a whole


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("billing_hard_limit_reached", "no credit left for model"),
        ("insufficient_quota", "no credit left for model"),
        ("model_not_found", "takes no batches of model 'gpt-4o-mini'"),
        ("invalid_json_line", "cannot go on: 400"),
    ],
)
def test_a_batch_refused_for_good_stops_when_the_others_are_collected(tmp_path, code, sentence):
    requests = asked(30)
    fault = {"fault": "failed", "code": code, "message": "As we said.", "after": 1, "first": 1}
    with servers.start(faults=[fault]) as server:
        job = Job(tmp_path, server, "openai", batch={"requests": 10})
        with pytest.raises(UserError, match=sentence):
            job.run(requests)
        assert len(job.journal()) == server.books()["billed"]["batch"] == 20
        assert job.open_batches() == {}
        job.run(requests)
        holds(job, requests)
        assert server.books()["batches"] == {"openai": 4}


@pytest.mark.parametrize("code", ["server_error", "rate_limit_exceeded", "token_limit_exceeded"])
def test_a_batch_refused_for_now_is_made_again(tmp_path, code):
    requests = asked(30)
    fault = {"fault": "failed", "code": code, "message": "Later.", "first": 2}
    with servers.start(faults=[fault]) as server:
        job = Job(tmp_path, server, "openai", batch={"requests": 10})
        job.run(requests)
        holds(job, requests)


def test_a_limit_that_is_never_free_is_waited_for_a_day(tmp_path):
    with servers.start(batch={"enqueued": 1}) as server:
        job = Job(tmp_path, server, "openai")
        now = [0.0]
        backend = job.backend()
        backend.clock = lambda: now[0]
        backend.sleep = lambda seconds: now.__setitem__(0, now[0] + seconds + 1)
        with pytest.raises(UserError, match="429: Enqueued token limit reached"):
            list(backend.complete(deque(asked(4))))
        assert batches.DAY < now[0] < batches.DAY + 2 * batches.HOLD
        assert server.books()["batches"]["openai"] < 150


@BOTH
@pytest.mark.parametrize("name", ["401", "403", "quota", "400", "404"])
def test_a_submission_that_is_refused_for_good(tmp_path, protocol, name):
    requests = asked(5)
    with servers.start(faults=[{"fault": name, "at": "create"}]) as server:
        job = Job(tmp_path, server, protocol)
        with pytest.raises(UserError) as stopped:
            job.run(requests)
        assert "\n" not in str(stopped.value) and "test-key" not in str(stopped.value)
        assert job.open_batches() == {} and job.rows == []
        assert server.books()["batches"] == {}
        server.set(faults=[])
        job.run(requests)
        holds(job, requests)


# Cancelling


@BOTH
def test_cancelling_keeps_what_is_finished(tmp_path, protocol):
    requests = asked(40)
    with servers.start(batch={"polls": 4}) as server:
        job = Job(tmp_path, server, protocol, batch={"requests": 20})
        backend = job.backend()
        look = backend.provider.batch_status
        looks = []

        def cancelled(client, id):
            looks.append(id)
            if id == looks[0] and looks.count(id) == 3:
                backend.provider.cancel_batch(client, id)
            return look(client, id)

        backend.provider.batch_status = cancelled
        rows = []
        with pytest.raises(UserError, match="was cancelled: 5 of its 20 requests were answered"):
            for found in backend.complete(deque(requests)):
                rows += found
        assert reasons(rows) == {"cancelled": 15} and len(replies(rows)) == 25
        assert job.told() == {"ok": 25, "canceled": 15}
        with Journal(job.state.with_suffix(".jsonl")) as journal:
            journal.add(rows)
        job.run(requests)
        holds(job, requests)
        assert server.books()["distinct"] == server.books()["billed"]["batch"] == 40


# The wire


@pytest.mark.parametrize("name", ["500", "502", "429", "drop", "reset", "malformed"])
@pytest.mark.parametrize(
    ("protocol", "place"),
    [("openai", place) for place in ("upload", "create", "poll", "content", "list")]
    + [("anthropic", place) for place in ("create", "poll", "results", "list")],
)
def test_a_broken_connection_anywhere_costs_nothing(tmp_path, protocol, name, place):
    requests = asked(30)
    faults = [{"fault": name, "at": place, "first": 2, "retry_after": 0.02}]
    if place == "list":
        faults.append({"fault": "drop", "at": "create", "first": 1})
    with servers.start(faults=faults) as server:
        job = Job(tmp_path, server, protocol, batch={"requests": 10})
        job.run(requests)
        holds(job, requests)
        assert server.books()["batches"] == {protocol: 3}
        struck = server.books()["kinds"][f"{protocol} {place}"][name]
        assert struck == 2


def test_a_provider_that_hangs_is_asked_again(tmp_path):
    requests = asked(5)
    faults = [{"fault": "hang", "at": place, "first": 1} for place in ("create", "poll")]
    with servers.start(faults=faults) as server:
        job = Job(tmp_path, server, "openai", timeout=0.3)
        job.run(requests)
        holds(job, requests)
        assert server.books()["batches"] == {"openai": 1}


@BOTH
def test_patience_ends_and_the_batches_go_on(tmp_path, protocol):
    requests = asked(5)
    with servers.start(faults=[{"fault": "503", "at": "poll", "after": 1}]) as server:
        job = Job(tmp_path, server, protocol, patience=0.3)
        with pytest.raises(UserError, match="no useful response for"):
            job.run(requests)
        assert len(job.open_batches()) == 1
        server.set(faults=[])
        job.run(requests)
        holds(job, requests)
        assert server.books()["batches"] == {protocol: 1}


@BOTH
def test_a_batch_that_the_provider_does_not_know_is_not_paid_for_again(tmp_path, protocol):
    with servers.start(faults=[{"fault": "404", "at": "poll"}]) as server:
        job = Job(tmp_path, server, protocol)
        with pytest.raises(UserError, match=r"does not know batch .*seed1\.batches"):
            job.run(asked(5))
        assert len(job.open_batches()) == 1


def test_retry_after_is_honoured(tmp_path):
    with servers.start(batch={"retry_after": 7, "polls": 2}) as server:
        job = Job(tmp_path, server, "anthropic")
        backend, now, pauses = job.backend(), [0.0], []

        def sleep(seconds):
            pauses.append(seconds)
            now[0] += seconds

        backend.clock, backend.sleep = lambda: now[0], sleep
        assert len([row for rows in backend.complete(deque(asked(3))) for row in rows]) == 3
        assert pauses == pytest.approx([0.02, 7, 7])


# Death


class Killed:
    """Counts the steps of a run, in a forked child, and kills it before step number `at`."""

    def __init__(self, job, at):
        self.job, self.at, self.step = job, at, 0

    def before(self, owner, name):
        function = getattr(owner, name)

        def counted(*args, **more):
            if self.step == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.step += 1
            return function(*args, **more)

        setattr(owner, name, counted)

    def run(self, requests):
        """The child's exit status: -9 where it was killed, else the number of steps it took."""
        child = os.fork()
        if not child:
            try:
                for name in ("submit_batch", "find_batches", "batch_status", "fetch_results"):
                    self.before(type(self.job.backend().provider), name)
                self.before(openai.resources.Batches, "create")  # after the upload
                self.before(batch_log.BatchLog, "_append_row")  # a row of the state
                self.before(Journal, "add")
                self.before(batches.Batches, "_close_batch")
                self.job.run(requests)
                os._exit(self.step)
            except BaseException:
                traceback.print_exc()
                os._exit(255)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@BOTH
def test_killed_before_any_step_nothing_is_processed_twice(tmp_path, protocol):
    survived = False
    at = 0
    with servers.start(batch={"polls": 1}) as server:
        while not survived:
            server.reset()
            requests = asked(9, 10 * at)
            # One request fails once.
            server.set(faults=[{"fault": "500", "at": "item", "every": 5, "times": 1}])
            job = Job(tmp_path / str(at), server, protocol, batch={"requests": 5})
            status = Killed(job, at).run(requests)
            assert status == -signal.SIGKILL or status == at
            survived = status == at
            job.run(requests)
            books = server.books()
            assert books["distinct"] == books["billed"]["batch"] == 9
            assert job.told() == {"ok": 9, "500": 1}
            assert len(replies(job.journal())) == 9 and job.open_batches() == {}
            # A fault is journaled twice where death came between the journal and the state.
            assert len({row["batch"] for row in job.journal() if "fault" in row}) == 1
            assert books["batches"][protocol] in (2, 3)  # what failed may go with the second
            at += 1
    assert at > 25


@BOTH
def test_killed_again_and_again(tmp_path, protocol):
    """Every run is killed a step later than the one before it, all in one journal."""
    requests = asked(40)
    with servers.start(batch={"polls": 1}) as server:
        job = Job(tmp_path, server, protocol, batch={"requests": 10})
        at, status = 1, None
        while status is None or status < 0:
            status = Killed(job, at).run(requests)
            at += 1
        assert at > 4
        holds(job, requests)
        assert server.books()["distinct"] == server.books()["billed"]["batch"] == 40
        assert server.books()["batches"] == {protocol: 4}


def left(job, requests, submitted=True):
    """A run that dies right after the provider has made its batch, or right before."""
    backend = job.backend()
    submit = backend.provider.submit_batch

    def died(*args):
        if submitted:
            submit(*args)
        raise KeyboardInterrupt

    backend.provider.submit_batch = died
    with pytest.raises(KeyboardInterrupt):
        next(backend.complete(deque(requests)))
    backend.close()


@pytest.mark.parametrize("submitted", [True, False])
def test_batches_of_others_are_not_taken_for_ours(tmp_path, submitted):
    """Anthropic's batches have no names: others of the same size are told by their results."""
    requests = asked(6)
    with servers.start() as server:
        job = Job(tmp_path, server, "anthropic")
        provider = job.backend().provider
        client = provider.open_client()

        def other(start, count=6):
            tasks = [provider.batch_task(request) for request in asked(count, start)]
            return provider.submit_batch(client, "", tasks)

        other(100)
        left(job, requests, submitted)
        others = [other(200), other(300, 5), other(400)]
        # One of the others is a sibling's, whose state says so.
        sibling = tmp_path / "journal" / "code" / "instance" / "strong" / "mini" / "seed2.batches"
        sibling.parent.mkdir(parents=True)
        planned = {"event": "planned", "name": "n", "at": 0, "tokens": 1, "fingerprints": ["f"]}
        rows = [planned | {"model": "gpt-4o-mini"}]
        rows += [{"event": "submitted", "name": "n", "id": others[0]}]
        write_jsonl(sibling, rows)
        looked = []
        look = type(provider).batch_status

        def watched(self, client, id):
            looked.append(id)
            return look(self, client, id)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(provider), "batch_status", watched)
            job.run(requests)
        assert len(replies(job.journal())) == len(job.journal()) == 6
        assert others[0] not in looked and others[1] not in looked
        assert others[2] in looked or submitted
        assert server.books()["batches"] == {"anthropic": 5}
        assert job.open_batches() == {}


@BOTH
def test_what_an_earlier_run_has_left_is_collected_though_nobody_asks(tmp_path, protocol):
    requests, fresh = asked(6), asked(6, 3)
    with servers.start() as server:
        job = Job(tmp_path, server, protocol)
        left(job, requests)
        rows = job.run(fresh)  # half of which the earlier batch answers
        assert set(replies(rows)) == {r["fingerprint"] for r in requests + fresh}
        assert len(rows) == 9 == server.books()["billed"]["batch"]
        left(job, asked(2, 20))
        assert len(job.run([])) == 2  # an empty queue, an open batch
        left(job, asked(2, 30), submitted=False)
        assert job.run([]) == [] and job.open_batches() == {}
        assert server.books()["batches"] == {protocol: 3}


@BOTH
def test_what_fails_in_a_batch_of_an_earlier_run_is_asked_again_if_wanted(tmp_path, protocol):
    requests = asked(6)
    with servers.start(faults=[{"fault": "500", "at": "item", "times": 6}]) as server:
        job = Job(tmp_path, server, protocol)
        left(job, requests)
        job.run(requests[:2])
        rows = job.journal()
        assert reasons(rows) == {"500": 6}
        assert set(replies(rows)) == {r["fingerprint"] for r in requests[:2]}
        assert job.told() == {"500": 6, "ok": 2}


def test_a_torn_state_is_mended_and_a_damaged_one_told(tmp_path):
    requests = asked(4)
    with servers.start() as server:
        job = Job(tmp_path, server, "openai")
        left(job, requests)
        with open(job.state, "ab") as file:
            file.write(b'{"event":"subm')
        job.run(requests)
        holds(job, requests)
        with open(job.state, "ab") as file:
            file.write(b"rubbish\n")
        with pytest.raises(UserError, match=r"seed1\.batches, line 4: not a row about a batch"):
            job.run(requests)


# Money


@BOTH
def test_no_more_than_the_budget_is_spent(tmp_path, protocol):
    requests = asked(40)
    with servers.start(faults=[{"fault": "500", "at": "item", "times": 3}]) as server:
        job = Job(tmp_path, server, protocol, batch={"requests": 10})
        ceiling = max(budget.max_cost(request, job.entry) for request in requests)
        job.entry["max_usd"] = 12.5 * ceiling

        def run():
            path = job.state.with_suffix(".jsonl")
            root, entries = tmp_path / "journal", {"strong": job.entry}
            with budget.Budget(path, read_rows(path), root, entries, "strong") as books:
                job.run(requests, books)

        run()  # each costs far less than feared, so all are asked, a few at a time
        holds(job, requests)
        assert server.books()["batches"][protocol] > 4
        spent = budget.rows_cost(job.journal(), job.entry["price"])
        tokens = server.books()["tokens"]["batch"]
        assert spent == pytest.approx(0.5e-6 * (tokens["input"] + tokens["output"]))
        told = read_json(tmp_path / "journal" / "budget.json")[
            "math/response/strong/mini/seed1.jsonl"
        ]
        assert told["spent"] == {f"batch {side}": count for side, count in tokens.items()}
        assert told["held"] == told["lost"] == {}

        requests += asked(40, 40)
        job.entry["max_usd"] = spent + 2.5 * ceiling
        server.set(words=400)  # near max_tokens
        with pytest.raises(UserError, match=r"max_usd of generator 'strong' allows"):
            run()
        assert budget.rows_cost(job.journal(), job.entry["price"]) <= job.entry["max_usd"]
        assert 41 <= len(replies(job.journal())) < 80 and job.open_batches() == {}


@BOTH
def test_a_batch_of_an_earlier_run_counts_in_the_budget(tmp_path, protocol):
    requests = asked(5)
    with servers.start() as server:
        job = Job(tmp_path, server, protocol)
        left(job, requests)
        job.entry["max_usd"] = 5.5 * budget.max_cost(requests[0], job.entry)
        path = job.state.with_suffix(".jsonl")
        with budget.Budget(
            path, [], tmp_path / "journal", {"strong": job.entry}, "strong"
        ) as books:
            job.run(requests, books)
            assert books.spent == budget.count_tokens(job.journal())
            assert not any(books.under_way.values())


# The whole


@BOTH
def test_a_set_is_the_same_whatever_its_batches(tmp_path, protocol):
    """Slots asked again, waves, several batches, failures: N valid pairs, and always the same."""
    sets = []
    for number, limit in enumerate((7, 1000)):
        faults = [{"fault": "500", "at": "item", "every": 7}] if number else []
        with servers.start(write="instance", invalid=0.2, faults=faults) as server:
            job = Job(tmp_path / str(number), server, protocol, batch={"requests": limit})
            backend = job.backend()
            with Journal(job.state.with_suffix(".jsonl")) as journal:
                filled = Slots(
                    composer(), journal, backend.identity, {}, lambda pair: "valid", 60, 10
                )
                filled.generate(backend, 16)
            assert sum(row["verdict"] == "valid" for row in filled.rows) == 60
            assert len(job.journal()) == job.told().total()
            keys = ("slot", "attempt", "instruction", "response", "verdict")
            sets.append([{key: row[key] for key in keys} for row in filled.rows])
    assert sets[0] == sets[1]


@BOTH
def test_the_command_lists_open_batches_and_cancels_them(tmp_path, protocol, capsys, monkeypatch):
    requests = asked(8)
    with servers.start(batch={"polls": 1000}) as server:
        job = Job(tmp_path, server, protocol)
        generator = {name: job.entry[name] for name in ("backend", "model", "base_url", "key")}
        generator |= {"price": job.entry["price"], "mode": "batch"}
        config = yaml.safe_load((ROOT / "config" / "mini.yaml").read_text())
        config["generators"]["strong"] = generator
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        monkeypatch.chdir(tmp_path)
        command = ["--config", "config.yaml"]
        state = job.state.relative_to(tmp_path)

        commands.main(command)
        assert capsys.readouterr().out == ""
        job.entry["patience"] = 0.0
        server.set(faults=[{"fault": "500", "at": "poll", "times": 1}])
        with pytest.raises(UserError, match="no useful response"):
            job.run(requests)
        [name] = [batch.id for batch in job.open_batches().values()]
        commands.main(command)
        assert capsys.readouterr().out == f"{name}: open, 0 done of 8 requests; {state}\n"
        commands.main([*command, "--cancel"])
        assert f"{name}: being cancelled" in capsys.readouterr().out
        with pytest.raises(UserError, match="was cancelled: 0 of its 8 requests"):
            job.run(requests)
        server.set(batch={"polls": 1})
        job.run(requests)
        holds(job, requests)

        (tmp_path / "journal" / "math" / "response" / "strong").rename(
            tmp_path / "journal" / "math" / "response" / "other"
        )
        left(job, requests)
        job.state.parent.parent.rename(tmp_path / "journal" / "math" / "response" / "unknown")
        with pytest.raises(UserError, match="generator 'unknown', which the config lacks"):
            commands.main(command)


def test_open_batches_are_collected_before_anything_is_asked_online(tmp_path):
    """What was submitted is paid for, whatever the mode is now."""
    requests = asked(6)
    with servers.start() as server:
        job = Job(tmp_path, server, "openai")
        left(job, requests)
        job.entry["mode"] = "online"
        provider = import_module("agorabench.llm.openai").make_provider(job.entry)
        books = budget.Budget(
            job.state.with_suffix(".jsonl"),
            [],
            tmp_path / "journal",
            {"strong": job.entry},
            "strong",
        )
        with books, Journal(job.state.with_suffix(".jsonl")) as journal:
            backend = provider_backend(provider, budget=books, state=job.state)
            for rows in backend.complete(deque()):
                journal.add(rows)
            backend.close()
        holds(job, requests)
        assert server.books()["billed"] == {"batch": 6}
        assert not job.open_batches()
        # At the price of a batch, whatever the mode is now.
        assert books.spent == budget.count_tokens(job.journal())
        assert books.spent["batch output"] > 0 and not books.spent["output"]


def test_open_batches_of_another_model_are_not_mistaken(tmp_path):
    requests = asked(4)
    with servers.start() as server:
        job = Job(tmp_path, server, "openai")
        left(job, requests)
        job.entry["model"] = "gpt-4o"
        with pytest.raises(
            UserError, match=r"open batches of model 'gpt-4o-mini', and .* 'gpt-4o' now"
        ):
            job.run(requests)
        job.entry["model"] = "gpt-4o-mini"
        job.run(requests)
        holds(job, requests)
        assert server.books()["billed"] == {"batch": 4}
