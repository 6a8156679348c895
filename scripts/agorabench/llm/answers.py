"""What a provider says, made fit to be kept: typed, finite, bounded, without secrets.

Endpoints that speak the two protocols differ in nearly every value: counts of tokens as floats or
text, content in parts, thoughts inside the content, errors inside a 200. All that comes from one
passes here before it is journaled, logged or counted.
"""

import json
import math
import re
from typing import NamedTuple

from agorabench.llm.request import Usage

MOST_TOKENS = 10**8  # in one request; more is no count
LONGEST_WORD = 100  # characters of a finish reason or a code
LONGEST_RAW = 4000  # characters kept of what cannot be read
SNAPSHOT = r"(-\d{4}-\d\d-\d\d|-\d{8}|-\d{4}|-latest)?"  # what follows a model's name in replies
# How models mark what they think before they answer: DeepSeek and Qwen, Magistral, others.
THOUGHTS = re.compile(
    r"\s*(?:<(think|thinking|thought|reasoning)>|\[(THINK)\])(.*?)(?:</\1>|\[/\2\])", re.DOTALL
)
OPENED = re.compile(r"\s*(?:<(?:think|thinking|thought|reasoning)>|\[THINK\])")
CLOSED = re.compile(r"</think>|\[/THINK\]")

_secrets: set[str] = set()


def hide_secret(secret: str) -> None:
    """Have `scrub` replace a key wherever an endpoint quotes it."""
    if len(secret) >= 8:
        _secrets.add(secret)


def scrub(text: str) -> str:
    """Text that any file can hold: no half of a surrogate pair, no key of ours."""
    for secret in _secrets:
        text = text.replace(secret, "[key]")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_json(data: bytes):
    """The value of a JSON text.

    Raises:
        ValueError: it is none, or none that this machine can hold.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def keep_raw(data) -> str:
    """The beginning of what could not be read (bytes, or parsed JSON), as text."""
    if not isinstance(data, bytes):
        try:
            data = json.dumps(data).encode()
        except RecursionError:
            data = b"nested too deeply"
    return scrub(data[: 4 * LONGEST_RAW].decode("utf-8", "replace")[:LONGEST_RAW])


def read_content(content) -> str:
    """The text of a message's content: a text, or parts of which those of type text count.

    Raises:
        TypeError: it is neither.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return scrub(content)
    if not isinstance(content, list):
        raise TypeError("content is not text")
    texts = []
    for part in content:
        if isinstance(part, dict) and part.get("type", "text") in ("text", "output_text"):
            part = part.get("text")
        if isinstance(part, str):
            texts.append(part)
    return scrub("".join(texts))


def read_word(value, default: str) -> str:
    """A short word such as a finish reason; `default` where there is none."""
    if value is None or value == "":
        return default
    return scrub(value if isinstance(value, str) else repr(value))[:LONGEST_WORD]


def read_count(value) -> int | None:
    """A count of tokens, also where it came as a float or as text; None where it is no count."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    whole = math.isfinite(number) and number == int(number) and 0 <= number <= MOST_TOKENS
    return int(number) if whole else None


def read_usage(usage, *names: tuple[str, ...]) -> Usage | None:
    """Tokens of a request, or None where the endpoint does not say them in numbers.

    Args:
        usage: what it says.
        names: keys whose counts add up to the input, then those of the output; the first of each
            must be there.
    """
    if not isinstance(usage, dict):
        return None
    totals = []
    for first, *others in names:
        counts = [read_count(usage.get(first))]
        counts += [read_count(usage[name]) for name in others if usage.get(name) is not None]
        if None in counts:
            return None
        totals.append(sum(counts))
    return {"input": totals[0], "output": totals[1]}


class Answer(NamedTuple):
    """A reply's text without its `thoughts`; `finished` is False where these never ended."""

    text: str
    thoughts: str = ""
    finished: bool = True


def separate_thoughts(text: str) -> Answer:
    """What a model thought before it answered, in marks of its own, apart from its answer.

    Chat templates that write the opening mark into the prompt leave the closing one alone.
    """
    if match := THOUGHTS.match(text):
        return Answer(text[match.end() :].lstrip(), match[3].strip())
    if OPENED.match(text):
        return Answer("", OPENED.sub("", text, count=1).strip(), finished=False)
    if (match := CLOSED.search(text)) and match[0].replace("/", "") not in text:
        return Answer(text[match.end() :].lstrip(), text[: match.start()].strip())
    return Answer(text)


def is_expected_model(entry: dict, served: str | None) -> bool:
    """Whether a reply's model is the one that was queried: under its own name or the entry's
    `answers_as`, whatever the case, with or without its maker's name, its date or its variant."""
    if not served:
        return True  # not every endpoint says it
    expected = entry.get("answers_as") or entry["model"]
    asked, name = (form.lower().split("/")[-1] for form in (expected, served))
    if (":" in asked) != (":" in name):
        asked, name = asked.split(":")[0], name.split(":")[0]
    return bool(re.fullmatch(re.escape(asked.removesuffix("-latest")) + SNAPSHOT, name))
