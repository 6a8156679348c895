"""What a provider says, made fit to be kept: typed, finite, bounded, without secrets.

Endpoints that speak the two protocols differ in nearly every value: counts of tokens as floats or
text, content in parts, thoughts inside the content, errors inside a 200. All that comes from one
passes here before it is journaled, logged or counted.
"""

import json
import math
import re
import urllib.parse
from typing import NamedTuple

from agorabench.llm.request import Usage

MOST_TOKENS = 10**8  # in one request; more is no count
LONGEST_WORD = 100  # characters of a finish reason or a code
LIKE_A_KEY = 20  # characters; what is shorter may be a word of a reply
LONGEST_RAW = 4000  # characters kept of what cannot be read
SNAPSHOT = r"(-\d{4}-\d\d-\d\d|-\d{8}|-\d{4}|-latest)?"  # what follows a model's name in replies
# How models mark what they think before they answer: DeepSeek, Qwen and others, Seed, Magistral,
# Kimi, OpenThinker, gpt-oss with and without its special tokens.
MARKS = [
    (f"<{name}>", f"</{name}>")
    for name in ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think")
]
MARKS += [
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
]
HARMONY = re.compile(r"\Aanalysis(.*?)assistantfinal", re.DOTALL)
# A thought begins a text. Where its marks are nobody's words it may also begin a line or a field;
# elsewhere they are words of the text.
FIRST, LATER = (
    [
        re.compile(rf"{before}{re.escape(begin)}(.*?)(?:{re.escape(end)}|\Z)\s*", re.DOTALL)
        for begin, end in MARKS
    ]
    for before in (r"\A\s*", r"(?<=[\n:>\]])[ \t]*")
)
NOBODYS = ("<think>", "<seed:think>", "[THINK]", "◁think▷", "<|begin_of_thought|>")
# Nor is it one in quotes.
BEGINS, ENDS = (
    [re.compile(rf"(?<![`'\"]){re.escape(mark)}(?![`'\"])\s*") for mark in marks]
    for marks in zip(*MARKS, strict=True)
)
# What finish reasons mean, of the servers that speak the two protocols (in lower case, up to a
# colon); a word that is not here is a verdict of its own, unless the config says what it means.
MEANINGS = {
    "stop": "eos eos_token end_turn end stop_sequence stop_token stop_word complete completed "
    "finished word",
    "length": "max_tokens max_output_tokens max_new_tokens max_length model_length token_limit "
    "limit model_context_window_exceeded repetition",
    "content_filter": "safety recitation prohibited_content blocklist spii sensitive "
    "content_filtered guardrail_intervened error_toxic",
}
FINISH = {word: meaning for meaning, words in MEANINGS.items() for word in words.split()}

_secrets: dict[str, re.Pattern] = {}


def hide_secret(secret: str) -> None:
    """Have `scrub` replace a key wherever an endpoint quotes it: whole, its first or its last half,
    as an address has it; of a short one, which may be a word, only the whole."""
    for form in {secret, urllib.parse.quote(secret, safe="")}:
        if len(form) < LIKE_A_KEY:
            _secrets[form] = re.compile(re.escape(form)) if len(form) >= 8 else re.compile(r"(?!)")
        else:
            half = len(form) // 2
            head, tail = re.escape(form[:half]), re.escape(form[-half:])
            _secrets[form] = re.compile(rf"{re.escape(form)}|{head}[\w*.…-]*|[\w*.…-]*{tail}")


def scrub(text: str, least: int = 8) -> str:
    """Text that any file can hold: no half of a surrogate pair, no key of ours of at least so many
    characters."""
    for form, pattern in _secrets.items():
        if len(form) >= least and (form[:8] in text or form[-8:] in text):
            text = pattern.sub("[key]", text)
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_json(data: bytes):
    """The value of a JSON text, also where its strings hold line breaks as they are.

    Raises:
        ValueError: it is none, or none that this machine can hold.
    """
    try:
        return json.loads(data, strict=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def keep_raw(data) -> str:
    """The beginning of what could not be read (bytes, or parsed JSON), as text."""
    if not isinstance(data, bytes):
        try:
            data = json.dumps(data).encode()
        except RecursionError:
            data = b"nested too deeply"
    return scrub(data.decode("utf-8", "replace"))[:LONGEST_RAW]


def read_content(content) -> str:
    """The text of a message's content: a text, or parts of which those of type text count.

    Raises:
        TypeError: it is neither.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return scrub(content, LIKE_A_KEY)
    if not isinstance(content, (list, dict)):
        raise TypeError("content is not text")
    texts = []
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, dict) and part.get("type", "text") in ("text", "output_text"):
            part = part.get("text")
            part = part.get("value") if isinstance(part, dict) else part  # as assistants have it
        if isinstance(part, str):
            texts.append(part)
    return scrub("".join(texts), LIKE_A_KEY)


def read_thoughts(value, depth: int = 5) -> str:
    """The text of a field or of parts that are thoughts, whatever their form."""
    if isinstance(value, str):
        return scrub(value, LIKE_A_KEY)
    if isinstance(value, list) and depth:
        return "\n".join(filter(None, (read_thoughts(part, depth - 1) for part in value)))
    if isinstance(value, dict) and depth:
        keys = ("thinking", "reasoning", "reasoning_content", "summary", "content", "text")
        return next(filter(None, (read_thoughts(value.get(key), depth - 1) for key in keys)), "")
    return ""


def read_parts_of_thought(content) -> str:
    """The thoughts among the parts of a message's content."""
    parts = content if isinstance(content, list) else []
    kinds = ("text", "output_text", "refusal")
    return read_thoughts(
        [p for p in parts if isinstance(p, dict) and p.get("type", "text") not in kinds]
    )


def read_finish(value, more: dict) -> str:
    """What a finish reason means: "stop", "length", "content_filter" or the word itself; `more` are
    the config's meanings of further words."""
    word = read_word(value, "no finish reason").lower()
    plain = word.partition(":")[0].removeprefix("finish_reason_")
    return more.get(word) or FINISH.get(plain, plain if plain in MEANINGS else word)


def read_word(value, default: str) -> str:
    """A short word such as a finish reason; `default` where there is none."""
    if value is None or value == "":
        return default
    if isinstance(value, (dict, list)):
        value = keep_raw(value)
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
    read, written = totals
    if not read:
        return None  # no request has no tokens: this endpoint does not count them
    if total := read_count(usage.get("total_tokens")):
        written = max(written, total - read)  # Gemini and Grok count thoughts in the total only
    parts = [usage.get(f"{side}_tokens_details") for side in ("prompt", "completion")]
    prompt, completion = (part if isinstance(part, dict) else {} for part in parts)
    cached = read_count(prompt.get("cached_tokens")) or 0
    for name in ("cache_read_input_tokens", "prompt_cache_hit_tokens", "cached_tokens"):
        cached = cached or read_count(usage.get(name)) or 0
    thoughts = read_count(completion.get("reasoning_tokens")) or 0
    more = {"cached": min(cached, read), "thoughts": min(thoughts, written)}
    return {"input": read, "output": written} | {name: n for name, n in more.items() if n}


class Answer(NamedTuple):
    """A reply's text without its `thoughts`; `finished` is False where these never ended."""

    text: str
    thoughts: str = ""
    finished: bool = True


def separate_thoughts(text: str) -> Answer:
    """What a model thought before it answered, in marks of its own, apart from its answer.

    Chat templates that write the opening mark into the prompt leave the closing one alone.
    """
    thoughts, finished = [], True
    if match := HARMONY.match(text):
        return Answer(text[match.end() :].lstrip(), match[1].strip())
    for (begin, end), begins, ends, first, later in zip(
        MARKS, BEGINS, ENDS, FIRST, LATER, strict=True
    ):
        closed = ends.search(text) if end in text else None
        if closed and not begins.search(text[: closed.start()]):
            thoughts.append(text[: closed.start()].strip())
            text = text[closed.end() :]
        while begin in text and (match := first.match(text)):
            thoughts.append(match[1].strip())
            finished = finished and match[0].rstrip().endswith(end)
            text = text[match.end() :]
        if begin in NOBODYS and begins.search(text):
            found = list(later.finditer(text))
            finished = finished and all(match[0].rstrip().endswith(end) for match in found)
            thoughts += [match[1].strip() for match in found]
            text = later.sub(
                lambda match: " " if match.string[match.start() - 1] != "\n" else "", text
            )
    return Answer(text, "\n\n".join(filter(None, thoughts)), finished)


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
