"""Replies that were paid for, kept by the fingerprints of their requests.

A journal is one append-only JSON Lines file per cell, outside Snakemake's declared outputs (which
are deleted when a job fails). A reply is written before it is used, so a run that dies at any
instant, a prompt that is reverted, a raised size or an added validator never pays twice. Where the
power fails, what was written within the last milliseconds may be lost with what was under way.

Requests that got no reply are journaled too, as rows with a "fault" in place of the reply, so that
the journal's own count is the provider's.
"""

import contextlib
import errno
import fcntl
import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import cut_tail, lock_file, read_appended, to_json
from agorabench.llm.answers import is_expected_model, read_finish, separate_thoughts
from agorabench.progress import tell

ROOM = 60.0  # seconds that replies wait for room on a full disk


class Journal:
    """Replies by fingerprint; one writer at a time, the next one waits for the lock.

    `faults` counts the requests without a reply by reason. Each row is an object with a
    `fingerprint`. Rows of one `add` are written by one call. A thread syncs them to disk meanwhile,
    because waiting for the disk after every reply costs a tenth of the speed. A torn last line
    (power loss) is cut off when the file is opened. The generator's `entry` in the config says what
    replies mean, see `read_reply`.
    """

    def __init__(self, path, entry=None):
        self.path, self._entry, self._adopted = Path(path), entry, {}
        self.rows = {}
        self._batch_faults = set()
        self.faults = Counter()
        self.paid_faults = []  # rows of faults that were billed all the same, or may have been
        self._written, self._syncing = threading.Event(), None
        self._closing, self._lost = False, None

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "a+b")
        try:
            lock_file(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"waiting for {self.path}, which another job is writing")
            lock_file(self._file, fcntl.LOCK_EX)
        self._load_rows()
        return self

    def __exit__(self, *_):
        try:
            if self._syncing:
                self._closing = True
                self._written.set()
                self._syncing.join()
                self._check_disk()
                self._sync_file()
        finally:
            self._file.close()

    def _sync_file(self):
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._lost = error
        self._check_disk()

    def _check_disk(self):
        if self._lost:
            raise UserError(f"{self.path} cannot be written: {self._lost.strerror or self._lost}")

    def _keep_synced(self):
        while not self._closing:
            self._written.wait()
            self._written.clear()
            with contextlib.suppress(UserError):  # the next `add` says it
                self._sync_file()

    def _load_rows(self):
        self._file.seek(0)
        good = 0
        gc.disable()  # the rows hold no cycles, and looking for them takes longer than reading
        message = (
            f"{self.path}, line {{}}: not a journal row; move the file away or mend the line (rows "
            "after it would be lost if it were cut here)"
        )
        for row, good in read_appended(self._file, check_row, message):  # noqa: B007, the last is used
            self._keep_row(row)
        gc.freeze()
        gc.enable()
        cut_tail(self._file, good)
        self._file.flush()

    def __contains__(self, key):
        return key in self.rows

    def __getitem__(self, key):
        return self.rows[key]

    def __len__(self):
        return len(self.rows)

    @property
    def paid_rows(self) -> list[dict]:
        """All rows that were billed, or may have been."""
        return [*self.rows.values(), *self.paid_faults]

    def add(self, rows: Iterable[dict]) -> None:
        """Append the replies and faults among `rows` that are not journaled yet.

        Every fault counts, except those of a batch whose results are read again after a kill. Rows
        of a batch are on disk when this returns, as the batch is forgotten then.

        Raises:
            UserError: the disk is full or broken.
        """
        fresh = [row for row in rows if not self._is_known(row)]
        self._check_disk()
        if self._syncing is None:
            self._syncing = threading.Thread(target=self._keep_synced, daemon=True)
            self._syncing.start()
        try:
            self._write_lines(b"".join(to_json(row).encode() + b"\n" for row in fresh))
        except OSError as error:
            self._lost = error
            self._check_disk()
        if any("mode" in row for row in fresh):
            self._sync_file()
        else:
            self._written.set()
        for row in fresh:
            self._keep_row(row)

    def _write_lines(self, lines):
        """Write all of `lines`, waiting a while for room where the disk is full."""
        left, since = memoryview(lines), None
        while left:
            try:
                left = left[os.write(self._file.fileno(), left) :]
            except OSError as error:
                now = time.monotonic()
                if since is None:
                    since = now
                    tell(f"{self.path} cannot be written: {error.strerror}; waiting for room")
                if error.errno not in (errno.ENOSPC, errno.EDQUOT) or now - since >= ROOM:
                    raise
                time.sleep(0.5)

    def _is_known(self, row):
        if "fault" in row:
            return batch_fault(row) in self._batch_faults
        return row["fingerprint"] in self.rows

    def _keep_row(self, row):
        key = row["fingerprint"]
        if reply := read_reply(row, self._entry):
            if key in self._adopted and "fault" not in row:  # the model's own reply goes before
                self._count_fault(self._adopted.pop(key))
                del self.rows[key]
            if key not in self.rows:
                self.rows[key] = reply
                self._adopted |= {key: row} if "fault" in row else {}
                return
            if "fault" not in row:
                return
        self._count_fault(row)

    def _count_fault(self, row):
        self.faults[row["fault"]] += 1
        if known := batch_fault(row):
            self._batch_faults.add(known)
        if "usage" in row or "most" in row:
            self.paid_faults.append(row)


def read_rows(path: str | Path) -> Iterator[dict]:
    """Yield the whole rows of a journal without taking its lock; none where there is no file.

    Raises:
        UserError: a row is damaged.
    """
    if not Path(path).exists():
        return
    with open(path, "rb") as lines:
        for row, _ in read_appended(lines, check_row, f"{path}, line {{}}: not a journal row"):
            yield row


def check_row(row) -> None:
    """Check the types of what is read of a journal row.

    Raises:
        ValueError, TypeError, KeyError: it is damaged.
    """
    texts = [row["fingerprint"]] + ([row["fault"]] if "fault" in row else [])
    if row.get("reply"):
        texts += [row["reply"], row.get("finish_reason", "stop")]
    counts = [n for key in ("usage", "most") for n in (row.get(key) or {}).values()]
    if not (all(isinstance(t, str) for t in texts) and all(type(n) is int for n in counts)):
        raise ValueError


def read_reply(row: dict, entry: dict | None = None) -> dict | None:
    """The reply of a journal row, its thoughts apart from its text; None for a row without one.

    A reply under another model's name is one as soon as the generator's `entry` in the config says
    so of that name; it also says what finish reasons mean.
    """
    if "fault" in row:
        known = row["fault"] == "wrong model" and "reply" in row and entry
        if not known or not is_expected_model(entry, row["model"]):
            return None
        row = {key: value for key, value in row.items() if key not in ("fault", "batch")}
    if entry and "finish_reason" in row:
        finish = read_finish(row["finish_reason"], entry.get("finish_reasons", {}))
        row = row if finish == row["finish_reason"] else row | {"finish_reason": finish}
    if not row.get("reply"):
        if row.get("thoughts") and row.get("finish_reason") == "stop":
            return row | {"finish_reason": "unfinished thoughts"}
        return row
    answer = separate_thoughts(row["reply"])
    if answer.text == row["reply"]:
        return row
    thoughts = "\n".join(filter(None, (row.get("thoughts"), answer.thoughts)))
    finish = row.get("finish_reason", "stop")
    whole = answer.finished and (answer.text.strip() or finish != "stop")
    finish = finish if whole else "unfinished thoughts"
    return row | {"reply": answer.text, "thoughts": thoughts, "finish_reason": finish}


def batch_fault(row: dict) -> tuple | None:
    """The key of a fault of a batch; None for one that came online.

    A line that names no request stands for itself only.
    """
    if "batch" in row and row["fingerprint"]:
        return row["batch"], row["fingerprint"], row["fault"]
    return None
