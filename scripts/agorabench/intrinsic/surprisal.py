"""Surprisal of a response given its instruction: mean negative log-likelihood of its tokens, in
nats, under the student's base.

Perplexity is its exponential; the mean of a set is not ruled by a few odd responses, as that of
perplexities is.
"""

from agorabench.intrinsic import Measured, measure_mean


def measure_columns(entry: dict, columns: dict[str, list]) -> Measured:
    """Mean surprisal, in nats a token."""
    return measure_mean(entry["name"], columns["surprisal"])
