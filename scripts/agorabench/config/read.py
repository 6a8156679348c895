"""Read a config file: a fault of its text is one sentence with the file and the line."""

import json
import math
import re
from contextlib import suppress
from functools import cache
from pathlib import Path

from agorabench.errors import UserError

# The domains and methods that every config has.
SHIPPED = Path(__file__).resolve().parents[3] / "config" / "defaults.yaml"
DEEPEST = 100  # mappings and lists inside each other; thousands would end the process in libyaml
MOST = 1_000_000  # values, what aliases stand for counted each time
KINDS = ("map", "seq", "str", "int", "float", "bool", "null", "merge")  # that a value may be
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class _Refused(Exception):
    """What is wrong with the text of a file: where (", line 3"), and in words."""


def read_file(file: str | Path, name: str = "") -> dict:
    """Return what a YAML or JSON file holds; JSON is read as such, for to YAML 1e-05 is text.

    Args:
        file: the file.
        name: the file's name in messages, if another.

    Raises:
        UserError: it cannot be read, or gives a key twice, or holds what no config can.
    """
    name = name or str(file)
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(
            f"cannot read the config {name} ({error.strerror}); a file in .snakemake/agorabench is "
            "written when a run of snakemake starts"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: not text in UTF-8 ({error.reason}); save it as UTF-8") from None
    try:
        with suppress(ValueError, RecursionError):
            return json.loads(
                text,
                object_pairs_hook=_join_pairs,
                parse_constant=_read_number,
                parse_float=_read_number,
            )
        return _read_yaml(text)
    except _Refused as fault:
        place, sentence = fault.args
        raise UserError(f"{name}{place}: {sentence}") from None


@cache
def read_shipped() -> dict:
    """Return the registries that every config begins with, those of the paper."""
    return read_file(SHIPPED)


def _read_number(text):
    if not math.isfinite(number := float(text)):
        raise _Refused("", f"{text} is not a finite number")
    return number


def _join_pairs(pairs):
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key is given twice")  # read as YAML, which knows the lines
    return found


def _read_yaml(text):
    import yaml

    loader_class = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is 10 times as fast
    depth = 0
    try:
        for event in yaml.parse(text, loader_class):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise _refuse(event, f"mappings and lists are nested more than {DEEPEST} deep")
        loader = loader_class(text)
        if (tree := loader.get_single_node()) is None:
            return None
        _check_node(tree, (), [], {})
        return loader.construct_document(tree)
    except yaml.reader.ReaderError as error:
        line = text.encode(errors="replace")[: error.position].count(b"\n") + 1
        raise _Refused(f", line {line}", f"not YAML: {error.reason}") from None
    except yaml.MarkedYAMLError as error:
        # What is left open is known by its beginning, all else by the place where it goes wrong.
        scanning = (error.context or "").startswith("while scanning a")
        mark = (scanning and error.context_mark) or error.problem_mark
        words = ", ".join(filter(None, (error.context, error.problem)))
        line = text.split("\n")[mark.line : mark.line + 1]
        tab = "; a tab, where YAML takes spaces only" if line and "\t" in line[0] else ""
        raise _Refused(f", line {mark.line + 1}", f"not YAML: {words}{tab}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # of "!!int many"
        raise _Refused("", f"not YAML: {error}") from None


def _refuse(node, text):
    return _Refused(f", line {node.start_mark.line + 1}", text)


def _check_node(node, path, above, sizes):
    """Check a YAML node and all below it, once; return how many values it stands for."""
    if node in above:
        raise _refuse(node, "an anchor whose alias is inside it: a config without an end")
    if node in sizes:
        return sizes[node]
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind == "timestamp":
        raise _refuse(node, f"{node.value} is a date to YAML: quote it")
    if kind not in KINDS:
        raise _refuse(node, f"the tag {node.tag} has no meaning in a config")
    size, lines = 1, {}
    if isinstance(node.value, str):
        _check_scalar(node, kind)
    else:
        for child in node.value:
            key, inner = child if isinstance(child, tuple) else (None, child)
            here = path
            if key is not None:
                size += _check_node(key, path, [*above, node], sizes)
                word, line = str(key.value), key.start_mark.line + 1
                if word in lines and word != "<<":
                    where = f": {'.'.join(path)}" if path else ""
                    text = f"'{word}' is given twice, on lines {lines[word]} and {line}"
                    raise _Refused(where, text)
                lines[word] = line
                here = (*path, word)
            size += _check_node(inner, here, [*above, node], sizes)
    if size > MOST:
        raise _refuse(node, f"its aliases stand for more than {MOST:,} values")
    sizes[node] = size
    return size


def _check_scalar(node, kind):
    """Refuse text with control characters, and numbers that are not what they look like."""
    text = node.value
    if found := CONTROLS.search(text):
        raise _refuse(node, f"a control character, {found[0]!r}, in {text[:60]!a}")
    if kind in ("int", "float") and (":" in text or re.fullmatch(r"[-+]?0[0-7_]+", text)):
        base = 60 if ":" in text else 8
        raise _refuse(node, f"YAML reads {text} in base {base}: write the number, or quote it")
    if kind == "int" and len(text) > 20:
        raise _refuse(node, f"{text[:20]}... is too large a number")
    if kind == "float" and not math.isfinite(float(re.sub(r"_|\.(?=nan|inf)", "", text.lower()))):
        raise _refuse(node, f"{text} is not a finite number")
