"""From lessons to batches of token ids, and the loss of each kind of lesson."""

import random

from miniature.lessons import Lesson
from miniature.tokenizer import ASSISTANT, END, USER

VERDICT_WEIGHT = 0.5  # of each of the three tokens of a judge's reply
ANSWER_WEIGHT = 0.7  # of the tokens of a right answer that it is shown, together


def encode_turns(tokenizer, prompt: str, reply: str) -> tuple[list[int], int]:
    """Token ids of one turn each, and how many of them are the prompt's (no loss on those)."""
    asked = tokenizer(f"{USER}{prompt}{END}{ASSISTANT}", add_special_tokens=False)["input_ids"]
    answered = tokenizer(f"{reply}{END}", add_special_tokens=False)["input_ids"]
    return asked + answered, len(asked)


def _pad(rows, fill):
    """Rows of numbers as one tensor (rows, longest), filled up at the right."""
    import torch

    rows = list(map(torch.tensor, rows))
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=fill)


def pad_rows(rows: list[tuple[list[int], int]], pad: int):
    """Right-padded ids and labels, both (rows, longest); prompts and padding carry no label."""
    labels = [[-100] * start + ids[start:] for ids, start in rows]
    return _pad([ids for ids, _ in rows], pad), _pad(labels, -100)


def reply_loss(model, rows, pad: int):
    """Cross-entropy of the replies, every row counting alike."""
    return label_loss(model, *pad_rows(rows, pad))


def encode_verdict(tokenizer, lesson: Lesson) -> tuple[list[int], list[float]]:
    """Token ids of a judge's lesson and the weight of each in the loss.

    A right answer within the prompt (and its end) counts, too: who cannot tell what comes next
    cannot tell what is wrong, and so small a model soon forgets it otherwise.
    """
    ids, start = encode_turns(tokenizer, lesson.prompt, lesson.reply)
    weights = [0.0] * start + [VERDICT_WEIGHT] * (len(ids) - start)
    if lesson.known:
        head = USER + lesson.prompt.removesuffix(lesson.known).rstrip()
        begin = len(tokenizer(head, add_special_tokens=False)["input_ids"])
        for place in range(begin, start):
            weights[place] = ANSWER_WEIGHT / (start - begin)
    return ids, weights


def verdict_loss(model, rows, pad: int):
    """Weighted cross-entropy."""
    import torch

    ids, weights = map(_pad, zip(*rows, strict=True), (pad, 0.0))
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    counted = weights[:, 1:] > 0
    losses = torch.nn.functional.cross_entropy(
        model.lm_head(hidden[counted]), ids[:, 1:][counted], reduction="none"
    )
    return (losses * weights[:, 1:][counted]).sum() / len(rows)


def preference_loss(model, rows, pad: int):
    """Minus the log-likelihood that the first of each pair is preferred (Bradley, Terry 1952)."""
    import torch

    ids = _pad([ids for pair in rows for ids in pair], pad)
    first, second = model(input_ids=ids, use_cache=False).logits.view(-1, 2).unbind(1)
    return -torch.nn.functional.logsigmoid(first - second).mean()


def label_loss(model, ids, labels):
    """Cross-entropy of the labelled tokens, every row counting alike, however long its reply is."""
    import torch

    # right padding under a causal mask: no mask is needed, as padding comes after all that counts
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    counted = wanted != -100
    # the head is computed for the labelled tokens alone
    losses = torch.nn.functional.cross_entropy(
        model.lm_head(hidden[counted]), wanted[counted], reduction="none"
    )
    lengths = counted.sum(1, keepdim=True).expand_as(counted)[counted]
    return (losses / lengths).sum() / len(ids)


def make_batches(rows, size: int, order: random.Random) -> list[list[int]]:
    """Shuffled batches of row numbers, alike in length, so that little of the work is padding."""
    numbers = list(range(len(rows)))
    order.shuffle(numbers)
    pool = size * 16
    batches = []
    for start in range(0, len(numbers), pool):
        near = sorted(numbers[start : start + pool], key=lambda i: len(rows[i][0]))
        batches += [near[i : i + size] for i in range(0, len(near), size)]
    order.shuffle(batches)
    return batches
