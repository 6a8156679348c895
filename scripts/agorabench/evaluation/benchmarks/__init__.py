"""Benchmarks: one module per protocol, found by the name in the config.

A protocol module reads top to bottom and offers

    read_items(rows)    the benchmark file's own rows -> as many items with "id", "prompt" and what
                        grading needs
    grade_items(items, completions, sandbox)  -> one verdict per item:
                        {"score": 0.0 to 1.0, "extracted": str, "reason": str}

and, where worked examples in plain text are not how a base model is asked,

    plain_prompt(item), STOP    the text to continue, and the strings that end a continuation

and, where the field reports more than one score,

    ALSO                  names of further scores (0.0 to 1.0), which every verdict has too; None
                          where only the verdicts say which
    WEIGHTS               {one of them: what of a verdict says how often the item counts in it}

and, where the benchmark is described in the config (match, choice, rubric, lm_eval),

    KEYS                  {key of the benchmark's entry that it reads: what it is, None if the key
                          can be left out}; its read_items takes the entry too, and grade_items
                          entry= and predictions= (the rows of the completions)

An item that is answered by likelihoods has "continuations", and perhaps "contexts", one for each,
in place of its prompt; the row of its completion has "likelihoods", [{"logprob", "greedy"}].
An item may have "stop" and "max_tokens" of its own.

where `sandbox(programs, limits=..., workers=N)` runs [(code, tests)] as untrusted code, see
`agorabench.sandbox`, and `sandbox.workers` is how many processes may work at a time.
docs/benchmarks.md shows a whole one.

A verdict may have a "weight", that of its item in the mean, and a score of None where there is no
verdict. A protocol with a judge (JUDGED) has FILES, further files that it needs -> what they are,
GAMES, how often the judge is asked about an item, and

    item_games(item, completion, files, seed)  -> what the judge is asked: [{"messages", "swapped"}]
    parse_verdict(entry, game, reply)          -> what a reply row says, or None
    official_rows(items, predictions, judgements, model, judge, entry=, files=)
                                               -> the same in its own tool's formats, by file name

(entry: the benchmark's in the config) and its `grade_items` takes judgements=[[{"verdict",
"swapped"} of each game] of each item], files= and entry=.
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType

from agorabench.errors import UserError
from agorabench.files import file_digest, read_json, read_jsonl
from agorabench.plugins import find_plugin

ROW_FAULTS = (KeyError, IndexError, TypeError, ValueError)  # of a row that a protocol cannot read
JUDGED = ("alpaca_eval", "arena_hard", "rubric")  # protocols


def load_protocol(entry: dict) -> ModuleType:
    """The module of a benchmark's config entry: a plug-in's, or one of this package."""
    name = entry["protocol"]
    return find_plugin("protocol", name) or import_module(f"{__name__}.{name}")


def protocol_file(name: str) -> str:
    """The file of a protocol, relative to scripts/."""
    scripts = Path(__file__).resolve().parents[3]
    if offered := find_plugin("protocol", name):
        module = offered.__name__ if inspect.ismodule(offered) else offered.__module__
        file = Path(sys.modules[module].__file__).resolve()
        return os.path.relpath(file, scripts)
    return f"{__name__.replace('.', '/')}/{name}.py"


def protocol_files(entry: dict, folder: Path) -> dict[str, Path]:
    """Paths of the protocol's further files, in a folder, by their names.

    Raises:
        UserError: one is not there.
    """
    found = {name: folder / name for name in load_protocol(entry).FILES}
    found |= {"rubric": Path(entry["rubric"])} if "rubric" in entry else {}
    for name, path in found.items():
        if not path.is_file():
            raise UserError(f"{path}: no such file; {entry['protocol']} needs files.{name}")
    return found


def build_games(
    entry: dict, items: list[dict], predictions: list[dict], files: dict[str, Path], seed: int
) -> list[dict]:
    """What a judge is asked of a model's completions, each {"id", "game", "completion", "swapped",
    "messages"}.

    Args:
        predictions: rows in the order of the items.
        files: as `protocol_files` gives them.
        seed: of the order in which answers are shown.
    """
    return [
        game | {"id": item["id"], "game": number, "completion": row["completion"]}
        for item, row in zip(items, predictions, strict=True)
        for number, game in enumerate(
            load_protocol(entry).item_games(item, row["completion"], files, seed)
        )
    ]


def load_items(entry: dict, path: Path):
    """Items of a benchmark file; `limit` in the entry keeps the first ones.

    Raises:
        UserError: the file has no items, an item appears twice, a row lacks a field, or the file is
            not the one that the manifest beside it describes.
    """
    check_manifest(path)
    return parse_items(entry, read_jsonl(path), path)


def parse_items(
    entry: dict, rows: Iterable[dict], path: str | Path, place: Callable | None = None
) -> list[dict]:
    """Items of the rows of a benchmark, which messages call `path`; see `load_items`.

    Rows beyond the limit are not read. `place` says where the row of a number (from 0) stands.
    """
    protocol = load_protocol(entry)
    described = [entry] if hasattr(protocol, "KEYS") else []
    rows = list(islice(rows, entry.get("limit")))
    try:
        items = protocol.read_items(rows, *described)
    except ROW_FAULTS as error:
        what = f"no field {error}" if isinstance(error, KeyError) else f"{error}"
        number = next((n for n, row in enumerate(rows) if not _reads(protocol, row, described)), 0)
        where = place(number) if place else f"row {number + 1}"
        known = f"it has: {', '.join(rows[number])}" if described and rows else ""
        raise UserError(
            f"{path}, {where}: {what}; {known or 'is it a ' + entry['protocol'] + ' file?'}"
        ) from None
    if not items:
        raise UserError(f"{path}: the benchmark has no items")
    seen = set()
    for item in items:
        if item["id"] in seen:
            raise UserError(f"{path}: the item {item['id']} appears twice")
        seen.add(item["id"])
    return items


def _reads(protocol, row, described):
    """Can a protocol read this row?"""
    with suppress(*ROW_FAULTS):
        return bool(protocol.read_items([row], *described))


def check_manifest(path: Path) -> None:
    """Is a benchmark file what its manifest, if it has one, says it is?"""
    manifest = Path(path).with_suffix(".manifest.json")
    if manifest.is_file() and Path(path).is_file():
        expected, found = read_json(manifest).get("sha256"), file_digest(path)
        if expected != found:
            raise UserError(
                f"{path}: this is another version than {manifest} describes (sha256 {found}, not "
                f"{expected}); delete both and fetch the benchmark again"
            )
