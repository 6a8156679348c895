"""Local naturalness of responses under the student's base: how likely each step is to it, given the
prompt and a few steps before it.

    1/S sum_s (mean over tokens t of step s of log P(t | prompt, the `window` steps before s, s so
    far)),

a response's mean over its S steps, sentences here (arXiv 2510.03988, eq. 2). Likelihood given all
that is before favours long responses, whose end is likely once one has read their beginning.

A step that no more than `window` others come before has been read with all of them already; the
others are read once more, each after its own window.
"""

import re
import statistics
from bisect import bisect_right
from itertools import pairwise

from agorabench.errors import UserError
from agorabench.intrinsic import Measured, measure_mean

BETWEEN = re.compile(r"(?<=\S)\s+")  # of these the ends of a line, and what comes after an END
END = ".!?"


def score_examples(entry: dict, readings: list, reader) -> list[float]:
    """Mean over steps of the mean log-likelihood of their tokens, in nats."""
    if not reader.tokenizer.is_fast:
        raise UserError(f"{entry['name']}: the tokenizer does not say where in a text a token is")
    rows, starts, owners, found = [], [], [], []
    for number, reading in enumerate(readings):
        steps = split_steps(reader.tokenizer, reading)
        known = steps[: entry["window"] + 1]
        found.append([statistics.fmean(reading.surprisals[slice(*step)]) for step in known])
        for index in range(len(known), len(steps)):
            begin, (start, end) = steps[index - entry["window"]][0], steps[index]
            rows.append(reading.prompt + reading.response[begin:end])
            starts.append(len(reading.prompt) + start - begin)
            owners.append(number)
    for number, (surprisals, _) in zip(owners, reader.read(rows, starts), strict=True):
        found[number].append(surprisals.mean().item())
    return [-statistics.fmean(means) for means in found]


def split_steps(tokenizer, reading) -> list[tuple[int, int]]:
    """[start, end) of the steps of a response, in tokens; one belongs where it ends."""
    text = reading.text
    cuts = [
        match.end()
        for match in BETWEEN.finditer(text)
        if "\n" in match[0] or text[match.start() - 1] in END
    ]
    shown = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ends = [end for _, end in shown["offset_mapping"]]
    bounds = [bisect_right(ends, cut) for cut in cuts]
    return list(pairwise(sorted({0, *bounds, len(ends)})))


def measure_columns(entry: dict, columns: dict[str, list]) -> Measured:
    """Mean local naturalness, in nats a token: at most 0, higher is more natural."""
    return measure_mean(entry["name"], columns["scored"])
