"""Where replies come from: one module per backend, found by the name in the config.

A backend module offers `connect(entry, **settings) -> object` with

    identity         str, what names the model in a reply's fingerprint
    complete(queue)  yields lists of rows, in any order, as they come in
    close()          lets go of connections and models

`queue` gives requests {"fingerprint", "messages", "format" ("text" or "json")} by `popleft()` while
it is true. The backend takes as many as it has room for; the caller journals each list of rows
before it resumes, and the queue may be longer then. A row is a reply

    {"fingerprint", "reply", "finish_reason" ("stop", "length", ...), "usage": {"input", "output"}}

(usage in tokens, None where the provider told none; API backends add "model", the model that
answered, and "mode": "batch"), or a request that got none, {"fingerprint", "fault": a reason}.

A request is sampled as its "sampling" says, where it has one, else as the config's entry does.
"""

import os
import sys
from collections import deque
from contextlib import ExitStack, closing, contextmanager
from importlib import import_module
from pathlib import Path

from agorabench.errors import UserError
from agorabench.llm.budget import Budget, spent
from agorabench.llm.journal import Journal

ROUNDS = 5  # times a request is put to a backend while it gets no reply


def connect(entry, **settings):
    """Open the backend that a generator's config `entry` names.

    Settings, each used where it means something: `threads`; `batch_size`, the most requests that a
    local model answers together; `budget`, an open Budget; `state`, the file that remembers the
    batches that were submitted.
    """
    module = import_module(f"agorabench.llm.{entry['backend']}")
    return module.connect(entry, **settings)


@contextmanager
def opened(name, entry, config, journal, **settings):
    """Open the journal and the backend of a job and, where it costs money, its budget.

    Goes on in the interpreter that the entry names, if it names another one.

    Args:
        name, entry: the generator's.
        config: the whole, or {}.
        journal: its path, in the folder "journal" of all journals.
        settings: as for `connect`.

    Yields (Journal, backend).
    """
    if python := entry.get("python"):
        elsewhere(python)
    journal = Path(journal)
    root = next((path for path in journal.parents if path.name == "journal"), journal.parent)
    with ExitStack() as stack:
        kept = stack.enter_context(Journal(journal))
        if "mode" in entry and config:  # also without a limit: a later one counts all
            priced = {name: e for name, e in config["generators"].items() if "price" in e}
            cost = spent(kept.paid, entry["price"])
            budget = Budget(journal, cost, root, priced, name, config["max_usd"])
            settings["budget"] = stack.enter_context(budget)
        backend = connect(entry, state=journal.with_suffix(".batches"), **settings)
        yield kept, stack.enter_context(closing(backend))


def elsewhere(python):
    """Go on in another interpreter, as vLLM lives in an environment of its own.

    Raises:
        UserError: it is no program.
    """
    # Not resolved: the python of a virtual environment is a link to another's.
    if os.path.abspath(python) == os.path.abspath(sys.executable):
        return
    if not os.access(python, os.X_OK) or os.path.isdir(python):
        raise UserError(f"python: {python} is no program; an interpreter that has vLLM is needed")
    os.execv(python, [python, *sys.argv])


def answer(backend, journal, requests):
    """Have every request (fingerprint -> request) answered in the journal.

    Raises:
        UserError: some got no reply in ROUNDS rounds.
    """
    for _ in range(ROUNDS):
        missing = [key for key in requests if key not in journal]
        if not missing:
            return
        for replies in backend.complete(deque(requests[key] for key in missing)):
            journal.add(replies)
    if missing := [key for key in requests if key not in journal]:
        told = ", ".join(f"{why} {count}" for why, count in journal.faults.most_common())
        raise UserError(
            f"{len(missing)} of {len(requests)} requests got no reply in {ROUNDS} rounds ({told}); "
            "the same command goes on from there"
        )
