"""What an error of a model's endpoint means: retry, leave this request, or stop the work.

The OpenAI and the Anthropic protocol differ in codes and wording and agree in meaning, so both
backends, online and in batches, classify their errors here.
"""

import email.utils
import json
import time

from agorabench.errors import UserError
from agorabench.llm.request import FaultRow, Reply, Usage


class Unanswered(UserError):
    """A backend has left requests without a reply."""


class Fault(Exception):
    """A request without a reply. `reason` is short and stable, because reasons are counted; `usage`
    is what the provider billed all the same, if it said so."""

    def __init__(self, reason: str, text: str = "", usage: Usage | None = None):
        super().__init__(text or reason)
        self.reason, self.usage = reason, usage


class Transient(Fault):
    """It can pass: a limit, an overload, a broken connection.

    `after` is the delay in seconds that the provider asked for, if it did; `crowded` that fewer
    requests at a time would help.
    """

    def __init__(self, reason, text="", after=None, crowded=False, usage=None):
        super().__init__(reason, text, usage)
        self.after, self.crowded = after, crowded


class Refused(Fault):
    """This request will never be answered, others may be: filtered, too long."""


class Fatal(Fault):
    """No request will be answered until somebody acts: key, credit, model, parameters."""


# Answers to a single request that say nothing about others, by code or by words of the message.
# https://platform.openai.com/docs/guides/error-codes, https://docs.claude.com/en/api/errors
OWN_CODES = {
    "content_filter": "filtered",
    "content_policy_violation": "filtered",
    "invalid_prompt": "filtered",
    "context_length_exceeded": "too long",
    "string_above_max_length": "too long",
    "request_too_large": "too long",
}
OWN_WORDS = {
    "content filter": "filtered",
    "usage policy": "filtered",
    "prompt is too long": "too long",
    "maximum context length": "too long",  # vLLM says it without a code
    "longer than the maximum model length": "too long",
    "request too large": "too long",  # a 429: more tokens than the limit of a minute
}
NO_CREDIT = (
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "credit balance is too low",
)
CROWDED = {408, 429, 503, 504, 529}


def classify_error(status: int, body, headers=None) -> Fault:
    """The Fault that an HTTP status other than 200 and its body (text or parsed JSON) stand for."""
    code, message = error_message(body)
    words = f"{code} {message}".lower()
    text = f"{status}: {message or code or 'no reason given'}"
    if any(phrase in words for phrase in NO_CREDIT):
        return Fatal("no credit", text)
    if status in (400, 413, 422, 429) and (reason := _own_reason(code, words)):
        return Refused(reason, text)
    if status == 413:
        return Refused("too long", text)
    if status == 429 or status >= 500 or status in (408, 409, 425):
        return Transient(str(status), text, retry_delay(headers or {}), status in CROWDED)
    return Fatal(str(status), text)


def _own_reason(code, words):
    """The reason that concerns this request only, or None."""
    matching = (reason for phrase, reason in OWN_WORDS.items() if phrase in words)
    return OWN_CODES.get(code) or next(matching, None)


def error_message(body) -> tuple[str, str]:
    """(code or type, message) of an error body, or of the `error` object inside one."""
    if isinstance(body, (str, bytes)):
        try:
            body = json.loads(body)
        except ValueError:
            return "", " ".join(str(body)[:200].split())
    error = body.get("error", body) if isinstance(body, dict) else {}
    if isinstance(error, str):
        return "", error
    if not isinstance(error, dict):
        return "", ""
    message = " ".join(str(error.get("message") or "").split())
    return str(error.get("code") or error.get("type") or ""), message


def retry_delay(headers) -> float | None:
    """Seconds that Retry-After (RFC 9110, 10.2.3) or retry-after-ms asks for, or None."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        if "retry-after" not in headers:
            return None
        value = headers["retry-after"]
        if value.replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def to_user_error(fault: Fault, entry: dict, address: str) -> UserError:
    """The sentence that says what stopped the work and what to do, without the key."""
    model = f"model '{entry['model']}' at {address}"
    key = f"the key in {entry['key']}" if entry["key"] else "a request without a key"
    if fault.reason in ("401", "403"):
        # The provider's own words may quote a part of the key.
        verb = "does not accept" if fault.reason == "401" else "does not permit this to"
        return UserError(f"{address} {verb} {key} ({fault.reason}), needed for '{entry['model']}'")
    if fault.reason == "no credit":
        return UserError(f"no credit left for {model}; the endpoint says {fault}")
    if fault.reason == "404":
        return UserError(
            f"{address} does not serve the model '{entry['model']}', or is no base_url of "
            f"{entry['backend']}'s protocol ({fault})"
        )
    return UserError(f"{model} cannot go on: {fault}")


def fault_row(fingerprint: str, fault: Fault) -> FaultRow:
    """The journal's row of a request that was not answered."""
    usage = {"usage": fault.usage} if fault.usage else {}
    return {"fingerprint": fingerprint, "fault": fault.reason, **usage}


def given_up_row(fingerprint: str, fault: Fault) -> FaultRow:
    """The journal's row of a request that is not asked again in this run, but may be in another."""
    return fault_row(fingerprint, fault) | {"given_up": True}


def unanswered_row(fingerprint: str, reason: str) -> Reply:
    """The journal's row of a request that will never be answered."""
    return {
        "fingerprint": fingerprint,
        "reply": None,
        "finish_reason": "unanswered",
        "usage": {"input": 0, "output": 0},
        "why": reason,
    }
