"""What the two providers say: texts, completions and errors, in the shapes of their real answers.

The shapes are those of recorded exchanges and of the types of the clients openai 2.54 and
anthropic 2.11. Times are Unix seconds at OpenAI, ISO 8601 at Anthropic.
"""

import hashlib
import itertools
import json
import math
import time
from pathlib import Path
from typing import NamedTuple

from .control import REFUSALS

number = itertools.count(1)  # of what is made here; in the ids

# Protocol -> name of an error -> its status and what is said of it.
ERRORS = json.loads(Path(__file__).with_name("errors.json").read_text())


class Reply(NamedTuple):
    """One completion: HTTP status, body, and what the books want to know of it."""

    status: int
    body: dict
    identity: str = ""
    input: int = 0
    output: int = 0


class Refusal(Exception):
    """An error of the provider's; `kind` is the name that the books count it under."""

    def __init__(self, kind, status, body, headers=None):
        super().__init__(kind)
        self.kind, self.status, self.body, self.headers = kind, status, body, headers or {}


def identity(body):
    """sha256 (hex) of a request's body, the same whatever the order of its keys."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


# Texts: (identity of the request, its last message, filler) -> text, the same for the same request.


def _sum(digest):
    crates, pears = int(digest[:4], 16) % 89 + 11, int(digest[4:8], 16) % 89 + 11
    question = (
        f"Shop {digest[:12]} has {crates} crates of {pears} pears each. How many pears are there?"
    )
    return question, f"{crates} x {pears} = {crates * pears}. [RESULT] {crates * pears} [/RESULT]"


def write_instance(digest, prompt, filler):
    """A problem and its solution."""
    question, answer = _sum(digest)
    return f"INPUT: {question}\nOUTPUT: {filler}{answer}\n[END]"


def write_response(digest, prompt, filler):
    """A solution alone."""
    return f"{filler}{_sum(digest)[1]}\n[END]"


def write_enhancement(digest, prompt, filler):
    """A better problem and its solution."""
    question, answer = _sum(digest)
    return f"Revised Question: {question}\nRevised Answer: {filler}{answer}\n[END]"


def write_json(digest, prompt, filler):
    """A problem and its solution as a JSON object."""
    question, answer = _sum(digest)
    return json.dumps({"instruction": question, "response": filler + answer})


def write_echo(digest, prompt, filler):
    """What was asked."""
    return filler + prompt


def write_name(digest, prompt, filler):
    """The name of an answer, as AlpacaEval's judge gives it."""
    return "mM"[int(digest[:2], 16) % 2]


def write_label(digest, prompt, filler):
    """A verdict, as Arena-Hard's judge gives it."""
    label = ["A>>B", "A>B", "A=B", "B>A", "B>>A"][int(digest[:2], 16) % 5]
    return f"{filler}Both answers are sound.\n\nMy final verdict is: [[{label}]]."


def write_score(digest, prompt, filler):
    """A score from 1 to 5, as a judge gives it."""
    score = int(digest[:2], 16) % 5 + 1
    return f"Feedback: {filler}The steps are sound, [RESULT] 7 [/RESULT] is right. [RESULT] {score}"


WRITE = {
    name.removeprefix("write_"): function
    for name, function in list(globals().items())
    if name.startswith("write_")
}
INVALID = "I would rather talk about something else."
# Verdicts as judges spoil them: none, two that differ, another notation, a name that is neither.
MALFORMED = {
    "name": [INVALID, "Model A", "m and M", "mM"],
    "label": [INVALID, "[[A>B]]\nOn reflection: [[B>A]]", "Verdict: [A>>B]", "[[B<A]]", "A>B"],
}


def compose(settings, protocol, body, fault=None):
    """The completion for one request's body, spoilt by `fault` if that is one of contents.

    Returns:
        Reply, with status 200.

    Raises:
        Refusal: the body is not fit, the model is unknown, or the fault says so.
    """
    spoilt = fault and fault["fault"]
    check(settings, protocol, body)
    digest = identity(body)
    texts = [_text(message["content"]) for message in body["messages"]]
    if "system" in body:
        texts.append(_text(body["system"]))
    filler = "and so on " * math.ceil(settings["words"] / 3)
    if invalid(settings, digest):
        kinds = MALFORMED.get(settings["write"], [INVALID])
        text = kinds[int(digest[8:10], 16) % len(kinds)]
    else:
        text = WRITE[settings["write"]](digest, _text(body["messages"][-1]["content"]), filler)

    stops = body.get("stop" if protocol == "openai" else "stop_sequences") or []
    found = [stop for stop in ([stops] if isinstance(stops, str) else stops) if stop in text]
    stopped = min(found, key=text.index) if found else None
    if stopped:
        text = text[: text.index(stopped)]

    # how many words the token limit leaves; the fault cuts in the middle
    per_word = settings["tokens_per_word"]
    most = body.get("max_completion_tokens") or body.get("max_tokens") or math.inf
    words = text.count(" ") + 1
    if spoilt == "length":
        most = min(most, max(1, words // 2) * per_word)
    cut = words * per_word > most
    if cut:
        text = " ".join(text.split(" ")[: int(most / per_word)])
        stopped = None
    if spoilt in ("empty", "refusal", "content_filter"):
        text = ""
    counted = [
        math.ceil(per_word * sum(text.count(" ") + 1 for text in texts)),
        math.ceil(per_word * (text.count(" ") + 1)) if text else 0,
    ]
    served = settings["models"].get(body["model"], body["model"])
    if spoilt == "wrong_model":
        served = "another-model-1"
    answer = completion if protocol == "openai" else message
    told = answer(digest, served, text, spoilt, cut or spoilt == "length", stopped, counted)
    if body.get("logprobs") and text:
        share = (int(digest[:4], 16) + 1) / 65538
        likely = [("m", share), ("M", 1 - share)] if text in ("m", "M") else [(text, 0.9)]
        top = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in likely]
        first = max(top, key=lambda one: one["logprob"])
        told["choices"][0]["logprobs"] = {"content": [first | {"top_logprobs": top}]}
    if spoilt == "no_usage":
        del told["usage"]
    return Reply(200, told, digest, *counted)


def invalid(settings, digest):
    """Has the reply to a request of this identity no markers or verdict?"""
    return int(digest[-8:], 16) < settings["invalid"] * 2**32


def _text(content):
    """A message's content as text: it is a text or a list of parts."""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


def check(settings, protocol, body):
    """Raise Refusal for what the real provider would refuse too."""
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise error(protocol, "unfit", message="you must provide a model parameter")
    if settings["models"] and body["model"] not in settings["models"]:
        raise error(protocol, "404", model=body["model"])
    if not body.get("messages"):
        raise error(protocol, "empty")
    if protocol == "anthropic" and "max_tokens" not in body:
        raise error(protocol, "unfit", message="max_tokens: Field required")
    if body.get("stream") or body.get("n", 1) != 1:
        raise error(protocol, "unfit", message="this server knows neither stream nor n")


def completion(digest, model, text, spoilt, cut, stopped, counted):
    """OpenAI's chat.completion."""
    reason = "length" if cut else "content_filter" if spoilt == "content_filter" else "stop"
    refusal = "I'm sorry, I can't help with that." if spoilt == "refusal" else None
    return {
        "id": f"chatcmpl-{digest[:20]}{next(number):09d}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None if refusal else text,
                    "refusal": refusal,
                },
                "logprobs": None,
                "finish_reason": reason,
            }
        ],
        "usage": {
            "prompt_tokens": counted[0],
            "completion_tokens": counted[1],
            "total_tokens": sum(counted),
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": None,
    }


def message(digest, model, text, spoilt, cut, stopped, counted):
    """Anthropic's message."""
    if spoilt == "content_filter":
        raise error("anthropic", "content_filter")
    ended = "stop_sequence" if stopped else "end_turn"
    reason = "refusal" if spoilt == "refusal" else "max_tokens" if cut else ended
    return {
        "id": f"msg_{digest[:15]}{next(number):09d}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": reason,
        "stop_sequence": stopped,
        "usage": {
            "input_tokens": counted[0],
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": counted[1],
            "service_tier": "standard",
        },
    }


def error(protocol, name, *, model="the model", key="", retry_after=None, **other):
    """The Refusal that a name in errors.json means; `other` replaces its message, type or code.

    `retry_after` (seconds or a date) becomes the header; a 429 without it has none.
    """
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    if name == "502":  # comes from what stands before the provider
        page = b"<html><head><title>502 Bad Gateway</title></head><body></body></html>"
        return Refusal(name, 502, page, headers | {"content-type": "text/html"})
    status, told = ERRORS[protocol][name.removesuffix("_bare")]
    told = told | {"message": told["message"].format(model=model, key=key)}
    told |= {part: value for part, value in other.items() if part in told}
    body = {"error": told}
    if protocol == "anthropic":
        body = {"type": "error", "error": told, "request_id": f"req_{next(number):024d}"}
    return Refusal(name, status, body, headers)


def struck(protocol, fault, model="the model", key=""):
    """The Refusal that a fault means, or None if it means something else."""
    name = fault["fault"]
    if name not in REFUSALS:
        return None
    retry_after = fault.get("retry_after", 1 if name == "429" else None)
    other = {part: fault[part] for part in ("message", "code") if part in fault}
    return error(protocol, name, model=model, key=key, retry_after=retry_after, **other)
