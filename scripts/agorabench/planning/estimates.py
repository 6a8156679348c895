"""What work would take before it is done: tokens from what is known, GPU hours from the tokens.

Every number that is assumed and not measured stands here, and `assumptions` says it in words.
"""

import math
from typing import NamedTuple

# Tokens. Where replies are journaled their usage is taken instead.
CHARACTERS = 3.5  # per token, of English, mathematics and code together
INSTRUCTION = 150  # tokens of an instruction, of seed data or generated
RESPONSE = 450  # tokens of a response
ACCEPTED = 0.9  # share of replies that are valid pairs
ENOUGH = 20  # replies from which a mean or a share is taken
SAMPLE = 200  # texts whose lengths stand for those of more
ITEMS = 1000  # of a benchmark that is not fetched yet
IN_CLASS = 0.5  # share of rows that a classification puts in the class wanted

# GPU hours. Operations per parameter and token: 2 in a forward pass, 6 with the backward pass
# (Kaplan et al. 2020, arXiv 2001.08361, section 2.1).
FORWARD, TRAINED = 2, 6
PEAK = 989e12  # operations a second of an H100 SXM in bf16, dense (NVIDIA's data sheet)
GENERATING = 0.15  # share of the peak that is reached in generation
TRAINING = 0.35  # and in training


def assumptions():
    """What is assumed, one sentence each."""
    return [
        f"Where no {ENOUGH} replies are journaled: {CHARACTERS:g} characters a token, "
        f"{INSTRUCTION} tokens an instruction, {RESPONSE} a response, {ACCEPTED:.0%} of the replies"
        " valid.",
        f"A benchmark that is not fetched has {ITEMS:,} items; {IN_CLASS:.0%} of the rows are of a "
        "class that is looked for.",
        f"GPU hours are those of an H100 (bf16, {PEAK / 1e12:.0f} Tflop/s at most): generation "
        f"and metrics {FORWARD} x parameters x tokens at {GENERATING:.0%} of the peak, training "
        f"{TRAINED} x parameters x tokens at {TRAINING:.0%}; of a mixture of experts, its active "
        "parameters. Loading models and waiting are not in them.",
    ]


class Reply(NamedTuple):
    """Mean tokens of a request's prompt and of its completion, and where they are from."""

    prompt: float
    completion: float
    source: str


def reply(method, own, others, prompt, limit):
    """Tokens of a cell's replies.

    Args:
        method: its method of generation.
        own, others: {"told", "input", "output"}: replies with usage and the sums of their tokens,
            of its own journal and of all journals of the same generator, method and domain.
        prompt: (tokens of its prompts, where they are from) if nothing is journaled.
        limit: max_tokens.
    """
    for seen, source in ((own, "this journal"), (others, "other cells")):
        if seen["told"] >= ENOUGH:
            told = seen["told"]
            means = (seen["input"] / told, seen["output"] / told)
            return Reply(*means, f"{told:,} replies of {source}")
    completion = RESPONSE if method == "response" else INSTRUCTION + RESPONSE
    return Reply(prompt[0], min(completion, limit), f"{prompt[1]}, completions assumed")


def accepted(own, others):
    """(Share of replies that are valid, where it is from); both are (valid, replies)."""
    for (valid, replies), source in ((own, "this journal"), (others, "other sets")):
        if replies >= ENOUGH and valid:
            return valid / replies, f"{valid / replies:.0%} of {replies:,} replies of {source}"
    return ACCEPTED, f"{ACCEPTED:.0%} assumed"


def requests(missing, share):
    """Requests that `missing` pairs take; each is answered by a valid pair in `share` of cases."""
    return math.ceil(round(missing / share, 6))


def tokens(text):
    """Tokens of a text, from its length."""
    return len(text) / CHARACTERS


def mean_tokens(texts):
    """Mean tokens of a list of texts, from a sample of them where they are many."""
    shown = texts[:: max(len(texts) // SAMPLE, 1)]
    return sum(map(tokens, shown)) / len(shown)


def gpu_hours(parameters, count, training=False):
    """Hours of one GPU for `count` tokens; `parameters` in billions."""
    work = (TRAINED if training else FORWARD) * parameters * 1e9 * count
    return work / (PEAK * (TRAINING if training else GENERATING)) / 3600
