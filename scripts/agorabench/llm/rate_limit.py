"""How many requests may be under way at once, adapted to refusals.

Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain 1989; RFC 5681): the
window doubles every round trip until the first refusal, is halved at each, and grows by one a round
trip after that. What providers say about their limits (Retry-After, remaining requests and tokens)
holds sending back before a refusal happens.
"""

import random
import re
import time
from datetime import datetime
from email.utils import parsedate_to_datetime

from agorabench.llm.errors import read_delay

START = 32  # requests under way at first
SPREAD = 0.5  # of the latency
BURST = 0.005  # seconds; what was not sent in so long is caught up
LONGEST = 60.0  # seconds, longest pause without word from the provider
SHORTEST = 0.1  # seconds that a provider can mean
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# Names of the limits in headers: OpenAI's and those of whoever speaks its protocol, Anthropic's.
LIMITS = (
    ("x-ratelimit-{}-requests", "requests"),
    ("x-ratelimit-{}-tokens", "tokens"),
    ("anthropic-ratelimit-requests-{}", "requests"),
    ("anthropic-ratelimit-input-tokens-{}", "tokens"),
    ("anthropic-ratelimit-output-tokens-{}", "tokens"),
)


class Pace:
    """The window of requests under way, and the time before which none may be sent.

    Times are seconds on `clock`. At most `most` are ever under way; no header holds sending for
    longer than `longest`. Where many could be sent at
    once, they are spread over half of the time that an answer takes: sent together they would be
    answered together, and wait for each other here, round after round.
    """

    def __init__(self, most, clock=time.monotonic, draw=random.random, longest=LONGEST):
        self.most, self.clock, self.draw, self.longest = most, clock, draw, min(longest, LONGEST)
        self.window = float(min(START, most))
        self.growing = True  # no refusal yet
        self.held = self.cut = clock()
        self.refusals = 0  # since the last answer
        self.latency = 0.0  # of the answers, smoothed
        self.turn = self.held  # when the next may be sent, after the last

    def is_full(self, under_way: int) -> bool:
        """Whether the window is used up."""
        return under_way >= int(self.window)

    @property
    def next_send(self) -> float:
        """When one more may be sent, if the window has room."""
        return max(self.held, self.turn)

    def may_send(self, under_way: int) -> bool:
        """Whether one more may be sent now."""
        return not self.is_full(under_way) and self.clock() >= self.next_send

    def record_sent(self) -> None:
        """Count one more request as under way."""
        self.turn = max(self.turn, self.clock() - BURST) + SPREAD * self.latency / self.window

    def record_latency(self, seconds: float) -> None:
        """Smooth the latency of a reply, in seconds, into the average."""
        self.latency += (seconds - self.latency) / 10 if self.latency else seconds

    def record_reply(self, headers: dict, need: int) -> None:
        """Widen the window; `need` is the number of tokens that a request takes."""
        self.refusals = 0
        self.window = min(self.most, self.window + (1.0 if self.growing else 1.0 / self.window))
        if pause := refill_delay(headers, need):
            # A refusal says more than a header that may be wrong by years.
            self.held = max(self.held, self.clock() + min(pause, self.longest))

    def record_refusal(self, sent: float, after: float | None) -> None:
        """Halve the window: a request that was sent at `sent` met a limit; `after` is the
        provider's Retry-After in seconds, or None."""
        now = self.clock()
        if sent >= self.cut:  # one cut for all that were under way together
            self.cut = now
            self.growing = False
            self.window = max(1.0, self.window / 2)
            self.refusals += 1
        elif after is None:
            return
        self.held = max(self.held, now + self.retry_pause(self.refusals - 1, after))

    def retry_pause(self, tries: int, after: float | None = None) -> float:
        """Seconds to wait after `tries` failures in a row: exponential, with jitter; never shorter
        than the provider asked for."""
        if after is not None and after >= SHORTEST:  # a time that is over says nothing
            return after * (1 + 0.1 * self.draw())  # so that many clients do not return at once
        return min(LONGEST, 2.0**tries) * (0.5 + 0.5 * self.draw())


def refill_delay(headers: dict, need: int) -> float:
    """Seconds until a limit that is used up has refilled for one more request, or 0.

    A provider says what remains, of what limit, and when it will be full again; buckets refill
    steadily, so the time for what is missing is in proportion.
    """
    longest = 0.0
    for pattern, unit in LIMITS:
        remaining = headers.get(pattern.format("remaining"))
        if remaining is None:
            continue
        try:
            left = float(remaining)
            least = 1.0 if unit == "requests" else float(need)
            if left >= least:
                continue
            full = parse_duration(headers[pattern.format("reset")])
            limit = float(headers.get(pattern.format("limit"), left))
        except (KeyError, ValueError, OverflowError):
            continue
        share = min(1.0, (min(least, limit) - left) / (limit - left)) if limit > left else 1.0
        longest = max(longest, full * share)
    return longest


def parse_duration(text: str) -> float:
    """Seconds of "6m0s", "120ms", "1.5" or, from now on, of a time: RFC 3339, a date of HTTP, or in
    Unix seconds or milliseconds.

    Raises:
        ValueError: it is none of these.
    """
    if "," in text:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    if "T" in text:
        until = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return max(0.0, (until - datetime.now(until.tzinfo)).total_seconds())
    if re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h|d))+", text):
        parts = re.findall(r"([\d.]+)(ms|s|m|h|d)", text)
        return sum(float(number) * UNITS[unit] for number, unit in parts)
    seconds = read_delay(float(text))
    if seconds is None:
        raise ValueError(text)
    return seconds
