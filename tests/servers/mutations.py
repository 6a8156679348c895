"""What a provider's answers can be that no protocol allows, drawn by a seeded grammar.

A seed is a provider with one to three bad habits, each of which strikes a share of its answers:
values of other types, parts that are missing, whole bodies that are something else, odd headers,
slow or broken connections, damaged lines of a batch. The same seed, request and try give the same
answer. A habit never makes usage a plausible lie, for nobody could tell: what `Books` has billed
is the truth that a client's own count is held against.
"""

import copy
import json
import random
from typing import NamedTuple

WEIRD = [None, True, 0, -1, 1.5, "", "text", [], {}, [None], {"text": 1}, 10**18, "\ud83d", "\0"]
NO_USAGE = [None, "many", [], {}, -1, -(10**18), 10**18, "1e400", [7], {"total": 7}]
SAME_USAGE = [float, str, lambda count: f"{count}.0"]
FINISH = [None, "eos", "STOP", "end_turn", "stop_sequence", "eos_token", "max_tokens", "length", 7]
FINISH += ["tool_calls", "error", "\ud83d", {"type": "stop"}, "MAX_TOKENS", "function_call", ""]
RETRIES = ["0", "infinite", "-5", "1e9", "NaN", "9999h", "0.01", "Wed, 21 Oct 2015 07:28:00 GMT"]
RETRIES += ["Fri, 31 Dec 9999 23:59:59 GMT", "1800000000", "1800000000000", "", "\u00b2"]
ERRORS = [
    {"error": {"code": 429, "message": "Rate limit exceeded upstream"}},
    {"error": {"code": 402, "message": "Insufficient credits"}},
    {"error": {"code": 502, "message": "Provider returned error"}, "choices": None},
    {"error": "overloaded"},
    {"error": {"message": None, "code": None}},
    {"error": ["bad"]},
    {"object": "error", "message": "no worker", "code": 50001},
    {"detail": [{"loc": ["body"], "msg": "field required"}]},
]
PAGES = [
    b"<html><body><h1>Welcome</h1></body></html>",
    b'data: {"choices": [{"delta": {"content": "5"}}]}\n\ndata: [DONE]\n\n',
    b"",
    b"null",
    b"[]",
    b'"fine"',
    b"NaN",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"choices": ' + b"[" * 1000 + b"]" * 1000 + b"}",
    b'{"usage": {"prompt_tokens": 1e400, "completion_tokens": 1e400}}',
]
STATUSES = [202, 204, 206, 302, 400, 402, 408, 409, 418, 422, 429, 451, 499, 500, 503, 520, 524]
BATCH_STATES = ["validating", "in_progress", "done", "COMPLETED", None, 7, ["completed"], "paused"]


class Spoilt(NamedTuple):
    """An answer as it goes out: `body` is bytes; `billed` whether a completion is paid for; `clear`
    whether a reader can know what it took; `delay` in seconds, `cut` in the middle."""

    body: bytes
    status: int = 200
    headers: dict = {}  # noqa: RUF012
    billed: bool = True
    clear: bool = False
    delay: float = 0.0
    cut: bool = False


class Habits:
    """The bad habits of one seed."""

    def __init__(self, seed):
        self.seed, self.tries = seed, {}
        dice = random.Random(f"habits {seed}")
        self.share = dice.choice([0.03, 0.2, 0.5, 1.0])
        self.completions = dice.sample(COMPLETIONS, dice.randint(1, 3))
        self.lines = dice.sample(LINES, dice.randint(1, 3))
        self.states = dice.random() < 0.3

    def _dice(self, what, key):
        count = self.tries[what, key] = self.tries.get((what, key), -1) + 1
        return random.Random(f"{self.seed} {what} {key} {count}")

    def spoil_completion(self, protocol, reply):
        """The Spoilt form of a providers.Reply, or None where it goes out as it is."""
        dice = self._dice("completion", reply.identity)
        if dice.random() >= self.share:
            return None
        return dice.choice(self.completions)(dice, protocol, copy.deepcopy(reply.body))

    def spoil_line(self, protocol, line, identity):
        """(lines, whether its completion is billed, whether what it took is clear) in place of a
        line (dict) of a batch's results."""
        dice = self._dice("line", identity)
        if dice.random() >= self.share:
            return [json.dumps(line)], True, True
        return dice.choice(self.lines)(dice, protocol, copy.deepcopy(line))

    def spoil_status(self, protocol, told):
        """What is said of a batch, now and then with a value that is something else."""
        dice = self._dice("status", "")
        if not self.states or dice.random() >= 0.3:
            return told
        told = copy.deepcopy(told)
        state = "status" if protocol == "openai" else "processing_status"
        if dice.random() < 0.5:
            told[state] = dice.choice(BATCH_STATES)
        else:
            told[dice.choice([key for key in told if key != "id"])] = dice.choice(WEIRD)
        return told


def dump(value):
    """JSON as bytes, half surrogates and all."""
    return json.dumps(value).encode()


def _walk(tree, path=()):
    """(container, key, path) of every value in a tree of JSON."""
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        yield tree, key, (*path, key)
        if isinstance(tree[key], (dict, list)):
            yield from _walk(tree[key], (*path, key))


def _message(protocol, body):
    return body["choices"][0]["message"] if protocol == "openai" else body


def change_value(dice, protocol, body):
    """One value of another type, or one that is missing."""
    tree, key, path = dice.choice(list(_walk(body)))
    concerns_usage = "usage" in path
    if dice.random() < 0.3:
        del tree[key]
    else:
        tree[key] = dice.choice(NO_USAGE if concerns_usage else WEIRD)
    return Spoilt(dump(body).replace(b'"1e400"', b"1e400"), clear=not concerns_usage)


def change_usage(dice, protocol, body):
    """Usage in another notation, which is clear, or in none."""
    names = ["prompt_tokens", "completion_tokens"]
    names = names if protocol == "openai" else ["input_tokens", "output_tokens"]
    if dice.random() < 0.5:
        for name in names:
            body["usage"][name] = dice.choice(SAME_USAGE)(body["usage"][name])
        return Spoilt(dump(body), clear=True)
    body["usage"][dice.choice(names)] = dice.choice(NO_USAGE)
    return Spoilt(dump(body).replace(b'"1e400"', b"1e400"))


def change_content(dice, protocol, body):
    """The text as parts, with thoughts before it, or half a character in it."""
    message = _message(protocol, body)
    text = (
        message["content"]
        if protocol == "openai"
        else "".join(part["text"] for part in message["content"])
    )
    thought = dice.choice(["<think>Let me see.</think>", "hm, 5?</think>\n\n", "<think>so", ""])
    parts = [{"type": "text", "text": text}]
    message["content"] = dice.choice(
        [
            [{"type": "thinking", "thinking": "Let me see."}, *parts],
            [*parts, {"type": "tool_use", "id": "t", "name": "f", "input": {}}],
            [*parts, {"type": "image_url", "image_url": {"url": "x"}}, None, "more"],
            [{"type": "text", "text": thought + text}]
            if protocol == "anthropic"
            else thought + text,
            [{"type": "text", "text": text + "\ud83d"}],
            [],
            None,
        ]
    )
    message["reasoning_content"] = dice.choice([None, "Let me see.", {"text": "x"}])
    return Spoilt(dump(body), clear=True)


def change_finish(dice, protocol, body):
    """Another finish reason."""
    if protocol == "openai":
        body["choices"][0]["finish_reason"] = dice.choice(FINISH)
    else:
        body["stop_reason"] = dice.choice(FINISH)
    return Spoilt(dump(body), clear=True)


def change_model(dice, protocol, body):
    """Another model's name, which a gateway may say."""
    name = body["model"]
    names = [name.upper(), f"openai/{name}", f"{name}-latest", f"{name}-2099-01-01", "deployment-7"]
    body["model"] = dice.choice([*names, None, "", 7, {"id": name}])
    return Spoilt(dump(body), clear=True)


def put_error(dice, protocol, body):
    """An error object inside a 200; nothing was made."""
    return Spoilt(dump(dice.choice(ERRORS)), billed=False, clear=True)


def put_page(dice, protocol, body):
    """A body that is something else; the completion was made."""
    whole = dump(body)
    pages = [*PAGES, whole[: len(whole) // 2], whole + whole, b"\xef\xbb\xbf" + whole]
    return Spoilt(dice.choice([*pages, whole[:-1] + b"\xff}"]))


def put_status(dice, protocol, body):
    """An error's status with a body of some kind; nothing was made."""
    status = dice.choice(STATUSES)
    pages = dice.random() < 0.3
    told = dice.choice(PAGES[:3] if pages else [dump(error) for error in ERRORS])
    headers = {"retry-after": dice.choice(RETRIES)} if dice.random() < 0.5 else {}
    billed = status == 204 or (status < 300 and pages)  # who says that it went well may bill it
    return Spoilt(b"" if status == 204 else told, status, headers, billed=billed)


def put_headers(dice, protocol, body):
    """Headers of a rate limit that say nothing sensible, with a good reply."""
    names = ["x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]
    names += ["x-ratelimit-limit-tokens", "x-ratelimit-reset-tokens", "retry-after"]
    names += ["anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"]
    values = [*RETRIES[:-1], "soon", "1s", "6m0s", "4ms", "99999999999999999999"]
    return Spoilt(dump(body), headers={name: dice.choice(values) for name in names}, clear=True)


def delay(dice, protocol, body):
    """A reply after the client's patience with it, or just before."""
    return Spoilt(dump(body), delay=dice.choice([0.05, 0.2, 1.5]))


def cut(dice, protocol, body):
    """A connection that ends in the middle."""
    return Spoilt(dump(body), cut=True)


COMPLETIONS = [change_value, change_usage, change_content, change_finish, change_model]
COMPLETIONS += [put_error, put_page, put_status, put_headers, delay, cut]


def _body(protocol, line):
    return line["response"]["body"] if protocol == "openai" else line["result"]["message"]


def line_change(dice, protocol, line):
    """What an online body can be, inside a line."""
    habit = dice.choice([change_value, change_usage, change_content, change_finish, change_model])
    spoilt = habit(dice, protocol, _body(protocol, line))
    body = json.dumps("@")
    if protocol == "openai":
        line["response"]["body"] = "@"
    else:
        line["result"]["message"] = "@"
    return [json.dumps(line).replace(body, spoilt.body.decode())], True, spoilt.clear


def line_value(dice, protocol, line):
    """One value of the line itself is something else."""
    places = [p for p in _walk(line) if not {"body", "message"} & set(p[2][:-1])]
    tree, key, _ = dice.choice(places)
    if dice.random() < 0.3:
        del tree[key]
    else:
        tree[key] = dice.choice(WEIRD)
    return [json.dumps(line)], True, False


def line_text(dice, protocol, line):
    """A line that is damaged, missing, twice there, or among others that are none."""
    text = json.dumps(line)
    lines = dice.choice(
        [
            [text[: len(text) // 2]], [], [text, text], ["", text, "  "], ["[" * 1000], ["null"],
            [text.replace(": ", ":")], [text + " trailing"], ["\ufeff" + text],
        ]
    )  # fmt: skip
    return lines, True, False


def line_error(dice, protocol, line):
    """An error in place of the completion."""
    told = dice.choice(ERRORS)
    status = dice.choice([200, 400, 429, 500, None, "400"])
    if protocol == "openai":
        line["response"] = {"status_code": status, "request_id": "r", "body": told}
    else:
        line["result"] = {"type": dice.choice(["errored", "failed", "expired", None]), **told}
    return [json.dumps(line)], False, False


LINES = [line_change, line_change, line_value, line_text, line_error]
