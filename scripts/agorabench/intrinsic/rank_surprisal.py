"""Rank-surprisal ratio of responses under the student's base: low suits the student.

    RSR of a set = sum_i (mean over tokens of min(rank, r)) / sum_i (mean over tokens of surprisal)

over its examples i, where a token's rank is 1 + the number of tokens with a larger logit, and r,
the entry's `clip`, is 100 (arXiv 2601.14249, eq. 7 and appendix A.8). Low is what surprises the
student and is yet among what it would say next.
"""

import statistics

from agorabench.intrinsic import Measured, measure_ratio


def score_examples(entry: dict, readings: list, reader) -> list[float]:
    """Mean clipped ranks."""
    return [
        statistics.fmean(min(rank, entry["clip"]) for rank in reading.ranks) for reading in readings
    ]


def measure_columns(entry: dict, columns: dict[str, list]) -> Measured:
    """The ratio, ranks per nat."""
    return measure_ratio(entry["name"], columns["scored"], columns["surprisal"])
