"""What work would take before it is done: tokens from what is known, GPU hours from the tokens.

Every number that is assumed and not measured stands here, and `assumptions` says it in words.
"""

import math
from typing import NamedTuple

from agorabench.llm.silent import CHARACTERS_PER_TOKEN

# Tokens. Where replies are journaled their usage is taken instead.
INSTRUCTION = 150  # tokens of an instruction, of seed data or generated
RESPONSE = 450  # tokens of a response
ACCEPTED = 0.9  # share of replies that are valid pairs
ENOUGH = 20  # replies from which a mean or a share is taken
SAMPLE = 200  # texts whose lengths stand for those of more
ITEMS = 1000  # of a benchmark that is neither fetched yet nor a local file
KNOWN_ITEMS = {  # but for those of these protocols, which have a test set of their own
    **{"gsm8k": 1319, "math": 5000, "humaneval": 164, "humaneval_plus": 164, "mbpp": 500},
    **{"mbpp_plus": 378, "alpaca_eval": 805, "arena_hard": 500, "ifeval": 541},
}
IN_CLASS = 0.5  # share of rows that a classification puts in the class wanted

# GPU hours. Operations per parameter and token: 2 in a forward pass, 6 with the backward pass
# (Kaplan et al. 2020, arXiv 2001.08361, section 2.1).
FORWARD, TRAINED = 2, 6
PEAK = 989e12  # operations a second of an H100 SXM in bf16, dense (NVIDIA's data sheet)
# Shares of the peak that are reached. Published engines on H100s (1,000 tokens in, 1,000 out) write
# 12,500 tokens a second and GPU with 8 billion parameters in bf16 (vLLM), 2,100 with 70 in FP8
# (TensorRT-LLM 1.0): that is READING for the prompts and WRITING for the rest. torchtitan trains 8
# billion with FSDP at 28 %; layers computed again and no compilation cost some of that.
READING, WRITING, TRAINING = 0.5, 0.33, 0.25


def assumptions() -> list[str]:
    """What is assumed, one sentence each."""
    return [
        f"Where no {ENOUGH} replies are journaled: {CHARACTERS_PER_TOKEN:g} characters a token, "
        f"{INSTRUCTION} tokens an instruction, {RESPONSE} a response, {ACCEPTED:.0%} of the replies"
        " valid.",
        f"A benchmark that is neither fetched nor a local file has {ITEMS:,} items; {IN_CLASS:.0%} "
        "of the rows are of a class that is looked for.",
        f"GPU hours are those of an H100 (bf16, {PEAK / 1e12:.0f} Tflop/s at most): {FORWARD} x "
        f"parameters x tokens, of prompts and of what a metric reads at {READING:.0%} of the peak, "
        f"of completions at {WRITING:.0%} (vLLM; transformers is several times slower), training "
        f"{TRAINED} x parameters x tokens at {TRAINING:.0%}; of a mixture of experts, its active "
        "parameters. Loading models and waiting are not in them.",
    ]


class ReplyTokens(NamedTuple):
    """Mean tokens of a request's prompt and of its completion, and where they are from."""

    prompt: float
    completion: float
    source: str


def reply_tokens(completion, own, others, prompt, limit) -> ReplyTokens:
    """Tokens of a job's replies.

    Args:
        completion: tokens of a completion, if nothing is journaled.
        own, others: {"with_usage", "input", "output"} of the job's journal, and of all of its kind.
        prompt: () -> (tokens of a prompt, where they are from), if nothing is journaled.
        limit: max_tokens.
    """
    for seen, source in ((own, "this journal"), (others, "other cells")):
        count = seen["with_usage"]
        if count >= ENOUGH:
            means = (seen["input"] / count, seen["output"] / count)
            return ReplyTokens(*means, f"{count:,} replies of {source}")
    tokens, source = prompt()
    return ReplyTokens(tokens, min(completion, limit), f"{source}, completions assumed")


def valid_share(own, others) -> tuple[float, str]:
    """(Share of replies that are valid, where it is from); both are (valid, replies)."""
    for (valid, replies), source in ((own, "this journal"), (others, "other sets")):
        if replies >= ENOUGH and valid:
            return valid / replies, f"{valid / replies:.0%} of {replies:,} replies of {source}"
    return ACCEPTED, f"{ACCEPTED:.0%} assumed"


def count_requests(missing: int, share: float) -> int:
    """Requests that `missing` pairs take; each is answered by a valid pair in `share` of cases."""
    return math.ceil(round(missing / share, 6))


def count_tokens(text: str) -> float:
    """Tokens of a text, from its length."""
    return len(text) / CHARACTERS_PER_TOKEN


def mean_tokens(lengths: list[int]) -> float:
    """Mean tokens of texts from their lengths in characters, of a sample where they are many."""
    sample = lengths[:: max(len(lengths) // SAMPLE, 1)]
    return sum(length / CHARACTERS_PER_TOKEN for length in sample) / len(sample)


def gpu_hours(parameters: float, read: float = 0, written: float = 0, trained: float = 0) -> float:
    """Hours of one GPU for tokens read, written and trained on; `parameters` in billions."""
    forward = FORWARD * (read / READING + written / WRITING)
    return parameters * 1e9 * (forward + TRAINED * trained / TRAINING) / PEAK / 3600
