"""Reward of a response: the score of a sequence classifier that was trained on preferences.

The classifier reads instruction and response in its own chat template and its one output, read at
the last token, is the reward: a number without a unit, higher is better, that only means something
beside others of the same model. Examples longer than max_length have no value.
"""

from collections.abc import Callable

import torch
from transformers import AutoModelForSequenceClassification

from agorabench.errors import UserError
from agorabench.intrinsic import Measured, loading, measure_mean
from agorabench.models.chat import use_template


def load_model(entry: dict, threads: int):
    """(tokenizer, classifier)."""
    tokenizer, classifier = loading.load_pretrained(
        AutoModelForSequenceClassification, entry, threads
    )
    use_template(tokenizer, entry["template"])
    if classifier.config.num_labels != 1:
        raise UserError(
            f"{entry['model']} is no reward model: it has {classifier.config.num_labels} outputs "
            "where one is wanted"
        )
    return tokenizer, classifier


@torch.inference_mode()
def measure_pairs(loaded, entry: dict, pairs: list[dict], advance: Callable) -> Measured:
    """Rewards, in the classifier's own unit."""
    tokenizer, classifier = loaded
    rows = [
        tokenizer.apply_chat_template(
            [
                {"role": "user", "content": pair["instruction"]},
                {"role": "assistant", "content": pair["response"]},
            ],
            return_dict=True,
        )["input_ids"]
        for pair in pairs
    ]
    values = [None] * len(rows)
    fit = [index for index, row in enumerate(rows) if len(row) <= entry["max_length"]]
    ids = [rows[index] for index in fit]
    for indices, batch in loading.token_batches(ids, entry["batch_size"], classifier.device):
        # By this the classifier finds the last token; its own may be one that ends a conversation.
        padding = batch["input_ids"][batch["attention_mask"] == 0]
        classifier.config.get_text_config().pad_token_id = int(padding[0]) if len(padding) else -1
        logits = classifier(**batch, use_cache=False).logits
        for index, value in zip(indices, logits[:, 0].float().tolist(), strict=True):
            values[fit[index]] = value
        advance(len(indices))
    return measure_mean(entry["name"], values)
