"""Files that are either whole or absent, and rows one JSON object a line."""

import fcntl
import hashlib
import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path

from agorabench.errors import UserError


@contextmanager
def atomic_file(path, mode="w"):
    """Open a temporary sibling of `path` and rename it into place if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The host too: jobs of several nodes may write the same file.
    partial = path.with_name(f".{path.name}.{os.uname().nodename}-{os.getpid()}.partial")
    encoding = None if "b" in mode else "utf-8"
    try:
        with open(partial, mode, 1 << 20, encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


class DamagedFile(UserError, ValueError):
    """A file that does not hold what its name says."""


def lock_file(file, kind):
    """Take a lock (of fcntl.LOCK_*) on an open file.

    Raises:
        UserError: its file system has no locks.
    """
    try:
        fcntl.flock(file, kind)
    except BlockingIOError:
        raise
    except OSError as error:
        raise UserError(
            f"{file.name}: its file system does not lock files ({error.strerror}), and two jobs "
            "would write over each other; keep this folder on one that does"
        ) from None


def cut_tail(file, end):
    """Cut a file (open for appending bytes and reading) after `end` bytes, those of its whole rows,
    and end the last of these if its newline is missing."""
    file.truncate(end)
    file.seek(max(0, end - 1))
    missing = end and file.read(1) != b"\n"
    file.seek(0, os.SEEK_END)
    if missing:
        file.write(b"\n")


def write_jsonl(path, rows):
    """Write `rows` (an iterable of objects) to `path`, one JSON object a line."""
    with atomic_file(path, "wb") as file:
        for row in rows:
            file.write(to_json(row).encode() + b"\n")


def write_json(path, value):
    """Write one indented JSON value with sorted keys."""
    with atomic_file(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def read_jsonl(path, **options):
    """Rows of a JSON Lines file, or of a JSON file that holds one list; `options`: of json.loads.

    Raises:
        UserError: the file is absent or a line of it is not JSON.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding=text_encoding(path))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; if a rule makes it, `snakemake {path}` does"
        ) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DamagedFile(f"{path}, line {line}: not text in UTF-8 ({error})") from None
    if text.lstrip().startswith("["):
        try:
            return json.loads(text, **options)
        except (ValueError, RecursionError) as error:
            raise DamagedFile(f"{path}: not JSON ({error})") from None
    rows = []
    # Not splitlines(): it also breaks at U+2028 and friends, which JSON leaves unescaped.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line, **options))
            except (ValueError, RecursionError) as error:
                raise DamagedFile(f"{path}, line {number}: not JSON ({error})") from None
    return rows


def text_encoding(path):
    """The encoding of a file of JSON: what its byte order mark or its first two characters say."""
    with open(path, "rb") as file:
        return json.detect_encoding(file.read(4))


def read_appended(lines, key, sentence):
    """Rows of a file that is only appended to: (row, bytes up to its end); a torn last line, which
    its writer died in or is still writing, is left out. `cut_tail` makes it ready for more.

    Args:
        lines: the file, open for reading bytes.
        key: what every row has, or a function that raises ValueError for one that is damaged.
        sentence: about a line that is no such row, with {} for its number.

    Raises:
        UserError: there is such a line.
    """
    end = 0
    for number, line in enumerate(lines, 1):
        end += len(line)
        try:
            row = json.loads(line)
            key(row) if callable(key) else row[key]
        except (ValueError, TypeError, KeyError, RecursionError):
            if not line.endswith(b"\n"):
                return
            raise UserError(sentence.replace("{}", str(number))) from None
        yield row, end


def read_json(path):
    """The value of a JSON file.

    Raises:
        DamagedFile: it is not JSON.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path}: not JSON ({error}); delete it, to have it made anew") from None


def value_at(row, path):
    """The value at a dotted path ("conversations.0.value") in nested objects and lists.

    Raises:
        KeyError: there is none; its argument is the path.
    """
    value = row
    for step in path.split("."):
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, TypeError, ValueError):
            raise KeyError(path) from None
    return value


# Made once: json.dumps makes a new one for every call that has options.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_encode_sorted = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def to_json(value):
    """Compact JSON with the keys in the order given."""
    return _encode(value)


def json_fingerprint(*parts):
    """SHA-256 (hexadecimal) of JSON-able `parts`, independent of the order of keys."""
    return hashlib.sha256(_encode_sorted(parts).encode()).hexdigest()


def file_digest(*paths):
    """SHA-256 (hexadecimal) over the contents of files, in the order given."""
    total = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()
