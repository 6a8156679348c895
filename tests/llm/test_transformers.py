"""A tiny real model: how it is sampled and prompted."""

import contextlib
from collections import deque

import predict
import pytest
import torch
from agorabench import paths
from agorabench.errors import UserError
from agorabench.evaluation import completions
from agorabench.files import json_fingerprint, read_jsonl, write_json, write_jsonl
from agorabench.llm.transformers import Generator
from agorabench.models import weights
from agorabench.models.generate import Engine, OwnSampler
from helpers.asking import config, generator

SAMPLING = {"temperature": 1.0, "top_p": 0.9, "max_tokens": 12}


@pytest.fixture(scope="module")
def engine(model):
    return Engine(model)


def ask(engine, questions, seeds, **sampling):
    prompts = [engine.chat([{"role": "user", "content": text}]) for text in questions]
    return engine.generate(prompts, seeds, **{**SAMPLING, **sampling})


def test_a_reply_does_not_depend_on_its_neighbours(engine):
    questions = ["Say this in capitals: cat", "How many?", "Write a function f(x) that adds 3."]
    together = ask(engine, questions, [1, 2, 3])
    assert ask(engine, questions[:1], [1]) == together[:1]
    assert ask(engine, questions[::-1], [3, 2, 1]) == together[::-1]


def test_another_seed_gives_another_reply(engine):
    replies = ask(engine, ["How many?"] * 8, range(8))
    assert len({reply["reply"] for reply in replies}) > 1


def test_temperature_zero_is_greedy(engine):
    replies = ask(engine, ["How many?"] * 3, [1, 2, 3], temperature=0.0)
    assert len({reply["reply"] for reply in replies}) == 1


def test_a_cut_reply_says_so_and_counts_its_tokens(engine):
    (reply,) = ask(engine, ["How many?"], [1], max_tokens=1)
    assert reply["usage"]["output"] == 1
    prompt = engine.chat([{"role": "user", "content": "How many?"}])
    assert reply["usage"]["input"] == len(prompt)
    assert reply["finish_reason"] == "length"


@pytest.mark.parametrize("plain", [True, False])
def test_a_likelihood_is_that_of_a_plain_loop_over_tokens(engine, plain):
    texts = ["How many?", "Add 3 and 4.\nAnswer: ", "x"]
    prompts = texts if plain else [[{"role": "user", "content": text}] for text in texts]
    asked = [(prompt, more) for prompt in prompts for more in ("A", "7 apples", "no")]
    found = engine.likelihoods(*map(list, zip(*asked, strict=True)))
    for (prompt, more), told in zip(asked, found, strict=True):
        context = engine.plain(prompt.rstrip()) if plain else engine.chat(prompt)
        text = f"{prompt}{more}"
        whole = engine.plain(text) if plain else context + engine.plain(more)
        assert whole[: len(context)] == context
        total, greedy = 0.0, True
        for end in range(len(context), len(whole)):
            with torch.inference_mode():
                logits = engine.model(torch.tensor([whole[:end]])).logits[0, -1].double()
            total += torch.log_softmax(logits, -1)[whole[end]].item()
            greedy &= logits.argmax().item() == whole[end]
        assert told["logprob"] == pytest.approx(total, abs=1e-4) and told["greedy"] == greedy


def test_the_text_ends_before_a_stop_string(engine):
    (free,) = ask(engine, ["How many?"], [1], temperature=0.0, max_tokens=30)
    stop = free["reply"][len(free["reply"]) // 2 :][:3]
    (cut,) = ask(engine, ["How many?"], [1], temperature=0.0, max_tokens=30, stop=[stop])
    assert cut["reply"] == free["reply"][: free["reply"].index(stop)]
    assert cut["finish_reason"] == "stop"


@pytest.mark.parametrize(("top_p", "kept"), [(1.0, 4), (0.9, 3), (0.5, 1), (0.51, 2)])
def test_draws_follow_the_nucleus(top_p, kept):
    probabilities = torch.tensor([0.1, 0.5, 0.1, 0.3]).double()
    draws = 4000
    sampler = OwnSampler(range(draws), 1, 1.0, top_p)
    scores = sampler(None, probabilities.log().float().expand(draws, 4))
    share = torch.bincount(scores.argmax(-1), minlength=4) / draws
    order = [1, 3, 0, 2][:kept]
    wanted = torch.zeros(4, dtype=torch.double)
    wanted[order] = probabilities[order] / probabilities[order].sum()
    assert (share - wanted).abs().max() < 0.03


def test_temperature_sharpens():
    logits = torch.tensor([0.0, 1.0]).expand(4000, 2)
    drawn = OwnSampler(range(4000), 1, 0.5, 1.0)(None, logits).argmax(-1)
    assert abs(drawn.double().mean().item() - torch.tensor(2.0).sigmoid().item()) < 0.03


class Queue:
    """No more than a backend may count on."""

    def __init__(self, requests):
        self._requests = deque(requests)

    def __bool__(self):
        return bool(self._requests)

    def popleft(self):
        return self._requests.popleft()


def test_requests_come_back_in_batches_with_their_fingerprints(model):
    generator = Generator({"model": model, "sampling": SAMPLING}, threads=1, batch_size=2)
    requests = [
        {
            "fingerprint": json_fingerprint(number),
            "messages": [{"role": "user", "content": "How many?"}],
        }
        for number in range(5)
    ]
    batches = list(generator.complete(Queue(requests)))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    found = [reply["fingerprint"] for batch in batches for reply in batch]
    assert found == [request["fingerprint"] for request in requests]


def test_a_model_of_the_hub_is_named_by_its_name():
    assert weights.model_identity("some-lab/some-model") == "some-lab/some-model"


def test_a_missing_model_is_one_sentence():
    with pytest.raises(UserError, match=r"cannot load the model \./nowhere"):
        Engine("./nowhere")


def test_few_shot_prompts_are_plain_text():
    shown = [{"instruction": "1+1?", "response": "2"}]
    assert (
        completions.few_shot_prompt(shown, "2+2?")
        == "Question: 1+1?\nAnswer: 2\n\nQuestion: 2+2?\nAnswer:"
    )


def predict_sums(folder, model, count, chat=True, edits=(), **more):
    """Have the miniature's base, a model, answer `count` sums; returns the path of its answers.

    `edits`: number of an item -> another question.
    """
    items = [{"question": f"{n}+1?", "answer": f"#### {n + 1}"} for n in range(count)]
    for number, question in dict(edits).items():
        items[number]["question"] = question
    write_jsonl(folder / paths.benchmark_items("sums"), items)
    sums = {"domain": "math", "protocol": "gsm8k", "source": {"path": "unused"}}
    sums |= {"temperature": 0.2, "top_p": 0.95, "repetition_penalty": 1.03, "max_tokens": 8}
    whole = config({"g": generator("http://x", "openai")}, benchmarks={"sums": sums | more})
    whole["experiments"]["main"]["domains"] = ["math"]
    whole["students"]["mini"]["base"] = {"model": model, "chat": chat}
    write_json(folder / "config.json", whole)
    with contextlib.chdir(folder):
        predict.main(["--config", "config.json", "--model", "mini/base"])
    return folder / paths.predictions("mini/base", "sums")


@pytest.mark.parametrize("plain", [False, True])
def test_every_item_gets_a_completion(model, tmp_path, plain):
    write_jsonl(tmp_path / "shots" / "a.jsonl", [{"q": "1+1?", "a": "2"}])
    shots = {"limit": 4, "shots": 1, "shots_from": "shots"}
    shots["shots_fields"] = {"instruction": "{q}", "response": "a"}
    made = read_jsonl(predict_sums(tmp_path, model, 5, chat=not plain, **shots))
    assert [row["id"] for row in made] == [f"gsm8k/{n}" for n in range(4)]
    assert all(row["finish_reason"] in ("stop", "length") for row in made)
    assert {row["model"] for row in made} == {"mini/base"}


def test_a_killed_prediction_goes_on(model, tmp_path, monkeypatch):
    monkeypatch.setattr(completions, "BATCH", 4)

    def run(folder, **changes):
        return read_jsonl(predict_sums(folder, model, 10, **changes))

    whole = run(tmp_path / "whole")
    answer, asked = Engine.generate, []

    def dying(engine, prompts, *arguments, **more):
        asked.append(len(prompts))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return answer(engine, prompts, *arguments, **more)

    monkeypatch.setattr(Engine, "generate", dying)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed")
    kept = tmp_path / "killed" / "results/predictions/mini/base/.sums.answers.jsonl"
    with open(kept, "ab") as file:
        file.write(b'{"torn')
    assert run(tmp_path / "killed") == whole
    assert asked == [4, 4, 4, 2]
    # What was answered otherwise is not gone on from.
    asked[:] = [1, 1]
    assert run(tmp_path / "killed", max_tokens=4) != whole and asked == [1, 1, 4, 4, 2]


def test_of_more_items_only_the_further_ones_are_answered(model, tmp_path, monkeypatch):
    answer, asked = Engine.generate, []

    def counting(engine, prompts, *arguments, **more):
        asked.append(len(prompts))
        return answer(engine, prompts, *arguments, **more)

    def run(folder, **changes):
        return read_jsonl(predict_sums(folder, model, 10, **changes))

    whole = run(tmp_path / "whole")
    monkeypatch.setattr(Engine, "generate", counting)
    assert run(tmp_path, limit=4) == whole[:4] and asked == [4]
    assert run(tmp_path, limit=2) == whole[:2] and asked == [4]  # those that are kept
    assert run(tmp_path, limit=7) == whole[:7] and asked == [4, 3]
    assert run(tmp_path) == whole and asked == [4, 3, 3]
    edited = run(tmp_path, edits={3: "What is 4+1?"})
    assert edited[3]["prompt"] == "What is 4+1?" and asked == [4, 3, 3, 1]
    assert edited[:3] + edited[4:] == whole[:3] + whole[4:]


def test_rows_that_end_at_different_tokens_keep_their_own_text(engine):
    """Stop strings and padding together: each row is what it is alone."""
    questions = ["How many?", "Say this in capitals: cat", "Write f."]
    alone = [ask(engine, [text], [7], stop=["e"], max_tokens=20)[0] for text in questions]
    together = ask(engine, questions, [7, 7, 7], stop=["e"], max_tokens=20)
    assert together == alone
    assert len({reply["usage"]["output"] for reply in together}) > 1


def test_requests_with_a_sampling_of_their_own_are_answered_apart(model):
    requests = [
        {
            "fingerprint": f"{place:032x}",
            "messages": [{"role": "user", "content": "How many?"}],
            **({"sampling": SAMPLING | {"max_tokens": 1}} if place % 2 else {}),
        }
        for place in range(4)
    ]
    generator = Generator({"model": model, "sampling": SAMPLING | {"max_tokens": 5}}, 1, 64)
    rows = [row for rows in generator.complete(Queue(requests)) for row in rows]
    assert [row["fingerprint"] for row in rows] == [one["fingerprint"] for one in requests]
    assert all(row["usage"]["output"] == 1 for row in rows[1::2])
    assert any(row["usage"]["output"] > 1 for row in rows[::2])
