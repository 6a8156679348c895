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
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM

from agorabench.errors import UserError
from agorabench.intrinsic import Measured, load_metric_module, loading, measure_mean
from agorabench.models import chat


@dataclass
class Reading:
    """What a base makes of a response.

    Attributes:
        prompt, response: token ids.
        text: the response as the template shows it.
        surprisals, ranks: of each token of the response: -log P, in nats; 1 + the number of tokens
            with a larger logit.
    """

    prompt: list[int]
    response: list[int]
    text: str
    surprisals: list[float]
    ranks: list[int]


@dataclass
class Reader:
    """A base that reads token ids in batches."""

    tokenizer: object
    model: object
    batch_size: int

    def read(self, rows: list[list[int]], starts: list[int], advance: Callable = lambda _: None):
        """(surprisals, ranks), tensors, of the tokens of each row from its start on."""
        found = [None] * len(rows)
        for indices, batch in loading.token_batches(rows, self.batch_size, self.model.device):
            spans = [(starts[index], len(rows[index])) for index in indices]
            for index, tokens in zip(indices, score_tokens(self.model, batch, spans), strict=True):
                found[index] = tokens
            advance(len(indices))
        return found


def load_model(entry: dict, threads: int):
    """(tokenizer, model)."""
    tokenizer, model = loading.load_pretrained(AutoModelForCausalLM, entry, threads)
    chat.use_template(tokenizer, entry["template"])
    return tokenizer, model


def measure_pairs(loaded, entry: dict, pairs: list[dict], advance: Callable) -> Measured:
    """Perplexities, without a unit: 1 is no surprise at all.

    The entry's "scored" are those of metrics whose score_examples is called, by name.
    """
    reader = Reader(*loaded, entry["batch_size"])
    system = [{"role": "system", "content": entry["system"]}] if entry["system"] else []
    rows = [pair_tokens(reader.tokenizer, system, pair) for pair in pairs]
    fit = [
        index
        for index, (prompt, response, _) in enumerate(rows)
        if response and len(prompt) + len(response) <= entry["max_length"]
    ]
    kept = [rows[index] for index in fit]
    found = reader.read(
        [prompt + response for prompt, response, _ in kept], [len(row[0]) for row in kept], advance
    )

    def place(numbers):
        known = dict(zip(fit, numbers, strict=True))
        return [known.get(index) for index in range(len(rows))]

    perplexities = [math.exp(surprisals.mean().item()) for surprisals, _ in found]
    measured = measure_mean(entry["name"], place(perplexities))
    measured.also["median"] = statistics.median(perplexities)
    readings = [
        Reading(*row, *(each.tolist() for each in tokens))
        for row, tokens in zip(kept, found, strict=True)
    ]
    for name, other in entry.get("scored", {}).items():
        scores = load_metric_module(other).score_examples(other, readings, reader)
        measured.scored[name] = place(scores)
    return measured


def pair_tokens(tokenizer, system: list[dict], pair) -> tuple[list[int], list[int], str]:
    """(prompt, response, shown) of a pair: token ids, each made by itself as in training, and the
    text that the response's are of.

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
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, shown)]
    return *ids, shown


@torch.inference_mode()
def score_tokens(model, batch, spans) -> list[tuple]:
    """(surprisals, ranks), tensors, of the tokens in each row's span (start, end); see Reading."""
    width = batch["input_ids"].shape[1]
    # The head is computed only from where the first of the responses begins.
    kept = width - min(start for start, _ in spans) + 1
    logits = model(**batch, use_cache=False, logits_to_keep=min(kept, width)).logits
    found = []
    for line, (start, end) in enumerate(spans):
        ids = batch["input_ids"][line, start:end, None]
        # A position predicts the next one; counted from the end, as the beginning may be left out.
        scores = logits[line, start - 1 - width : end - 1 - width].float()
        chosen = torch.log_softmax(scores, -1).gather(1, ids)[:, 0]
        ranks = 1 + (scores > scores.gather(1, ids)).sum(1)
        found.append((-chosen.double().cpu(), ranks.cpu()))
    return found
