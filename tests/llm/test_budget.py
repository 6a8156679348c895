"""max_usd: never more is spent, however many ask at once, and one sentence says that it is over."""

import json
import signal
import time

import pytest
import servers
from agorabench.errors import UserError
from agorabench.files import read_json, write_jsonl
from agorabench.llm.budget import Budget, max_cost, rows_cost, usage_cost
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
        (mine,) = read_json(tmp_path / "journal/budget.json").values()
        assert mine["spent"] == server.books()["tokens"]["online"]
        assert mine["held"] == mine["lost"] == {}
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


def test_what_a_killed_job_held_counts_as_spent(tmp_path):
    """Five kills, each with requests under way that the provider bills."""
    with servers.start(words=100, latency=0.15) as server:
        cell = budgeted(tmp_path, server, max_usd=0.2, concurrency=16)
        for _ in range(5):
            before = server.books()["answered"]
            child = cell.child()
            while server.books()["answered"] < before + 5 and child.poll() is None:
                time.sleep(0.01)
            child.send_signal(signal.SIGKILL)
            child.communicate()
        server.set(latency=0)
        with pytest.raises(UserError, match="max_usd of generator"):
            cell.run()
        assert billed(server) <= 0.2
        (mine,) = read_json(tmp_path / "journal/budget.json").values()
        assert mine["lost"] and not mine["held"]
        amounts = (USED | mine[key] for key in ("spent", "lost"))
        assert sum(usage_cost(amount, PRICE) for amount in amounts) <= 0.2


def test_a_price_that_is_given_later_values_what_came_before(tmp_path):
    with servers.start(words=100) as server:
        cell = budgeted(tmp_path, server, size=40, price={"input": 0.0, "output": 0.0})
        cell.run()
        spent = billed(server)
        cell.entry |= {"price": PRICE, "max_usd": 1.5 * spent}
        other = budgeted(tmp_path, server, method="response", max_usd=1.5 * spent)
        with pytest.raises(UserError, match="max_usd of generator"):
            other.run()
        assert spent < billed(server) <= 1.5 * spent


# By itself


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


ENTRY = generator("http://x", "openai", mode="online", concurrency=64, max_usd=1.0, price=PRICE)
BATCHED = ENTRY | {"mode": "batch", "price": PRICE | {"batch": 0.5}}
USED = {"input": 0, "output": 0}
ASKED = {"fingerprint": "a" * 64, "messages": [{"role": "user", "content": "word " * 20}]}


def asked(number):
    return ASKED | {"fingerprint": f"{number:064d}"}


def books(root, name="a", entry=ENTRY, **more):
    generators = {"a": ENTRY, "b": ENTRY} | {name: entry}
    journal = root / f"math/response/{name}/p/seed1.jsonl"
    return Budget(journal, [], root, generators, name, **more)


def test_the_ceiling_of_a_request():
    # 100 bytes are 100 tokens at most, 20 more for what the provider adds; 500 may be written.
    assert max_cost(ASKED, ENTRY) == pytest.approx((120 * 1.0 + 500 * 2.0) / 1e6)
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
            UserError, match=r"max_usd of generator 'a' allows 0\.0028 USD: 0\.0022 are"
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
        assert not +mine.spent


def test_a_job_takes_a_share_and_tells_the_others(tmp_path):
    clock = Clock()

    def told(name="a"):
        return read_json(tmp_path / "budget.json")[f"math/response/{name}/p/seed1.jsonl"]

    with (
        books(tmp_path, total=1.0, clock=clock) as first,
        books(tmp_path, "b", total=1.0) as second,
    ):
        first.reserve(asked(1))
        assert max_cost(ASKED, ENTRY) < usage_cost(told()["held"], PRICE) <= 0.1
        first.settle(asked(1), {"usage": {"input": 70, "output": 500}})
        first.reserve(asked(2))
        assert told()["spent"] == {}  # not yet told
        clock.now += 6
        first.settle(asked(2), {"usage": {"input": 70, "output": 500}})
        assert told()["spent"] == first.spent == {"input": 140, "output": 1000}
        second.reserve(asked(1))
        amounts = [told(name)[key] for name in "ab" for key in ("spent", "held")]
        assert sum(usage_cost(USED | amount, PRICE) for amount in amounts) <= 1.0
    assert told("a")["held"] == {} and told("b")["held"] == {}
    assert told("b")["lost"]  # it has not waited for its request


def test_books_that_are_deleted_while_jobs_are_at_work(tmp_path):
    with books(tmp_path) as first:
        first.reserve(asked(1))
        first.settle(asked(1), {"usage": {"input": 10**5, "output": 10**5}})
        (tmp_path / "budget.json").unlink()
        first.reserve(asked(2))
        told = json.loads((tmp_path / "budget.json").read_text())
        assert usage_cost(told["math/response/a/p/seed1.jsonl"]["spent"], PRICE) == 0.3


def test_every_journal_counts_where_the_books_are_gone(tmp_path):
    """Those of classifications too, whose paths name no generator; and the books of earlier
    versions, in dollars, are made anew."""
    row = {"fingerprint": "f", "reply": "x", "model": "gpt-4o-mini", "usage": {"input": 10**6}}
    row["usage"]["output"] = 0
    for name in ("classify/topics", "classify/mine", "math/response/a/p/seed2"):
        write_jsonl(tmp_path / f"{name}.jsonl", [row])
    old = {"math/response/a/p/seed2.jsonl": {"generator": "a", "spent": 0.1, "held": 3.0}}
    (tmp_path / "budget.json").write_text(json.dumps(old))
    owners = {tmp_path / "classify/mine.jsonl": "b"}
    with (
        pytest.raises(UserError, match=r"'a' allows 1\.00 USD: 2\.00 are spent, 0\.00 are held"),
        books(tmp_path, owners=owners) as mine,
    ):
        mine.reserve(asked(1))
    told = json.loads((tmp_path / "budget.json").read_text())
    assert told["classify/mine.jsonl"]["generator"] == "b"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": {"lost": {"input": "x"}}}'])
def test_books_that_are_damaged(tmp_path, text):
    (tmp_path / "budget.json").write_text(text)
    with pytest.raises(UserError, match=r"budget\.json is damaged; delete it"), books(tmp_path):
        pass


def test_the_tokens_of_a_prompt_are_learned(tmp_path):
    """At first no more than one a byte; then no more than in earlier prompts, and a quarter."""
    with books(tmp_path) as mine:
        for number in range(20):
            assert mine.tokens_per_byte == 1.0
            mine.reserve(asked(number))
            mine.settle(asked(number), {"usage": {"input": 40, "output": 1}})
        assert mine.tokens_per_byte == pytest.approx(0.25)
        mine.reserve(asked(20))
        mine.settle(asked(20), {"usage": {"input": 320, "output": 1}})
        assert mine.tokens_per_byte == pytest.approx(3.75)


def test_an_open_batch_is_held_while_nobody_waits_for_it(tmp_path):
    with books(tmp_path, entry=BATCHED) as mine:
        mine.reserve(asked(1))
    (told,) = read_json(tmp_path / "budget.json").values()
    assert told["held"] == {"batch input": 120, "batch output": 500} and told["lost"] == {}
    with books(tmp_path, entry=BATCHED) as mine:  # which finds the batch again
        assert not mine.lost and not mine.under_way
