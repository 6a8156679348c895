"""Slots to be filled with valid pairs: which request is next, and the verdict on every reply."""

import heapq
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NotRequired, TypedDict

from agorabench.errors import UserError
from agorabench.generation import contamination, duplicates, formats, validators
from agorabench.generation.formats import Pair
from agorabench.generation.validators import Verdict
from agorabench.llm import errors
from agorabench.llm.errors import Unanswered
from agorabench.llm.request import Usage, build_request
from agorabench.llm.trial import Trial

# A larger share of slots without a valid reply ends the work: the generator or the prompt is
# broken, and further requests would only cost money. Checked after every stride of slots.
GIVE_UP_SHARE = 0.25
STRIDE = 512
FIRST_WAVE = 64  # slots
MOST_REPEATS = 36  # that count as few where hardly a pair is new


class Shortfall(UserError):
    """The generator did not give N valid pairs."""


class CheckedReply(TypedDict):
    """A row of results/raw/: a reply and its verdict.

    `reply` is left out where it became a pair; `seeds` are ids of the seed data shown. Rows of an
    API have its `model` and `mode` too (request.Reply).
    """

    slot: int
    attempt: int
    seeds: NotRequired[list[str]]
    fingerprint: NotRequired[str]
    finish_reason: NotRequired[str]
    usage: Usage | None
    instruction: str | None
    response: str | None
    verdict: Verdict
    reply: NotRequired[str | None]


class Slots:
    """Requests of one set, as the queue that a backend takes them from.

    A slot gets up to `attempts` requests until it has a valid reply, unless its request is one that
    is never answered. Slots are begun in waves. Demonstrations are drawn from the valid
    pairs of earlier waves only, so that they depend neither on the order in which replies arrive
    nor on `size`: a larger set extends a smaller one.
    A slot without a valid reply is replaced by the next, and so is one that repeats an earlier one
    where repeats do not count, so the slots begun are always the fewest that have `size` pairs.

    Args:
        writer: composes the request for a slot (prompts.Composer).
        journal: an open Journal, or whatever finds replies by fingerprint.
        identity: text that names the model, and
        asked: what else decides a reply (request.fingerprint_parameters); parts of the fingerprint.
        check: Pair -> Verdict.
        size: valid pairs wanted.
        attempts: most requests for one slot.
        valid: called once for every valid reply, and with -n where n of them turn out as repeats.
        repeats: rows in order of slots -> those among them that repeat an earlier one, with that
            as their verdict (duplicates.reject_repeats); None where repeats count too.
        name: the generator's.
        trial: what ends the work when the first replies are all rejected (llm/trial.py).
    """

    def __init__(
        self, writer, journal, identity, asked, check, size, attempts,
        valid=lambda count=1: None, repeats=None, name="", trial=None,
    ):  # fmt: skip
        self.label = f"{name}, {writer}" if name else str(writer)
        self.trial = trial or Trial()
        self.writer, self.journal = writer, journal
        self.identity, self.asked = identity, asked
        self.check, self.size, self.attempts = check, size, attempts
        self._advance, self.repeats = valid, repeats
        self.pairs = {}  # slot -> its valid pair
        self._rows, self._dropped = [], 0
        self._under_way = {}  # fingerprint -> request
        self._next = None  # request that is composed and not taken yet

    @property
    def missing(self) -> int:
        """Pairs that neither are there nor can come of requests that are under way."""
        return self.size - len(self.pairs) - len(self._under_way)

    @property
    def rows(self) -> list[CheckedReply]:
        """All replies with their verdicts, in order of slot and attempt."""
        return sorted(self._rows, key=lambda row: (row["slot"], row["attempt"]))

    def generate(self, backend, first_wave=FIRST_WAVE):
        """Query `backend` until `size` pairs are valid.

        Raises:
            Shortfall: the first replies were all rejected, too many slots had no valid reply, or
                repeat earlier ones; all replies are journaled.
            Unanswered: the backend left requests without a reply.
        """
        self.trial.passed |= not getattr(backend, "answers", True)
        start, stop = 0, first_wave
        while self.missing > 0:
            self.open_wave(start, stop)
            asking = True
            while asking:
                for rows in backend.complete(self):
                    self.journal.add(rows)
                    self.settle_rows(rows)
                if self.trial.failed:
                    raise Shortfall(f"{self.label}: {self.trial.describe()}")
                if self._under_way and self.writer.shows_generated:
                    raise self._unanswered()  # later requests show pairs that are not there
                asking = self.repeats and self._drop_repeats() and self.extend_wave()
            if self.broken and self.missing > 0:
                raise Shortfall(
                    f"{self.label}: {len(self.pairs)} of {self.size} pairs are valid, and of the "
                    f"{self._front - start} slots looked at last {self._lost} have none after "
                    f"{self.attempts} attempts each; {format_rejections(self._rows)}"
                )
            # Without generated demonstrations nothing waits for a wave; the first one is for
            # giving up early only.
            start, stop = stop, 2 * stop if self.writer.shows_generated else sys.maxsize
        if self._under_way:
            raise self._unanswered()

    def _unanswered(self):
        return Unanswered(f"{self.label}: {len(self._under_way)} requests got no reply")

    def open_wave(self, start: int, stop: int) -> None:
        """Begin the wave of slots from `start` to before `stop`."""
        self._pool = [self.pairs[slot] for slot in sorted(self.pairs)]
        self._todo = []  # heap of (attempt, slot)
        self._fresh = start  # first slot not begun
        self._start, self._stop, self._front = start, stop, start
        self._ended, self._lost, self.broken = {}, 0, False
        self.extend_wave()
        self._width = self._fresh - start

    def extend_wave(self) -> bool:
        """Begin as many slots of the wave as pairs are missing; returns whether there were any."""
        begun = self._fresh
        if not self.broken:
            self._fresh = min(self._stop, begun + self.missing)
            self._todo.extend((0, slot) for slot in range(begun, self._fresh))
            heapq.heapify(self._todo)
        return self._fresh > begun

    # The queue

    def __bool__(self):
        """Whether there is a request to be taken; what the journal answers is settled here."""
        while self._next is None and self._todo and not self.broken:
            attempt, slot = self._todo[0]
            # By its number, so that a trial is of the same requests whichever is answered first.
            number = attempt * self._width + slot
            if not self.trial.has_room(len(self._under_way), number):
                break
            heapq.heappop(self._todo)
            content = self.writer.compose_request(slot, attempt, self._pool)
            request = build_request(self.identity, parameters=self.asked, **content)
            if (key := request["fingerprint"]) in self.journal:
                self._record_reply(request, self.journal[key])
            else:
                self._next = request
        return self._next is not None

    def popleft(self):
        """Take the next request."""
        if not self:
            raise IndexError("no request is left")
        request, self._next = self._next, None
        self._under_way[request["fingerprint"]] = request
        return request

    # Verdicts

    def settle_rows(self, rows: Iterable[dict]) -> None:
        """Record the replies among journal `rows`, and what was given up."""
        for row in rows:
            key = row["fingerprint"]
            if key not in self._under_way:
                continue
            if key in self.journal:
                self._record_reply(self._under_way.pop(key), self.journal[key])
            elif "given_up" in row:
                reply = errors.unanswered_row(key, row["fault"])
                self._record_reply(self._under_way.pop(key), reply)

    def _record_reply(self, request, reply):
        """Judge a reply; a rejected one is followed by another attempt or another slot."""
        slot, attempt = request["slot"], request["attempt"]
        row = {"slot": slot, "attempt": attempt, "seeds": request["seeds"]} | reply
        row.pop("thoughts", None)  # the journal has them
        row |= check_reply(self.writer, request["instruction"], reply, self.check)
        self._rows.append(row)
        valid = row["verdict"] == "valid"
        self.trial.record(reply, None if valid else reply.get("why") or row["verdict"])
        if valid:
            del row["reply"]  # the pair is all that is in it
            self.pairs[slot] = {key: row[key] for key in ("instruction", "response")}
            self._advance()
        elif attempt + 1 < self.attempts and row["verdict"] != "unanswered":
            heapq.heappush(self._todo, (attempt + 1, slot))
            return
        elif self._fresh < self._stop:
            heapq.heappush(self._todo, (0, self._fresh))
            self._fresh += 1
        self._end_slot(slot, lost=not valid)

    def _end_slot(self, slot, lost):
        """Count the slots without a pair; too many of them break the wave."""
        self._ended[slot] = lost
        # In order of slots, so that giving up does not depend on which reply came first.
        while self._front in self._ended:
            self._lost += self._ended.pop(self._front)
            self._front += 1
            ended = self._front - self._start
            if ended % STRIDE == 0 or self._front == self._stop:
                self.broken |= self._lost > GIVE_UP_SHARE * ended

    def _drop_repeats(self):
        """Take out what repeats an earlier pair; returns whether anything did.

        Only between requests, when every slot begun has ended: what a pair repeats then depends on
        earlier slots alone and not on the order in which replies came.
        """
        valid = [row for row in self._rows if row["verdict"] == "valid"]
        dropped = self.repeats(sorted(valid, key=lambda row: row["slot"]))
        for row in dropped:
            del self.pairs[row["slot"]]
        self._advance(-len(dropped))
        self._dropped += len(dropped)
        most = max(len(self.pairs), FIRST_WAVE)
        if 10 * len(self.pairs) < self._dropped:  # hardly any is new: after a smaller number
            most = MOST_REPEATS
        if self.missing > 0 and self._dropped > most:
            raise Shortfall(
                f"{self.label}: {len(self.pairs)} of {self.size} pairs are new and more than that "
                f"repeat earlier ones; {format_rejections(self._rows)}"
            )
        return bool(dropped)


def pair_checks(
    generation: dict, domain: str, benchmarks: Iterable[str] = (), markers: Iterable[str] = ()
) -> tuple[Callable[[Pair], Verdict], Callable | None]:
    """(check, repeats) of `Slots`: which pairs count in a domain, by the config's `generation`.

    `benchmarks` are files of test items; a pair that shares words with one of them does not count.
    `markers` are those of the method's replies.
    """
    names, limit = generation["validators"][domain], generation["max_characters"]
    setting, templates = generation.get("sandbox", "isolated"), generation.get("questions")
    items = contamination.load_items(benchmarks, templates) if benchmarks else None

    def check_pair(pair):
        pair = Pair(*pair)
        verdict = validators.validate_pair(
            pair, names, max_characters=limit, markers=markers, sandbox=setting
        )
        overlaps = verdict == "valid" and items and items.find_overlap(pair)
        return "in benchmark" if overlaps else verdict

    return check_pair, duplicates.repeat_filter(generation.get("duplicates"))


def check_reply(writer, instruction: str | None, reply: dict, check: Callable) -> dict:
    """{"instruction", "response", "verdict"} of a reply; `instruction`: the seed's own, if any."""
    row = {"instruction": instruction, "response": None}
    finish = reply["finish_reason"]
    if finish != "stop":
        return row | {"verdict": "truncated" if finish == "length" else finish}
    if reply.get("thoughts") and not reply["reply"].strip():
        return row | {"verdict": "only thoughts"}
    try:
        pair = formats.parse_reply(writer.form, reply["reply"], writer.replies)
    except formats.Malformed as error:
        return row | {"verdict": str(error)}
    pair = Pair(pair.instruction or instruction, pair.response)
    return pair._asdict() | {"verdict": check(pair)}


def format_rejections(rows: Iterable[CheckedReply]) -> str:
    """Counts of rejected replies by reason, as text."""
    reasons = Counter(row["verdict"] for row in rows if row["verdict"] != "valid")
    counts = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    return f"rejected: {counts or 'none'}"
