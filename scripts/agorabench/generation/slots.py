"""Slots that are filled with valid pairs: what is asked next, and what became of every reply."""

import sys
from collections import Counter, deque

from agorabench.errors import UserError
from agorabench.generation import duplicates, formats, validators
from agorabench.llm import errors
from agorabench.llm.request import build_request

# More than this share of slots without a valid reply end the work: the generator or the prompt is
# broken, and asking on would only cost money. Looked at after every stride of slots.
GIVE_UP_SHARE = 0.25
STRIDE = 512
FIRST_WAVE = 64  # slots


class Shortfall(UserError):
    """The generator did not give N valid pairs."""


class Instances:
    """The requests of one set, as the queue that a backend takes them from.

    A slot is asked again, up to `attempts` times, until it has a valid reply, unless its request is
    one that is never answered. Slots are worked in waves. Demonstrations are drawn from the valid
    pairs of earlier waves only, so that they depend neither on the order in which replies arrive
    nor on `size`: a larger set extends a smaller one.
    A slot without a valid reply is replaced by the next, and so is one that repeats an earlier one
    where repeats do not count, so the slots that were worked are always the shortest row of slots
    with `size` pairs among them.

    Args:
        writer: composes the request for a slot (prompts.Composer).
        journal: an open Journal, or whatever finds replies by fingerprint.
        identity: text that names the model, and
        asked: what else decides a reply beside the messages, JSON-able; parts of the fingerprint.
        check: (instruction, response) -> "valid" or a reason.
        size: valid pairs wanted.
        attempts: most replies asked for one slot.
        valid: called once for every valid reply, and with -n where n of them turn out as repeats.
        repeats: rows in order of slots -> those among them that repeat an earlier one, with that
            as their verdict; None where repeats count too.
    """

    def __init__(
        self, writer, journal, identity, asked, check, size, attempts,
        valid=lambda count=1: None, repeats=None,
    ):  # fmt: skip
        self.writer, self.journal = writer, journal
        self.identity, self.asked = identity, asked
        self.check, self.size, self.attempts = check, size, attempts
        self._advance, self.repeats = valid, repeats
        self.pairs = {}  # slot -> its valid pair
        self._rows, self._dropped = [], 0
        self._under_way = {}  # fingerprint -> request
        self._next = None  # request that is composed and not taken yet

    @property
    def rows(self):
        """All replies with their verdicts, in order of slot and attempt."""
        return sorted(self._rows, key=lambda row: (row["slot"], row["attempt"]))

    def generate(self, backend, first_wave=FIRST_WAVE):
        """Ask `backend` until `size` pairs are valid.

        Raises:
            Shortfall: too many slots had no valid reply, or repeat earlier ones; what was asked
                has been journaled.
        """
        start, stop = 0, first_wave
        while len(self.pairs) < self.size:
            self.open(start, stop)
            asking = True
            while asking:
                for rows in backend.complete(self):
                    self.journal.add(rows)
                    self.settle(rows)
                asking = self.repeats and self._sift() and self.extend()
            if self.broken and len(self.pairs) < self.size:
                raise Shortfall(
                    f"{self.writer}: {len(self.pairs)} of {self.size} pairs are valid, and of the "
                    f"{self._front - start} slots looked at last {self._lost} have none after "
                    f"{self.attempts} attempts each; {rejections(self._rows)}"
                )
            # Without generated demonstrations nothing waits for a wave; the first one is for
            # giving up early only.
            start, stop = stop, 2 * stop if self.writer.shows_generated else sys.maxsize

    def open(self, start, stop):
        """Begin the wave of slots from `start` to before `stop`."""
        self._pool = [self.pairs[slot] for slot in sorted(self.pairs)]
        self._todo = deque()
        self._fresh = start  # first slot not begun
        self._start, self._stop, self._front = start, stop, start
        self._ended, self._lost, self.broken = {}, 0, False
        self.extend()

    def extend(self):
        """Begin as many slots of the wave as pairs are missing; returns whether there were any."""
        begun = self._fresh
        if not self.broken:
            self._fresh = min(self._stop, begun + self.size - len(self.pairs))
            self._todo.extend((slot, 0) for slot in range(begun, self._fresh))
        return self._fresh > begun

    # The queue

    def __bool__(self):
        """Whether there is a request to be taken; what the journal answers is settled here."""
        while self._next is None and self._todo and not self.broken:
            slot, attempt = self._todo.popleft()
            content = self.writer.request(slot, attempt, self._pool)
            request = build_request(self.identity, parameters=self.asked, **content)
            if (key := request["fingerprint"]) in self.journal:
                self._judge(request, self.journal[key])
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

    # What came of it

    def settle(self, rows):
        """Judge the replies among journal `rows`, and what was given up."""
        for row in rows:
            key = row["fingerprint"]
            if key not in self._under_way:
                continue
            if "fault" not in row:
                self._judge(self._under_way.pop(key), row)
            elif "given_up" in row:
                self._judge(self._under_way.pop(key), errors.unanswered(key, row["fault"]))

    def _judge(self, request, reply):
        slot, attempt = request["slot"], request["attempt"]
        row = {"slot": slot, "attempt": attempt, "seeds": request["seeds"]} | reply
        row |= read(self.writer, request["instruction"], reply, self.check)
        self._rows.append(row)
        if row["verdict"] == "valid":
            del row["reply"]  # the pair is all that is in it
            self.pairs[slot] = {key: row[key] for key in ("instruction", "response")}
            self._advance()
        elif attempt + 1 < self.attempts and row["verdict"] != "unanswered":
            self._todo.append((slot, attempt + 1))
            return
        elif self._fresh < self._stop:
            self._todo.append((self._fresh, 0))
            self._fresh += 1
        self._ended[slot] = row["verdict"] != "valid"
        # In order of slots, so that giving up does not depend on which reply came first.
        while self._front in self._ended:
            self._lost += self._ended.pop(self._front)
            self._front += 1
            looked_at = self._front - self._start
            if looked_at % STRIDE == 0 or self._front == self._stop:
                self.broken |= self._lost > GIVE_UP_SHARE * looked_at

    def _sift(self):
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
        if len(self.pairs) < self.size and self._dropped > max(len(self.pairs), FIRST_WAVE):
            raise Shortfall(
                f"{self.writer}: {len(self.pairs)} of {self.size} pairs are new and more than that "
                f"repeat earlier ones; {rejections(self._rows)}"
            )
        return bool(dropped)


def pair_checks(generation, domain, benchmarks=()):
    """(check, repeats) of `Instances`: which pairs count in a domain, by the config's `generation`.

    `benchmarks` are files of test items; a pair that shares words with one of them does not count.
    """
    names, limit = generation["validators"][domain], generation["max_characters"]
    items = duplicates.load(benchmarks) if benchmarks else None

    def check(pair):
        verdict = validators.validate(pair, names, max_characters=limit)
        return "in benchmark" if verdict == "valid" and items and items.found(pair) else verdict

    return check, duplicates.sifter(generation.get("duplicates"))


def read(writer, instruction, reply, check):
    """A reply's pair and verdict: "valid", or why it is not."""
    row = {"instruction": instruction, "response": None}
    finish = reply["finish_reason"]
    if finish != "stop":
        return row | {"verdict": "truncated" if finish == "length" else finish}
    try:
        written, row["response"] = formats.parse(writer.method, reply["reply"], writer.replies)
    except formats.Malformed as error:
        return row | {"verdict": str(error)}
    row["instruction"] = written or instruction
    return row | {"verdict": check((row["instruction"], row["response"]))}


def rejections(rows):
    """How often each reason spoke against a reply."""
    reasons = Counter(row["verdict"] for row in rows if row["verdict"] != "valid")
    told = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    return f"rejected: {told or 'none'}"
