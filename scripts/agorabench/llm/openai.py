"""Chat completions at OpenAI or any endpoint that speaks its protocol (vLLM, Together, ...).

https://platform.openai.com/docs/api-reference/chat and .../batch
"""

import math

from agorabench.files import to_json
from agorabench.llm import answers, errors
from agorabench.llm.api import BatchStatus, Provider, check_text, make_backend
from agorabench.llm.request import END, Request

ENDPOINT = "/v1/chat/completions"  # of the lines of a batch, whatever the address
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")  # of a message
UNDONE = {"batch_expired": "expired", "batch_cancelled": "cancelled"}


def connect(entry, **settings):
    """The backend of a config entry, online or in batches."""
    return make_backend(make_provider(entry), **settings)


def make_provider(entry: dict) -> "OpenAI":
    """The Provider of a config entry."""
    return OpenAI(entry)


class OpenAI(Provider):
    """Requests and replies of the chat completions protocol."""

    path, key_header = "/chat/completions", "Authorization"

    def client_libraries(self):
        import httpx
        import openai

        return openai, openai.OpenAI, openai.AsyncOpenAI, httpx

    def request_body(self, request: Request) -> dict:
        """The request's body, the same online and in a batch."""
        sampling = request.get("sampling", self.entry["sampling"])
        # OpenAI's reasoning models know only the newer name, other endpoints often the older one.
        auto = "max_completion_tokens" if "://api.openai.com" in self.address else "max_tokens"
        length = self.entry["length_key"]
        body = {
            "model": self.entry["model"],
            "messages": request["messages"],
            auto if length == "auto" else length: sampling["max_tokens"],
        }
        for name in ("temperature", "top_p"):
            if sampling[name] is not None:
                body[name] = sampling[name]
        if schema := request.get("schema"):
            if self.entry["structured"] == "json_schema":
                shape = {"name": "pair", "strict": True, "schema": schema}
                body["response_format"] = {"type": "json_schema", "json_schema": shape}
            elif self.entry["structured"] == "json_object":
                body["response_format"] = {"type": "json_object"}
        elif sampling["stop"]:
            body["stop"] = [END]
        if sampling["seeded"]:
            body["seed"] = int(request["fingerprint"][:8], 16) >> 1  # some take 31 bits only
        return body | self.entry["extra"]

    def read_usage(self, body: dict):
        """Tokens that a response body says were taken, or None."""
        return answers.read_usage(body.get("usage"), ("prompt_tokens",), ("completion_tokens",))

    def parse_body(self, body: dict) -> dict:
        """Fields of the reply row in a response body; raises where it is not of the protocol."""
        choice = body["choices"][0]
        message = choice["message"]
        refusal = answers.read_content(message.get("refusal"))
        text = answers.read_content(message.get("content"))
        reason = answers.read_finish(choice.get("finish_reason"), self.finish_reasons)
        said = (answers.read_thoughts(message.get(name)) for name in THOUGHTS)
        thoughts = answers.read_parts_of_thought(message.get("content")) or next(
            filter(None, said), ""
        )
        fields = {
            "reply": text or refusal,
            "finish_reason": "refusal" if refusal and not text else reason,
            "usage": self.read_usage(body),
            "model": answers.read_word(body.get("model"), "") or None,
        }
        if thoughts:
            fields["thoughts"] = thoughts
        if logprobs := read_logprobs(choice.get("logprobs")):
            fields["logprobs"] = logprobs
        return fields

    # Batches

    named_batches = True

    def batch_task(self, request: Request) -> dict:
        return {
            "custom_id": request["fingerprint"],
            "method": "POST",
            "url": ENDPOINT,
            "body": self.request_body(request),
        }

    def submit_batch(self, client, name, tasks):
        lines = "".join(to_json(task) + "\n" for task in tasks)
        with self.raising_faults():
            file = client.files.create(file=(f"{name}.jsonl", lines.encode()), purpose="batch")
            batch = client.batches.create(
                input_file_id=file.id,
                endpoint=ENDPOINT,
                completion_window="24h",
                metadata={"agorabench": name},
            )
            return check_text(batch.id)

    def find_batches(self, client, name, size, since):
        ids = []
        with self.raising_faults():
            for batch in client.batches.list(limit=100):
                # Not by its time, as clocks differ: nothing else has this name.
                if (batch.metadata or {}).get("agorabench") == name:
                    ids.append(check_text(batch.id))
        return ids

    def batch_status(self, client, id) -> BatchStatus:
        with self.raising_faults():
            response = client.batches.with_raw_response.retrieve(id)
            batch = response.parse()
            state, counts = check_text(batch.status), batch.request_counts
            files = filter(None, (batch.output_file_id, batch.error_file_id))
            result_ids = tuple(map(check_text, files))
            listed = (batch.errors and batch.errors.data) or []
        fault = None
        if state == "failed":
            fault = errors.Transient("failed", "a batch failed for no stated reason")
            if listed:
                error = {"code": listed[0].code, "message": listed[0].message}
                fault = errors.classify_object({"error": error}, 400)
        elif state not in ("completed", "expired", "cancelled"):
            state = "open"  # validating, in_progress, finalizing, cancelling
        counted = (getattr(counts, name, None) for name in ("completed", "failed"))
        done = sum(answers.read_count(count) or 0 for count in counted)
        return BatchStatus(state, done, errors.retry_delay(response.headers), fault, result_ids)

    def fetch_results(self, client, status):
        lines = []
        for id in status.result_ids:
            try:
                with self.raising_faults():
                    lines += client.files.content(str(id)).content.split(b"\n")
            except errors.Fatal as fault:  # the batch is there, and its file may be a moment later
                raise errors.Transient(fault.reason, str(fault)) from None
        return [line for line in lines if line.strip()]

    def parse_result(self, line):
        response, error = line.get("response"), line.get("error")
        if not response:
            code, message = errors.error_message(error)
            if not code:
                raise errors.Unreadable(message, answers.keep_raw(line), reason="malformed line")
            raise errors.Transient(UNDONE.get(code, code), message)
        status, body = answers.read_count(response.get("status_code")), response["body"]
        if status not in (None, 200):
            raise errors.classify_error(status, body)
        return self.read_reply(body)

    def cancel_batch(self, client, id):
        with self.raising_faults():
            client.batches.cancel(id)


def read_logprobs(told) -> dict[str, float]:
    """Logarithms of the likeliest first tokens, which is all that a judge of one token needs."""
    try:
        tokens = told["content"][0]["top_logprobs"]
        values = {answers.scrub(token["token"]): float(token["logprob"]) for token in tokens}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError):
        return {}
    return {token: value for token, value in values.items() if math.isfinite(value)}
