"""Uncertainty of a benchmark score: standard errors, and a bootstrap over the benchmark's items."""

import math

import numpy as np

# One chunk of resampled indices holds about this many numbers: 8 MB, whatever the benchmark's size.
CHUNK = 1_000_000


def standard_error(scores, weights=None):
    """Standard error of the mean of independent item scores, in the scores' own unit.

    `scores`: [items]. s / sqrt(n) with the sample standard deviation s (n - 1 in its denominator);
    for right-or-wrong scores with mean p this is sqrt(p (1 - p) / (n - 1)). Source: the central
    limit theorem, as Miller 2024 (arXiv 2411.00640, section 2) recommends it for evaluations.
    `weights`: [items], where an item counts as often as it has parts: items are still what is
    sampled, so the mean is a ratio of two sums, and this its linearised error (Cochran 1977,
    "Sampling Techniques", section 6.4; Miller's clustered error is the same).
    Raises ValueError with fewer than two items, because one item says nothing about the spread.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 1 or len(scores) < 2:
        raise ValueError(f"a standard error needs at least two item scores, not {scores.size}")
    if weights is not None:
        weights = np.asarray(weights, dtype=float) / np.mean(weights)
        scores = weights * (scores - np.mean(weights * scores))
    return float(np.std(scores, ddof=1) / math.sqrt(len(scores)))


def influence(pull, bend, towards):
    """How far each item moves an estimate made of fitted coefficients, times n: [items], mean 0.

    `pull`: [items, coefficients], the gradient of each item's log-likelihood at the fit; `bend`:
    [coefficients, coefficients], minus the second derivatives of all together, of a penalty too;
    `towards`: [coefficients], the gradient of the estimate. To first order, an item's estimate plus
    this are scores whose mean is the estimate and whose standard error is its own, refits included
    (the infinitesimal jackknife: Jaeckel 1972; Efron 1982, "The Jackknife, the Bootstrap and Other
    Resampling Plans", chapter 6; the same as White's sandwich).
    """
    moved = len(pull) * pull @ np.linalg.solve(bend, towards)
    return moved - moved.mean()


def bootstrap_means(scores, draws, seed, name=""):
    """Means of resampled items, paired: one resample of the items serves all columns.

    `scores`: [items, models]; returns [draws, models] in the scores' own unit. Every draw takes
    `items` items with replacement (Efron and Tibshirani 1993, chapter 13) and is written as counts
    per item, so that all models cost one matrix product. The resamples depend on (seed, name) and
    on the number of items only: whoever asks again with other models gets the same items, and
    differences and averages over calls stay paired.
    Raises ValueError without items, with a score that is not finite, or without draws.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2 or not len(scores):
        raise ValueError(f"scores must be [items, models] with at least one item: {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    if draws < 1:
        raise ValueError(f"a bootstrap needs at least one draw, not {draws}")
    items = len(scores)
    random = np.random.default_rng([seed, *name.encode()])
    means = np.empty((draws, scores.shape[1]))
    # The size of a chunk does not change the draws: the generator fills row after row.
    step = max(1, CHUNK // items)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        picked = random.integers(items, size=(rows, items))
        picked += items * np.arange(rows)[:, None]
        counts = np.bincount(picked.ravel(), minlength=rows * items).reshape(rows, items)
        means[start : start + rows] = counts.astype(float) @ scores / items
    return means


def percentile_interval(draws, level=0.95):
    """Percentile interval (low, high) of bootstrap draws, in their own unit.

    `draws`: [draws]; the ends are the (1 - level) / 2 and (1 + level) / 2 quantiles, linear between
    neighbours (Efron and Tibshirani 1993, chapter 13). A NaN is a draw without a value: it might
    lie anywhere, so it counts as lower than all others for the low end and as higher for the high
    end. An end that falls on such draws is -inf or inf: the interval is unbounded. A few of them
    only widen it.
    Items that all score the same give an interval of no width: that is the percentile bootstrap's
    known weakness at 0 and 100 %, not certainty.
    Raises ValueError without draws or with a level outside (0, 1).
    """
    draws = np.asarray(draws, dtype=float)
    if draws.ndim != 1 or not len(draws) or not 0 < level < 1:
        raise ValueError(f"an interval needs draws and 0 < level < 1: {draws.shape}, {level}")
    tail = (1 - level) / 2
    lowest = np.sort(np.where(np.isnan(draws), -np.inf, draws))
    highest = np.sort(np.where(np.isnan(draws), np.inf, draws))
    return _quantile(lowest, tail), _quantile(highest, 1 - tail)


def _quantile(ordered, share):
    """Linear quantile of sorted numbers, where np.quantile would make NaN of an infinite one."""
    weight, below = math.modf(share * (len(ordered) - 1))
    a, b = float(ordered[int(below)]), float(ordered[min(int(below) + 1, len(ordered) - 1)])
    if a == b or weight == 0 or math.isinf(a):
        return a
    return b if math.isinf(b) else a + weight * (b - a)
