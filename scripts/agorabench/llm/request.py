"""A request to a model and its reply: their form, and what of the config decides a reply."""

from typing import NotRequired, TypedDict

from agorabench.files import json_fingerprint

END = "[END]"  # stop sequence of every request whose sampling says stop


class Message(TypedDict):
    """A turn of a conversation."""

    role: str
    content: str


class Request(TypedDict):
    """A query of a backend; `fingerprint` finds its reply in a journal.

    `schema`: JSON Schema of the reply, for structured output; `sampling`: replaces that of the
    generator's entry.
    """

    fingerprint: str
    messages: list[Message]
    schema: NotRequired[dict]
    sampling: NotRequired[dict]


class Usage(TypedDict):
    """Tokens of one request; `cached` are those of the input that the provider had kept, `thoughts`
    those of the output, where it says so."""

    input: int
    output: int
    cached: NotRequired[int]
    thoughts: NotRequired[int]


class Reply(TypedDict):
    """A journal row: the reply to a request.

    `reply` is None and `finish_reason` "unanswered" where there will never be one, for the reason
    in `why`. Else `finish_reason` is "stop", "length" or another word of the endpoint's. `usage` is
    None where none was reported; `model` is the name that the API reported; `mode` is "batch" for a
    reply at the price of batches; `logprobs` are those of the first token (token -> logarithm);
    `thoughts` is what the model thought before it answered, where that is told apart.
    """

    fingerprint: str
    reply: str | None
    finish_reason: str
    usage: Usage | None
    why: NotRequired[str]
    model: NotRequired[str | None]
    mode: NotRequired[str]
    logprobs: NotRequired[dict[str, float]]
    thoughts: NotRequired[str]


class FaultRow(TypedDict):
    """A journal row: a request that got no reply; `fault` is the reason, short and stable.

    `usage` is what was billed all the same, `most` (tokens too) what may have been. `given_up`
    marks a request that is not asked again in this run; `batch` is the id of the batch it was in;
    `raw` is the beginning of an answer that cannot be read. A fault "wrong model" has the fields of
    a Reply.
    """

    fingerprint: str
    fault: str
    usage: NotRequired[Usage]
    most: NotRequired[Usage]
    given_up: NotRequired[bool]
    batch: NotRequired[str]
    raw: NotRequired[str]
    mode: NotRequired[str]


def build_request(
    identity: str, messages: list[Message], parameters: dict, sample, **more
) -> Request:
    """Return a request with its fingerprint.

    Args:
        identity: names the model, as its backend has it.
        messages: the conversation.
        parameters: of `fingerprint_parameters`.
        sample: JSON-able; requests that differ in it only are independent samples.
        more: further keys of the request, which do not count in the fingerprint.
    """
    key = json_fingerprint(identity, messages, parameters, sample)
    return {"fingerprint": key, "messages": messages, **more}


def text_length(messages: list[Message]) -> int:
    """Characters of a conversation."""
    return sum(len(message["content"]) for message in messages)


# Arguments of vLLM's engine that change its speed, and not its replies.
ENGINE_SPEED = [
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "swap_space",
    "cpu_offload_gb",
    "block_size",
    "max_num_seqs",
    "max_num_batched_tokens",
    "enable_prefix_caching",
    "enable_chunked_prefill",
    "async_scheduling",
    "enforce_eager",
    "compilation_config",
    "disable_log_stats",
    "distributed_executor_backend",
    "pipeline_parallel_size",
    "max_parallel_loading_workers",
    "download_dir",
    "load_format",
]


def deciding_keys(entry: dict, form: str = "text") -> dict:
    """The keys of a generator's entry that decide its replies; no other of them makes a set stale.

    `form` of the replies is "text" or "json".
    """
    keys = ["backend", "model", "sampling", *(["structured"] if form == "json" else [])]
    kept = {key: entry[key] for key in keys if key in entry}
    for key in ("extra", "finish_reasons"):
        if entry.get(key):
            kept[key] = entry[key]
    engine = {
        key: value for key, value in entry.get("engine", {}).items() if key not in ENGINE_SPEED
    }
    if engine:
        kept["engine"] = engine
    return kept


def fingerprint_parameters(entry: dict, form: str = "text") -> dict:
    """The settings that decide replies beside the model, and so are in their fingerprints."""
    kept = deciding_keys(entry, form)
    sampling = kept.pop("sampling")
    asked = {name: sampling[name] for name in ("temperature", "top_p", "max_tokens")}
    # Left out where they are as usual, so that a model has one fingerprint on every backend.
    if sampling.get("stop") is False:
        asked["stop"] = False
    if sampling.get("seeded"):
        asked["seeded"] = True
    # What a finish reason means is not asked.
    unasked = ("backend", "model", "finish_reasons")
    return asked | {name: kept[name] for name in kept if name not in unasked}
