"""Messages at Anthropic.

https://docs.claude.com/en/api/messages and .../creating-message-batches
"""

import contextlib

from agorabench.llm import answers, errors
from agorabench.llm.api import BatchStatus, Provider, check_text, make_backend
from agorabench.llm.request import END, Request

UNDONE = {"expired": "expired", "canceled": "cancelled"}


def connect(entry, **settings):
    """The backend of a config entry, online or in batches."""
    return make_backend(make_provider(entry), **settings)


def make_provider(entry: dict) -> "Anthropic":
    """The Provider of a config entry."""
    return Anthropic(entry)


class Anthropic(Provider):
    """Requests and replies of the messages protocol."""

    path, key_header = "/v1/messages", "X-Api-Key"

    def client_libraries(self):
        import anthropic
        import httpx2

        return anthropic, anthropic.Anthropic, anthropic.AsyncAnthropic, httpx2

    def served_models(self, models):
        """As in Provider; the list has no aliases, so each model is retrieved by its name too."""
        names = super().served_models(models)
        with self.open_client() as client:
            for model in models if names is not None else ():
                if model not in names:
                    with contextlib.suppress(self.client_library.APIError):  # not served, then
                        client.models.retrieve(model)
                        names.add(model)
        return names

    def request_body(self, request: Request) -> dict:
        """The request's body, the same online and in a batch."""
        sampling = request.get("sampling", self.entry["sampling"])
        system = [m["content"] for m in request["messages"] if m["role"] == "system"]
        body = {
            "model": self.entry["model"],
            "max_tokens": sampling["max_tokens"],
            "messages": [m for m in request["messages"] if m["role"] != "system"],
        }
        if system:
            body["system"] = "\n\n".join(system)
        for name in ("temperature", "top_p"):
            if sampling[name] is not None:
                body[name] = sampling[name]
        if schema := request.get("schema"):
            if self.entry["structured"] == "json_schema":
                body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        elif sampling["stop"]:
            body["stop_sequences"] = [END]
        return body | self.entry["extra"]

    def read_usage(self, body: dict):
        """Tokens that a response body says were taken, or None."""
        cached = ("cache_creation_input_tokens", "cache_read_input_tokens")
        names = ("input_tokens", *cached), ("output_tokens",)
        return answers.read_usage(body.get("usage"), *names)

    def parse_body(self, body: dict) -> dict:
        """Fields of the reply row in a response body; raises where it is not of the protocol."""
        if body.get("type", "message") != "message":
            raise KeyError("not a message")
        blocks = body["content"]
        # Thinking is paid for and is no part of the reply.
        thoughts = answers.read_parts_of_thought(blocks)
        fields = {
            "reply": answers.read_content(blocks),
            "finish_reason": answers.read_finish(body.get("stop_reason"), self.finish_reasons),
            "usage": self.read_usage(body),
            "model": answers.read_word(body.get("model"), "") or None,
        }
        return fields | ({"thoughts": thoughts} if thoughts else {})

    # Batches

    batches = "/v1/messages/batches"

    def batch_task(self, request: Request) -> dict:
        return {"custom_id": request["fingerprint"], "params": self.request_body(request)}

    def submit_batch(self, client, name, tasks):
        with self.raising_faults():
            batch = client.post(
                self.batches,
                cast_to=self.client_library.types.messages.MessageBatch,
                body={"requests": tasks},
            )
            return check_text(batch.id)

    def find_batches(self, client, name, size, since):
        ids = []
        with self.raising_faults():
            for batch in client.messages.batches.list(limit=100):
                if batch.created_at.timestamp() < since:
                    break
                if sum(batch.request_counts.to_dict().values()) == size:
                    ids.append(check_text(batch.id))
        return ids

    def batch_status(self, client, id) -> BatchStatus:
        with self.raising_faults():
            response = client.messages.batches.with_raw_response.retrieve(id)
            batch = response.parse()
            counts = batch.request_counts
            ended = check_text(batch.processing_status) == "ended"
            done = sum(counts.to_dict().values()) - counts.processing
        state = "completed" if ended else "open"
        if ended and counts.canceled and batch.cancel_initiated_at:
            state = "cancelled"
        return BatchStatus(state, done, errors.retry_delay(response.headers), None, (id,))

    def fetch_results(self, client, status):
        lines = []
        for id in status.result_ids:
            with self.raising_faults():
                # Unparsed: one bad line would end the library's own reading.
                path = f"{self.batches}/{id}/results"
                response = client.get(path, cast_to=self.client_libraries()[3].Response)
                lines += response.content.split(b"\n")
        return [line for line in lines if line.strip()]

    def parse_result(self, line):
        result = line["result"]
        if result["type"] == "succeeded":
            return self.read_reply(result["message"])
        if result["type"] in UNDONE:
            raise errors.Transient(UNDONE[result["type"]])
        raise errors.classify_object(result["error"])

    def cancel_batch(self, client, id):
        with self.raising_faults():
            client.messages.batches.cancel(id)
