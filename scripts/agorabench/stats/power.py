"""How small a difference between two generators an experiment finds, and what finds a smaller.

The students of two generators answer the same items, so of the difference of their scores an item
has the variance 2 v (1 - r): v of one verdict, r the correlation of two students' verdicts (Miller
2024, arXiv 2411.00640, section 3). In points of PGR it is divided by the squared gap between base
and reference. A domain is the mean of its benchmarks, an average that of its cells; methods,
domains and seeds have students of their own, so their noise is taken for independent. Two trainings
differ by 2 s^2 besides, s being the standard deviation of a seed. Normal approximation (Cohen 1988,
"Statistical Power Analysis for the Behavioral Sciences", chapter 2).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

LEVEL, POWER = 0.05, 0.8
# Where there are no results: that of right or wrong at a score of one half; a fraction; points.
VARIANCE, CORRELATION, GAP, SEED_SPREAD = 0.25, 0.5, 0.25, 2.0


@dataclass(frozen=True)
class Items:
    """A benchmark: number of items, variance of a verdict (fractions), correlation of two students'
    verdicts, gap from base to reference (fraction)."""

    count: int
    variance: float = VARIANCE
    correlation: float = CORRELATION
    gap: float = GAP

    @property
    def noise(self):
        """Variance of the difference of two students' PGRs, in squared points."""
        if self.gap <= 0:
            return math.inf
        return 2e4 * self.variance * (1 - self.correlation) / self.count / self.gap**2


@dataclass(frozen=True)
class Noise:
    """Variances of a difference between two generators' PGRs with one seed, in squared points: by
    the choice of items, and by the seeds."""

    items: float
    seeds: float

    def smallest(self, seeds=1):
        """The smallest difference (points) found with POWER at LEVEL, with so many seeds."""
        return multiple() * math.sqrt((self.items + self.seeds) / seeds)

    def seeds_for(self, difference):
        """Seeds that find this difference (points); None where none do."""
        total = self.items + self.seeds
        return math.ceil(total * (multiple() / difference) ** 2) if math.isfinite(total) else None

    def items_for(self, difference, seeds=1):
        """How many times as many items find it; None where no number does, for the seeds' noise."""
        left = (difference / multiple()) ** 2 * seeds - self.seeds
        return self.items / left if left > 0 and math.isfinite(self.items) else None


def multiple():
    """Standard errors that a difference must have to be found: 2.80."""
    quantile = NormalDist().inv_cdf
    return quantile(1 - LEVEL / 2) + quantile(POWER)


def domain_noise(benchmarks: list[Items], seed_spread=SEED_SPREAD) -> Noise:
    """Noise of one cell: a method in a domain."""
    items = math.fsum(one.noise for one in benchmarks) / len(benchmarks) ** 2
    return Noise(items, 2 * seed_spread**2)


def average_noise(cells: list[Noise]) -> Noise:
    """Noise of the mean of independent cells."""
    n = len(cells) ** 2
    return Noise(math.fsum(one.items for one in cells) / n, math.fsum(c.seeds for c in cells) / n)
