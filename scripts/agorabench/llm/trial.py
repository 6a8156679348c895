"""Stop early where the first replies all fail: nobody pays for more of the same.

Until one reply is good, only as many are asked for as settle the matter. A generator of which one
reply in ten is good begins with 48 bad ones once in 160 sets, and with 96 once in 25,000.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable

from agorabench.files import to_json
from agorabench.llm.request import Request

ALIKE = (
    48  # bad replies that end the work where all are bad for one reason; for several, twice that
)
SHOWN = 300  # characters of the reply that is shown
TOKENS = (
    "raise sampling.max_tokens of the generator, or have it think less (its key `extra`): thoughts "
    "are tokens too"
)
REFUSED = "the provider refuses what the prompt asks for: change the prompt or the generator"
# The first word or words of a reason -> what to do.
REMEDIES = {
    "truncated": TOKENS,
    "length": TOKENS,
    "unfinished thoughts": TOKENS,
    "only thoughts": TOKENS,
    "content_filter": REFUSED,
    "refusal": REFUSED,
    "filtered": REFUSED,
    "too long": "the prompt is longer than the model takes: shorten it or take another generator",
    "in benchmark": "the prompt or the seed data may hold test items; or set generation.overlap",
}
OTHERWISE = (
    "change the prompt until a reply has the form it asks for, take another generator, or, where "
    "good replies are that rare, raise give_up_after of this one"
)


class Trial:
    """The verdicts on the first replies of a job, until one is good.

    Args:
        limit: bad replies that end the work where all are bad for one reason.
    """

    def __init__(self, limit: int = ALIKE):
        self.passed = False
        self._limit, self._reasons, self._example = limit, Counter(), ""

    @property
    def limit(self) -> int:
        """Bad replies that end the work."""
        return self._limit if len(self._reasons) < 2 else 2 * self._limit

    @property
    def failed(self) -> bool:
        """Whether enough replies have been bad, and none good."""
        return not self.passed and self._reasons.total() >= self.limit

    def has_room(self, under_way: int, number: int = 0) -> bool:
        """Whether another request, of this number, may be made beside those under way."""
        within = self._reasons.total() + under_way < self.limit
        return self.passed or (within and (number < self.limit or not under_way))

    def record(self, reply: dict, reason: str | None) -> None:
        """Count a reply row, and why it is bad, or None where it is good."""
        self.passed |= reason is None
        if not self.passed:
            self._reasons[reason] += 1
            self._example = reply["reply"] or reply.get("thoughts") or ""

    def judge(self, reply: dict, read: Callable) -> None:
        """Record a reply, which is bad where `read` of it is None."""
        if not self.passed:
            reason = reply.get("why") or reply["finish_reason"]
            reason = "no readable answer" if reason == "stop" else reason
            self.record(reply, reason if read(reply) is None else None)

    def describe(self) -> str:
        """What was wrong with the replies, one of them, and what to do."""
        counts = ", ".join(f"{reason} {count}" for reason, count in self._reasons.most_common())
        first = self._reasons.most_common(1)[0][0]
        matching = (text for words, text in REMEDIES.items() if first.startswith(words))
        shown = to_json(self._example[:SHOWN]) if self._example.strip() else "an empty reply"
        return (
            f"none of the first {self._reasons.total()} replies is good ({counts}), such as "
            f"{shown}; {next(matching, OTHERWISE)}"
        )


def begin_trial(backend) -> Trial:
    """The Trial of a job, as long as its generator's `give_up_after` in the config says."""
    return Trial(getattr(backend, "give_up_after", ALIKE))


class TrialQueue:
    """Requests as a backend takes them, only as many as a Trial has room for.

    Args:
        requests: of llm/request.py.
        trial: of the job.
    """

    def __init__(self, requests: Iterable[Request], trial: Trial):
        self._left, self._under_way, self._trial = deque(requests), set(), trial

    def __bool__(self):
        return bool(self._left) and self._trial.has_room(len(self._under_way))

    def popleft(self) -> Request:
        """Take the next request."""
        self._under_way.add(self._left[0]["fingerprint"])
        return self._left.popleft()

    def settle(self, key: str) -> None:
        """Make room: a request has its reply, or will have none."""
        self._under_way.discard(key)
