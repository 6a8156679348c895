"""The life of a batch, at either provider: made, looked at, ended; its lines of results.

A batch's requests are answered as its time goes by, in polls and in seconds, and are billed then.
"""

import json
import random
import re
import time
from datetime import UTC, datetime

from .providers import Refusal, check, compose, error, number, struck

CODES = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "This request was not executed because the batch was cancelled.",
    "token_limit_exceeded": "Enqueued token limit reached for {model} in organization org-test. "
    "Limit: {limit} enqueued tokens. Please try again once some in_progress batches have been "
    "completed.",
    "billing_hard_limit_reached": "Billing hard limit has been reached.",
}


class Batch:
    """One batch of (custom_id, body) items; `faults` are those that strike it as a whole."""

    def __init__(self, world, protocol, items, faults, asked, failure=None):
        self.world, self.protocol, self.items, self.asked = world, protocol, items, asked
        self.faults = {fault["fault"]: fault for fault in faults}
        mark = "batch" if protocol == "openai" else "msgbatch"
        self.id = f"{mark}_{next(number):024d}"
        self.made = time.time()
        self.times = {}  # what happened -> when, in Unix seconds
        self.polls = self.done = 0
        self.status = "validating" if protocol == "openai" else "in_progress"
        self.errors = [failure] if failure else None  # OpenAI: why the whole of it failed
        self.good, self.bad = [], []  # lines; Anthropic has one list of results, `good`
        self.counts = dict.fromkeys(["succeeded", "errored", "canceled", "expired"], 0)
        self.usage = [0, 0]
        self.queued = 0  # input tokens that count against the limit of those enqueued
        self.output = {"good": None, "bad": None}  # OpenAI: the files' ids

    @property
    def ended(self):
        return self.status in ("completed", "failed", "expired", "cancelled", "ended")

    def advance(self, polled=False):
        """Let it come as far as the polls (this is one, or not) and the clock allow."""
        if self.ended:
            return
        if self.status in ("cancelling", "canceling"):
            return self._end("canceled", "cancelled")
        if self.status == "validating" and not self._validated():
            return None
        polls, seconds = (self.world.settings["batch"][key] for key in ("polls", "seconds"))
        past = self.polls / polls if polls else 1.0
        if seconds:
            past = min(past, (time.time() - self.made) / seconds)
        self.polls += polled
        stop = self.faults["expired"].get("done", 0.5) if "expired" in self.faults else 1.0
        self._answer(int(min(past, stop, 1.0) * len(self.items)))
        if past >= 1:
            return self._end("expired", "expired" if "expired" in self.faults else "completed")
        if past > 0 and self.protocol == "openai":
            self.status = "in_progress"
            self.times.setdefault("in_progress_at", time.time())
        return None

    def cancel(self):
        """Ask for the end; it comes with the next look, with the results there are."""
        if not self.ended:
            self.status = "cancelling" if self.protocol == "openai" else "canceling"
            self.times["cancelling_at"] = time.time()

    # OpenAI checks the whole file after it has accepted the batch.
    def _validated(self):
        failed = self.faults.get("failed")
        settings = self.world.settings["batch"]
        models = {body.get("model") for _, body in self.items}
        model = next(iter(models), None)
        if self.errors:
            pass  # its file could not be read
        elif failed:
            code = failed.get("code", "token_limit_exceeded")
            default = CODES.get(code, "The batch failed.").format(model=model, limit=0)
            self.errors = [_failure(code, failed.get("message", default))]
        elif len(models) > 1:
            text = f"The batch has requests for several models: {sorted(map(str, models))}."
            self.errors = [_failure("mismatched_model", text)]
        elif len(self.items) > (settings["requests"] or 50_000):
            self.errors = [_failure("too_many_requests", "The batch has too many requests.")]
        elif len({name for name, _ in self.items}) < len(self.items):
            self.errors = [_failure("duplicate_custom_id", "A custom_id is there twice.")]
        else:
            try:
                for _, body in self.items:
                    check(self.world.settings, "openai", body)
            except Refusal as refusal:
                told = refusal.body["error"]
                self.errors = [_failure(told["code"], told["message"])]
        if not self.errors and settings["enqueued"] is not None:
            queued = 0
            for batch in self.world.batches.values():
                if batch.status == "in_progress" and batch.items[0][1].get("model") == model:
                    batch.advance()  # its time may have come
                    queued += batch.queued
            own = sum(compose(self.world.settings, "openai", body).input for _, body in self.items)
            if queued + own > settings["enqueued"]:
                text = CODES["token_limit_exceeded"].format(model=model, limit=settings["enqueued"])
                self.errors = [_failure("token_limit_exceeded", text)]
            else:
                self.queued = own
        if self.errors:
            self.status = "failed"
            self.times["failed_at"] = time.time()
        else:
            self.times["in_progress_at"] = time.time()
            self.status = "in_progress"
        return not self.errors

    def _answer(self, upto):
        """Answer the next requests, until `upto` of them are done."""
        for name, body in self.items[self.done : upto]:
            text = f"{name}\n{json.dumps(body)}".encode() if self.world.faults.entries else b""
            strikes = self.world.faults.striking(self.protocol, "item", text)
            fault = strikes[0] if strikes else None
            kind = fault["fault"] if fault else "ok"
            if kind in ("expired", "canceled"):
                self._undone(name, kind)
                continue
            try:
                refusal = fault and struck(self.protocol, fault, model=body.get("model"))
                if refusal:
                    raise refusal
                reply = compose(self.world.settings, self.protocol, body, fault)
            except Refusal as refusal:
                self.world.books.kinds[f"{self.protocol} item"][refusal.kind] += 1
                self._line(name, "errored", refusal.status, _json_body(refusal))
                continue
            self.world.books.kinds[f"{self.protocol} item"][kind] += 1
            if self.world.habits:
                self._spoil(name, body, reply)
                continue
            self.world.books.bill("batch", reply)
            self.usage = [self.usage[0] + reply.input, self.usage[1] + reply.output]
            self._line(name, "succeeded", 200, reply.body, kind)
        self.done = max(self.done, upto)

    def _line(self, name, outcome, status, body, kind="ok"):
        """Write the result of a request that was made, well or not."""
        self.counts[outcome] += 1
        good = outcome == "succeeded"
        line = self._result(name, outcome, status, body)
        if kind == "no_id":
            del line["custom_id"]
        text = json.dumps(line)
        if kind == "malformed":
            text = text[: len(text) // 2]
        copies = {"missing": 0, "duplicate": 2}.get(kind, 1)
        lines = self.good if good or self.protocol == "anthropic" else self.bad
        lines.extend([text] * copies)

    def _result(self, name, outcome, status, body):
        """The line that tells a result."""
        if self.protocol == "openai":
            response = {"status_code": status, "request_id": f"{next(number):032d}", "body": body}
            return {"id": _line_id(), "custom_id": name, "response": response, "error": None}
        result = {"type": outcome, ("message" if outcome == "succeeded" else "error"): body}
        return {"custom_id": name, "result": result}

    def _spoil(self, name, body, reply):
        """Write a result as a provider with bad habits does."""
        line = self._result(name, "succeeded", 200, reply.body)
        lines, billed, clear = self.world.habits.spoil_line(self.protocol, line, reply.identity)
        if billed:
            self.world.books.bill("batch", reply)
        if not clear:
            self.world.books.doubt("batch", body)
        self.counts["succeeded"] += 1
        self.good.extend(lines)

    def _undone(self, name, outcome):
        """Write the result of a request that was never made: it is expired or canceled."""
        self.counts[outcome] += 1
        self.world.books.kinds[f"{self.protocol} item"][outcome] += 1
        if self.protocol == "anthropic":
            self.good.append(json.dumps({"custom_id": name, "result": {"type": outcome}}))
            return
        code = "batch_expired" if outcome == "expired" else "batch_cancelled"
        why = {"code": code, "message": CODES[code]}
        line = {"id": _line_id(), "custom_id": name, "response": None, "error": why}
        self.bad.append(json.dumps(line))

    def _end(self, outcome, status):
        """Close it; `outcome` is that of the requests that are not done."""
        for name, _ in self.items[self.done :]:
            self._undone(name, outcome)
        if "shuffled" in self.faults:
            random.Random(self.id).shuffle(self.good)
        self.status = status if self.protocol == "openai" else "ended"
        self.times["finalizing_at"] = self.times[f"{status}_at"] = time.time()
        self.queued = 0
        if self.protocol == "openai":
            for kind, lines in (("good", self.good), ("bad", self.bad)):
                if lines:
                    data = ("\n".join(lines) + "\n").encode()
                    self.output[kind] = self.world.store(data, f"{self.id}.jsonl", "batch_output")

    def told(self, url):
        """What the provider says of it; `url` is the server's own, for the results' address."""
        if self.protocol == "openai":
            return self._told_openai()
        left = len(self.items) - sum(self.counts.values())
        ended = self.times.get("finalizing_at")
        cancelling = self.times.get("cancelling_at")
        # the real one counts nothing as done before all of it has ended
        counts = self.counts if ended else dict.fromkeys(self.counts, 0)
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": self.status,
            "request_counts": {"processing": left if ended else len(self.items), **counts},
            "ended_at": _iso(ended),
            "created_at": _iso(self.made),
            "expires_at": _iso(self.made + 24 * 60 * 60),
            "archived_at": None,
            "cancel_initiated_at": _iso(cancelling),
            "results_url": f"{url}/v1/messages/batches/{self.id}/results" if ended else None,
        }

    def _told_openai(self):
        events = ["in_progress", "finalizing", "completed", "failed"]
        events += ["expired", "cancelling", "cancelled"]
        times = {f"{event}_at": self.times.get(f"{event}_at") for event in events}
        total = 0 if self.status in ("validating", "failed") else len(self.items)
        failed = sum(self.counts.values()) - self.counts["succeeded"]
        told = {
            "id": self.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "errors": self.errors and {"object": "list", "data": self.errors},
            "input_file_id": self.asked.get("input_file_id"),
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output["good"],
            "error_file_id": self.output["bad"],
            "created_at": int(self.made),
            "expires_at": int(self.made) + 24 * 60 * 60,
            **{event: when and int(when) for event, when in times.items()},
            "request_counts": {
                "total": total,
                "completed": self.counts["succeeded"],
                "failed": failed,
            },
            "metadata": self.asked.get("metadata"),
        }
        if self.ended:
            told["usage"] = {
                "input_tokens": self.usage[0],
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": self.usage[1],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": sum(self.usage),
            }
        return told


def _json_body(refusal):
    """A refusal's body as a line can hold it: a page of HTML becomes a text."""
    body = refusal.body
    return body.decode() if isinstance(body, bytes) else body


def _failure(code, text, line=None):
    return {"code": code, "message": text, "param": None, "line": line}


def _line_id():
    return f"batch_req_{next(number):032d}"


def _iso(seconds):
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def read_openai(data):
    """The (custom_id, body) items of an input file, and None or the failure of its first bad line.

    The real one accepts such a batch too, and fails it when it has looked at the file.
    """
    items = []
    for row, line in enumerate(data.decode().splitlines(), 1):
        try:
            task = json.loads(line)
            items.append((task["custom_id"], dict(task["body"])))
            if task["method"] != "POST" or task["url"] != "/v1/chat/completions":
                text = "The URL provided for this request does not match the batch endpoint."
                return [], _failure("invalid_url", text, row)
        except (ValueError, KeyError, TypeError):
            text = "This line is not parseable as valid JSON, or lacks a required key."
            return [], _failure("invalid_json_line", text, row)
    return items, None if items else _failure("empty_file", "The input file is empty.")


def read_anthropic(world, body):
    """The (custom_id, params) items of a request to make a batch; Refusal as the real one has."""
    requests = body.get("requests") if isinstance(body, dict) else None
    if not requests:
        raise error("anthropic", "unfit", message="requests: Field required")
    settings = world.settings["batch"]
    if len(requests) > (settings["requests"] or 100_000):
        raise error("anthropic", "unfit", message="requests: too many of them")
    items = []
    for row, task in enumerate(requests):
        name = task.get("custom_id", "")
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
            text = (
                f"requests.{row}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'"
            )
            raise error("anthropic", "unfit", message=text)
        if not isinstance(task.get("params"), dict):
            raise error("anthropic", "unfit", message=f"requests.{row}.params: Field required")
        items.append((name, task["params"]))
    if len(dict(items)) < len(items):
        raise error("anthropic", "unfit", message="requests: custom_id must be unique")
    waiting = [b for b in world.batches.values() if b.protocol == "anthropic" and not b.ended]
    if settings["queue"] is not None:
        queued = sum(len(batch.items) for batch in waiting) + len(items)
        if queued > settings["queue"]:
            text = "Too many requests are in the batch processing queue."
            raise error("anthropic", "429", message=text)
    return items
