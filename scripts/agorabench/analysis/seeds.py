"""How far the PGRs of seeds lie apart."""

import statistics

from agorabench.stats.pgr import MEAN

PLACE = ("generator", "method", "domain", "benchmark", "prompt", "size", "student")
COLUMNS = (*PLACE, "seeds", "pgr_mean", "pgr_sd", "pgr_lowest", "pgr_highest")


def spread_rows(table):
    """One row of COLUMNS for each coordinate of the PGR table but for its seed.

    How many `seeds` there are, and of their PGRs, in percent, the mean, the standard deviation of
    the sample (n - 1; None for one seed), the lowest and the highest; None where there is no PGR.
    """
    by_place = {}
    for row in table:
        if row["seed"] != MEAN:
            by_place.setdefault(tuple(row[name] for name in PLACE), []).append(row["pgr"])
    return [
        dict(zip(COLUMNS, (*place, len(pgrs), *_spread(pgrs)), strict=True))
        for place, pgrs in by_place.items()
    ]


def _spread(pgrs):
    if None in pgrs:
        return (None,) * 4
    deviation = statistics.stdev(pgrs) if len(pgrs) > 1 else None
    return statistics.fmean(pgrs), deviation, min(pgrs), max(pgrs)
