"""How good is a predictor for choosing a generator? Decision accuracy and regret within settings.

A lab chooses within a setting (a method and a domain), so a predictor is judged there, and not by
the variance that it explains over all settings, most of which lies between them:

- decision accuracy: the share of pairs of generators that it orders as PGR does; a tie of the
  predictor counts one half, pairs with equal PGR are left out;
- regret: the points of PGR lost by taking its first choice and not the best generator, the mean
  over its ties;
- Spearman's rho.

All are means over settings. Intervals (95 %) resample settings; p is the share of permutations of
PGR within settings in which a predictor is as accurate (one-sided). After Magnusson et al. 2025,
"DataDecide" (arXiv 2504.11393), who judge small experiments by the decisions that they make.
"""

from dataclasses import dataclass

import numpy as np

from agorabench.stats.bootstrap import percentile_interval
from agorabench.stats.regression import NoValue

RESAMPLES, PERMUTATIONS = 4000, 2000


@dataclass(frozen=True)
class Decisions:
    """What a predictor is worth; accuracy and regret (points) of each setting: [settings].

    `rho` is None where no setting has different values of the predictor, `p` the permutations'.
    """

    accuracy: np.ndarray
    regret: np.ndarray
    rho: float | None
    p: float
    generators: int

    def intervals(self, seed):
        """Accuracy and regret: (mean, low, high) of each; settings are resampled."""
        random = np.random.default_rng(seed)
        picked = random.integers(len(self.accuracy), size=(RESAMPLES, len(self.accuracy)))
        return [
            (float(values.mean()), *percentile_interval(values[picked].mean(axis=1)))
            for values in (self.accuracy, self.regret)
        ]


def judge_predictor(x, y, settings, seed=1) -> Decisions:
    """Decisions of a predictor `x` about PGR `y`, each [rows], higher being better in both.

    `settings`: [rows]. Rows without a value (NaN) are left out, and settings that have then fewer
    than two different PGRs. Raises NoValue where no setting is left.
    """
    found = split_settings(x, y, settings)
    if not found:
        raise NoValue("no setting has two generators with a value and different PGRs")
    accuracy = np.array([accurate_share(*pair) for pair in found])
    regret = np.array([lost_points(*pair) for pair in found])
    random = np.random.default_rng(seed)
    shuffled = np.mean([shuffle_accuracy(*pair, random) for pair in found], axis=0)
    as_good = int((shuffled >= accuracy.mean() - 1e-9).sum())
    p = (1 + as_good) / (PERMUTATIONS + 1)
    rhos = [rho for pair in found if (rho := rank_correlation(*pair)) is not None]
    largest = max(len(own) for own, _ in found)
    return Decisions(accuracy, regret, float(np.mean(rhos)) if rhos else None, p, largest)


def split_settings(x, y, settings):
    """[(x, y)] of the settings in which there is a choice."""
    x, y = (np.asarray(values, dtype=float) for values in (x, y))
    settings, known = list(settings), ~(np.isnan(x) | np.isnan(y))
    groups = []
    for setting in dict.fromkeys(settings):
        rows = known & np.array([each == setting for each in settings])
        if len(set(y[rows])) > 1:
            groups.append((x[rows], y[rows]))
    return groups


def accurate_share(x, y):
    """Share of pairs that x orders as y, 0 to 1; x, y: [generators] or [..., generators]."""
    first, second = np.triu_indices(np.shape(x)[-1], 1)
    of_x, of_y = (np.sign(each[..., first] - each[..., second]) for each in (x, y))
    differ = of_y != 0
    return ((1 + of_x * of_y) / 2 * differ).sum(axis=-1) / differ.sum(axis=-1)


def shuffle_accuracy(x, y, random):
    """[PERMUTATIONS]: the accuracy where y is permuted."""
    return accurate_share(x, random.permuted(np.tile(y, (PERMUTATIONS, 1)), axis=1))


def lost_points(x, y):
    """Points of y lost by the choice of the highest x."""
    return float(y.max() - y[x == x.max()].mean())


def rank_correlation(x, y):
    """Spearman's rho; None where x is constant."""
    from scipy.stats import spearmanr

    return None if len(set(x)) < 2 else float(spearmanr(x, y).statistic)


def explained(x, y, settings):
    """(R2 over all rows, R2 of what differs from the settings' means); None where x is constant."""
    groups = split_settings(x, y, settings)
    centred = [[values - values.mean() for values in pair] for pair in groups]
    return tuple(_squared_correlation(pairs) for pairs in (groups, centred))


def _squared_correlation(pairs):
    x, y = (np.concatenate(values) for values in zip(*pairs, strict=True))
    if np.ptp(x) < 1e-12 or np.ptp(y) < 1e-12:
        return None
    return float(np.corrcoef(x, y)[0, 1] ** 2)


# ---- Baselines


def mean_elsewhere(y, generators, settings):
    """[rows]: the mean y of the row's generator in the other settings; NaN where it has none."""
    y, names, places = np.asarray(y, dtype=float), np.array(generators), list(settings)
    means = []
    for name, place in zip(names, places, strict=True):
        other = (names == name) & np.array([each != place for each in places]) & ~np.isnan(y)
        means.append(y[other].mean() if other.any() else np.nan)
    return np.array(means)


def choose_nested(judged: dict[str, Decisions]):
    """(Accuracy, regret, names): what comes of choosing, for each setting, the predictor that was
    most accurate in all others; the names chosen. Predictors that lack a setting are not offered.

    Raises NoValue with fewer than two settings.
    """
    most = max((len(one.accuracy) for one in judged.values()), default=0)
    offered = {name: one for name, one in judged.items() if len(one.accuracy) == most}
    if most < 2:
        raise NoValue("a choice by other settings needs two of them")
    accuracy, regret = (
        np.array([getattr(one, key) for one in offered.values()]) for key in ("accuracy", "regret")
    )
    others = (accuracy.sum(axis=1, keepdims=True) - accuracy) / (most - 1)
    best, each = others.round(12).argmax(axis=0), np.arange(most)
    chosen = list(dict.fromkeys(np.array(list(offered))[best].tolist()))
    return float(accuracy[best, each].mean()), float(regret[best, each].mean()), chosen
