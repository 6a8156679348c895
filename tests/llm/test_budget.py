"""max_usd: never more is spent, however many ask at once, and one sentence says that it is over."""

import json
import signal
import time

import pytest
import servers
from agorabench.errors import UserError
from agorabench.files import read_json
from agorabench.llm.budget import Budget, max_cost, rows_cost
from helpers.asking import KEY, Cell, generator, hurry

PRICE = {"input": 1.0, "output": 2.0}
BOTH = pytest.mark.parametrize("protocol", ["openai", "anthropic"])


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv(KEY, "test-key")


def billed(server):
    """USD, by the server's books."""
    tokens = server.books()["tokens"]["online"]
    return 1e-6 * sum(PRICE[side] * count for side, count in tokens.items())


def budgeted(folder, server, protocol="openai", **more):
    settings = {"method": "instance", "size": 600, "concurrency": 64, "price": PRICE}
    return Cell(folder, server, protocol, **settings | more)


# Through a server


@BOTH
@pytest.mark.parametrize("whose", ["generator", "config"])
def test_no_more_than_max_usd_is_spent_and_raising_it_goes_on(tmp_path, protocol, whose):
    def limit(usd):
        if whose == "config":
            cell.total = usd
        else:
            cell.entry["max_usd"] = usd

    with servers.start(words=100, latency=0.02, jitter=0.02) as server:
        cell = budgeted(tmp_path, server, protocol)
        limit(0.05)
        name = "generator 'g'" if whose == "generator" else "the config"
        allowed = rf"max_usd of {name} allows 0\.0500 USD"
        told = rf"{allowed}: 0\.0[45]\d\d are spent, .* goes on from there"
        with pytest.raises(UserError, match=told):
            cell.run()
        cell.adds_up()
        # All but what one more request could cost.
        assert 0.05 - 0.0015 < billed(server) <= 0.05
        before = cell.received()
        with pytest.raises(UserError, match=told):
            cell.run()
        assert cell.received() == before
        limit(5.0)
        cell.run()
        cell.holds()
        books = read_json(tmp_path / "journal/budget.json")
        (mine,) = books.values()
        assert mine["spent"] == pytest.approx(billed(server)) and mine["held"] == 0
        assert cell.ledger()["usd"] == pytest.approx(billed(server))


@pytest.mark.parametrize("whose", ["generator", "config"])
def test_two_jobs_at_a_time_share_it(tmp_path, whose):
    """Two cells of a generator, or one each of two."""
    with servers.start(words=100, latency=0.2) as server:
        own = {"concurrency": 32, "max_usd" if whose == "generator" else "total": 0.2}
        cells = [budgeted(tmp_path, server, **own), budgeted(tmp_path, server, **own)]
        if whose == "generator":
            cells[1].method = "response"
        else:
            cells[1].name = "h"
        for cell in cells:
            cell.arguments()  # the config knows both before either begins
        children = [cell.child() for cell in cells]
        for child in children:
            _, told = child.communicate(timeout=60)
            assert child.returncode == 1 and "error: max_usd of" in told, told
        received = sum(cell.ledger()["requests"] for cell in cells)
        assert received == cells[0].received()
        assert min(cell.ledger()["replies"] for cell in cells) > 10
        assert 0.2 * 0.8 < billed(server) <= 0.2


def test_usage_that_is_not_told_counts_at_the_most(tmp_path):
    with servers.start(words=100, faults=[{"fault": "no_usage"}]) as server:
        cell = budgeted(tmp_path, server, max_usd=0.05, method="response")
        for _ in range(2):  # after a restart as before it
            with pytest.raises(UserError, match=r"max_usd of generator 'g'"):
                cell.run()
            # A request can take 500 tokens and some of its prompt.
            assert 0.05 / 0.0012 < cell.ledger()["replies"] < 0.05 / 0.001
        assert cell.ledger()["usd"] <= 0.05 and billed(server) < 0.05


def test_what_may_have_been_billed_counts(tmp_path, monkeypatch):
    """A reply that broke off, or came in no form: the provider has written it all the same."""
    hurry(monkeypatch)
    faults = [{"fault": name, "share": 0.2, "seed": n} for n, name in enumerate(["reset", "drop"])]
    faults += [{"fault": "malformed", "share": 0.2, "seed": 5}]
    with servers.start(words=150, faults=faults) as server:
        cell = budgeted(tmp_path, server, max_usd=0.1)
        for _ in range(2):
            with pytest.raises(UserError, match=r"max_usd of generator 'g'"):
                cell.run()
        cell.adds_up()
        assert billed(server) <= cell.ledger()["usd"] <= 0.1


def test_refused_requests_cost_nothing(tmp_path, monkeypatch):
    hurry(monkeypatch)
    with servers.start(faults=[{"fault": "429_bare", "every": 3}]) as server:
        cell = budgeted(tmp_path, server, size=100, max_usd=1.0)
        cell.run()
        cell.holds()
        assert cell.ledger()["usd"] == pytest.approx(billed(server))


def test_deleting_the_books_forgets_nothing(tmp_path):
    with servers.start(words=100) as server:
        cell = budgeted(tmp_path, server, max_usd=0.05)
        with pytest.raises(UserError):
            cell.run()
        before = cell.received()
        (tmp_path / "journal/budget.json").unlink()
        # Another cell of the generator sees what is in the first one's journal.
        other = budgeted(tmp_path, server, max_usd=0.05, method="response")
        with pytest.raises(UserError, match=r"allows 0\.0500 USD: 0\.0[45]\d\d are spent"):
            other.run()
        with pytest.raises(UserError):
            cell.run()
        assert cell.received() <= before + 2 and billed(server) <= 0.05


def test_what_a_killed_job_holds_is_free_when_it_runs_again(tmp_path):
    with servers.start(words=100, latency=0.3) as server:
        cell = budgeted(tmp_path, server, max_usd=0.5)
        child = cell.child()
        while server.books()["answered"] < 40:
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        held = read_json(tmp_path / "journal/budget.json")
        (mine,) = held.values()
        assert mine["held"] + mine["spent"] >= billed(server) > 0 and mine["held"] > 0
        server.set(latency=0)
        other = budgeted(tmp_path, server, max_usd=0.5, method="response", size=10)
        other.run()  # there is enough besides
        books = read_json(tmp_path / "journal/budget.json")
        assert books["math/instance/g/p/seed1.jsonl"] == mine
        cell.run()
        books = read_json(tmp_path / "journal/budget.json")
        assert [book["held"] for book in books.values()] == [0, 0]
        told = rows_cost(cell.journaled() + other.journaled(), PRICE)
        assert sum(book["spent"] for book in books.values()) == pytest.approx(told)


# By itself


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


ENTRY = generator("http://x", "openai", mode="online", max_usd=1.0, price=PRICE)
BATCHED = ENTRY | {"mode": "batch", "price": PRICE | {"batch": 0.5}}
ASKED = {"fingerprint": "a" * 64, "messages": [{"role": "user", "content": "word " * 20}]}


def asked(number):
    return ASKED | {"fingerprint": f"{number:064d}"}


def books(root, name="a", entry=ENTRY, **more):
    generators = {"a": ENTRY, "b": ENTRY} | {name: entry}
    journal = root / f"math/response/{name}/p/seed1.jsonl"
    return Budget(journal, 0.0, root, generators, name, **more)


def test_the_ceiling_of_a_request():
    # 100 bytes are 50 tokens at most, 20 more for what the provider adds; 500 may be written.
    assert max_cost(ASKED, ENTRY) == pytest.approx((70 * 1.0 + 500 * 2.0) / 1e6)
    assert max_cost(ASKED, BATCHED) == pytest.approx(max_cost(ASKED, ENTRY) / 2)
    chinese = ASKED | {"messages": [{"role": "user", "content": "字" * 100}]}
    assert max_cost(chinese, ENTRY) > max_cost(ASKED, ENTRY)


def test_what_rows_have_cost():
    usage = {"input": 10**6, "output": 10**5}
    rows = [{"usage": usage}, {"usage": None}, {"fault": "429"}, {"fault": "x", "usage": usage}]
    assert rows_cost(rows, PRICE) == pytest.approx(2 * 1.2)
    assert rows_cost([{"usage": None, "most": usage}], PRICE) == pytest.approx(1.2)
    batch = [{"usage": usage, "mode": "batch"}]
    assert rows_cost(batch, PRICE | {"batch": 0.5}) == pytest.approx(0.6)


def test_a_request_waits_for_those_under_way_and_fails_where_there_are_none(tmp_path):
    cost = max_cost(ASKED, ENTRY)
    with books(tmp_path, entry=ENTRY | {"max_usd": 2.5 * cost}) as mine:
        assert mine.reserve(asked(1)) and mine.reserve(asked(2))
        assert not mine.reserve(asked(3))
        # The first was cheap: there is room for another.
        mine.settle(asked(1), {"usage": {"input": 10, "output": 10}})
        assert mine.reserve(asked(3))
        assert not mine.reserve(asked(4))
        mine.settle(asked(2), {"usage": {"input": 70, "output": 500}})
        mine.settle(asked(3), {"usage": {"input": 70, "output": 500}})
        with pytest.raises(
            UserError, match=r"max_usd of generator 'a' allows 0\.0027 USD: 0\.0022 are"
        ):
            mine.reserve(asked(4))


def test_what_was_given_up_is_free_again(tmp_path):
    cost = max_cost(ASKED, ENTRY)
    with books(tmp_path, entry=ENTRY | {"max_usd": 1.5 * cost}) as mine:
        for _ in range(3):
            assert mine.reserve(asked(1))
            mine.settle(asked(1), None)
            assert mine.reserve(asked(1))
            mine.settle(asked(1), {"fault": "429"})
        assert mine.spent == 0


def test_a_job_takes_a_share_and_tells_the_others(tmp_path):
    clock = Clock()

    def told():
        return read_json(tmp_path / "budget.json")

    with (
        books(tmp_path, total=1.0, clock=clock) as first,
        books(tmp_path, "b", total=1.0) as second,
    ):
        first.reserve(asked(1))
        held = told()["math/response/a/p/seed1.jsonl"]["held"]
        assert max_cost(ASKED, ENTRY) < held <= 0.1
        first.settle(asked(1), {"usage": {"input": 70, "output": 500}})
        first.reserve(asked(2))
        assert told()["math/response/a/p/seed1.jsonl"]["spent"] == 0  # not yet told
        clock.now += 6
        first.settle(asked(2), {"usage": {"input": 70, "output": 500}})
        assert told()["math/response/a/p/seed1.jsonl"]["spent"] == pytest.approx(first.spent)
        second.reserve(asked(1))
        everything = sum(book["held"] + book["spent"] for book in told().values())
        assert everything <= 1.0
    assert {book["held"] for book in told().values()} == {0}


def test_books_that_are_deleted_while_jobs_are_at_work(tmp_path):
    with books(tmp_path) as first:
        first.reserve(asked(1))
        first.settle(asked(1), {"usage": {"input": 10**5, "output": 10**5}})
        (tmp_path / "budget.json").unlink()
        first._take_share(0.0)
        told = json.loads((tmp_path / "budget.json").read_text())
        assert told["math/response/a/p/seed1.jsonl"]["spent"] == pytest.approx(0.3)
