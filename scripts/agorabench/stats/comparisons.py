"""Which of several generators is better, and how sure that is: pairs, ranks, the best set.

All of it is from the bootstrap draws of the PGR table (stats/pgr.py): what the generators of a
block share, items, base and reference, is common to their draws and drops out of differences.

- A pair: its difference with the 95 % percentile interval, and p, two-sided: twice the share of
  draws on the other side of 0, draws of exactly 0 and draws without a value counted on both.
  Where hardly any draw is there, p is that of a normal distribution as wide as the draws.
- p is adjusted for all pairs of a block (Holm 1979, "A simple sequentially rejective multiple test
  procedure"): the chance that any pair of equals is told apart is 5 % at most.
- A rank's interval counts the generators established as better and as worse (Mogstad, Romano,
  Shaikh and Wilhelm 2024, "Inference for Ranks", Review of Economic Studies 91): in 95 % of cases
  it holds the true rank of all at once, where the percentiles of resampled ranks do not.
- The best set is the leader and all that are not established as worse.

One seed: intervals are about items only. Of several, the spread of trainings is estimated, pooled
over the block's generators, and every generator's draws get their own share of it.
"""

import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from agorabench.stats.bootstrap import percentile_interval

LEVEL = 0.05
COUNTED = 10  # draws on the other side of 0, from which on their share is a p value
REPEATS = 5  # of draws with noise of seeds: p is a share of them
SMALLEST = 1e-9  # p: nobody knows the tail of a distribution further out


@dataclass(frozen=True)
class Pair:
    """Two generators (indices): `difference` is of the first minus the second, in points.

    `low` and `high` are None where the interval is unbounded; `better`: P(first > second), ties
    counting one half; `p_holm`: p adjusted for all pairs of the block.
    """

    first: int
    second: int
    difference: float
    low: float | None
    high: float | None
    p: float
    p_holm: float
    better: float

    @property
    def established(self):
        """Is either of them better beyond chance?"""
        return self.p_holm < LEVEL


@dataclass(frozen=True)
class Rank:
    """A generator's place among those of its block; 1 is the best.

    `low`, `high`: 95 % interval of the rank; `p_best`: share of draws in which it leads; `best`:
    not established as worse than the leader.
    """

    rank: int
    low: int
    high: int
    p_best: float
    best: bool


@dataclass(frozen=True)
class Spread:
    """Standard deviations of one training's PGR, in points: by the choice of items, by the seed,
    and by both together (what items do to one seed and not to another). `freedom`: degrees of
    freedom of the seeds'."""

    items: float
    seeds: float
    both: float
    freedom: int


def compare_pairs(values, draws, normal=True) -> list[Pair]:
    """Every pair of generators, in their order.

    `values`: [generators]; `draws`: [generators, draws], NaN where a draw has no value; `normal`:
    are they so far out?
    """
    pairs = list(itertools.combinations(range(len(values)), 2))
    if not pairs:
        return []
    first, second = np.array(pairs).T
    apart = draws[first] - draws[second]
    known = ~np.isnan(apart)
    n = apart.shape[1]
    above, below = (apart > 0).sum(axis=1), (apart < 0).sum(axis=1)
    lacking = (~known).sum(axis=1)
    ties = n - above - below - lacking
    other = np.minimum(above, below) + ties + lacking
    differences = np.asarray(values)[first] - np.asarray(values)[second]
    p = np.minimum(1, 2 * (other + 1) / (n + 1))
    if normal and (rare := other < COUNTED).any():
        p[rare] = np.minimum(p[rare], _tail_p(differences[rare], apart[rare]))
    better = (above + 0.5 * (ties + lacking)) / n
    adjusted = holm_adjust(p)
    return [
        Pair(*pair, float(differences[i]), *interval, float(p[i]), float(adjusted[i]), better[i])
        for i, pair in enumerate(pairs)
        for interval in [bounded_interval(apart[i])]
    ]


def _tail_p(differences, apart):
    """Two-sided p [pairs] of a normal distribution as wide as the draws; 1 where they are one."""
    from scipy.stats import norm

    p, width = np.ones(len(differences)), np.nanstd(apart, axis=1)
    wide = width > 0
    p[wide] = 2 * norm.sf(np.abs(differences[wide]) / width[wide])
    return np.maximum(p, SMALLEST)


def bounded_interval(draws):
    """(low, high) of 95 %, or two None where an end is not finite."""
    ends = percentile_interval(draws)
    return ends if all(map(math.isfinite, ends)) else (None, None)


def holm_adjust(p):
    """p values [tests] adjusted after Holm 1979: the i-th smallest of m times m - i + 1."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1)


def rank_generators(values, draws, pairs) -> list[Rank]:
    """The Rank of every generator, from its block's draws and pairs; equal values share a rank."""
    values, count = np.asarray(values), len(values)
    higher = np.where(np.isnan(draws), -np.inf, draws)
    first = higher == higher.max(axis=0)
    p_best = (first / first.sum(axis=0)).mean(axis=1)
    beats = np.zeros((count, count), dtype=bool)
    for pair in pairs:
        if pair.established:
            sign = pair.difference > 0
            beats[(pair.first, pair.second) if sign else (pair.second, pair.first)] = True
    leader = int(np.argmax(values))
    return [
        Rank(
            1 + int((values > values[i]).sum()),
            1 + int(beats[:, i].sum()),
            count - int(beats[i].sum()),
            float(p_best[i]),
            not beats[leader, i],
        )
        for i in range(count)
    ]


def needed_times(difference, low, high, power=0.8):
    """How many times as much data finds a difference as seen with this power at LEVEL; None where
    nothing is known of its spread, or it is none.

    `low`, `high`: the difference's interval. The spread falls with the root of the data (normal
    approximation: Cohen 1988, "Statistical Power Analysis", chapter 2).
    """
    if not difference or low is None or high <= low:
        return None
    quantile = NormalDist().inv_cdf
    needed = quantile(1 - LEVEL / 2) + quantile(power)
    spread = (high - low) / (2 * quantile(0.975))
    return max(1.0, (needed * spread / difference) ** 2)


# ---- Seeds


def estimate_spread(values, draws) -> Spread:
    """The Spread of a block, pooled over generators that have several seeds.

    `values`: of each generator [seeds]; `draws`: of each [seeds, draws], resampled over items. The
    seeds of a generator differ by training and by what items do to each: the draws say how much the
    latter is, the rest is the seeds' (never less than nothing). This is the analysis of variance of
    two crossed random effects, as for the bootstrap of such data (Owen 2007, "The pigeonhole
    bootstrap", Annals of Applied Statistics 1): resampling both at once counts the common part
    twice, and of two seeds it knows two.
    """
    between, within, items, freedom = 0.0, 0.0, [], 0
    for own, drawn in zip(values, draws, strict=True):
        count = len(own)
        moved = drawn[:, ~np.isnan(drawn).any(axis=0)]
        moved = moved - moved.mean(axis=1, keepdims=True)
        if count > 1:
            freedom += count - 1
            between += (count - 1) * np.var(own, ddof=1)
            within += (count - 1) * np.var(moved, axis=0, ddof=1).mean()
        common = np.var(moved.mean(axis=0))
        own_part = np.var(moved, axis=0, ddof=1).mean() / count if count > 1 else 0.0
        items.append(common - own_part)
    both = within / freedom if freedom else 0.0
    seeds = max(0.0, between / freedom - both) if freedom else 0.0
    return Spread(*map(math.sqrt, (max(0.0, np.mean(items)), seeds, both)), freedom)


def add_seed_noise(values, draws, spread, seeds, seed):
    """Draws [generators, REPEATS x draws] of means over `seeds` trainings, with the seeds' noise.

    `values`: [generators]; `draws`: [generators, draws], resampled over items; `seed`: of the
    noise. Every generator has noise of its own, as their trainings have nothing in common. What
    tells generators apart then varies as Student's t, because how much was estimated from few
    trainings; degrees of freedom are Satterthwaite's (1946) for the part of it that trainings are.
    """
    random = np.random.default_rng(seed)
    values, draws = np.asarray(values)[:, None], np.tile(draws, REPEATS)
    moved = draws - values
    common = moved.mean(axis=0) if len(draws) > 1 else 0.0
    own = moved - common + spread.seeds / math.sqrt(seeds) * random.standard_normal(draws.shape)
    variance = np.nanvar(own, axis=1).mean() * len(draws) / max(1, len(draws) - 1)
    trainings = (spread.seeds**2 + spread.both**2) / seeds
    share = min(1.0, trainings / variance) if variance else 1.0
    freedom = min(spread.freedom / max(share, 1e-3) ** 2, 1e6)
    scale = np.sqrt(freedom / random.chisquare(freedom, draws.shape[1]))
    return values + common + scale * own
