"""Compatibility-adjusted reward: how good responses are, less where the student finds them odd.

    mean reward / (1 + beta x mean surprisal)

over the examples that have both (arXiv 2411.07133). `reward` names a metric with a value for each
example, a reward model's or a judge's. Dividing brings a negative reward nearer to 0, so of two
such sets the one that surprises more would be the better: there is no value then.
"""

from agorabench.intrinsic import Measured, measure_ratio

NEGATIVE = "the mean reward is not above 0, so dividing it would favour what surprises"


def measure_columns(entry: dict, columns: dict[str, list]) -> Measured:
    """The adjusted reward, in the reward's unit."""
    beta, surprisals = entry["beta"], columns["surprisal"]
    weighed = [None if each is None else 1 + beta * each for each in surprisals]
    measured = measure_ratio(entry["name"], columns["reward"], weighed)
    if measured.value <= 0:
        measured.value = measured.standard_error = None
        measured.also["reason"] = NEGATIVE
    return measured
