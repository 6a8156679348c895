"""Faults of a configuration in one sentence each: what pydantic finds, in the words of a user."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, NoReturn

from agorabench.config.json_schema import KINDS, build_schema, resolve_rule

BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


class ConfigFault(Exception):
    """A fault at a key path of the config; `at` is the key to look for in the files, if another."""

    def __init__(self, path, text, at=None):
        super().__init__(text)
        self.path, self.text, self.at = path, text, path if at is None else at


def refuse_key(key: str, known: Iterable[str], path: tuple, title: str = "key") -> NoReturn:
    """Raise the ConfigFault of an unknown key."""
    raise ConfigFault(path, name_unknown_key(key, known, title), (*path, key))


def name_unknown_key(key: str, known: Iterable[str], title: str = "key") -> str:
    """Return the sentence about a key that is none of the known ones, with one that is like it."""
    known = list(known)
    close = difflib.get_close_matches(key, known, 1)
    guess = f" did you mean '{close[0]}'?" if close else ""
    return f"unknown {title} '{key}';{guess} known: {', '.join(known)}"


def name_unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """Return the sentence about a name that is none of the known ones."""
    return f"unknown {kind} {show_value(name)}; known: {', '.join(known)}"


def show_value(value: object) -> str:
    """Return a value as a user would write it in YAML, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, (Mapping, list)):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    if isinstance(value, str):  # a password in an address is not repeated
        shown = re.sub(r"://[^/]*@", "://[hidden]@", value)
        return "'" + "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown) + "'"
    return str(value)


def raise_first(errors: list[dict], config: Mapping) -> NoReturn:
    """Raise the ConfigFault of pydantic's first error in the order of the config.

    In a mapping, keys that should not be there come first, then keys that are missing, then values.
    """
    places = [(_find_place(error, config), error) for error in errors]
    real = [(place, error) for place, error in places if not _is_other_option(place, error)]
    place, error = min(real, key=lambda entry: entry[0].order)
    _raise_fault(error, *place[1:])


class Place(NamedTuple):
    """What an error is about: its rank in the config, key path, rule of the schema and value."""

    order: tuple
    path: tuple
    rule: dict
    value: object


def _find_place(error, config):
    """Return the Place of an error; about a key, it is that of the mapping around it."""
    loc = error["loc"]
    if not _is_about_key(error):
        return _follow_location(loc, config)
    place = _follow_location(loc[: -2 if loc[-1] == "[key]" else -1], config)
    if error["type"] == "missing":
        rank = (-1, list(place.rule["properties"]).index(loc[-1]))
    else:
        rank = (-2, list(place.value).index(_find_key(error)))
    return place._replace(order=(*place.order, *rank))


def _follow_location(loc, config):
    """Return the Place at a location of pydantic, which has keys, indices, and names of options."""
    order, path, rule, value = (), (), resolve_rule(build_schema()), config
    for step in loc:
        if "oneOf" in rule:
            rule = _choose_branch(rule, step)
        elif isinstance(value, Mapping) and step not in value:
            order = (*order, math.inf)  # the name of an option, or text in place of another key
            break
        elif isinstance(value, Mapping):
            order, path = (*order, list(value).index(step)), (*path, step)
            rule = resolve_rule(
                rule.get("properties", {}).get(step) or rule["additionalProperties"]
            )
            value = value[step]
        elif isinstance(value, list) and isinstance(step, int):
            order, rule, value = (*order, step), resolve_rule(rule["items"]), value[step]
    return Place(order, path, rule, value)


def _is_about_key(error):
    """Whether an error is about a key of a mapping, not about its value."""
    return error["type"] in ("missing", "extra_forbidden", "invalid_key") or (
        error["loc"][-1:] == ("[key]",)
    )


def _find_key(error):
    """Return the key that an error is about."""
    return error["loc"][-1] if error["type"] in ("missing", "extra_forbidden") else error["input"]


def _choose_branch(rule, tag):
    """Return the branch of a union that has `tag` as a key, or as the only value of one."""
    for branch in map(resolve_rule, rule["oneOf"]):
        keys = branch["properties"]
        if tag in branch["required"] or any(key.get("const") == tag for key in keys.values()):
            return branch
    raise KeyError(tag)


def _is_other_option(place, error):
    """Whether an error says that a value is not of one kind where it is of another allowed one."""
    about_kind = error["type"].endswith("_type") and not _is_about_key(error)
    return about_kind and _name_type(place.value) in place.rule["type"]


def _name_type(value):
    """Return the JSON type of a value, "" for a number that is none."""
    types = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    if type(value) is float:
        return "number" if math.isfinite(value) else ""
    return types.get(type(value), "integer")


def _raise_fault(error, path, rule, value):
    """Raise what one of pydantic's errors says, at a path where `rule` holds and `value` is."""
    if error["type"] == "missing":
        raise ConfigFault(path, f"missing key '{error['loc'][-1]}'")
    if _is_about_key(error):
        _refuse_name(_find_key(error), path, rule)
    if error["type"].startswith("union_tag") and isinstance(value, Mapping):
        _refuse_branch(path, rule, value)
    raise ConfigFault(path, _describe_value(error, path, rule, value))


def _describe_value(error, path, rule, value):
    """Return what is wrong with a value."""
    kind = error["type"]
    if kind == "literal_error" and isinstance(value, str):
        return name_unknown(rule.get("title", path[-1]), value, rule["enum"])
    if kind in BOUNDS:
        bound, words = BOUNDS[kind]
        limit = f"{error['ctx'][bound]}".removesuffix(".0")
        return f"must be {words} {limit}, not {show_value(value)}"
    if kind == "too_short":
        return "must name at least one" if type(value) is list else "must have at least one entry"
    if kind == "string_pattern_mismatch":
        return f"{show_value(value)} is not {rule['title']}"
    if kind == "string_too_short":
        return "must not be empty"
    if kind == "no_pattern":
        item, reason = error["ctx"]["item"], error["ctx"]["reason"]
        return f"{show_value(item)} is no regular expression of Python: {reason}"
    if kind == "repeated":
        return f"{show_value(error['ctx']['item'])} is given twice"
    return _describe_kind(rule, value)


def _refuse_name(key, path, rule):
    """Refuse a key that is no text, unknown, or no name."""
    if not isinstance(key, str):
        raise ConfigFault(path, f"the key {show_value(key)} must be text: quote it", (*path, key))
    names = resolve_rule(rule.get("propertyNames", {}))
    if "properties" in rule:
        refuse_key(key, rule["properties"], path)
    if "enum" in names:
        refuse_key(key, names["enum"], path, names["title"])
    if "pattern" not in names:
        raise ConfigFault(path, "must not be empty", (*path, key))
    raise ConfigFault(path, f"{show_value(key)} is not {names['title']}", (*path, key))


def _refuse_branch(path, rule, value):
    """Refuse a mapping that is no branch of a union: each is known by the first key it requires."""
    branches = [resolve_rule(branch) for branch in rule["oneOf"]]
    heads = {}
    for branch in branches:
        head = branch["required"][0]
        heads.setdefault(head, []).append(branch["properties"][head].get("const"))
    for head in heads:
        if head in value:
            raise ConfigFault((*path, head), name_unknown(head, value[head], heads[head]))
    known = dict.fromkeys(key for branch in branches for key in branch["properties"])
    for key in value:
        if key not in known:
            refuse_key(key, known, path)
    raise ConfigFault(path, f"missing key {' or '.join(map(repr, heads))}")


def _describe_kind(rule, value):
    """Return which kinds of values are allowed, and what is there."""
    kinds = rule["type"] or ["object"]
    text = f"must be {' or '.join(KINDS[kind] for kind in kinds)}, not {show_value(value)}"
    if isinstance(value, str) and {"number", "integer"} & {*kinds}:
        return text + _hint_number(value, "number" in kinds)
    # YAML 1.1 takes no for false.
    quoted = "string" in kinds and isinstance(value, (bool, int, float))
    return f"{text}: quote it" if quoted else text


def _hint_number(text, fraction):
    """Return why a number is text: YAML 1.1 and Snakemake's --config take 2e-3 for text."""
    try:
        number = float(text)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    if "e" in text.lower():
        if number.is_integer() and not fraction:
            return f"; YAML takes it for text, write {number:.0f}"
        digits, _, power = repr(number).partition("e")
        written = f"{digits if '.' in digits else digits + '.0'}e{power}" if power else digits
        return f"; YAML takes it for text, write {written}"
    return "; nested values of --config are text, put them in a file and name it by --configfile"
