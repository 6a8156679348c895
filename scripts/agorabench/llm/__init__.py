"""Where replies come from: one module per backend, found by the name in the config.

The public face: `open_backend`, `answer`, and `connect`. A backend module offers
`connect(entry, **settings) -> object` with

    identity         str, what names the model in a reply's fingerprint
    complete(queue)  yields lists of rows, in any order, as they come in
    close()          drops connections and models

`queue` gives requests (request.Request) by `popleft()` while it is true. The backend takes as many
as it has room for; the caller journals each list of rows before it resumes, and the queue may be
longer then. A row is a request.Reply, or a request.FaultRow for a request that got no reply.

A request is sampled by its "sampling", where it has one, else by that of the config's entry.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from importlib import import_module
from pathlib import Path

from agorabench import matrix
from agorabench.errors import UserError
from agorabench.llm.budget import Budget
from agorabench.llm.errors import Unanswered
from agorabench.llm.journal import Journal
from agorabench.llm.request import Request
from agorabench.llm.trial import ALIKE, Trial, TrialQueue, begin_trial
from agorabench.paths import classification_journal, journal_root, open_batches

BATCH_SIZE = 64  # requests that a local model answers together, where its entry says nothing
ROUNDS = 5  # attempts to get a reply to a request


def connect(entry: dict, **settings):
    """Open the backend of a generator's config `entry`.

    Settings, each used where it means something: `threads`; `batch_size`, the most requests that a
    local model answers together; `budget`, an open Budget; `state`, the file that remembers the
    batches that were submitted.
    """
    module = import_module(f"agorabench.llm.{entry['backend']}")
    backend = module.connect(entry, **settings)
    backend.give_up_after = entry.get("give_up_after", ALIKE)
    return backend


@contextmanager
def open_backend(
    name: str, config: dict, journal: str | Path, threads: int = 1
) -> Iterator[tuple[Journal, object]]:
    """Open the journal and the backend of a job and, where it costs money, its budget.

    Goes on in the interpreter that the generator's entry names, if it names another one.

    Args:
        name: the generator's in the config.
        config: the whole.
        journal: its path, in the folder "journal" of all journals.
        threads: of a local model.
    """
    entry = config["generators"][name]
    if python := entry.get("python"):
        switch_interpreter(python)
    journal = Path(journal)
    settings = {"threads": threads, "batch_size": entry.get("batch_size", BATCH_SIZE)}
    with ExitStack() as stack:
        kept = stack.enter_context(Journal(journal, entry))
        if "mode" in entry:  # also without a limit: a later one counts all
            priced = {name: e for name, e in config["generators"].items() if "price" in e}
            root = journal_root(journal)
            owners = {  # of journals whose paths do not say it
                root.parent / classification_journal(chosen["prompt"]): chosen["generator"]
                for chosen in matrix.classifications(config)
            }
            budget = Budget(journal, kept.paid_rows, root, priced, name, config["max_usd"], owners)
            settings["budget"] = stack.enter_context(budget)
        backend = connect(entry, state=open_batches(journal), **settings)
        yield kept, stack.enter_context(closing(backend))


def switch_interpreter(python: str) -> None:
    """Go on in another interpreter, as vLLM lives in an environment of its own.

    Raises:
        UserError: it is not executable.
    """
    # Not resolved: the python of a virtual environment is a link to another's.
    if os.path.abspath(python) == os.path.abspath(sys.executable):
        return
    if not os.access(python, os.X_OK) or os.path.isdir(python):
        raise UserError(
            f"python: {python} is not executable; point it at an interpreter with vLLM installed"
        )
    os.execv(python, [python, *sys.argv])


def answer(
    backend, journal: Journal, requests: Mapping[str, Request], advance=lambda count: None,
    read=lambda reply: reply["reply"] or None, trial: Trial | None = None,
) -> None:  # fmt: skip
    """Query the backend until the journal answers every request (fingerprint -> request).

    Args:
        advance: called with the number of further requests that have a reply.
        read: reply row -> None where it cannot be used.
        trial: of the job, where it calls more than once.

    Raises:
        Unanswered: some got no reply in ROUNDS rounds.
        UserError: the first replies can all not be used.
    """
    missing = [key for key in requests if key not in journal]
    advance(len(requests) - len(missing))
    trial = trial or begin_trial(backend)
    trial.passed |= not getattr(backend, "answers", True)
    for key in requests:
        if key in journal:
            trial.judge(journal[key], read)
    unreadable = set()  # asked twice by now, and not a third time before somebody has looked
    for _ in range(ROUNDS):
        wanted = [key for key in missing if key not in unreadable]
        queue = TrialQueue((requests[key] for key in wanted), trial)
        for rows in backend.complete(queue) if queue else ():
            journal.add(rows)
            for row in rows:
                if (key := row["fingerprint"]) in journal:
                    trial.judge(journal[key], read)
                if key in journal or "given_up" in row:
                    queue.settle(key)
            advance(sum(row["fingerprint"] in journal for row in rows))
            unreadable |= {row["fingerprint"] for row in rows if {"given_up", "raw"} <= row.keys()}
        missing = [key for key in missing if key not in journal]
        if trial.failed and missing:
            raise UserError(f"{backend.identity}: {trial.describe()}")
    if missing:
        faults = ", ".join(f"{why} {count}" for why, count in journal.faults.most_common())
        raise Unanswered(
            f"{len(missing)} of {len(requests)} requests got no reply in {ROUNDS} rounds "
            f"({faults}); the same command goes on from there"
        )
