"""Dry runs: what a job would ask, found by running it with a backend that answers nothing.

Only the backend and the journal are others than in a real run, so every request is composed in one
place. A dry run ends where what comes next depends on replies that are not there.
"""

from collections import Counter

from agorabench.errors import UserError
from agorabench.files import to_json
from agorabench.llm.batch_log import read_batches
from agorabench.llm.journal import read_reply, read_rows
from agorabench.llm.request import text_length
from agorabench.models.weights import model_identity
from agorabench.paths import open_batches

CHARACTERS_PER_TOKEN = 3.5  # of English, mathematics and code together


class SilentBackend:
    """A backend that keeps the `requests` it is asked, by fingerprint, and answers none."""

    answers = False

    def __init__(self, entry):
        # As the backend of `entry` would name it, which is not opened: no model, no key.
        remote = "base_url" in entry
        self.identity = entry["model"] if remote else model_identity(entry["model"])
        self.requests = {}

    def complete(self, queue):
        """Take all requests of the queue; no rows come of them."""
        while queue:
            request = queue.popleft()
            self.requests[request["fingerprint"]] = request
        return ()


class JournalView:
    """The replies of a journal, read without its lock; `used` are those that were looked up."""

    def __init__(self, path, entry=None):
        self._rows, self.used, self.faults = {}, set(), Counter()
        for row in read_rows(path):
            if reply := read_reply(row, entry):
                self._rows.setdefault(row["fingerprint"], reply)

    def __contains__(self, key):
        if key in self._rows:
            self.used.add(key)
        return key in self._rows

    def __getitem__(self, key):
        return self._rows[key]


class DryRun:
    """A context with a `journal` and a `backend` for a job to run dry; then `lengths`, characters
    of the prompts that it would ask, by fingerprint, and how many of them are `in_batches`.

    What ends a job that has asked for replies is not known before they are there, and ends the
    context quietly; the faults of a job that asks nothing are its own.

    Args:
        entry: the generator's in the config.
        journal: path of the job's journal.
    """

    def __init__(self, entry, journal):
        self.journal = JournalView(journal, entry)
        self.backend = SilentBackend(entry)
        batches, _, _ = read_batches(open_batches(journal))
        self._under_way = {key for batch in batches.values() for key in batch.requests}

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        requests = self.backend.requests
        self.lengths = {key: text_length(row["messages"]) for key, row in requests.items()}
        self.in_batches = len(self._under_way & requests.keys())
        return kind is not None and issubclass(kind, UserError) and bool(requests)

    def summary(self, **more):
        """A line of JSON: requests, estimated tokens of their prompts, replies of the journal."""
        counts = {"requests": len(self.lengths), "in_batches": self.in_batches}
        counts["prompt_tokens"] = round(sum(self.lengths.values()) / CHARACTERS_PER_TOKEN)
        return to_json(counts | {"journaled": len(self.journal.used)} | more)
