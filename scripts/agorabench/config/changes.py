"""Which parameters of a job have changed since it last ran, in words: for `snakemake -n` and the
plan, where Snakemake would print all of them, before and now."""

import ast
import json
from collections.abc import Iterable

from agorabench.config.messages import show_value

MOST = 5  # changes that are named
LONGEST = 60  # characters of a value


def describe_change(before: Iterable[str], now: Iterable[str]) -> str:
    """Name the keys and values in which the parameters of a stage differ.

    Both are what Snakemake keeps, literals of Python: `repr('{"limit": 5}')` and
    `repr('{"limit": 7}')` become "limit: 7, not 5". "" where none is a stage's.
    """
    old, new = (_flatten_all(before), _flatten_all(now))
    changed = [key for key in {**old, **new} if repr(old.get(key)) != repr(new.get(key))]
    words = [f"{key}: {_compare(old.get(key), new.get(key))}" for key in changed[:MOST]]
    return ", ".join(words + [f"and {len(changed) - MOST} more"] * (len(changed) > MOST))


def _flatten_all(texts):
    """The values of stages' parameters by their dotted paths; other parameters are left out."""
    values = {}
    for text in sorted(texts):
        try:
            values |= _flatten(json.loads(ast.literal_eval(text)))
        except (ValueError, SyntaxError, TypeError, AttributeError):
            continue
    return values


def _flatten(entry, path=""):
    values = {}
    for key, value in entry.items():
        values |= (
            _flatten(value, f"{path}{key}.") if isinstance(value, dict) else {path + key: value}
        )
    return values


def _compare(old, new):
    if isinstance(old, list) and isinstance(new, list):
        gone, more = ([x for x in a if x not in b] for a, b in ((old, new), (new, old)))
        words = [f"without {_show(gone)}"] * bool(gone) + [f"with {_show(more)}"] * bool(more)
        return " and ".join(words) or "in another order"
    return f"{_show(new)}, not {_show(old)}"


def _show(value):
    text = ", ".join(map(show_value, value)) if isinstance(value, list) else show_value(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
