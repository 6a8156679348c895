"""Rows as people have them: files of several kinds, and the pair that a row holds.

One reader for seed data, data sets and benchmarks. Fields are dotted paths
("conversations.0.value"), or the turns of a conversation are read by their roles (format:
messages), as OpenAI ("messages" of role and content) and ShareGPT ("conversations" of from and
value) write them.
"""

import gzip
import re
import shutil
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import read_jsonl, to_json, value_at

ROLES = dict.fromkeys(("user", "human", "prompter"), "user")
ROLES |= {"developer": "system"}
ROLES |= dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt"), "assistant")
TURNS = ("messages", "conversations", "conversation")  # fields that hold them
KINDS = (".jsonl", ".json", ".ndjson", ".parquet")
# What `datasets` writes beside rows.
NO_ROWS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
LOOKED_AT = 1000  # rows in which fields that nobody reads are looked for


class Unreadable(Exception):
    """A source cannot be had; the text is the reason, without the source's name."""


class Unfit(ValueError):
    """A row that holds no pair; its text is a short, stable reason, fit to be counted."""


def read_files(path: str | Path) -> tuple[Sequence[dict], list[Path]]:
    """(Rows, files) of a file, or of all files of a folder in the order of their names.

    Of a folder count the files with an ending of KINDS, or those of the folders in it where it has
    none itself (data/, train/); what describes a data set (cards, NO_ROWS, .cache) does not.

    Raises:
        Unreadable: there is none, or one is not of a kind that `parse_file` knows.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.is_file():
            raise Unreadable("no such file")
        return parse_file(path), [path]
    files = _list_files(path, "*") or _list_files(path, "**/*")
    if not files:
        raise Unreadable(f"no file in this folder ends in {', '.join(KINDS)} (or that and .gz)")
    return parse_files({str(file.relative_to(path)): file for file in files}), files


def parse_files(files: dict[str, str | Path]) -> Sequence[dict]:
    """Parse several files, by the names that messages give them; see `parse_file`."""
    sets = []
    for name, file in files.items():
        try:
            sets.append(parse_file(file))
        except Unreadable as fault:
            raise Unreadable(f"{name}: {fault}") from None
    return join_rows(sets)


def _list_files(folder, pattern):
    """Files of rows in a folder, without hidden ones."""
    return sorted(
        file
        for file in folder.glob(pattern)
        if file.is_file()
        and file.name.removesuffix(".gz").endswith(KINDS)
        and file.name not in NO_ROWS
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def parse_file(file: str | Path) -> Sequence[dict]:
    """Parse the rows of a JSON Lines, JSON (one list) or Parquet file; .gz is unpacked.

    Raises:
        Unreadable: it is none of these.
    """
    file = Path(file)
    try:
        if file.suffix == ".gz":
            with tempfile.TemporaryDirectory() as folder:
                plain = Path(folder) / file.stem
                with gzip.open(file) as packed, open(plain, "wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
                return parse_file(plain)
        if file.suffix == ".parquet":
            from datasets import Dataset, disable_progress_bars

            disable_progress_bars()
            try:
                # Read where it lies on disk: millions of rows do not fit in memory as objects.
                return Dataset.from_parquet(str(file))
            except Exception as error:  # the library raises dozens of kinds
                reason = str(error).strip().partition("\n")[0]
                raise Unreadable(f"not Parquet ({reason})") from None
        rows = read_jsonl(file, object_pairs_hook=_unique_keys)
    except UserError as error:
        raise Unreadable(str(error).removeprefix(str(file)).lstrip(":, ")) from None
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise Unreadable(f"{file.name} cannot be read ({error})") from None
    if not isinstance(rows, list):
        raise Unreadable("not a list of rows")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            kind = "null" if row is None else type(row).__name__
            raise Unreadable(f"row {number} is {kind}, not a JSON object")
    return rows


def _unique_keys(pairs):
    """An object's pairs as a mapping; Python would silently keep the last of two equal keys."""
    row = dict(pairs)
    if len(row) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} twice in an object")
    return row


def join_rows(sets: list[Sequence[dict]]) -> Sequence[dict]:
    """Several sequences of rows as one."""
    if len(sets) == 1:
        return sets[0]
    if all(hasattr(rows, "features") for rows in sets):
        from datasets import concatenate_datasets

        with suppress(ValueError, TypeError):  # columns of several types
            return concatenate_datasets(sets)
    return list(chain.from_iterable(sets))


FIELD = re.compile(r"\{\{([^{}\n]+)\}\}|\{([^{}\n]+)\}")


def fill_template(template: str, row: dict) -> str:
    r"""A text with the fields of a row in place of {field} (dotted paths); {{field}} stays {field}.

    What is in braces and cannot be a field, as in {"a": 1} or \frac{1}{2}, stays as it is; a list
    or a mapping is shown as JSON, null as nothing.

    Raises:
        KeyError: a field is absent; its argument is the dotted path.
    """

    def fill(found):
        literal, field = found.groups()
        if literal is not None:
            return f"{{{literal}}}"
        try:
            value = value_at(row, field)
        except KeyError:
            if re.fullmatch(r"[^\W\d][\w.]*", field):
                raise
            return found[0]
        return value if isinstance(value, str) else "" if value is None else to_json(value)

    return FIELD.sub(fill, template)


def read_pair(row: dict, source: dict) -> tuple:
    """(instruction, response) of a row, by the `instruction`, `response` and `format` of a source.

    Raises:
        Unfit: a conversation that is no question and answer.
        KeyError: a field is absent; its argument is the dotted path.
    """
    if source.get("format") == "messages":
        return read_conversation(row)
    texts = []
    for field, role in (("instruction", "user"), ("response", "assistant")):
        path = source.get(field, field)
        texts.append(value_at(row, path))
        holder, _, last = path.rpartition(".")
        if holder and last in ("content", "value", "text"):
            told = _role(value_at(row, holder))
            if told not in (None, role):
                raise Unfit(f"{holder} is a turn of role {told}, not {role}")
    return tuple(texts)


def read_conversation(row: dict) -> tuple[str, str]:
    """(instruction, response) of a conversation of one question and one answer, by their roles;
    what a system turn says goes before the question.

    Raises:
        Unfit: it has other turns than that, or none.
    """
    turns = row.get(_turns_field(row))
    if turns is None:
        raise Unfit("no messages or conversations")
    roles = [_role(turn) for turn in turns]
    texts = [_turn_text(turn) for turn in turns]
    system = roles[:1] == ["system"]
    if roles[system:] != ["user", "assistant"]:
        order = ", ".join(str(role) for role in roles[:4]) + (", ..." if len(roles) > 4 else "")
        raise Unfit(f"turns are not one question and one answer: {order or 'none'}")
    if system and not (texts[0] or "").strip():
        texts = texts[1:]
    if None in texts:
        raise Unfit("not text")
    return "\n\n".join(texts[:-1]), texts[-1]


def _turns_field(row):
    """The field of a row that holds its conversation, or None."""
    return next((name for name in TURNS if isinstance(row.get(name), list)), None)


def _role(turn) -> str | None:
    """The role of a turn, in OpenAI's words where it has one of theirs."""
    if not isinstance(turn, dict):
        return None
    told = turn.get("role") or turn.get("from")
    return ROLES.get(told.lower(), told.lower()) if isinstance(told, str) else None


def _turn_text(turn):
    """The text of a turn, whose content may be in parts; None where there is other content."""
    if not isinstance(turn, dict):
        return None
    content = turn.get("value") if turn.get("content") is None else turn["content"]
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        return "".join(parts) if all(isinstance(part, str) for part in parts) else None
    return content if isinstance(content, str) else None


def known_fields(row: dict) -> str:
    """The fields of a row, for a message about one that it has not."""
    hint = "; a conversation is read with format: messages" if _turns_field(row) else ""
    return ", ".join(row) + hint


def text_fault(text) -> str | None:
    """Why a value is no text to train on; None where it is one."""
    if text is None:
        return "null"
    if not isinstance(text, str):
        return f"a {type(text).__name__}, not text"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half a character (a lone surrogate)"
    return None


def unread_fields(rows: Sequence[dict], source: dict, known: Iterable[str] = ()) -> list[str]:
    """Fields with text that a source does not read, each with the share of rows that have it.

    Names, numbers and labels, which have no space in them, are no text. `known` are read elsewhere.
    """
    read = {*source.get("where", {}), *known}
    if source.get("format") != "messages":
        read |= {source.get(field, field) for field in ("instruction", "response")}
    partly = {path.split(".")[0] for path in read if "." in path}
    counts, looked_at = Counter(), 0
    for looked_at, row in enumerate(islice(rows, LOOKED_AT), 1):  # noqa: B007, used below
        turns = {_turns_field(row)} if source.get("format") == "messages" else set()
        paths = _unread_texts(row, "", read | turns)
        fields = ((path.split(".")[0], path) for path in paths)
        counts.update({path if field in partly else field for field, path in fields})
    return [f"{name} ({count / looked_at:.0%} of rows)" for name, count in counts.items()]


def _unread_texts(value, path, read):
    """Yield the dotted paths of texts below a value, but for those in `read`."""
    if isinstance(value, str) and " " in value.strip():
        yield path
    elif isinstance(value, (dict, list)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            below = f"{path}.{key}" if path else str(key)
            if below not in read:
                yield from _unread_texts(part, below, read)


def warn_unread(
    rows: Sequence[dict], source: dict, setting: str, known: Iterable[str] = ()
) -> None:
    """Say on stderr which fields with text are not read."""
    if fields := unread_fields(rows, source, known):
        print(f"{setting}: text that is not read: {', '.join(fields)}", file=sys.stderr)
