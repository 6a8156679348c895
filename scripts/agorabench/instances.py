"""Slots that are filled with valid pairs: what is asked next, and what became of every reply."""

import sys
from collections import Counter, deque

from agorabench import jsonl, parsing
from agorabench.errors import UserError

# More than this share of slots without a valid reply end the work: the generator or the prompt is
# broken, and asking on would only cost money. Looked at after every stride of slots.
GIVE_UP_SHARE = 0.25
STRIDE = 512
FIRST_WAVE = 64  # slots


class Shortfall(UserError):
    """The generator did not give N valid pairs."""


class Instances:
    """The requests of one set, as the queue that a backend takes them from.

    A slot is asked again, up to `attempts` times, until it has a valid reply. Slots are worked in
    waves. Demonstrations are drawn from the valid pairs of earlier waves only, so that they depend
    neither on the order in which replies arrive nor on `size`: a larger set extends a smaller one.
    A slot without a valid reply is replaced by the next, so the slots that were worked are always
    the shortest row of slots with `size` valid ones among them.

    Args:
        writer: composes the request for a slot (generate.Composer).
        journal: an open Journal, or whatever finds replies by fingerprint.
        identity: text that names the model, and
        asked: what else decides a reply beside the messages, JSON-able; parts of the fingerprint.
        check: (instruction, response) -> "valid" or a reason.
        size: valid pairs wanted.
        attempts: most replies asked for one slot.
        valid: called once for every valid reply.
    """

    def __init__(self, writer, journal, identity, asked, check, size, attempts, valid=lambda: None):
        self.writer, self.journal = writer, journal
        self.identity, self.asked = identity, asked
        self.check, self.size, self.attempts = check, size, attempts
        self._advance = valid
        self.pairs = {}  # slot -> its valid pair
        self._rows = []
        self._under_way = {}  # fingerprint -> request
        self._next = None  # request that is composed and not taken yet

    @property
    def rows(self):
        """All replies with their verdicts, in order of slot and attempt."""
        return sorted(self._rows, key=lambda row: (row["slot"], row["attempt"]))

    def generate(self, backend, first_wave=FIRST_WAVE):
        """Ask `backend` until `size` pairs are valid.

        Raises:
            Shortfall: too many slots had no valid reply; what was asked has been journaled.
        """
        start, stop = 0, first_wave
        while len(self.pairs) < self.size:
            self.open(start, stop)
            for rows in backend.complete(self):
                self.journal.add(rows)
                self.settle(rows)
            if self.broken:
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
        self._fresh = min(stop, start + self.size - len(self.pairs))  # first slot not begun
        self._todo = deque((slot, 0) for slot in range(start, self._fresh))
        self._start, self._stop, self._front = start, stop, start
        self._ended, self._lost, self.broken = {}, 0, False

    # The queue

    def __bool__(self):
        """Whether there is a request to be taken; what the journal answers is settled here."""
        while self._next is None and self._todo and not self.broken:
            slot, attempt = self._todo.popleft()
            request = self.writer.request(slot, attempt, self._pool)
            request["fingerprint"] = key = jsonl.fingerprint(
                self.identity, request["messages"], self.asked, request["sample"]
            )
            if key in self.journal:
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
        """Judge the replies among journal `rows`."""
        for row in rows:
            if "fault" not in row and row["fingerprint"] in self._under_way:
                self._judge(self._under_way.pop(row["fingerprint"]), row)

    def _judge(self, request, reply):
        slot, attempt = request["slot"], request["attempt"]
        row = {"slot": slot, "attempt": attempt, "seeds": request["seeds"]} | reply
        row |= read(self.writer, request["instruction"], reply, self.check)
        self._rows.append(row)
        if row["verdict"] == "valid":
            self.pairs[slot] = {key: row[key] for key in ("instruction", "response")}
            self._advance()
        elif attempt + 1 < self.attempts:
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


def read(writer, instruction, reply, check):
    """A reply's pair and verdict: "valid", or why it is not."""
    row = {"instruction": instruction, "response": None}
    finish = reply["finish_reason"]
    if finish != "stop":
        return row | {"verdict": "truncated" if finish == "length" else finish}
    try:
        written, row["response"] = parsing.parse(writer.method, reply["reply"], writer.replies)
    except parsing.Malformed as error:
        return row | {"verdict": str(error)}
    row["instruction"] = written or instruction
    return row | {"verdict": check((row["instruction"], row["response"]))}


def rejections(rows):
    """How often each reason spoke against a reply."""
    reasons = Counter(row["verdict"] for row in rows if row["verdict"] != "valid")
    told = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    return f"rejected: {told or 'none'}"
