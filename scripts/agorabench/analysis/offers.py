"""Which generator, and how many pairs, for an amount of dollars: the best that was tried."""

import math
from dataclasses import dataclass, replace

from agorabench.llm import budget
from agorabench.stats.learning_curve import FEWEST


@dataclass(frozen=True)
class Offer:
    """What a generator gives for an amount of dollars.

    Attributes:
        pairs: in each set; usd: of all of them.
        pgr: percent, with its interval; basis: what it is from.
        reason: why nothing can be offered.
        untried: why no more pairs are offered though the dollars pay for them, if nobody tried
            more.
    """

    generator: str
    pairs: int | None = None
    usd: float | None = None
    pgr: float | None = None
    low: float | None = None
    high: float | None = None
    basis: str = ""
    reason: str = ""
    untried: str = ""


def rank_offers(lines, costs, dollars):
    """An Offer of each line (see amount.fit_lines, with fewest=1) for so many dollars, the best
    first.

    Nothing is said of fewer pairs than were tried, and of more only along a curve that levels off,
    and then of no more than pay.
    """
    offers = []
    for line in lines:
        _, prompt, generator, *_ = line.place
        each = costs.sum_usd(generator, prompt, line.sizes[-1], line.over, "usd_per_pair")
        offers.append(make_offer(line, generator, each, dollars))
    return sorted(offers, key=lambda offer: (offer.pgr is None, -(offer.pgr or 0), offer.usd or 0))


def make_offer(line, generator, each, dollars):
    """The best that a line gives; `each`: USD of one more pair in every set."""
    if each is None:
        return Offer(generator, reason="a set has no cost")
    pays = math.floor(dollars / each + 1e-9) if each else math.inf
    fewest = line.sizes[0]
    if pays < fewest:
        few = f"pays for {pays:,} pairs; the fewest that were tried are {fewest:,}"
        return Offer(generator, reason=f"{few}, for ${budget.format_usd(fewest * each)}")
    tried = [row for row in line.points if row["size"] <= pays]
    best = max(tried, key=lambda row: (row["pgr"], -row["size"]))
    size, numbers = best["size"], (best[name] for name in ("pgr", "pgr_low", "pgr_high"))
    measured = Offer(generator, size, size * each, *numbers, "measured")
    if isinstance(line.curve, str):
        return replace(measured, untried=_untried_reason(line, size, pays))
    return _follow_curve(line, measured, each, pays)


def _untried_reason(line, size, pays):
    """Why no more pairs than the largest size are offered; nothing if there is no need to."""
    if not pays > size == line.sizes[-1]:
        return ""
    why = "give an experiment several sizes" if len(line.sizes) < FEWEST else line.curve
    return f"more pairs than {size:,} were not tried: {why}"


def _follow_curve(line, measured, each, pays):
    """The Offer along the line's curve, where it is better than what was measured."""
    # As many as pay, but not far beyond what was tried: a curve is no better than its points.
    largest, enough = line.sizes[-1], min(pays, line.curve.enough)
    pairs = math.floor(min(enough, 2 * largest))
    pgr = float(line.curve.at(pairs))
    if pairs <= measured.pairs or pgr <= measured.pgr:
        return measured
    basis = "on the curve" if pairs <= largest else f"on the curve, beyond {largest:,}"
    untried = f"more pairs than {largest:,} were not tried, and no curve is followed beyond twice "
    untried = f"{untried}as many" if 2 * largest < enough else ""
    return Offer(measured.generator, pairs, pairs * each, pgr, basis=basis, untried=untried)
