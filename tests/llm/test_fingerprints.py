"""Fingerprints of requests are for ever: a journal that was paid for answers the next version too.

tests/cases/fingerprints.json holds those of commit 57ae4a2. A change here asks for every reply of
every journal again, so none is ever renewed: a request that is meant to differ gets a new case.
"""

import json

import pytest
from agorabench.evaluation import ability, judge
from agorabench.files import json_fingerprint
from agorabench.generation import prompts, slots
from agorabench.llm.journal import Journal
from agorabench.llm.request import fingerprint_parameters
from agorabench.seeds.classify import make_classifier
from helpers import ROOT
from helpers.tasks import FORMS, METHODS

GOLDEN = json.loads((ROOT / "tests/cases/fingerprints.json").read_text())
SEEDS = [
    {"id": f"s{i}", "instruction": f"What is {i} + {i}? \u00e9", "response": f"It is {2 * i}."}
    for i in range(5)
]
TEMPLATES = {
    "instance": "A task about {theme}, opening {opening}.\n{demonstrations}\n",
    "response": "Answer:\n{instruction}\n",
    "enhancement": "Improve:\n{instruction}\n{response}\n",
}
SAMPLING = {"temperature": 1.0, "top_p": 0.9, "max_tokens": 512, "stop": True, "seeded": False}
ENTRIES = {
    "local": {"backend": "transformers", "model": "m", "sampling": SAMPLING, "batch_size": 8},
    "api": {
        "backend": "openai", "model": "gpt", "sampling": SAMPLING | {"seeded": True},
        "structured": "json_schema", "extra": {"reasoning_effort": "low"}, "mode": "batch",
        "price": {"input": 1.0, "output": 2.0}, "max_usd": 3.0,
    },
    "no sampling": {
        "backend": "anthropic", "model": "claude", "structured": "none", "extra": {},
        "sampling": SAMPLING | {"temperature": None, "top_p": None, "stop": False},
    },
    "engine": {
        "backend": "vllm", "model": "m", "sampling": SAMPLING, "structured": "json_schema",
        "engine": {"quantization": "fp8", "max_num_seqs": 64}, "gpus": 4,
    },
}  # fmt: skip
BENCHMARK = {"max_tokens": 1024, "temperature": 0.2, "top_p": 0.95, "repetition_penalty": 1.03}


class Recorder:
    """A backend that answers every request alike and keeps its fingerprint."""

    identity = "model-identity"

    def __init__(self, reply):
        self.reply, self.asked = reply, []

    def complete(self, queue):
        while queue:
            key = queue.popleft()["fingerprint"]
            self.asked.append(key)
            yield [
                {"fingerprint": key, "reply": self.reply, "finish_reason": "stop", "usage": None}
            ]


def generated(folder, entry, method, domain, replies, system):
    """Fingerprints of a set of four pairs, three of whose slots come after the first wave."""
    reply = {
        "response": "an answer",
        "instance": "INPUT: q\nOUTPUT: a\n[END]",
        "enhancement": "Revised Question: q\nRevised Answer: a\n[END]",
    }[method]
    if replies == "json":
        reply = '{"instruction": "q", "response": "a"}'
    writer = prompts.Composer(
        domain=domain, method=method, seed=3, shows=METHODS[method]["shows"],
        form=FORMS[method], template=TEMPLATES[method], seeds=SEEDS,
        themes=["apples", "pens"], openings=["Write", "Show"],
        demonstrations={"seed": 2, "generated": 1}, system=system, replies=replies,
    )  # fmt: skip
    backend = Recorder(reply)
    with Journal(folder / "journal.jsonl") as journal:
        verdicts = iter(["too short", "valid", "valid", "valid", "valid"])
        asked = fingerprint_parameters(entry, replies)
        slots.Slots(
            writer, journal, backend.identity, asked, lambda pair: next(verdicts), 4, attempts=2
        ).generate(backend, first_wave=1)
    return backend.asked


def classified(folder):
    """Fingerprints of the classification of seed data, where a row comes twice."""
    backend, asked = Recorder("1"), fingerprint_parameters(ENTRIES["api"], "text")
    with Journal(folder / "journal.jsonl") as journal:
        classify = make_classifier(backend, asked, "Math or not?\n{instruction}", journal)
        classify([*SEEDS, SEEDS[0]])
    return backend.asked


def judged():
    """Fingerprints of two games before a judge, and of a second reply to one of them."""
    asked = fingerprint_parameters(ENTRIES["api"], "text")
    games = [{"messages": [{"role": "user", "content": text}]} for text in ("A or B?", "1 to 5?")]
    games[0]["messages"].insert(0, {"role": "system", "content": "You judge."})
    asks = [(games[0], 0), (games[0], 1), (games[1], 0)]
    return [judge.judge_request("judge", *ask[:1], asked, 7, ask[1])["fingerprint"] for ask in asks]


def solved(entry):
    """Fingerprints of two items of a benchmark that a generator solves."""
    items = [{"id": "i1", "prompt": "2 + 2?"}, {"id": "i2", "prompt": "3 + 3?"}]
    found = ability.benchmark_requests("model-identity", entry, "gsm8k", BENCHMARK, items, 1)
    return [request["fingerprint"] for request in found]


def fingerprints(folder, kind, details):
    if kind == "generate":
        name, method, domain, replies, system = details
        return generated(folder, ENTRIES[name], method, domain, replies, system)
    if kind == "classify":
        return classified(folder)
    return judged() if kind == "judge" else solved(ENTRIES[details[0]])


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: "-".join(map(str, case["of"])))
def test_fingerprints_are_those_of_journals_that_were_paid_for(case, tmp_path):
    kind, *details = case["of"]
    assert fingerprints(tmp_path, kind, details) == case["fingerprints"]


def test_fingerprints_do_not_depend_on_the_order_of_keys():
    assert json_fingerprint({"a": 1, "b": [2]}) == json_fingerprint({"b": [2], "a": 1})
    assert json_fingerprint("a", "b") != json_fingerprint("ab")
