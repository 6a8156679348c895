"""Where replies come from: one module per backend, found by the name in the config.

A backend module offers `connect(entry, **settings) -> object` with

    identity         str, what names the model in a reply's fingerprint
    complete(queue)  yields lists of rows, in any order, as they come in
    close()          lets go of connections and models

`queue` gives requests {"fingerprint", "messages", ...} (request.Request) by `popleft()` while
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
from agorabench.llm.budget import Budget, rows_cost
from agorabench.llm.journal import Journal
from agorabench.llm.silent import Unanswered
from agorabench.paths import journal_root, open_batches

BATCH_SIZE = 64  # requests that a local model answers together, where its entry says nothing
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
def open_backend(name, config, journal, threads=1):
    """Open the journal and the backend of a job and, where it costs money, its budget.

    Goes on in the interpreter that the generator's entry names, if it names another one.

    Args:
        name: the generator's in the config.
        config: the whole.
        journal: its path, in the folder "journal" of all journals.
        threads: of a local model.

    Yields (Journal, backend).
    """
    entry = config["generators"][name]
    if python := entry.get("python"):
        run_elsewhere(python)
    journal = Path(journal)
    settings = {"threads": threads, "batch_size": entry.get("batch_size", BATCH_SIZE)}
    with ExitStack() as stack:
        kept = stack.enter_context(Journal(journal))
        if "mode" in entry:  # also without a limit: a later one counts all
            priced = {name: e for name, e in config["generators"].items() if "price" in e}
            cost = rows_cost(kept.paid_rows, entry["price"])
            budget = Budget(journal, cost, journal_root(journal), priced, name, config["max_usd"])
            settings["budget"] = stack.enter_context(budget)
        backend = connect(entry, state=open_batches(journal), **settings)
        yield kept, stack.enter_context(closing(backend))


def run_elsewhere(python):
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


def answer(backend, journal, requests, advance=lambda count: None):
    """Have every request (fingerprint -> request) answered in the journal.

    `advance` is called with the number of further requests that have a reply.

    Raises:
        Unanswered: some got no reply in ROUNDS rounds.
    """
    missing = [key for key in requests if key not in journal]
    advance(len(requests) - len(missing))
    for _ in range(ROUNDS if missing else 0):
        for replies in backend.complete(deque(requests[key] for key in missing)):
            journal.add(replies)
            advance(sum("fault" not in row for row in replies))
        missing = [key for key in missing if key not in journal]
        if not missing:
            return
    if missing:
        told = ", ".join(f"{why} {count}" for why, count in journal.faults.most_common())
        raise Unanswered(
            f"{len(missing)} of {len(requests)} requests got no reply in {ROUNDS} rounds ({told}); "
            "the same command goes on from there"
        )
