"""config/schema.yaml, which describes every key of a configuration once, applied and told.

This reads the part of JSON Schema that it uses, itself: importing jsonschema takes longer than all
of the rest of a check, and its errors would have to be reworded anyway; the tests hold both to the
same verdicts.

This renews the table of keys in config/README.md after an edit of the schema:

    PYTHONPATH=scripts python -m agorabench.config.schema
"""

import json
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

CONFIG = Path(__file__).resolve().parents[3] / "config"
TABLE = "<!-- Made from schema.yaml by: PYTHONPATH=scripts python -m agorabench.config.schema -->\n"

KINDS = {
    "object": ("a mapping", lambda value: isinstance(value, Mapping)),
    "array": ("a list", lambda value: isinstance(value, list)),
    "string": ("text", lambda value: isinstance(value, str)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "null": ("null", lambda value: value is None),
    "integer": ("a whole number", lambda value: type(value) is int),
    "number": ("a number", lambda value: type(value) in (int, float) and math.isfinite(value)),
}


class Fault(Exception):
    """A fault at a key path of the config; `at` is the key to look for in the files, if another."""

    def __init__(self, path, text, at=None):
        super().__init__(text)
        self.path, self.text, self.at = path, text, path if at is None else at


@cache
def schema():
    """The parsed config/schema.yaml."""
    return load(CONFIG / "schema.yaml")


def load(file):
    import yaml

    text = Path(file).read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError:
        return yaml.load(text, Loader=loader())


def loader():
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is 10 times as fast


def conform(value, rule, path=()):
    """Return `value` with the defaults of `rule` (a JSON Schema) filled in, or raise a Fault."""
    rule = _resolve(rule)
    if "oneOf" in rule:
        rule = _branch(value, [_resolve(branch) for branch in rule["oneOf"]], path)
    if "const" in rule:  # a branch was chosen by it
        return value
    _check_kind(value, rule, path)
    if isinstance(value, Mapping):
        return __conform_mapping(value, rule, path)
    if isinstance(value, list):
        if not value and rule.get("minItems"):
            raise Fault(path, "must name at least one")
        if rule.get("uniqueItems"):
            _refuse_repeated(value, path)
        return [conform(item, rule["items"], path) for item in value]
    _check_scalar(value, rule, path)
    # 1 and 1.0 are one number: they must not differ in a fingerprint or make anything stale.
    kinds = rule.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return float(value) if "number" in kinds and type(value) is int else value


def __conform_mapping(value, rule, path):
    known = rule.get("properties", {})
    others = rule.get("additionalProperties", True)
    names = _resolve(rule.get("propertyNames", {}))
    for key in value:
        if not isinstance(key, str):
            raise Fault(path, f"the key {show(key)} must be text: quote it", (*path, key))
        if key in known:
            continue
        if others is False:
            refuse_key(key, list(known), path)
        if "enum" in names and key not in names["enum"]:
            refuse_key(key, names["enum"], path, names["title"])
        _check_scalar(key, names, path, (*path, key))
    for key in rule.get("required", ()):
        if key not in value:
            raise Fault(path, f"missing key '{key}'")
    if not value and rule.get("minProperties"):
        raise Fault(path, "must have at least one entry")
    filled = {}
    for key, item in value.items():
        inner = known.get(key, others)
        filled[key] = item if inner is True else conform(item, inner, (*path, key))
    for key, inner in known.items():
        if key not in filled and "default" in (inner := _resolve(inner)):
            filled[key] = conform(inner["default"], inner, (*path, key))
    return filled


def _resolve(rule):
    """Follow a $ref to one of the schema's own $defs; keys beside it win."""
    while "$ref" in rule:
        target = schema()["$defs"][rule["$ref"].removeprefix("#/$defs/")]
        rule = {**target, **{key: part for key, part in rule.items() if key != "$ref"}}
    return rule


def _branch(value, branches, path):
    """The branch of a oneOf that `value` means.

    A branch is known by the first key that it requires and, if that has one, by its const.
    """
    if not isinstance(value, Mapping):
        raise Fault(path, f"must be a mapping, not {show(value)}")
    possible = {}
    for branch in branches:
        head = branch["required"][0]
        const = _resolve(branch["properties"][head]).get("const")
        if head in value and const in (None, value[head]):
            return branch
        possible.setdefault(head, []).append(const)
    for head, consts in possible.items():
        if head in value:
            raise Fault((*path, head), unknown(head, value[head], consts))
    for key in value:
        known = list(dict.fromkeys(key for branch in branches for key in branch["properties"]))
        if key not in known:
            refuse_key(key, known, path)
    raise Fault(path, f"missing key {' or '.join(map(repr, possible))}")


def _check_kind(value, rule, path):
    kinds = rule.get("type")
    if kinds is None:
        return
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(KINDS[kind][1](value) for kind in kinds):
        text = f"must be {' or '.join(KINDS[kind][0] for kind in kinds)}, not {show(value)}"
        if isinstance(value, str) and {"number", "integer"} & set(kinds):
            text += _hint(value)
        raise Fault(path, text)


def _check_scalar(value, rule, path, at=None):
    if "enum" in rule and value not in rule["enum"]:
        raise Fault(path, unknown(rule.get("title", path[-1]), value, rule["enum"]))
    text = isinstance(value, str)
    if (
        text
        and "pattern" in rule
        and not re.search(rule["pattern"].removesuffix("$") + r"\Z", value)
    ):
        raise Fault(path, f"{show(value)} is not {rule['title']}", at)
    if value == "" and rule.get("minLength"):
        raise Fault(path, "must not be empty")
    if isinstance(value, (int, float)):
        for word, wrong, sentence in (
            ("minimum", lambda limit: value < limit, "at least"),
            ("exclusiveMinimum", lambda limit: value <= limit, "more than"),
            ("maximum", lambda limit: value > limit, "at most"),
            ("exclusiveMaximum", lambda limit: value >= limit, "less than"),
        ):
            if word in rule and wrong(rule[word]):
                raise Fault(path, f"must be {sentence} {rule[word]}, not {show(value)}")


def _refuse_repeated(items, path):
    for index, item in enumerate(items):
        if item in items[:index]:
            raise Fault(path, f"{show(item)} is given twice")


def refuse_key(key, known, path, title="key"):
    import difflib

    close = difflib.get_close_matches(key, known, 1)
    guess = f" did you mean '{close[0]}'?" if close else ""
    text = f"unknown {title} '{key}';{guess} known: {', '.join(known)}"
    raise Fault(path, text, (*path, key))


def unknown(kind, name, known):
    return f"unknown {kind} {show(name)}; known: {', '.join(known)}"


def show(value):
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, (Mapping, list)):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    return f"'{value}'" if isinstance(value, str) else str(value)


def _hint(text):
    """Why a number is text: YAML 1.1 takes 2e-3 for it, and so does Snakemake inside --config."""
    try:
        number = float(text)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    if "e" in text.lower():
        digits, _, power = repr(number).partition("e")
        told = f"{digits if '.' in digits else digits + '.0'}e{power}" if power else digits
        return f"; YAML takes it for text, write {told}"
    return "; nested values of --config are text, put them in a file and name it by --configfile"


# The table of keys in config/README.md


def document(rule, path="", required=False):
    """Yield (key path, kind, default, description), in Markdown, of every key in a schema."""
    rule = _resolve(rule)
    if path and "description" in rule:
        default = rule.get("default", {})  # {} says no more than its own keys do
        shown = "required" if required else "" if default == {} else f"`{json.dumps(default)}`"
        yield f"`{path}`", _kind(rule), shown, rule["description"]
    for branch in rule.get("oneOf", ()):
        yield from document(branch, path)
    for key, inner in rule.get("properties", {}).items():
        yield from document(inner, f"{path}.{key}".strip("."), key in rule.get("required", ()))
    if isinstance(inner := rule.get("additionalProperties"), Mapping):
        label = rule["propertyNames"]["$ref"].rpartition("/")[2].upper()
        yield from document(inner, f"{path}.{label}")


def table():
    """The Markdown table of all keys."""
    rows = [("key", "is", "default", "meaning"), ("---",) * 4, *document(schema())]
    return "".join(f"| {' | '.join(row)} |\n" for row in dict.fromkeys(rows))


def _kind(rule):
    if "enum" in rule or "const" in rule:
        return ", ".join(f"`{word}`" for word in rule.get("enum", [rule.get("const")]))
    kinds = rule.get("type", "object")
    return " or ".join(KINDS[kind][0] for kind in ([kinds] if isinstance(kinds, str) else kinds))


def main():
    """Renew the table in config/README.md."""
    readme = CONFIG / "README.md"
    head, _, _ = readme.read_text(encoding="utf-8").partition(TABLE)
    readme.write_text(f"{head}{TABLE}\n{table()}", encoding="utf-8")


if __name__ == "__main__":
    main()
