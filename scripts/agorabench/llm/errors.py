"""What an error of a model's endpoint means: retry, leave this request, or stop the work.

The OpenAI and the Anthropic protocol differ in codes and wording and agree in meaning, so both
backends, online and in batches, classify their errors here.
"""

import email.utils
import json
import math
import re
import time

from agorabench.errors import UserError
from agorabench.llm.answers import LONGEST_WORD, read_word, scrub
from agorabench.llm.request import FaultRow, Reply, Usage


class Unanswered(UserError):
    """A backend has left requests without a reply."""


class RequestFault(Exception):
    """A request without a reply. `reason` is short and stable, because reasons are counted; `usage`
    is what the provider billed all the same, if it said so; `kept` are further fields of its row:
    the "raw" text of what cannot be read, the reply of another model than the one queried."""

    def __init__(self, reason: str, text: str = "", usage: Usage | None = None, kept=None):
        super().__init__(scrub(text or reason))
        self.reason, self.usage, self.kept = reason, usage, kept or {}


class Transient(RequestFault):
    """It can pass: a limit, an overload, a broken connection.

    `after` is the delay in seconds that the provider asked for, if it did; `crowded` that fewer
    requests at a time would help.
    """

    def __init__(self, reason, text="", after=None, crowded=False, usage=None, kept=None):
        super().__init__(reason, text, usage, kept)
        self.after, self.crowded = after, crowded


class Unreadable(Transient):
    """Something was answered, and perhaps paid for, that is no reply of the protocol; `hopeless`
    where no other request will fare better."""

    def __init__(self, text, raw="", hopeless=False, reason="malformed body", usage=None):
        super().__init__(reason, text, usage=usage, kept={"raw": raw} if raw else None)
        self.hopeless = hopeless


class Refused(RequestFault):
    """This request will never be answered, others may be: filtered, too long."""


class Fatal(RequestFault):
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
    "content management policy": "filtered",  # Azure
    "was flagged": "filtered",  # OpenRouter, with status 403
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
    "insufficient credit",
    "insufficient balance",
)
# Codes of errors that come without an HTTP status, in a batch's lines or inside a 200.
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "token_limit_exceeded": 429,  # of what an organisation has enqueued
    "too_many_requests": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    # Google's words
    "invalid_argument": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "resource_exhausted": 429,
    "internal": 500,
    "unavailable": 503,
    "deadline_exceeded": 504,
    # Azure's and others'
    "invalid_api_key": 401,
    "deploymentnotfound": 404,
}
STATUS_WORDS = {
    "rate limit": 429,
    "too many requests": 429,
    "invalid api key": 401,
    "incorrect api key": 401,
    "no api key": 401,
    "missing api key": 401,
    "unauthorized": 401,
    "does not exist": 404,
}
CROWDED = {408, 429, 503, 504, 529}


def classify_error(status: int, body, headers=None) -> RequestFault:
    """What an HTTP status other than 200 and its body (text or parsed JSON) mean."""
    code, message = error_message(body)
    words = f"{code} {message}".lower()
    text = f"{status}: {message or code or 'no reason given'}"
    if status == 402 or any(phrase in words for phrase in NO_CREDIT):
        return Fatal("no credit", text)
    if status in (400, 403, 413, 422, 429) and (reason := _own_reason(code, words)):
        return Refused(reason, text)
    if status == 413:
        return Refused("too long", text)
    if status == 429 or status >= 500 or status in (408, 409, 425):
        return Transient(str(status), text, retry_delay(headers or {}), status in CROWDED)
    if 300 <= status < 400:
        text = f"{status}: it redirects; give the address that answers itself as base_url"
    return Fatal(str(status), text)


def classify_object(error, status: int = 500) -> RequestFault:
    """What an error object means that came without a status of its own: inside a
    200, as routers send it, or in a line of a batch. `status` where its code names none."""
    code, message = error_message(error)
    words = message.lower()
    said = next((known for phrase, known in STATUS_WORDS.items() if phrase in words), status)
    known = int(code[:3]) if re.fullmatch(r"[45]\d\d(\d\d)?", code) else None  # 40303 at some
    return classify_error(known or STATUSES.get(code.lower(), said), error)


def embedded_error(body: dict) -> dict | None:
    """The error inside a body that came with status 200, or None."""
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    for holder in (body, first):
        if isinstance(holder, dict) and holder.get("error"):
            return {"error": holder["error"]}
    told = body.get("base_resp")  # MiniMax
    if not choices and isinstance(told, dict) and told.get("status_code"):
        return {"error": {"message": told.get("status_msg"), "code": told["status_code"]}}
    failed = body.get("errors")  # Cloudflare
    if not choices and isinstance(failed, list) and failed:
        return {"error": failed[0]}
    if not choices and (body.get("object") == "error" or "detail" in body):
        return {"error": {**body, "message": body.get("message") or str(body.get("detail"))[:200]}}
    return None


def _own_reason(code, words):
    """The reason that concerns this request only, or None."""
    matching = (reason for phrase, reason in OWN_WORDS.items() if phrase in words)
    return OWN_CODES.get(code) or next(matching, None)


def error_message(body) -> tuple[str, str]:
    """(code or type, message) of an error body, or of the `error` object inside one."""
    if isinstance(body, (str, bytes)):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            text = body if isinstance(body, str) else body.decode("utf-8", "replace")
            return "", " ".join(scrub(text)[:200].split())
    body = body[0] if isinstance(body, list) and len(body) == 1 else body
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return "", _flat_text(error)
    message = _flat_text(error.get("message"))
    names = [read_word(error.get(name), "") for name in ("code", "status", "type")]
    code = next(filter(None, names), "")
    return code[:LONGEST_WORD], message


def _flat_text(value):
    """What an endpoint says, in one line of bounded length."""
    try:
        return " ".join(scrub(str(value or ""))[:500].split())
    except RecursionError:
        return ""


def retry_delay(headers) -> float | None:
    """Seconds that Retry-After (RFC 9110, 10.2.3) or retry-after-ms asks for; None for nonsense."""
    try:
        if "retry-after-ms" in headers:
            return read_delay(float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        try:
            return read_delay(float(value))
        except ValueError:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def read_delay(seconds: float) -> float | None:
    """Seconds from now on, of a number that is such, or a Unix time in seconds or milliseconds."""
    if not math.isfinite(seconds) or seconds < 0:
        return None
    now = time.time()
    if seconds > 1e12:  # milliseconds
        seconds /= 1000
    return max(0.0, seconds - now) if seconds > now / 2 else seconds


def to_user_error(fault: RequestFault, entry: dict, address: str) -> UserError:
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


def fault_row(fingerprint: str, fault: RequestFault) -> FaultRow:
    """The journal's row of a request that was not answered."""
    usage = {"usage": fault.usage} if fault.usage else {}
    return {"fingerprint": fingerprint, "fault": fault.reason, **fault.kept, **usage}


def given_up_row(fingerprint: str, fault: RequestFault) -> FaultRow:
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
