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
from functools import cache
from itertools import chain, islice
from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import read_jsonl, to_json, value_at

ROLES = dict.fromkeys(("user", "human", "prompter"), "user")
ROLES |= {"developer": "system"}
ROLES |= dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt", "ai"), "assistant")
LETTERS = ("system", "user", "assistant")
TURNS = ("messages", "conversations", "conversation")  # fields that hold them
TEXTS = ("content", "value", "text")  # fields of a turn
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
    path, files = Path(path), _rows_files(path)
    if path.is_dir():
        if not files:
            raise Unreadable(f"no file in this folder ends in {', '.join(KINDS)} (or that and .gz)")
        return parse_files({str(file.relative_to(path)): file for file in files}), files
    if not path.is_file():
        raise Unreadable("no such file")
    return parse_file(path), files


def parse_files(files: dict[str, str | Path]) -> Sequence[dict]:
    """Parse several files, by the names that messages give them; see `parse_file`."""
    sets = []
    for name, file in files.items():
        try:
            sets.append(parse_file(file))
        except Unreadable as fault:
            raise Unreadable(f"{name}: {fault}") from None
    return join_rows(sets)


def place_row(source: dict, number: int) -> str:
    """Where the row of a number (from 0) of a source stands, for a message: file and row from 1."""
    for file in _rows_files(source.get("path")):
        if number < (rows := _count_rows(file)):
            return f"{file}, row {number + 1}"
        number -= rows
    return f"row {number + 1}"


@cache
def _count_rows(file):
    return len(parse_file(file))


def _rows_files(path):
    """The files of rows that a path names: itself, or those of a folder."""
    if path and Path(path).is_dir():
        return _list_files(Path(path), "*") or _list_files(Path(path), "**/*")
    return [Path(path)] if path else []


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


def read_field(row: dict, place: str):
    """The value of a field, or the text of a template over fields (`fill_template`).

    Raises:
        KeyError: a field is absent; its argument is the dotted path.
    """
    return fill_template(place, row) if "{" in place else value_at(row, place)


def template_fields(place: str) -> list[str]:
    """The dotted paths that a field or a template over fields names."""
    return [field for _, field in FIELD.findall(place) if field] if "{" in place else [place]


def read_pairs(row: dict, source: dict) -> list[dict]:
    """The pairs {"instruction", "response"} of a row, by the keys of `config.models.sources.Fields`
    in a source; of a conversation kept whole one, with the messages "before" its last question.

    Raises:
        Unfit: a conversation that is no question and answer, or none as its source wants them.
        KeyError: a field is absent; its argument is the dotted path.
    """
    if source.get("format") == "messages":
        return read_conversation(row, source.get("turns"), source.get("roles", {}))
    pair = {}
    for field, role in (("instruction", "user"), ("response", "assistant")):
        place = source.get(field, field)
        pair[field] = read_field(row, place)
        for path in template_fields(place):
            holder, _, last = path.rpartition(".")
            if holder and last in TEXTS:
                told = _role(value_at(row, holder), source.get("roles", {}))
                # A template of an instruction may show what was said before.
                if told not in (None, role) and (path == place or role == "assistant"):
                    raise Unfit(f"{holder} is a turn of role {told}, not {role}")
    return [pair]


def read_conversation(row: dict, turns: str | None = None, names: dict | None = None) -> list[dict]:
    """The pairs of a conversation of questions and their answers, by the roles of its turns.

    What system turns at the beginning say goes before every question.

    Args:
        turns: what becomes of several rounds: "split", a pair each; "whole", one pair with the
            messages "before" it; None, nothing. A last question without an answer is left off.
        names: further names of roles -> user, assistant or system.

    Raises:
        Unfit: it has other turns than that, or none.
    """
    field = _turns_field(row)
    if field is None:
        raise Unfit("no messages or conversations")
    roles = [_role(turn, names or {}) for turn in row[field]]
    shape = "".join(role[0] if role in LETTERS else "?" for role in roles)
    if not re.fullmatch("s*(ua)+u?" if turns else "s*ua", shape):
        order = ", ".join(str(role) for role in roles[:4]) + (", ..." if len(roles) > 4 else "")
        wanted = "questions and answers in turn" if turns else "one question and one answer"
        raise Unfit(f"turns are not {wanted}: {order or 'none'}")
    texts = [_turn_text(turn) for turn in row[field]]
    start, end = shape.index("u"), shape.rindex("a") + 1
    if None in texts[start:end]:
        raise Unfit("not text")
    if not all(text.strip() for text in texts[start:end]):
        raise Unfit("an empty turn")
    system = "\n\n".join(text for text in texts[:start] if text and text.strip())
    if turns == "whole":
        said = [("system", system)] * bool(system)
        said += zip(roles[start : end - 2], texts[start : end - 2], strict=True)
        before = [{"role": role, "content": text} for role, text in said]
        pair = {"instruction": texts[end - 2], "response": texts[end - 1]}
        return [{"before": before, **pair} if before else pair]
    opening = f"{system}\n\n" if system else ""
    return [
        {"instruction": opening + question, "response": answer}
        for question, answer in zip(texts[start:end:2], texts[start + 1 : end : 2], strict=True)
    ]


def trained_pair(row: dict) -> tuple[str, str]:
    """(All that was said before, the last answer) of a row of a training set."""
    *before, answer = (message["content"] for message in row["messages"])
    return "\n\n".join(before), answer


def _turns_field(row):
    """The field of a row that holds its conversation, or None."""
    return next((name for name in TURNS if isinstance(row.get(name), list)), None)


def _role(turn, names) -> str | None:
    """The role of a turn, in OpenAI's words where it has one of theirs or of `names`."""
    if not isinstance(turn, dict):
        return None
    told = turn.get("role") or turn.get("from")
    if not isinstance(told, str):
        return None
    return names.get(told) or ROLES.get(told.lower(), told.lower())


def _turn_text(turn):
    """The text of a turn, whose content may be in parts; None where there is other content."""
    if turn.get("tool_calls") or turn.get("function_call"):
        return None
    content = next((turn[name] for name in TEXTS if turn.get(name) is not None), None)
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
        for field in ("instruction", "response"):
            read |= set(template_fields(source.get(field, field)))
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
