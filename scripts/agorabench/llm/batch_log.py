"""The batches of a job, remembered on disk from before they are submitted until they are journaled.

The file beside the journal is only appended to. Its rows: a batch is "planned", with a name and the
fingerprints of its requests; "submitted", with the provider's id; and "closed".
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import cut_tail, read_appended, to_json
from agorabench.llm import answers, errors
from agorabench.paths import journal_root, list_open_batches


class Batch:
    """A batch that has not ended.

    `requests` maps fingerprints to requests, None where no one in this run wants them; `tokens` is
    an estimate of what they enqueue. `ids` are batches at the provider that it may be. It is
    `doubtful` where it may have been submitted without our knowing, and `own` where this run has
    planned it. `due` is when its status is read next.
    """

    def __init__(self, name, fingerprints, at, tokens, model, own=False):
        self.name, self.at, self.tokens, self.own = name, at, tokens, own
        self.model = model
        self.requests = dict.fromkeys(fingerprints)
        self.id, self.ids, self.doubtful = None, [], not own
        self.bytes = self.done = self.tries = self.reads = 0
        self.due = 0.0

    @property
    def is_unsent(self) -> bool:
        """Whether it is nowhere at the provider, as far as is known."""
        return not self.id and not self.ids

    def match_results(self, provider, lines: Iterable[tuple], undone: str) -> Iterator[tuple]:
        """Yield (fingerprint, request or None, reply's fields or None, RequestFault or None) for
        every line of results (see `parse_results`), and for every request without one, which is
        `undone`.

        A line that names no request of the batch stands for one of these, so that there are as many
        rows as the provider has processed requests, and one for each line too many.
        """
        missing, first, strays = dict(self.requests), {}, []
        for key, line in lines:
            fields, fault = _parse_line(provider, line)
            if key in missing:
                del missing[key]
                first[key] = fields
                yield key, self.requests[key], fields, fault
                continue
            usage = fields["usage"] if fields else fault.usage
            if key in first:
                # The same completion twice is paid for once.
                usage = None if fields and fields == first[key] else usage
                yield key, None, None, errors.Transient("duplicate id", usage=usage)
            else:
                strays.append((line, usage))
        for number, (key, request) in enumerate(missing.items()):
            if number < len(strays):
                line, usage = strays[number]
                reason = "unknown id" if isinstance(line, dict) else "malformed line"
                raw = answers.keep_raw(line)
                fault = errors.Unreadable(
                    f"a line of results: {raw[:200]}", raw, False, reason, usage
                )
            else:
                missing_line = errors.Unreadable("no line of results", reason="missing")
                fault = errors.Transient(undone) if undone != "missing" else missing_line
            yield key, request, None, fault
        for _, usage in strays[len(missing) :]:
            yield "", None, None, errors.Transient("unknown id", usage=usage)


def _parse_line(provider, line):
    """(Fields of the reply row, None) of a line of results, or (None, RequestFault)."""
    try:
        return provider.parse_result(line), None
    except errors.RequestFault as fault:
        return None, fault
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        raw = answers.keep_raw(line)
        text = f"a line of results: {raw[:200]}"
        return None, errors.Unreadable(text, raw, reason="malformed line")


class BatchLog:
    """The file at `path`, and its `open_batches`; one job at a time, which has the journal.

    Raises:
        UserError: a row is damaged, or an open batch is of another model than `model`.
    """

    def __init__(self, path: str | Path, model: str):
        self.path, self._file = Path(path), None
        batches, _, self._good = read_batches(path)
        self.open_batches = list(batches.values())
        for batch in self.open_batches:
            if batch.model != model:
                raise UserError(
                    f"{path} has open batches of model '{batch.model}', and the generator's is "
                    f"'{model}' now: set it back to collect them, or cancel them with "
                    "scripts/tools/batches.py"
                )

    @property
    def is_new(self) -> bool:
        """Whether there has been no batch yet."""
        return not (self._good or self._file)

    def describe_open(self) -> str:
        """How many batches are open, how far they are, and the ids of the first five."""
        done = sum(batch.done for batch in self.open_batches)
        size = sum(len(batch.requests) for batch in self.open_batches)
        ids = [batch.id for batch in self.open_batches if batch.id]
        names = ", ".join(ids[:5]) + ", ..." * (len(ids) > 5)
        return f"{len(self.open_batches)} batches open with {done:,} of {size:,} done ({names})"

    def close(self) -> None:
        if self._file:
            self._file.close()

    def record_planned(self, batch: Batch) -> None:
        """Open a batch that is about to be submitted."""
        row = {"at": batch.at, "tokens": batch.tokens, "model": batch.model}
        row["fingerprints"] = list(batch.requests)
        self._append_row("planned", batch, **row)
        self.open_batches.append(batch)

    def record_submitted(self, batch: Batch, id: str) -> None:
        """The provider has the batch, by this id."""
        self._append_row("submitted", batch, id=id)
        batch.id, batch.ids, batch.tries = id, [], 0

    def record_closed(self, batch: Batch, how: str) -> None:
        """The batch has ended and is journaled, or has never been."""
        self._append_row("closed", batch, how=how)
        self.open_batches.remove(batch)

    def known_ids(self) -> set[str]:
        """Ids of all batches that any job of this workflow has ever had."""
        paths = {self.path, *list_open_batches(journal_root(self.path))}
        return set().union(*(read_batches(path)[1] for path in paths))

    def _append_row(self, event, batch, **more):
        """Write a row to disk."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a+b")  # noqa: SIM115, closed in close
            cut_tail(self._file, self._good)
        row = {"event": event, "name": batch.name, **more}
        self._file.write(to_json(row).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read_batches(path: str | Path) -> tuple[dict[str, Batch], set[str], int]:
    """({name: Batch} of those that are open, ids of all, bytes in whole rows) of a file.

    Raises:
        UserError: a row is damaged.
    """
    batches, ids, good = {}, set(), 0
    if not Path(path).exists():
        return batches, ids, good
    message = (
        f"{path}, line {{}}: not a row about a batch; mend the line (moving the file away would "
        "forget batches that are under way and paid for)"
    )
    with open(path, "rb") as lines:
        for number, (row, good) in enumerate(read_appended(lines, "name", message), 1):  # noqa: B007
            name = row["name"]
            try:
                if row["event"] == "planned":
                    details = (row[key] for key in ("fingerprints", "at", "tokens", "model"))
                    batches[name] = Batch(name, *details)
                elif row["event"] == "submitted":
                    batches[name].id, batches[name].doubtful = row["id"], False
                    ids.add(row["id"])
                else:
                    del batches[name]
            except (TypeError, KeyError):
                raise UserError(message.replace("{}", str(number))) from None
    return batches, ids, good


def parse_results(lines: Iterable[bytes]) -> list[tuple]:
    """[(custom_id or None, object)] of lines of results; the bytes of a line that is none."""
    results = []
    for line in lines:
        try:
            value = answers.read_json(line)
            key = value.get("custom_id")
        except (ValueError, AttributeError):
            key, value = None, line  # as it came
        known = isinstance(key, str) and key.isascii()
        results.append((key if known else None, value))
    return results
