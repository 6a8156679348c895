"""The vLLM backend: what it asks of the engine, and, where there is vLLM, that it really answers.

The slow tests run in an environment of vLLM's own: this one, or that of the interpreter which the
environment variable AGORABENCH_VLLM_PYTHON names. They need no GPU where that vLLM was built for
the processor.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections import deque
from types import SimpleNamespace

import pytest
from agorabench.errors import UserError
from agorabench.files import json_fingerprint, read_jsonl
from agorabench.generation.formats import SCHEMA
from agorabench.llm import errors, vllm
from agorabench.llm.request import END
from helpers import ROOT
from helpers.models import build_models

ENTRY = {
    "backend": "vllm",
    "model": "some-lab/some-model",
    "sampling": {"temperature": 1.0, "top_p": 0.9, "max_tokens": 24},
    "gpus": 1,
    "max_length": None,
    "engine": {},
}


def requests(count, kind="text"):
    """As many requests, each with a question of its own."""
    texts = [f"Tom has {n} apples and buys 3 more. How many?" for n in range(count)]
    return [
        {
            "fingerprint": json_fingerprint(kind, text),
            "messages": [{"role": "user", "content": text}],
        }
        | ({"schema": SCHEMA} if kind == "json" else {})
        for text in texts
    ]


def finished(number, text="4", reason="stop"):
    """vLLM's output of a finished request: three tokens in, two out."""
    completion = SimpleNamespace(text=text, token_ids=[8, 9], finish_reason=reason)
    return SimpleNamespace(
        request_id=number, finished=True, prompt_token_ids=[1, 2, 3], outputs=[completion]
    )


class Stand:
    """An engine that finishes, at each step, the request that came last."""

    def __init__(self):
        self.under_way, self.most, self.forgotten = [], 0, []

    def add_request(self, request):
        if len(request["messages"][0]["content"]) > 99:
            raise errors.Refused("too long")
        self.under_way.append(request["fingerprint"][:8])
        self.most = max(self.most, len(self.under_way))
        return self.under_way[-1]

    def step(self):
        return [finished(self.under_way.pop())]

    def abort_requests(self, numbers):
        self.forgotten += numbers


def generator(batch_size):
    made = vllm.connect(ENTRY, threads=2, batch_size=batch_size)
    made._engine = Stand()
    return made


def test_the_entry_becomes_engine_arguments():
    entry = ENTRY | {"gpus": 8, "max_length": 4096, "engine": {"quantization": "fp8"}}
    made = vllm.engine_arguments(entry, batch_size=256)
    assert made["model"] == "some-lab/some-model" and made["quantization"] == "fp8"
    assert made["tensor_parallel_size"] == 8 and made["max_num_seqs"] == 256
    assert made["max_model_len"] == 4096
    assert "max_model_len" not in vllm.engine_arguments(ENTRY, batch_size=256)
    assert vllm.engine_arguments(ENTRY | {"engine": {"max_num_seqs": 9}}, 256)["max_num_seqs"] == 9


def test_a_likelihood_is_that_of_a_prompts_last_tokens():
    said = SimpleNamespace
    told = [None, {5: said(logprob=-9.0, rank=3)}, {6: said(logprob=-0.5, rank=1)},
            {7: said(logprob=-1.5, rank=2), 8: said(logprob=-0.1, rank=1)}]  # fmt: skip
    assert vllm.read_likelihood([6, 7], told) == {"logprob": -2.0, "greedy": False}
    assert vllm.read_likelihood([6], told[:3]) == {"logprob": -0.5, "greedy": True}


def test_only_text_has_a_stop_string():
    made = vllm.sampling_parameters(requests(1)[0], ENTRY["sampling"])
    assert made.pop("seed") and made == {**ENTRY["sampling"], "stop": [END]}
    assert "stop" not in vllm.sampling_parameters(requests(1, "json")[0], ENTRY["sampling"])


@pytest.mark.parametrize("digit", "0f")
def test_a_seed_fits_in_a_signed_64_bit_integer(digit):
    made = vllm.sampling_parameters(requests(1)[0] | {"fingerprint": digit * 64}, ENTRY["sampling"])
    assert made["seed"] == int(digit * 15, 16) and 0 <= made["seed"] < 2**63


@pytest.mark.parametrize(
    ("reason", "told"), [("stop", "stop"), ("length", "length"), ("repetition", "length")]
)
def test_a_finished_request_becomes_a_reply(reason, told):
    assert vllm.reply_row("f", finished("7", reason=reason)) == {
        "fingerprint": "f",
        "reply": "4",
        "finish_reason": told,
        "usage": {"input": 3, "output": 2},
    }


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_what_the_engine_gave_up_is_unanswered_and_counted(reason):
    made = vllm.reply_row("f", finished("7", text="half", reason=reason))
    assert made["reply"] is None and made["finish_reason"] == "unanswered"
    assert made["why"] == reason and made["usage"] == {"input": 3, "output": 2}


def test_requests_join_as_others_leave_and_no_more_than_the_batch_is_under_way():
    asked = requests(10)
    made, queue, later, got = generator(4), deque(asked[:6]), deque(asked[6:]), []
    for rows in made.complete(queue):
        got += [row["fingerprint"] for row in rows]
        if later:
            queue.append(later.popleft())
    assert sorted(got) == sorted(request["fingerprint"] for request in asked)
    assert made._engine.most == 4 and made._engine.forgotten == []


def test_one_prompt_that_is_too_long_does_not_stop_the_others():
    asked = requests(3)
    asked[1]["messages"][0]["content"] *= 9
    rows = [row for rows in generator(2).complete(deque(asked)) for row in rows]
    reasons = {row["fingerprint"]: row["finish_reason"] for row in rows}
    assert [reasons[request["fingerprint"]] for request in asked] == ["stop", "unanswered", "stop"]


def test_a_caller_that_gives_up_leaves_nothing_behind():
    made = generator(4)
    work = made.complete(deque(requests(6)))
    next(work)
    work.close()
    assert len(made._engine.forgotten) == 3 == len(made._engine.under_way)


def test_without_vllm_one_sentence_says_what_to_set(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r"envs/vllm\.txt.*generator's key 'python'"):
        list(vllm.connect(ENTRY).complete(deque(requests(1))))


def test_a_model_that_is_not_needed_is_not_loaded():
    assert list(vllm.connect(ENTRY).complete(deque())) == []


@pytest.fixture(scope="module")
def python():
    """The interpreter of an environment that has vLLM."""
    named = os.environ.get("AGORABENCH_VLLM_PYTHON")
    if not named and importlib.util.find_spec("vllm") is None:
        pytest.skip("no vLLM: AGORABENCH_VLLM_PYTHON can name an interpreter that has it")
    return named or sys.executable


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A barely trained model; heads as wide as vLLM's kernels for the processor want (32)."""
    sizes = {"hidden": 64, "layers": 1, "heads": 2, "intermediate": 64, "steps": 20, "length": 64}
    recipes = {"tokenizer": {"lines": 500}, "base": sizes}
    return str(build_models(tmp_path_factory.mktemp("model"), recipes) / "base")


def start(python, journal, model, asked, batch_size, late=0):
    """Have vLLM answer into a journal, in a process of its own; returns it."""
    engine = {"dtype": "float32", "enforce_eager": True}  # the quickest to be up
    entry = ENTRY | {"model": model, "max_length": 128, "engine": engine}
    work = {"entry": entry, "batch_size": batch_size, "requests": asked, "late": late}
    file = journal.with_suffix(".work")
    file.write_text(json.dumps(work | {"journal": str(journal)}))
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR"} | os.environ
    with open(file) as given, open(journal.with_suffix(".log"), "w") as log:
        return subprocess.Popen(
            [python, str(ROOT / "tests" / "helpers" / "vllm_child.py")],
            stdin=given, stdout=log, stderr=log, env=environment,
        )  # fmt: skip


def wait(process, journal):
    assert process.wait(timeout=300) == 0, journal.with_suffix(".log").read_text()[-3000:]
    return {row["fingerprint"]: row for row in read_jsonl(journal)}


@pytest.mark.slow
def test_vllm_answers_everything_once_and_the_same_after_a_kill(python, model, tmp_path):
    text, structured, (long,) = requests(400), requests(12, "json"), requests(1, "long")
    long |= {"messages": [{"role": "user", "content": "apples " * 200}]}
    asked = [*structured, long, *text]
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"

    rows = wait(start(python, whole, model, asked, 32, late=100), whole)
    assert rows.keys() == {request["fingerprint"] for request in asked}
    assert len(read_jsonl(whole)) == len(asked)
    assert rows[long["fingerprint"]]["why"] == "too long"
    for request in structured:
        assert re.match(r'\{"instruction": ?"', rows[request["fingerprint"]]["reply"])
    for request in text:
        row = rows[request["fingerprint"]]
        assert row["finish_reason"] in ("stop", "length") and END not in row["reply"]
        assert row["finish_reason"] == "stop" or row["usage"]["output"] == 24
    assert len({row["reply"] for row in rows.values()}) > 200  # each has a seed of its own

    process = start(python, broken, model, asked, 8)
    while process.poll() is None and (not broken.exists() or broken.stat().st_size < 5000):
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -9
    kept = len(broken.read_bytes().split(b"\n")) - 1
    assert 0 < kept < len(asked)
    again = wait(start(python, broken, model, asked, 8), broken)
    assert len(read_jsonl(broken)) == len(asked) == len(again)
    same = sum(again[key]["reply"] == rows[key]["reply"] for key in rows)
    assert same >= 0.9 * len(asked)  # the rest is rounding: the batches had another shape


@pytest.mark.slow
def test_a_model_that_is_not_there_is_one_sentence(python, tmp_path):
    journal = tmp_path / "none.jsonl"
    process = start(python, journal, "./nowhere", requests(1), 8)
    assert process.wait(timeout=300) == 1
    last = journal.with_suffix(".log").read_text().splitlines()[-1]
    assert last.startswith("error: vLLM cannot load the model ./nowhere on 1 GPU(s): ")
