r"""From a generator's reply to a pair of instruction and response.

In text, a parser demands its markers: each at the start of a line, once, in order, with nothing but
white space before the first. Text is cut at the first `[END]`, which is also the stop string, so a
reply may end without it. Whether the token limit cut it off is for the caller to see, in its finish
reason.

In JSON, a reply is one object with the two keys of SCHEMA, with nothing around it but a Markdown
fence. Nothing is repaired. The one freedom is a raw line break within a string: models write it,
and it has only one meaning. A LaTeX command whose backslash was not doubled is the opposite case:
`\frac` is legal JSON for a form feed and "rac", and reads as broken mathematics. A reply that has
one is rejected as "JSON escape of LaTeX". Outside of formulas \nu cannot be told from a line break
before "u" and is not looked for.
"""

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from agorabench.llm.request import END

KEYS = ("instruction", "response")  # of a reply in JSON
# For a provider's structured output: what a reply in JSON has to be.
SCHEMA = {
    "type": "object",
    "properties": {key: {"type": "string"} for key in KEYS},
    "required": list(KEYS),
    "additionalProperties": False,
}
FENCED = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)^[ \t]*```", re.S | re.M)  # any fenced block
BLOCK = re.compile(r"```(?:json|JSON)?[ \t]*\r?\n(.*)\n[ \t]*```", re.DOTALL)
# Escapes that JSON and LaTeX share, by what is left of a command after them. No text has a
# backspace or a form feed, and none a carriage return before a letter; tabs and line breaks do
# stand before letters, so there it takes the rest of a command that begins no line of text or code.
# The first branch swallows backslashes that are doubled, as they should be.
LOST = re.compile(
    r"""\\\\
    | (?P<lost>
        \\ [bf]
      | \\ r [A-Za-z]
      | \\ n (?: abla | atural | cong | earrow | ew(?:line|page|command) | [gl]eq(?:q|slant)?
             | (?:[Ll]eft|[Rr]ight|[Ll]eftright)arrow | oindent | olimits | onumber | obreak
             | ormal(?:size|font) | ot(?:ag|in)? | (?:prec|succ)n?eq | short(?:mid|parallel)
             | su[bp]seteqq? | triangle(?:left|right)(?:eq)? | [vV][dD]ash | warrow
             | eg (?![.,:]) ) (?![A-Za-z])
      | \\ n eq (?![A-Za-z]|[ ]?[=,.:)(\[])
      | \\ n e (?=[ ]?[-0-9\\])
      | \\ t (?: imes | heta | riangle(?:left|right|q|down)?(?:eq)? | ilde | herefore | anh | iny
             | hick(?:approx|sim) | wohead(?:left|right)arrow | hispagestyle
             | ext(?:bf|it|md|rm|sc|sf|sl|tt|normal|color|style|superscript|subscript)
             ) (?![A-Za-z])
      | \\ t (?: frac | binom | ext(?:up)? | ag | itle | able ) (?= [*]?[ ]?[{0-9\\] )
      | (?<! \\[nt] ) (?<! [\n\t] ) \\ t (?: an | au | o | op | ext ) (?![A-Za-z])
      )""",
    re.VERBOSE,
)
# The rest of these commands may begin a line, and within a formula hardly ever does. A displayed
# one has lines, but none ends in a single blank.
SHORT = r"""(?: \\ n (?: e(?!_) | eq | eg | i(?!_) | u | mid | sim | less | gtr | parallel | prec
                      | succ | su[bp]set | exists | ull )
              | \\ t (?: an | au | o | op | ext | ag ) ) (?![A-Za-z])"""
LOST_INLINE = re.compile(rf"\\\\ | (?P<lost>{SHORT})", re.VERBOSE)
LOST_DISPLAYED = re.compile(rf"\\\\ | (?P<lost>(?<=[^ ][ ]){SHORT})", re.VERBOSE)
# Formulas in the text of a JSON string; no paragraph ends in one.
FORMULA = re.compile(
    r"""\\\\\$
    | \$\$ (?: (?!\\n\\n|\$\$) [^"] | \\" ){1,2000}? \$\$
    | \$ (?: (?!\\n\\n) [^$"] | \\" ){1,400}? \$
    | \\\\\( (?: (?!\\n\\n) [^"] | \\" ){1,400}? \\\\\)
    | \\\\\[ (?: (?!\\n\\n) [^"] | \\" ){1,2000}? \\\\\]
    """,
    re.VERBOSE,
)
# What no file of text takes: null, and half of a UTF-16 pair, which UTF-8 has not; and what JSON
# may turn into besides: control characters but tab and line breaks.
UNWRITABLE = re.compile(r"[\x00\ud800-\udfff]")
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Malformed(ValueError):
    """A reply that is no pair; its text is a short, stable reason, fit to be counted."""


class Pair(NamedTuple):
    """An example: `instruction` is None where a reply is the response to a seed's own."""

    instruction: str | None
    response: str


def parse_reply(form: Mapping, text: str, replies: str = "text") -> Pair:
    """Parse one reply, in "text" or in "json".

    `form` has the markers of "instruction" and of "response" or None: without a marker of the
    instruction the reply is the response to the seed's own, without any marker the whole of it.
    Both texts come back stripped and not empty.

    Raises:
        Malformed: "no INPUT marker", "OUTPUT marker twice", "markers out of order",
            "text before INPUT", "empty instruction", "empty response" and the like; in JSON also
            "not JSON", "text around JSON", "JSON key twice", "JSON with other keys",
            "JSON value not text", "invalid escape in JSON", "JSON escape of LaTeX" and
            "control character in JSON"; in text also "control character in reply".
        ValueError: a reply without an instruction in JSON, which has no form of its own.
    """
    markers = list(filter(None, (form["instruction"], form["response"])))
    if replies == "json":
        if not form["instruction"]:
            raise ValueError("a reply without an instruction is not in JSON")
        return _parse_json(text)
    if UNWRITABLE.search(text):
        raise Malformed("control character in reply")
    text = text.split(END, 1)[0]
    if not markers:
        return Pair(None, _strip_text("response", text))
    places = [_find_marker(marker, text) for marker in markers]
    if places != sorted(places):
        raise Malformed("markers out of order")
    if text[: places[0][0]].strip():
        raise Malformed(f"text before {markers[0].rstrip(':')}")
    instruction = None
    if len(places) == 2:
        instruction = _strip_text("instruction", text[places[0][1] : places[1][0]])
    return Pair(instruction, _strip_text("response", text[places[-1][1] :]))


def _find_marker(marker, text):
    """(Start, end) of the only line that begins with a marker."""
    matches = list(re.finditer(rf"^[ \t]*{re.escape(marker)}", text, re.MULTILINE))
    if len(matches) != 1:
        name = marker.rstrip(":")
        raise Malformed(f"{name} marker twice" if matches else f"no {name} marker")
    return matches[0].span()


def _strip_text(key, text):
    text = text.strip()
    if not text:
        raise Malformed(f"empty {key}")
    return text


def _parse_json(text):
    """The Pair in a reply that is one JSON object, possibly in a Markdown fence."""
    text = text.strip()
    if fenced := BLOCK.fullmatch(text):
        text = fenced[1].strip()
    start = text.find("{")
    if start < 0:
        raise Malformed("not JSON")
    try:
        value, end = DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        escape = error.msg.startswith("Invalid \\")
        raise Malformed("invalid escape in JSON" if escape else "not JSON") from None
    except RecursionError:
        raise Malformed("not JSON") from None
    if text[:start] or text[end:].strip():
        raise Malformed("text around JSON")
    if sorted(value) != sorted(KEYS):
        raise Malformed("JSON with other keys")
    if _loses_latex(text):
        raise Malformed("JSON escape of LaTeX")
    for key in KEYS:
        if not isinstance(value[key], str):
            raise Malformed("JSON value not text")
        if UNPRINTABLE.search(value[key]):
            raise Malformed("control character in JSON")
    return Pair(*(_strip_text(key, value[key]) for key in KEYS))


def _loses_latex(text):
    """Whether JSON has an escape that was meant as the beginning of a command of LaTeX."""
    matches = list(LOST.finditer(text))
    for formula in FORMULA.finditer(text):
        displayed = formula[0].startswith(("$$", r"\\["))
        matches += (LOST_DISPLAYED if displayed else LOST_INLINE).finditer(formula[0])
    return any(match["lost"] for match in matches)


def _unique_keys(pairs):
    """An object's pairs as a mapping; Python would silently keep the last of two equal keys."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Malformed("JSON key twice")
    return value


# parse_int: Python refuses to read a whole number of 5,000 digits; no number is an answer anyway.
DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_unique_keys, parse_int=float)
