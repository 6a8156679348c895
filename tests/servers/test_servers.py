"""The loopback providers, as the official clients see them, and their books."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

import servers


@pytest.fixture
def server():
    with servers.start(tokens_per_word=2) as running:
        yield running


@pytest.fixture
def gpt(server):
    with openai.OpenAI(base_url=server.openai, api_key=server.key, max_retries=0) as client:
        yield client


@pytest.fixture
def claude(server):
    with anthropic.Anthropic(
        base_url=server.anthropic, api_key=server.key, max_retries=0
    ) as client:
        yield client


def body(text="One problem, please", **more):
    return {"model": "m", "max_tokens": 500, "messages": [{"role": "user", "content": text}]} | more


def ask(client, **more):
    """One online request with either client."""
    made = client.chat.completions if isinstance(client, openai.OpenAI) else client.messages
    return made.create(**body(**more))


def submit(client, bodies):
    """A new batch with either client; custom ids are "0", "1" ..."""
    if isinstance(client, anthropic.Anthropic):
        tasks = [{"custom_id": str(row), "params": task} for row, task in enumerate(bodies)]
        return client.messages.batches.create(requests=tasks)
    url = "/v1/chat/completions"
    tasks = [
        {"custom_id": str(row), "method": "POST", "url": url, "body": task}
        for row, task in enumerate(bodies)
    ]
    lines = "".join(json.dumps(task) + "\n" for task in tasks)
    file = client.files.create(file=("tasks.jsonl", lines.encode()), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=url, completion_window="24h", metadata={"name": "a test"}
    )


def looks(client, batch, most=10):
    """The batch's states, until it has ended; the last one whole."""
    states = []
    for _ in range(most):
        if isinstance(client, openai.OpenAI):
            batch = client.batches.retrieve(batch.id)
            states.append(batch.status)
            ended = batch.status in ("completed", "failed", "expired", "cancelled")
        else:
            batch = client.messages.batches.retrieve(batch.id)
            states.append(batch.processing_status)
            ended = batch.processing_status == "ended"
        if ended:
            return states, batch
    raise AssertionError(f"the batch has not ended: {states}")


def lines(client, file):
    return [json.loads(line) for line in client.files.content(file).text.splitlines()]


def test_the_same_request_has_the_same_reply_at_openai(server, gpt):
    first, again = ask(gpt, stop=["[END]"]), ask(gpt, stop=["[END]"])
    other = ask(gpt, text="Another one, please")
    text = first.choices[0].message.content
    assert text.startswith("INPUT: ") and text.rstrip().endswith("[/RESULT]")
    assert text == again.choices[0].message.content != other.choices[0].message.content
    assert first.choices[0].finish_reason == "stop"
    assert first.usage.prompt_tokens == 2 * 3  # three words of two tokens each
    books = server.books(bodies=True)
    assert books["billed"] == {"online": 3} and books["distinct"] == 2
    assert books["bodies"][servers.identity(body(stop=["[END]"]))] == 2
    told = [first.usage, again.usage, other.usage]
    assert books["tokens"]["online"] == {
        "input": sum(usage.prompt_tokens for usage in told),
        "output": sum(usage.completion_tokens for usage in told),
    }


def test_stop_and_token_limit_at_anthropic(server, claude):
    reply = ask(claude, stop_sequences=["[END]"])
    assert (reply.stop_reason, reply.stop_sequence) == ("stop_sequence", "[END]")
    assert "[END]" not in reply.content[0].text
    reply = ask(claude, max_tokens=6)
    assert reply.stop_reason == "max_tokens" and reply.usage.output_tokens == 6
    assert len(reply.content[0].text.split(" ")) == 3
    assert server.books()["tokens"]["online"]["input"] == 12


def test_a_share_of_replies_has_no_markers(server, gpt):
    server.set(invalid=0.3)
    texts = [ask(gpt, text=f"Problem {row}").choices[0].message.content for row in range(100)]
    assert 15 <= sum("INPUT:" not in text for text in texts) <= 45


def test_writes(server, gpt):
    server.set(write="echo")
    assert ask(gpt, text="a b c").choices[0].message.content == "a b c"
    server.set(write="json")
    pair = json.loads(ask(gpt).choices[0].message.content)
    assert pair.keys() == {"instruction", "response"}
    with pytest.raises(ValueError, match="unknown write 'prose'; known: instance"):
        server.set(write="prose")


def test_models_of_either_provider(server, gpt, claude):
    server.set(models={"m": "m-2024", "n": "n"})
    assert [model.id for model in gpt.models.list()] == ["m", "n"]
    assert [model.id for model in claude.models.list()] == ["m", "n"]
    assert ask(gpt).model == "m-2024" and ask(claude).model == "m-2024"
    with pytest.raises(openai.NotFoundError) as refused:
        ask(gpt, model="o")
    assert refused.value.code == "model_not_found"
    with pytest.raises(anthropic.NotFoundError, match="not_found_error"):
        claude.models.retrieve("o")


def test_a_wrong_key_is_refused(server, gpt, claude):
    with pytest.raises(openai.AuthenticationError) as refused:
        ask(gpt.with_options(api_key="a wrong key"))
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
        ask(claude.with_options(api_key="a wrong key"))
    assert server.books()["kinds"] == {
        "openai complete": {"key": 1},
        "anthropic complete": {"key": 1},
    }


ERRORS = [
    ("429", openai.RateLimitError, anthropic.RateLimitError),
    ("429_bare", openai.RateLimitError, anthropic.RateLimitError),
    ("500", openai.InternalServerError, anthropic.InternalServerError),
    ("502", openai.InternalServerError, anthropic.InternalServerError),
    ("503", openai.InternalServerError, anthropic.ServiceUnavailableError),
    ("529", openai.InternalServerError, anthropic.OverloadedError),
    ("401", openai.AuthenticationError, anthropic.AuthenticationError),
    ("403", openai.PermissionDeniedError, anthropic.PermissionDeniedError),
    ("404", openai.NotFoundError, anthropic.NotFoundError),
    ("400", openai.BadRequestError, anthropic.BadRequestError),
    ("content_policy", openai.BadRequestError, anthropic.BadRequestError),
    ("quota", openai.RateLimitError, anthropic.BadRequestError),
    ("reset", openai.APIConnectionError, anthropic.APIConnectionError),
    ("drop", openai.APIConnectionError, anthropic.APIConnectionError),
    ("hang", openai.APITimeoutError, anthropic.APITimeoutError),
]


def test_each_error_is_the_clients_own(server, gpt, claude):
    for fault, *expected in ERRORS:
        server.set(
            faults=[{"fault": fault, "retry_after": 7} if fault == "429" else {"fault": fault}]
        )
        for client, error in zip((gpt, claude), expected, strict=True):
            with pytest.raises(error) as refused:
                ask(client.with_options(timeout=0.3 if fault == "hang" else 10))
            if fault in ("429", "429_bare"):
                told = refused.value.response.headers.get("retry-after")
                assert told == ("7" if fault == "429" else None)
    books = server.books()
    # what was cut off on its way has been paid for
    assert books["billed"] == {"online": 4} and books["answered"] == 0


def test_contents_that_no_one_wants(server, gpt, claude):
    def both(fault):
        server.set(faults=[{"fault": fault}])
        return ask(gpt).choices[0], ask(claude)

    chosen, message = both("empty")
    assert chosen.message.content == "" and message.content == []
    chosen, message = both("length")
    assert (chosen.finish_reason, message.stop_reason) == ("length", "max_tokens")
    chosen, message = both("refusal")
    assert chosen.message.refusal and message.stop_reason == "refusal"
    server.set(faults=[{"fault": "no_usage"}])
    assert ask(gpt).usage is None
    server.set(faults=[{"fault": "wrong_model"}])
    assert ask(gpt).model == ask(claude).model != "m"
    server.set(faults=[{"fault": "content_filter"}])
    assert ask(gpt).choices[0].finish_reason == "content_filter"
    with pytest.raises(anthropic.BadRequestError, match="content filtering"):
        ask(claude)
    server.set(faults=[{"fault": "malformed"}])
    with pytest.raises(json.JSONDecodeError):
        ask(gpt)
    books = server.books()
    assert books["billed"] == {"online": 11} and books["answered"] == 10


def test_how_often_a_fault_strikes(server, gpt):
    def struck(count=8, **when):
        server.set(faults=[{"fault": "500", **when}])
        found = ""
        for row in range(count):
            try:
                ask(gpt, text=f"Problem {row % 4}")
                found += "."
            except openai.InternalServerError:
                found += "x"
        return found

    assert struck(every=3) == "..x..x.."
    assert struck(first=2) == "xx......"
    assert struck(after=5) == ".....xxx"
    assert struck(after=2, every=2, times=2) == "...x.x.."
    assert struck(tries=1) == "xxxx...."
    assert struck(match="Problem 2") == "..x...x."
    assert struck(protocol="anthropic") == "........"
    assert struck(40, share=0.5, seed=1) == struck(40, share=0.5, seed=1)
    assert 10 <= struck(40, share=0.5, seed=1).count("x") <= 30


def test_the_rate_limit(server, gpt, claude):
    server.set(limit={"requests": 5, "window": 3600})
    for left in (4, 3):
        raw = gpt.chat.completions.with_raw_response.create(**body())
        assert raw.headers["x-ratelimit-remaining-requests"] == str(left)
    raw = claude.messages.with_raw_response.create(**body())
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "2"
    ask(gpt), ask(gpt)
    with pytest.raises(openai.RateLimitError) as refused:
        ask(gpt)
    assert refused.value.code == "rate_limit_exceeded"
    assert 600 < int(refused.value.response.headers["retry-after"]) <= 721  # a fifth of an hour
    server.set(limit={"tokens": 100, "window": 0.5, "retry_after": False})
    with pytest.raises(anthropic.RateLimitError) as refused:
        for _ in range(20):
            ask(claude)
    assert "retry-after" not in refused.value.response.headers
    time.sleep(0.6)  # the bucket is full again
    ask(claude)


def test_a_batch_at_openai(server, gpt):
    bodies = [body(f"Problem {row}") for row in range(4)]
    batch = submit(gpt, bodies)
    assert batch.status == "validating" and batch.metadata == {"name": "a test"}
    states, batch = looks(gpt, batch)
    assert states == ["in_progress", "in_progress", "completed"]
    assert (batch.request_counts.total, batch.request_counts.completed) == (4, 4)
    rows = lines(gpt, batch.output_file_id)
    assert [row["custom_id"] for row in rows] == ["0", "1", "2", "3"]
    online = ask(gpt, text="Problem 2").choices[0].message.content
    assert rows[2]["response"]["body"]["choices"][0]["message"]["content"] == online
    books = server.books(bodies=True)
    assert books["billed"] == {"batch": 4, "online": 1} and books["batches"] == {"openai": 1}
    assert books["tokens"]["batch"]["output"] == batch.usage.output_tokens
    assert sorted(books["bodies"].values()) == [1, 1, 1, 2]


def test_a_batch_at_anthropic(server, claude):
    states, batch = looks(claude, submit(claude, [body(f"Problem {row}") for row in range(4)]))
    assert states == ["in_progress", "in_progress", "ended"]
    assert batch.request_counts.succeeded == 4 and batch.request_counts.processing == 0
    rows = list(claude.messages.batches.results(batch.id))
    assert [row.custom_id for row in rows] == ["0", "1", "2", "3"]
    assert all(row.result.message.content[0].text.startswith("INPUT:") for row in rows)
    with pytest.raises(anthropic.BadRequestError, match="custom_id"):
        claude.messages.batches.create(requests=[{"custom_id": "a b", "params": body()}])
    assert server.books()["billed"] == {"batch": 4}


def missing(real, ours, where=""):
    """The keys of a real answer that ours lacks, and where the kinds of two values differ."""
    if isinstance(real, dict) and isinstance(ours, dict) and not where.endswith("metadata"):
        found = [f"{where}/{key}" for key in real.keys() - ours.keys()]
        for key in real.keys() & ours.keys():
            found += missing(real[key], ours[key], f"{where}/{key}")
        return found
    if isinstance(real, list) and isinstance(ours, list):
        return missing(real[0], ours[0], f"{where}/0") if real and ours else []
    return [] if type(real) is type(ours) or None in (real, ours) else [where]


RECORDED = [
    "openai__basic_batch_completion",
    "openai__batch_cancel",
    "openai__basic_completion",
    "litellm__basic_completion",
    "anthropic__basic_batch_completion",
    "anthropic__batch_cancel",
]


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_exchange_repeats_itself(server, data, name):
    rows = (data / "batch_api" / "exchanges" / f"{name}.jsonl").read_text().splitlines()
    key = {"authorization": f"Bearer {server.key}"}
    if name.startswith("anthropic"):
        key = {"x-api-key": server.key}
    ids = {}  # theirs -> ours
    compared = 0
    for row in map(json.loads, rows):
        path, sent = row["uri"].partition(".com")[2], row["request_body"]
        if not row["uri"].startswith(("https://api.openai.com", "https://api.anthropic.com")):
            continue
        if sent is None:  # was not recorded
            sent = json.dumps(body())
        for theirs, ours in ids.items():
            path, sent = path.replace(theirs, ours), sent.replace(theirs, ours)
        headers = key | {"content-type": row["request_content_type"] or "application/json"}
        if row["status"] == 401:
            headers["authorization"] = "Bearer mocked-key"
        response = httpx.request(
            row["method"], server.url + path, content=sent.encode(), headers=headers
        )
        assert response.status_code == row["status"], path
        untold = {"retry-after"} if "retry-after" in row["response_headers"] else set()
        assert not row["response_headers"].keys() - response.headers.keys() - untold
        lines = path.endswith(("/content", "/results"))
        real, ours = (
            [json.loads(line) for line in text.splitlines()] if lines else json.loads(text)
            for text in (row["response_body"], response.text)
        )
        assert missing(real, ours) == [], path
        if "id" in real:
            ids[real["id"]] = ours["id"]
        if real and "output_file_id" in real and real["output_file_id"]:
            ids[real["output_file_id"]] = ours["output_file_id"]
        compared += 1
    assert compared >= 3


def test_lines_that_fail(server, gpt, claude):
    server.set(
        faults=[
            {"fault": name, "at": "item", "match": f"Problem {row}"}
            for row, name in enumerate(["quota", "expired", "duplicate", "missing", "no_id"])
        ]
    )
    bodies = [body(f"Problem {row}") for row in range(6)]
    _, batch = looks(gpt, submit(gpt, bodies))
    good, bad = lines(gpt, batch.output_file_id), lines(gpt, batch.error_file_id)
    assert [row.get("custom_id") for row in good] == ["2", "2", None, "5"]
    assert bad[0]["response"]["status_code"] == 429
    assert bad[0]["response"]["body"]["error"]["code"] == "insufficient_quota"
    assert bad[1]["error"]["code"] == "batch_expired"
    _, batch = looks(claude, submit(claude, bodies))
    rows = list(claude.messages.batches.results(batch.id))
    assert [row.result.type for row in rows[:2]] == ["errored", "expired"]
    assert "credit balance" in rows[0].result.error.error.message
    assert server.books()["billed"] == {"batch": 8}


def test_batches_that_end_early(server, gpt, claude):
    bodies = [body(f"Problem {row}") for row in range(4)]
    server.set(faults=[{"fault": "expired", "done": 0.5}, {"fault": "shuffled"}])
    states, batch = looks(gpt, submit(gpt, bodies))
    assert states[-1] == "expired"
    assert {row["custom_id"] for row in lines(gpt, batch.output_file_id)} == {"0", "1"}
    assert len(lines(gpt, batch.error_file_id)) == 2
    server.set(faults=[])
    for client in (gpt, claude):
        batches = client.batches if client is gpt else client.messages.batches
        batch = submit(client, bodies)
        for _ in range(2):
            batches.retrieve(batch.id)
        batches.cancel(batch.id)
        states, batch = looks(client, batch)
        assert states == ["cancelled" if client is gpt else "ended"]
    counts = batch.request_counts
    assert (counts.succeeded, counts.canceled) == (2, 2)
    assert server.books()["billed"] == {"batch": 6}


def test_the_limit_of_enqueued_tokens_holds(server, gpt):
    bodies = [body(f"Problem {row}") for row in range(4)]  # four tokens each
    server.set(batch={"enqueued": 20})
    first, second = submit(gpt, bodies), submit(gpt, bodies)
    assert gpt.batches.retrieve(first.id).status == "in_progress"
    second = gpt.batches.retrieve(second.id)
    assert second.status == "failed" and second.errors.data[0].code == "token_limit_exceeded"
    looks(gpt, first)
    states, _ = looks(gpt, submit(gpt, bodies))
    assert states[-1] == "completed"
    server.set(faults=[{"fault": "failed", "code": "billing_hard_limit_reached"}])
    _, batch = looks(gpt, submit(gpt, bodies))
    assert batch.errors.data[0].code == "billing_hard_limit_reached"
    assert server.books()["billed"] == {"batch": 8}


def test_a_batch_is_made_although_no_one_was_told(server, gpt, claude):
    server.set(faults=[{"fault": "drop", "at": "create"}])
    with pytest.raises(openai.APIConnectionError):
        submit(gpt, [body()])
    with pytest.raises(anthropic.APIConnectionError):
        submit(claude, [body()])
    assert [batch.metadata for batch in gpt.batches.list()] == [{"name": "a test"}]
    assert len(list(claude.messages.batches.list())) == 1


def test_an_answer_that_nobody_awaits_is_billed(server, gpt):
    server.set(latency=0.4)
    with pytest.raises(openai.APITimeoutError):
        ask(gpt.with_options(timeout=0.1))
    assert server.books()["in_flight"] == 1
    ask(gpt, text="Another one, please")
    books = server.books()
    assert books["kinds"] == {"openai complete": {"abandoned": 1, "ok": 1}}
    assert (books["billed"], books["answered"]) == ({"online": 2}, 1)
    assert (books["in_flight"], books["peak"]) == (0, 2)


def test_lists_have_pages(server, gpt, claude):
    for client in (gpt, claude):
        made = [submit(client, [body()]).id for _ in range(5)]
        batches = client.batches if client is gpt else client.messages.batches
        page = batches.list(limit=2)
        assert [batch.id for batch in page.data] == made[:2:-1] and page.has_more
        assert [batch.id for batch in batches.list(limit=2)] == made[::-1]


def test_a_server_ends_with_its_parent():
    program = "import servers, sys, time\nwith servers.start() as s:\n print(s.url, flush=True)"
    parent = subprocess.Popen(
        [sys.executable, "-c", program + "\n time.sleep(60)"],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        outlived = servers.Server(parent.stdout.readline().strip(), "test-key")
        assert outlived.books()["peak"] == 0
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    with pytest.raises(OSError):
        while time.monotonic() < deadline:
            outlived.books()
            time.sleep(0.05)
