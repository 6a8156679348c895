"""Predicates that decide whether a pair of instruction and response may be trained on.

A validator takes the pair and the limits and returns None, or the reason against it: short and
stable, because reasons are counted. Which ones hold for a domain is configuration. Source of the
named ones: the checks of the paper's released code (neulab/data-agora at d7e66e1), arXiv
2412.03679. Those with a parameter, `{language: de}`, are the `fits_...` below.
"""

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from agorabench.errors import UserError
from agorabench.generation.formats import END, FENCED, Pair
from agorabench.generation.prompts import PLACEHOLDERS
from agorabench.plugins import find_plugin

Verdict = str  # "valid", or the first reason against a pair: short and stable
# Of the prompts of the paper, whichever of them a pair is from.
MARKERS = (END, "INPUT:", "OUTPUT:", "Revised Question:", "Revised Answer:")
OPEN, CLOSE = "[RESULT]", "[/RESULT]"
# As in Markdown, where four spaces make code of it: a fence in an indented docstring is none.
FENCE = re.compile(r" {0,3}```")
ASSERTION = re.compile(r"^[ \t]*assert\b", re.MULTILINE)
# After "$" or a letter it is a template string of JavaScript or an argument of a LaTeX command.
PLACEHOLDER = re.compile(rf"(?<![\w$])\{{(?:{'|'.join(PLACEHOLDERS['examples'])})\}}")
SLOT = re.compile(
    r"[.\u2026\s]+"
    r"|[<\[{](?:your|the|insert)\b[^<>\[\]{}\n]*[>\]}]"
    r"|\{(?:instruction|response)\}",
    re.IGNORECASE,
)


def length(pair, limits):
    """Both texts have something in them and at most `max_characters` characters."""
    for key, text in zip(Pair._fields, pair, strict=True):
        if not text.strip():
            return f"empty {key}"
        if len(text) > limits["max_characters"]:
            return f"{key} too long"
    return None


def one_result(pair, limits):
    """The response ends with its only [RESULT] ... [/RESULT], which is not empty."""
    _, response = pair
    if OPEN not in response or CLOSE not in response:
        return f"no {OPEN if OPEN not in response else CLOSE}"
    if response.count(OPEN) > 1 or response.count(CLOSE) > 1:
        return f"more than one {OPEN if response.count(OPEN) > 1 else CLOSE}"
    before, _, rest = response.partition(OPEN)
    if CLOSE in before:
        return f"{CLOSE} before {OPEN}"
    answer, _, after = rest.partition(CLOSE)
    if after.strip():
        return f"text after {CLOSE}"
    return None if answer.strip() else f"empty {OPEN}"


def only_code(pair, limits):
    """The response is fenced code, in one block or several, and nothing else."""
    _, response = pair
    lines = response.strip().split("\n")
    if not FENCE.match(lines[0]):
        return "does not start with a fence"
    if not FENCE.fullmatch(lines[-1]):
        return "does not end with a fence"
    inside, text, prose = False, False, False
    for line in lines:
        if FENCE.match(line):
            inside = not inside
        elif line.strip():
            text, prose = True, prose or not inside
    if inside:
        return "odd number of fences"
    if prose:
        return "prose outside the code"
    return None if text else "empty code"


def no_markers(pair, limits):
    """Neither text holds a marker of the prompts of the paper, or of the method's own: such a pair
    is two replies, or half of one."""
    for key, text in zip(Pair._fields, pair, strict=True):
        for marker in dict.fromkeys((*MARKERS, *limits.get("markers", ()))):
            if marker in text:
                return f"{marker} in {key}"
    return None


def has_assertion(pair, limits):
    """The response has an assert statement: the tests that enhanced code brings along.

    Not for the other methods, whose code has none.
    """
    return None if ASSERTION.search(pair[1]) else "no assertion"


def no_placeholders(pair, limits):
    """Nothing is left to be filled in: no placeholder of ours, and no text that is only a slot.

    For sets that were made elsewhere, and generators that copy the form instead of filling it in;
    a request of ours has no placeholder left. In a response `{theme}` may be part of an f-string
    and is let pass.
    """
    if match := PLACEHOLDER.search(pair[0]):
        return f"{match[0]} in instruction"
    for key, text in zip(Pair._fields, pair, strict=True):
        if SLOT.fullmatch(text.strip()):
            return f"{key} not filled in"
    return None


# ---- With a parameter

FEWEST = 20  # letters, below which nobody can say what language a text is in


def fits_matches(pair, patterns, limits):
    """A regular expression is found in the response; or, of {instruction: ..., response: ...}, each
    in its text."""
    patterns = patterns if isinstance(patterns, dict) else {"response": patterns}
    for key, pattern in patterns.items():
        if pattern and not re.search(pattern, getattr(pair, key)):
            return f"{key} does not match"
    return None


def fits_language(pair, language, limits):
    """Both texts are in a language, a code of langdetect's (ISO 639-1, zh-cn, zh-tw)."""
    for key, text in zip(Pair._fields, pair, strict=True):
        if sum(map(str.isalpha, text)) >= FEWEST and _detect_language(text) != language:
            return f"{key} not in {language}"
    return None


def _detect_language(text):
    import langdetect

    langdetect.DetectorFactory.seed = 0  # else it draws anew for every text
    try:
        return langdetect.detect(text)
    except langdetect.LangDetectException:
        return None


def list_languages() -> list[str]:
    """The languages that a text can be required to be in."""
    from langdetect.detector_factory import PROFILES_DIRECTORY

    return sorted(path.name for path in Path(PROFILES_DIRECTORY).iterdir())


def fits_json(pair, schema, limits):
    """The response is JSON, alone or in one fenced block, and fits a schema, if a file is given."""
    found = FENCED.findall(pair.response)
    try:
        value = json.loads(found[0] if len(found) == 1 else pair.response)
    except (ValueError, RecursionError):
        return "not JSON"
    if schema is not True and not read_schema(schema).is_valid(value):
        return "JSON does not fit the schema"
    return None


@cache
def read_schema(path: str):
    """The validator of jsonschema for a file.

    Raises:
        UserError: there is none, or it is no JSON Schema.
    """
    import jsonschema

    try:
        schema = json.loads(Path(path).read_text(encoding="utf-8"))
        kind = jsonschema.validators.validator_for(schema)
        kind.check_schema(schema)
    except OSError:
        raise UserError(f"no file {path}") from None
    except (ValueError, jsonschema.SchemaError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} is no JSON Schema: {reason}") from None
    return kind(schema)


def fits_runs(pair, language, limits):
    """The response's Python, all of its fenced blocks or else all of it, runs to its end in the
    sandbox (the config's `sandbox` as limits have it), its own assertions too."""
    from agorabench import sandbox  # here: the Snakefile can do without

    code = "\n".join(FENCED.findall(pair.response)) or pair.response
    isolation = sandbox.choose_isolation(limits["sandbox"])
    outcome = sandbox.run_code(code, sandbox.Limits(60, 10), isolation)
    return None if outcome.status == "ok" and outcome.exit_code == 0 else "code does not run"


WITH_PARAMETER = {
    "matches": fits_matches, "language": fits_language, "json": fits_json, "runs": fits_runs,
}  # fmt: skip


VALIDATORS = {
    check.__name__: check
    for check in (
        length,
        one_result,
        only_code,
        has_assertion,
        no_markers,
        no_placeholders,
    )
}


def validate_pair(
    pair: Pair,
    names: Iterable[str | dict],
    *,
    max_characters: int = 20_000,
    markers: Iterable[str] = (),
    sandbox: str = "isolated",
) -> Verdict:
    """Apply validators in order to a pair, whose two texts must be there.

    `names` are names, or {name: parameter} of those that have one.
    `markers` are those of the replies it is from, beside those of the paper; `sandbox` is the
    config's setting of that name.
    """
    limits = {"max_characters": max_characters, "markers": list(markers), "sandbox": sandbox}
    for name in names:
        if isinstance(name, dict):
            ((kind, parameter),) = name.items()
            if reason := WITH_PARAMETER[kind](pair, parameter, limits):
                return reason
            continue
        check = VALIDATORS.get(name) or find_plugin("validator", name)
        if reason := check(pair, limits):
            return reason
    return "valid"
