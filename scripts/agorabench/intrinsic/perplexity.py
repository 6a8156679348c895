"""Perplexity of a response given its instruction under a base model: how little it surprises it.

    exp(-1/T sum_t log P(token t of the response | the prompt and the tokens before it))

The prompt is the instruction as the chat template shows it, up to where the answer begins. Counted
are the T tokens of the response as the template shows it, not the end of turn, which a base has
never seen. Examples longer than max_length have no value.

The value of a set is the mean of its examples' perplexities. (The code of arXiv 2412.03679 takes
means of batches in which padding counts.) Its median is beside it, as one odd response can be
thousands.
"""

import math
import statistics
from collections.abc import Callable

import torch
from transformers import AutoModelForCausalLM

from agorabench.errors import UserError
from agorabench.intrinsic import Measured, loading, measure_mean
from agorabench.models import chat


def load_model(entry: dict, threads: int):
    """(tokenizer, model)."""
    tokenizer, model = loading.load_pretrained(AutoModelForCausalLM, entry, threads)
    chat.use_template(tokenizer, entry["template"])
    return tokenizer, model


def measure_pairs(loaded, entry: dict, pairs: list[dict], advance: Callable) -> Measured:
    """Perplexities, without a unit: 1 is no surprise at all."""
    tokenizer, model = loaded
    system = [{"role": "system", "content": entry["system"]}] if entry["system"] else []
    rows = [pair_tokens(tokenizer, system, pair) for pair in pairs]
    values = [None] * len(rows)
    fit = [
        index
        for index, (prompt, response) in enumerate(rows)
        if response and len(prompt) + len(response) <= entry["max_length"]
    ]
    ids = [rows[index][0] + rows[index][1] for index in fit]
    starts = [len(rows[index][0]) for index in fit]
    for indices, batch in loading.token_batches(ids, entry["batch_size"], model.device):
        found = negative_log_likelihood(
            model, batch, [(starts[index], len(ids[index])) for index in indices]
        )
        for index, value in zip(indices, found, strict=True):
            values[fit[index]] = math.exp(value)
        advance(len(indices))
    measured = measure_mean(entry["name"], values)
    measured.also["median"] = statistics.median(value for value in values if value is not None)
    return measured


def pair_tokens(tokenizer, system: list[dict], pair) -> list[list[int]]:
    """Token ids [prompt, response] of a pair, each made by itself as in training.

    Raises:
        UserError: the template does not show the response as it is, but for white space around it.
    """
    row = {
        "prompt": [*system, {"role": "user", "content": pair["instruction"]}],
        "completion": [{"role": "assistant", "content": pair["response"]}],
    }
    prompt, answer = chat.split_conversation(tokenizer, row)
    response = pair["response"].strip()
    if response not in answer:
        raise UserError(
            f"the chat template shows the response {response[:60]!r} as {answer[:60]!r}"
        )
    shown = answer[: answer.index(response) + len(response)] if response else ""
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, shown)]


@torch.inference_mode()
def negative_log_likelihood(model, batch, spans) -> list[float]:
    """Mean negative log-likelihood, in nats, of the tokens in each row's span (start, end)."""
    width = batch["input_ids"].shape[1]
    # The head is computed only from where the first of the responses begins.
    kept = width - min(start for start, _ in spans) + 1
    logits = model(**batch, use_cache=False, logits_to_keep=min(kept, width)).logits
    found = []
    for line, (start, end) in enumerate(spans):
        ids = batch["input_ids"][line, start:end]
        # A position predicts the next one; counted from the end, as the beginning may be left out.
        scores = logits[line, start - 1 - width : end - 1 - width].float()
        chosen = torch.log_softmax(scores, -1).gather(1, ids[:, None])
        found.append(-chosen.double().mean().item())
    return found
