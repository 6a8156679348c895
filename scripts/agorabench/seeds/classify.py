"""Classify seed rows with a generator and a prompt, to keep those of one class."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

from agorabench.generation import prompts
from agorabench.llm import answer
from agorabench.llm.journal import Journal
from agorabench.llm.request import build_request
from agorabench.llm.trial import begin_trial

CLASSES = ("1", "2")


def rows_of_class(
    rows: Iterator, wanted: str, classify: Callable, wave: int, dropped: Counter
) -> Iterator:
    """Yield the (number, row) pairs of class `wanted`, in their order; count the others."""
    while pairs := list(islice(rows, wave)):
        classes = classify([row for _, row in pairs])
        for pair, verdict in zip(pairs, classes, strict=True):
            if verdict == wanted:
                yield pair
            else:
                dropped["other class" if verdict in CLASSES else "not classified"] += 1


def make_classifier(backend, asked: dict, template: str, journal: Journal) -> Callable:
    """Return a function: rows -> "1", "2" or, for any other reply, None.

    Args:
        backend: a backend of llm.
        asked: what else decides a reply (request.fingerprint_parameters).
        template: the prompt, with placeholder {instruction}.
        journal: an open Journal; what it holds is not asked again.
    """
    trial = begin_trial(backend)

    def compose_request(row):
        messages = [{"role": "user", "content": prompts.render_template(template, row)}]
        # The sample is always 0: which rows are classified must not decide what is paid for twice.
        return build_request(backend.identity, messages, asked, 0)

    def read_class(reply):
        text = (reply["reply"] or "").strip()
        return text if text in CLASSES else None

    def classify_rows(rows):
        requests = [compose_request(row) for row in rows]
        asked_for = {request["fingerprint"]: request for request in requests}
        answer(backend, journal, asked_for, read=read_class, trial=trial)
        return [read_class(journal[request["fingerprint"]]) for request in requests]

    return classify_rows
