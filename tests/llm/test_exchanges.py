"""Recorded exchanges with OpenAI and Anthropic, replayed to the official clients, give the content
and the usage that are in them."""

import asyncio
import json
import threading
from collections import defaultdict, deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from urllib.parse import urlsplit

import pytest
from agorabench.files import read_jsonl
from agorabench.llm import errors
from agorabench.llm.batch import Batches
from llm.test_batch import entry, quick  # noqa: F401, a fixture

BATCHES = [
    "openai__basic_batch_completion",
    "openai__basic_batch_resume",
    "anthropic__basic_batch_completion",
    "anthropic__basic_batch_resume",
    "anthropic__basic_batch_reasoning_completion",
]
ONLINE = [
    "openai__basic_completion",
    "openai__basic_completion_without_dataset",
    "openai__basic_resume",
    "anthropic__basic_reasoning_completion",
]
ONLINE_PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


class Replay:
    """A server that answers each method and path with what was recorded, in that order; the last
    answer is repeated. `got` lists (method, path, body) of what it was asked."""

    def __init__(self, steps):
        self.answers, self.got = defaultdict(deque), []
        for step in steps:
            self.answers[step["method"], urlsplit(step["uri"]).path].append(step)

    def answer(self, method, path, body):
        self.got.append((method, path, body))
        answers = self.answers[method, path]
        if not answers:
            return {"status": 404, "response_headers": {}, "response_body": "not recorded"}
        return answers.popleft() if len(answers) > 1 else answers[0]


@contextmanager
def replaying(steps):
    """(address, Replay) of a server on the loopback."""
    replay = Replay(steps)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            step = replay.answer(self.command, urlsplit(self.path).path, body)
            data = step["response_body"].encode()
            self.send_response(step["status"])
            for name, value in step["response_headers"].items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", replay
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class At:
    """Addresses as the tests' servers have them."""

    def __init__(self, url):
        self.openai, self.anthropic = f"{url}/v1", url


def recorded(data, name):
    return read_jsonl(data / "batch_api" / "exchanges" / f"{name}.jsonl")


def asked(steps, protocol):
    """custom_id -> (model, messages) of the requests of a recorded batch."""
    if protocol == "anthropic":
        [made] = [s for s in steps if s["uri"].endswith("/batches") and s["method"] == "POST"]
        tasks = json.loads(made["request_body"])["requests"]
        return {task["custom_id"]: task["params"] for task in tasks}
    [upload] = [s for s in steps if s["uri"].endswith("/files") and s["method"] == "POST"]
    lines = upload["request_body"].splitlines()
    tasks = [json.loads(line) for line in lines if line.startswith('{"custom_id"')]
    return {task["custom_id"]: task["body"] for task in tasks}


def answered(body, protocol):
    """(text, input tokens, output tokens, model) that a recorded completion says."""
    usage = body["usage"]
    if protocol == "openai":
        text = body["choices"][0]["message"]["content"]
        return text, usage["prompt_tokens"], usage["completion_tokens"], body["model"]
    [text] = [part["text"] for part in body["content"] if part["type"] == "text"]
    return text, usage["input_tokens"], usage["output_tokens"], body["model"]


def given(row):
    return row["reply"], row["usage"]["input"], row["usage"]["output"], row["model"]


def request(name, messages):
    return {"fingerprint": name, "messages": messages}


def provider(url, protocol, model):
    module = import_module(f"agorabench.llm.{protocol}")
    return module.make_provider(entry(At(url), protocol, model=model))


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch(data, tmp_path, name):
    protocol = name.split("__")[0]
    steps = recorded(data, name)
    tasks = asked(steps, protocol)
    results = [json.loads(line) for line in steps[-1]["response_body"].strip().split("\n")]
    expected = {}
    for line in results:
        body = line["response"]["body"] if protocol == "openai" else line["result"]["message"]
        expected[line["custom_id"]] = answered(body, protocol)
    assert expected.keys() == tasks.keys() and len(tasks) in (2, 3)

    [model] = {task["model"] for task in tasks.values()}
    requests = deque(request(key, task["messages"]) for key, task in tasks.items())
    now, pauses = [0.0], []

    def sleep(seconds):
        pauses.append(seconds)
        now[0] += seconds

    with replaying(steps) as (url, replay):
        backend = Batches(
            provider(url, protocol, model), tmp_path / "s.batches", None, lambda: now[0], sleep
        )
        rows = [row for rows in backend.complete(requests) for row in rows]
        backend.close()

    assert {row["fingerprint"]: given(row) for row in rows} == expected
    assert {(row["finish_reason"], row["mode"]) for row in rows} == {("stop", "batch")}
    # What is sent has the recorded shape.
    sent = [
        {"method": m, "uri": path, "request_body": body.decode()} for m, path, body in replay.got
    ]
    ours = asked(sent, protocol)
    for key, task in tasks.items():
        assert ours[key]["messages"] == task["messages"] and ours[key]["model"] == task["model"]
    if protocol == "openai":
        made = [
            json.loads(body) for m, path, body in replay.got if (m, path) == ("POST", "/v1/batches")
        ]
        [real] = [s["request_body"] for s in steps if s["uri"].endswith("/v1/batches")]
        real = json.loads(real)
        del made[0]["metadata"], real["metadata"]
        assert made == [real]
    else:  # a look at a batch that has not ended is answered with retry-after: 10
        looks = [s for s in steps if s["method"] == "GET" and '"in_progress"' in s["response_body"]]
        assert pauses == pytest.approx([0.02] + [10] * len(looks))


@pytest.mark.parametrize("name", ["openai__batch_cancel", "anthropic__batch_cancel"])
def test_a_cancelled_batch(data, name):
    protocol = name.split("__")[0]
    steps = recorded(data, name)
    tasks = asked(steps, protocol)
    [model] = {task["model"] for task in tasks.values()}
    [cancel] = [step for step in steps if step["uri"].endswith("/cancel")]
    id = json.loads(cancel["response_body"])["id"]
    after = cancel | {"method": "GET", "uri": cancel["uri"].removesuffix("/cancel")}
    with replaying([*steps, after]) as (url, replay):
        asking = provider(url, protocol, model)
        with asking.open_client() as client:
            lines = [asking.batch_task(request(k, task["messages"])) for k, task in tasks.items()]
            assert asking.submit_batch(client, "name", lines) == id
            assert asking.batch_status(client, id)[:2] == ("open", 0)
            asking.cancel_batch(client, id)
            assert asking.batch_status(client, id)[:2] == ("open", 0)  # cancelling: not over yet
    path = urlsplit(cancel["uri"]).path
    assert [path for method, path, _ in replay.got if path.endswith("/cancel")] == [path]


@pytest.mark.parametrize("name", ONLINE)
def test_online(data, name):
    protocol = name.split("__")[0]
    path = ONLINE_PATHS[protocol]
    steps = [step for step in recorded(data, name) if urlsplit(step["uri"]).path == path]
    replies = refusals = 0

    async def ask_all(url):
        nonlocal replies, refusals
        for step in steps:
            body = json.loads(step["response_body"])
            model = body.get("model", "m")
            asking = provider(url, protocol, model)
            client = asking.open_async_client()
            asked = request("f", [{"role": "user", "content": "Spagetti"}])
            try:
                if step["status"] == 200:
                    fields, headers = await asking.send_request(client, asked)
                    assert given(fields) == answered(body, protocol)
                    assert fields["finish_reason"] == "stop"
                    told = step["response_headers"].items()
                    assert headers == {key: told for key, told in told if "ratelimit" in key}
                    replies += 1
                else:
                    with pytest.raises(errors.Fatal, match=f"^{step['status']}: "):
                        await asking.send_request(client, asked)
                    refusals += 1
            finally:
                await client.close()

    with replaying(steps) as (url, _):
        asyncio.run(ask_all(url))
    assert replies == sum(step["status"] == 200 for step in steps) > 0
    assert refusals == sum(step["status"] != 200 for step in steps)


def test_a_model_that_serves_a_dated_snapshot_is_the_one_that_was_asked(data):
    """gpt-3.5-turbo answers as gpt-3.5-turbo-0125 in the recordings."""
    for name in ONLINE[:3]:
        for step in recorded(data, name):
            if step["status"] == 200:
                body = json.loads(step["response_body"])
                asked = body["model"].replace("-0125", "").replace("-2024-07-18", "")
                assert asked != body["model"]
                fields = provider("http://127.0.0.1:9", "openai", asked).read_reply(body)
                assert fields["model"] == body["model"]
