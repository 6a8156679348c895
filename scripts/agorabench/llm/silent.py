"""Dry runs: what a job would ask, found by running it with a backend that answers nothing.

Only the backend and the journal are others than in a real run, so every request is composed in one
place. A dry run ends where what comes next depends on replies that are not there.
"""

from collections import Counter

from agorabench.errors import UserError
from agorabench.files import to_json
from agorabench.llm.batch_log import remembered
from agorabench.llm.journal import peek
from agorabench.models.weights import model_identity
from agorabench.paths import open_batches

CHARACTERS_PER_TOKEN = 3.5  # of English, mathematics and code together


class Unanswered(UserError):
    """A backend has left requests without a reply."""


class SilentBackend:
    """A backend that keeps the `requests` it is asked, by fingerprint, and answers none."""

    def __init__(self, entry):
        # That of the backend of `entry`, which is not opened: no model is loaded, no key needed.
        local = "base_url" not in entry
        self.identity = model_identity(entry["model"]) if local else entry["model"]
        self.requests = {}

    def complete(self, queue):
        """Take all requests of the queue; no rows come of them."""
        while queue:
            request = queue.popleft()
            self.requests[request["fingerprint"]] = request
        return ()


class JournalView:
    """The replies of a journal, read without its lock; `used` are those that were looked up."""

    def __init__(self, path):
        self._rows, self.used, self.faults = {}, set(), Counter()
        for row in peek(path):
            if "fault" not in row:
                self._rows.setdefault(row["fingerprint"], row)

    def __contains__(self, key):
        return key in self._rows

    def __getitem__(self, key):
        self.used.add(key)
        return self._rows[key]


class DryRun:
    """The context in which a job runs dry, with `journal` and `backend` in place of the real ones.

    What ends a job that has asked for replies is not known before they are there, and ends the
    context quietly; the faults of a job that asks nothing are its own.

    Args:
        entry: the generator's in the config.
        journal: path of the job's journal.
    """

    def __init__(self, entry, journal):
        self.path, self.journal, self.backend = journal, JournalView(journal), SilentBackend(entry)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        return kind is not None and issubclass(kind, UserError) and bool(self.backend.requests)

    @property
    def prompt_lengths(self):
        """Characters of the prompt of every request, by fingerprint."""
        return {
            key: sum(len(message["content"]) for message in request["messages"])
            for key, request in self.backend.requests.items()
        }

    @property
    def in_batches(self):
        """How many of the requests are under way in batches: nobody asks for them again."""
        batches, _, _ = remembered(open_batches(self.path))
        under_way = {key for batch in batches.values() for key in batch.requests}
        return len(under_way & self.backend.requests.keys())

    def summary(self, **more):
        """One line of JSON: requests, estimated tokens of their prompts, replies of the journal."""
        lengths = self.prompt_lengths
        counts = {"requests": len(lengths), "in_batches": self.in_batches}
        counts["prompt_tokens"] = round(sum(lengths.values()) / CHARACTERS_PER_TOKEN)
        return to_json(counts | {"journaled": len(self.journal.used)} | more)
