"""How many at once: the limit is found by trying, and what providers say of it is honoured."""

import email.utils
import time
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
import servers
from agorabench.llm import errors, rate_limit
from agorabench.llm.rate_limit import LONGEST, START, Pace, parse_duration, refill_delay
from helpers.asking import KEY, Cell


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv(KEY, "test-key")


class Clock:
    """Time that stands still."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def pace(clock, most=1000):
    return Pace(most, clock, draw=lambda: 1.0)  # the longest pauses


# The window


def test_no_more_than_the_config_allows_are_under_way(clock):
    small = pace(clock, most=5)
    for _ in range(100):
        small.record_reply({}, 0)
    assert small.may_send(4) and not small.may_send(5)


def test_the_window_doubles_each_round_trip_until_the_first_refusal(clock):
    found = pace(clock)
    for _ in range(START):
        found.record_reply({}, 0)
    assert found.window == 2 * START


def test_after_a_refusal_the_window_is_half_and_grows_by_one_each_round_trip(clock):
    found = pace(clock)
    found.record_refusal(clock.now, None)
    assert found.window == START / 2
    for _ in range(START // 2):
        found.record_reply({}, 0)
    assert found.window == pytest.approx(START / 2 + 1, abs=0.1)


def test_refusals_of_one_flight_count_once(clock):
    found = pace(clock)
    sent = clock.now
    clock.now += 0.5
    for _ in range(20):
        found.record_refusal(sent, None)
    assert found.window == START / 2
    clock.now += 10
    found.record_refusal(clock.now - 1, None)
    assert found.window == START / 4


def test_the_window_never_closes(clock):
    found = pace(clock)
    for _ in range(20):
        clock.now += 100
        found.record_refusal(clock.now, None)
    clock.now += LONGEST
    assert found.may_send(0) and not found.may_send(1)


def test_without_word_from_the_provider_pauses_double_up_to_a_minute(clock):
    found = pace(clock)
    pauses = []
    for _ in range(8):
        clock.now = found.held
        found.record_refusal(clock.now, None)
        pauses.append(found.held - clock.now)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    found.record_reply({}, 0)
    clock.now = found.held
    found.record_refusal(clock.now, None)
    assert found.held - clock.now == 1  # begins anew


def test_pauses_are_jittered():
    shortest, longest = Pace(1, draw=lambda: 0.0), Pace(1, draw=lambda: 1.0)
    assert (shortest.retry_pause(3), longest.retry_pause(3)) == (4, 8)
    assert (shortest.retry_pause(3, 7.0), longest.retry_pause(3, 7.0)) == (7, pytest.approx(7.7))


def test_retry_after_holds_all_sending_whoever_of_a_flight_was_told(clock):
    found = Pace(1000, clock, draw=lambda: 0.0)
    sent = clock.now
    clock.now += 1
    found.record_refusal(sent, 3.0)
    found.record_refusal(sent, 8.0)  # of the same flight
    found.record_refusal(sent, 2.0)
    found.record_refusal(sent, None)
    clock.now += 7.9
    assert not found.may_send(0)
    clock.now += 0.2
    assert found.may_send(0)


def test_a_limit_that_is_used_up_holds_sending_before_a_refusal(clock):
    found = pace(clock)
    headers = told("openai", "requests", limit=100, remaining=0, reset="10s")
    found.record_reply(headers, 0)
    assert not found.may_send(0) and found.window == START + 1
    clock.now += 0.11  # a hundredth of ten seconds brings the next one
    assert found.may_send(0)


# What providers say


def told(provider, unit, limit, remaining, reset):
    if provider == "openai":
        name = f"x-ratelimit-{{}}-{unit}"
    else:
        name = f"anthropic-ratelimit-{unit}-{{}}"
    said = {"limit": limit, "remaining": remaining, "reset": reset}
    return {name.format(part): str(value) for part, value in said.items() if value is not None}


@pytest.mark.parametrize(
    ("headers", "need", "seconds"),
    [
        ({}, 100, 0),
        (told("openai", "requests", 500, 1, "1m0s"), 100, 0),
        (told("openai", "requests", 60, 0, "1m0s"), 100, 1),
        (told("openai", "tokens", 1000, 100, "9s"), 100, 0),
        (told("openai", "tokens", 1000, 99, "9.01s"), 100, 0.01),
        (told("openai", "tokens", 1000, 0, "10s"), 250, 2.5),
        # A request that needs more than there can ever be waits until it is full.
        (told("openai", "tokens", 1000, 0, "10s"), 5000, 10),
        (told("anthropic", "requests", 50, 0, "RFC 3339"), 100, 0.2),
        (told("anthropic", "input-tokens", 1000, 0, "RFC 3339"), 100, 1),
        (told("anthropic", "output-tokens", 1000, 500, "RFC 3339"), 600, 2),
        (
            told("openai", "requests", 60, 0, "1m0s") | told("openai", "tokens", 1000, 0, "30s"),
            100,
            3,
        ),
        # Other endpoints say less, or say it in their own way.
        (told("openai", "requests", None, 0, "4s"), 100, 4),
        (told("openai", "requests", 60, 0, None), 100, 0),
        (told("openai", "requests", "none", "none", "none"), 100, 0),
        (told("openai", "requests", 60, 0, "soon"), 100, 0),
    ],
)
def test_seconds_until_a_limit_has_room_for_one_more(headers, need, seconds):
    at = datetime.now(UTC) + timedelta(seconds=10)
    headers = {
        name: at.isoformat().replace("+00:00", "Z") if value == "RFC 3339" else value
        for name, value in headers.items()
    }
    assert refill_delay(headers, need) == pytest.approx(seconds, rel=0.01, abs=0.001)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360),
        ("120ms", 0.12),
        ("1m4.296s", 64.296),
        ("39.801s", 39.801),
        ("1h2m3s", 3723),
        ("2d", 172800),
        ("1.5", 1.5),
        ("0", 0),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


def test_durations_until_a_date():
    assert 28 <= parse_duration(email.utils.formatdate(time.time() + 30, usegmt=True)) <= 30
    assert parse_duration("Thu, 01 Jan 1970 00:00:00 GMT") == 0


def test_durations_until_a_time_of_day():
    at = datetime.now(UTC) + timedelta(seconds=90)
    assert parse_duration(at.strftime("%Y-%m-%dT%H:%M:%SZ")) == pytest.approx(89.5, abs=0.6)
    east = at.astimezone(tz=datetime.strptime("+0200", "%z").tzinfo)
    assert parse_duration(east.isoformat()) == pytest.approx(90, abs=0.1)
    assert parse_duration("2024-01-01T00:00:00Z") == 0
    with pytest.raises(ValueError):
        parse_duration("soon")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": email.utils.formatdate(0, usegmt=True)}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_retry_after(headers, seconds):
    assert errors.retry_delay(headers) == seconds


def test_retry_after_as_a_date():
    at = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert errors.retry_delay({"retry-after": at}) == pytest.approx(29.5, abs=0.6)


# At a server


@pytest.mark.parametrize(
    ("protocol", "limit"),
    [
        ("openai", {"tokens": 8000, "window": 1.0}),
        ("openai", {"requests": 100, "window": 1.0, "retry_after": False}),
        ("anthropic", {"requests": 200, "window": 2.0}),
    ],
    ids=["tokens", "without a word", "anthropic"],
)
def test_a_limit_is_found_and_used(tmp_path, monkeypatch, protocol, limit):
    """Most of what the bucket gives (0.9 here), with at most one refusal for eight replies."""
    import_module(protocol)  # takes a second
    if not limit.get("retry_after", True):
        monkeypatch.setattr(rate_limit, "LIMITS", ())  # without word about the limit either
    size = 700
    with servers.start(latency=0.05, limit=limit) as server:
        cell = Cell(tmp_path, server, protocol, "instance", size=size, concurrency=64)
        start = time.monotonic()
        cell.run()
        seconds = time.monotonic() - start
        cell.holds()
        books = server.books()
    if "tokens" in limit:
        used = sum(books["tokens"]["online"].values()) - limit["tokens"]
        ideal = used / limit["tokens"] * limit["window"]
    else:
        ideal = (size - limit["requests"]) / limit["requests"] * limit["window"]
    assert ideal > 3 and ideal / seconds > 0.7
    assert cell.ledger()["faults"].get("429", 0) < size / 8


def test_what_remains_is_read_so_that_nothing_is_refused(tmp_path, monkeypatch):
    """One at a time, more quickly than the limit allows; without reading the headers some are."""
    refused = []
    for name in ("read", "not read"):
        if name == "not read":
            monkeypatch.setattr(rate_limit, "LIMITS", ())
        with servers.start(latency=0.01, limit={"requests": 20, "window": 1.0}) as server:
            cell = Cell(tmp_path / name, server, "openai", "instance", size=50, concurrency=1)
            cell.run()
            cell.holds()
        refused.append(cell.ledger()["faults"].get("429", 0))
    assert refused[0] == 0 < refused[1]


@pytest.mark.parametrize("date", [False, True], ids=["seconds", "date"])
@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_nothing_is_sent_before_the_time_in_retry_after(tmp_path, protocol, date):
    with servers.start() as server:
        moment = int(time.time()) + 3
        after = email.utils.formatdate(moment, usegmt=True) if date else 2
        server.set(faults=[{"fault": "429", "retry_after": after, "after": 10, "times": 1}])
        cell = Cell(tmp_path, server, protocol, size=20, concurrency=1)
        child = cell.child()
        while cell.received() < 11:
            time.sleep(0.01)
        start = time.monotonic()
        while cell.received() < 12:
            time.sleep(0.01)
        waited, arrived = time.monotonic() - start, time.time()
        child.communicate(timeout=30)
        cell.holds()
    assert waited < 4.5 and (arrived >= moment if date else waited > 1.9)
