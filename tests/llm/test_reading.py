"""What endpoints say is read in the forms they say it in; and what is ours stays ours."""

import asyncio
import json
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from threading import Thread

import pytest
from agorabench.config import check_config
from agorabench.errors import UserError
from agorabench.llm import answers, batch, errors
from agorabench.llm.answers import separate_thoughts
from agorabench.llm.budget import usage_cost
from agorabench.llm.journal import read_reply
from helpers.asking import config
from llm.test_batch import Job, asked, entry, quick  # noqa: F401, a fixture

THOUGHT = "Let me see.\n\nSeven."


def completion(message=None, usage=None, **more):
    """A body of OpenAI's protocol."""
    message = {"role": "assistant", "content": "It is 7."} | (message or {})
    choice = {"index": 0, "message": message, "finish_reason": "stop"} | more
    usage = usage or {"prompt_tokens": 5, "completion_tokens": 4}
    return {"choices": [choice], "model": "gpt-4o-mini", "usage": usage}


class At:
    openai = "http://127.0.0.1:9/v1"
    anthropic = "http://127.0.0.1:9"


def provider(protocol="openai", **more):
    return import_module(f"agorabench.llm.{protocol}").make_provider(entry(At, protocol, **more))


def kept(body, protocol="openai", **more):
    """The reply that the journal gives for a body."""
    row = {"fingerprint": "f", **provider(protocol, **more).read_reply(body)}
    return read_reply(json.loads(json.dumps(row)))


# Thoughts

MARKED = [
    f"<think>\n{THOUGHT}\n</think>\n\nIt is 7.",
    f"{THOUGHT}\n</think>\n\nIt is 7.",  # the chat template has written the opening mark
    f"The tag `<think>` is mine. {THOUGHT}</think>It is 7.",
    f"\n<thinking>{THOUGHT}</thinking>It is 7.",
    f"<thought>{THOUGHT}</thought>\nIt is 7.",
    f"[THINK]{THOUGHT}[/THINK]It is 7.",
    f"◁think▷{THOUGHT}◁/think▷It is 7.",
    f"<|begin_of_thought|>{THOUGHT}<|end_of_thought|>\n\nIt is 7.",
    f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|channel|>final<|message|>It is 7.",
    f"analysis{THOUGHT}assistantfinalIt is 7.",
]
FIELDS = [
    {"reasoning": THOUGHT},
    {"reasoning_content": THOUGHT},
    {"thinking": THOUGHT},
    {"reasoning_details": [{"type": "reasoning.text", "text": THOUGHT}]},
    {"content": [
        {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]},
        {"type": "text", "text": "It is 7."},
    ]},
]  # fmt: skip


@pytest.mark.parametrize("text", MARKED)
def test_marked_thoughts_are_no_part_of_the_reply(text):
    for row in (
        kept(completion({"content": text})),
        kept({"type": "message", "content": [{"type": "text", "text": text}], "stop_reason":
              "end_turn", "model": "gpt-4o-mini"}, "anthropic"),
    ):  # fmt: skip
        assert row["reply"] == "It is 7." and THOUGHT.split()[0] in row["thoughts"]
        assert row["finish_reason"] == "stop"


@pytest.mark.parametrize("message", FIELDS)
def test_thoughts_in_a_field_of_their_own_are_kept_apart(message):
    row = kept(completion(message))
    assert (row["reply"], row["thoughts"]) == ("It is 7.", THOUGHT)


def test_thoughts_within_a_reply_are_taken_out_where_they_begin_a_line_or_a_field():
    text = "INPUT: <think>hm</think>\nWhat?\n<think>so</think>\nOUTPUT: 7"
    assert separate_thoughts(text) == ("INPUT: What?\nOUTPUT: 7", "hm\n\nso", True)


@pytest.mark.parametrize(
    "text",
    [
        "Put your reasoning in <think> </think> tags.",
        'Split at "</think>": text.split("</think>")[1]',
        "Models end their thoughts with `</think>` as a rule.",
        "What do you think? I think so.",
        "analysis of variance is final",
    ],
)
def test_a_mark_that_the_text_is_about_stays(text):
    assert separate_thoughts(text) == (text, "", True)


@pytest.mark.parametrize(
    "body",
    [
        completion({"content": f"<think>{THOUGHT}"}),
        completion({"content": f"OUTPUT: <think>{THOUGHT}"}),
        completion({"content": f"<think>{THOUGHT}</think>"}),
        completion({"content": None, "reasoning": THOUGHT}),
        completion({"content": "", "reasoning_content": THOUGHT}),
    ],
)
def test_a_reply_that_is_all_thoughts_is_unfinished(body):
    row = kept(body)
    assert row["finish_reason"] == "unfinished thoughts" and THOUGHT in row["thoughts"]


@pytest.mark.parametrize(
    "text", [{"value": "It is 7.", "annotations": []}, "It is 7."], ids=["value", "text"]
)
def test_the_text_of_a_part(text):
    assert kept(completion({"content": [{"type": "text", "text": text}]}))["reply"] == "It is 7."


def test_line_breaks_as_they_are_in_a_body():
    body = json.dumps(completion({"content": "It is\n7."})).replace("\\n", "\n")
    assert provider().read_content(body.encode())["reply"] == "It is\n7."


@pytest.mark.parametrize("start", ["data: {", "event: x", ": OPENROUTER PROCESSING", "\n\ndata: {"])
def test_an_event_stream_is_named(start):
    with pytest.raises(errors.Unreadable, match="an event stream") as told:
        provider().read_content(f"{start}\n\n".encode())
    assert told.value.hopeless


# Finish reasons, usage, errors


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("STOP", "stop"), ("eos", "stop"), ("eos_token", "stop"), ("stop_sequence", "stop"),
        ("end_turn", "stop"), ("COMPLETE", "stop"), ("MAX_TOKENS", "length"),
        ("FINISH_REASON_MAX_TOKENS", "length"), ("model_length", "length"),
        ("SAFETY", "content_filter"), ("content_filter: PROHIBITED_CONTENT", "content_filter"),
        ("tool_calls", "tool_calls"), ("insufficient_system_resource",) * 2,
        ("hit_the_wall", "hit_the_wall"), (None, "no finish reason"), (7, "7"),
    ],
)  # fmt: skip
def test_what_finish_reasons_mean(said, meaning):
    assert kept(completion(finish_reason=said))["finish_reason"] == meaning


def test_the_config_says_what_an_unknown_finish_reason_means():
    more = {"finish_reasons": {"hit_the_wall": "length"}}
    assert kept(completion(finish_reason="hit_the_wall"), **more)["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 10.0, "completion_tokens": "4"}, {"input": 10, "output": 4}),
        # Gemini and Grok: thoughts are in the total only
        ({"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 60},
         {"input": 10, "output": 50}),
        ({"prompt_tokens": 10, "completion_tokens": 4,
          "prompt_tokens_details": {"cached_tokens": 8},
          "completion_tokens_details": {"reasoning_tokens": 3}},
         {"input": 10, "output": 4, "cached": 8, "thoughts": 3}),
        ({"prompt_tokens": 10, "completion_tokens": 4, "prompt_cache_hit_tokens": 6},
         {"input": 10, "output": 4, "cached": 6}),
        ({"prompt_tokens": 10**18, "completion_tokens": 4}, None),
        ({"prompt_tokens": float("inf"), "completion_tokens": 4}, None),
        ({"prompt_tokens": True, "completion_tokens": 4}, None),
    ],
)  # fmt: skip
def test_usage_in_any_form_keeps_the_reply(usage, counts):
    row = kept(completion(usage=usage))
    assert row["reply"] == "It is 7." and row["usage"] == counts


def test_cached_tokens_of_a_prompt_cost_what_the_config_says():
    usage = {"input": 1000, "output": 100, "cached": 800}
    price = {"input": 10.0, "output": 20.0, "cached_input": 1.0, "batch": 0.5}
    assert usage_cost(usage, price) == pytest.approx((2000 + 800 + 2000) / 1e6)
    assert usage_cost(usage, price, batch=True) == pytest.approx(4800 / 2e6)
    assert usage_cost(usage, price | {"cached_input": None}) == pytest.approx(12000 / 1e6)


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        ({"error": {"code": 429, "message": "slow down"}}, errors.Transient, "429"),
        ({"error": {"code": 402, "message": "more credits"}}, errors.Fatal, "no credit"),
        ({"error": {"code": 403, "message": "Your input was flagged"}}, errors.Refused, "filtered"),
        ({"error": "Rate limit reached"}, errors.Transient, "429"),
        ([{"error": {"code": 401, "status": "UNAUTHENTICATED"}}], errors.Fatal, "401"),
        ({"choices": None, "base_resp": {"status_code": 1008, "status_msg":
          "insufficient balance"}}, errors.Fatal, "no credit"),
        ({"errors": [{"code": 7009, "message": "Too many requests"}], "success": False},
         errors.Transient, "429"),
        ({"object": "error", "code": 40303, "message": "no"}, errors.Fatal, "403"),
        ({"choices": [{"error": {"code": 502, "message": "down"}, "finish_reason": "error",
          "message": {"content": ""}}]}, errors.Transient, "502"),
    ],
)  # fmt: skip
def test_an_error_inside_a_200_is_the_error_and_costs_nothing(body, kind, reason):
    with pytest.raises(kind) as fault:
        provider().read_reply(body)
    assert fault.value.reason == reason and not fault.value.usage
    assert not isinstance(fault.value, errors.Unreadable)


# Addresses, headers, keys


@contextmanager
def endpoint(answer):
    """(address, its requests' paths and headers) of a server; `answer`: path -> what it says."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            seen.append((self.path, dict(self.headers)))
            status, headers, body = answer(self.path)
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = reply

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def ask(asking, how):
    """One reply, online or as before a batch."""
    [request] = asked(1)
    if how == "probe":
        with asking.open_client() as client:
            return asking.ask_once(client, request)

    async def send():
        client = asking.open_async_client()
        try:
            return (await asking.send_request(client, request))[0]
        finally:
            await client.close()

    return asyncio.run(send())


HOW = pytest.mark.parametrize("how", ["online", "probe"])


@HOW
def test_queries_and_headers_of_gateways(monkeypatch, how):
    monkeypatch.setenv("GATEWAY_KEY", "a-key-of-the-gateway")
    with endpoint(lambda path: (200, {}, completion())) as (url, seen):
        more = {
            "base_url": f"{url}/openai/v1?api-version=2024-10-21", "key": None,
            "headers": {"api-key": "GATEWAY_KEY"}, "query": {"region": "eu"},
        }  # fmt: skip
        assert ask(provider(**more), how)["reply"] == "It is 7."
    [(path, headers)] = seen
    assert path == "/openai/v1/chat/completions?api-version=2024-10-21&region=eu"
    headers = {name.lower(): value for name, value in headers.items()}
    assert headers["api-key"] == "a-key-of-the-gateway" and "authorization" not in headers


@HOW
@pytest.mark.parametrize("status", [302, 307, 308])
def test_another_host_gets_neither_prompt_nor_key(how, status):
    with endpoint(lambda path: (200, {}, completion())) as (other, reached):
        away = (status, {"location": f"{other}/v1/chat/completions"}, {})
        with (
            endpoint(lambda path: away) as (url, _),
            pytest.raises(errors.Fatal, match="redirects to http://"),
        ):
            ask(provider(base_url=f"{url}/v1"), how)
        assert reached == []


@HOW
def test_a_redirect_within_the_host_is_followed(how):
    def answer(path):
        moved = (307, {"location": "/v2/chat/completions"}, {})
        return moved if path.startswith("/v1") else (200, {}, completion())

    with endpoint(answer) as (url, _):
        assert ask(provider(base_url=f"{url}/v1"), how)["reply"] == "It is 7."


@pytest.mark.parametrize(
    "quoted",
    ["{key}", "Bearer {key}", "{key:.24}", "{key:.20}****", "{pad}{key}", "?key={key}&x=1"],
)
def test_a_key_that_is_quoted_is_never_repeated(monkeypatch, quoted):
    key = "sk-RECOGNISABLE-0123456789-abcdef"
    monkeypatch.setenv("TEST_KEY", key)
    asking = provider()
    asking.api_key()
    said = quoted.format(key=key, pad="x" * 490)
    for status in (400, 404, 409, 422, 500, 503):
        for body in ({"error": {"message": said, "code": said}}, said, {"error": said}):
            fault = errors.classify_error(status, body)
            told = [str(fault), str(errors.to_user_error(fault, asking.entry, asking.address))]
            told.append(json.dumps(errors.fault_row("f", fault)))
            assert not [text for text in told if "RECOGN" in text]
    body = completion({"content": said, "reasoning": said}, finish_reason=said)
    assert "RECOGN" not in json.dumps(asking.read_reply(body))
    assert "RECOGN" not in answers.keep_raw(("x" * 3990 + said).encode())


def test_an_address_with_a_password_is_refused_and_not_repeated():
    entry = {"backend": "openai", "model": "m", "price": {"input": 1.0, "output": 1.0}}
    whole = config({"g": entry | {"base_url": "https://me:hunter2-hunter2@host.example/v1"}})
    with pytest.raises(UserError, match="without user and password") as told:
        check_config(whole)
    assert "base_url" in str(told.value) and "hunter2" not in str(told.value)


# Batches


def test_a_whole_batch_is_not_paid_for_where_one_request_shows_it_cannot_be_read(tmp_path):
    def answer(path):
        return 200, {}, {"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]}

    with endpoint(answer) as (url, seen):
        asking = provider(base_url=f"{url}/v1", batch={"probe": True})
        backend, rows = batch.Batches(asking, tmp_path / "s.batches"), []
        with pytest.raises(UserError, match="cannot go on: a body that the protocol does not have"):
            rows.extend(row for rows in backend.complete(deque(asked(100))) for row in rows)
        backend.close()
    assert [path for path, _ in seen] == ["/v1/chat/completions"]


def test_a_batch_whose_creation_was_not_answered_is_found_whatever_the_clock(tmp_path, monkeypatch):
    import servers

    requests = asked(5)
    for protocol in ("openai", "anthropic"):
        with servers.start(faults=[{"fault": "drop", "at": "create", "first": 1}]) as server:
            job = Job(tmp_path / protocol, server, protocol)
            clock = batch.time.time
            with monkeypatch.context() as ahead:
                ahead.setattr(batch.time, "time", lambda clock=clock: clock() + 7200)
                job.run(requests)
            assert server.books()["billed"].get("batch") == 5
