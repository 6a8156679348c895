"""What one can choose, and what it does to PGR: the meta-prompt, the amount, the dollars."""

import itertools
import math
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from agorabench.analysis.study import ABILITY, UNSOUND, number, sound
from agorabench.llm import budget
from agorabench.stats.learning_curve import FEWEST, Curve, saturate
from agorabench.stats.pgr import MEAN, NO_PROMPT, NUMBERS
from agorabench.stats.regression import NoValue

LINE = ("student", "prompt", "generator", "method", "domain")
PROMPTS = (
    *("student", "size", "prompt", "other", "n", "difference", "low", "high", "p", "reason"),
)
AMOUNTS = (
    *(*LINE, "sizes", "pgr_smallest", "pgr_largest", "top", "top_low", "top_high", "lost", "rate"),
    *("enough", "enough_low", "enough_high", "extrapolated", "reason"),
)
VALUES = (
    *("student", "prompt", "size", "seed", "generator", "price_input", "price_output"),
    *("problem_solving", "pgr", "pgr_low", "pgr_high", "usd", "usd_per_1000_pairs"),
    *("pgr_per_usd", "front", "reason"),
)


def whole(rows):
    """{(student, prompt, generator, method, domain, size): row} of the PGR table, its rows for
    domains and averages; each row has "over" besides, the (method, domain) that it is over.

    A place has one row: the mean over all seeds, or, of a generator that has only some of them, the
    mean of what it has (`mean_of_seeds`). An average over one method or one domain, which would
    only repeat it, is left out.
    """
    rows = [row for row in rows if row["benchmark"] == MEAN]
    axes = {axis: defaultdict(dict) for axis in ("method", "domain")}
    for row in rows:
        for axis, values in axes.items():
            if row[axis] != MEAN:
                values[row["student"], row["prompt"], row["size"]][row[axis]] = None
    found = defaultdict(list)
    for row in rows:
        place = row["student"], row["prompt"], row["size"]
        over = [
            list(values[place]) if row[axis] == MEAN else [row[axis]]
            for axis, values in axes.items()
        ]
        repeats = any(
            row[axis] == MEAN and len(one) == 1 for axis, one in zip(axes, over, strict=True)
        )
        key = (*(row[name] for name in LINE), row["size"])
        if not repeats:
            found[key].append(row | {"over": tuple(itertools.product(*over))})
    return {key: mean_of_seeds(alike) for key, alike in found.items()}


def mean_of_seeds(rows):
    """One row for those of several seeds: their row "mean", or, where they have none, the mean of
    all their numbers.

    Then the interval is from the mean of the lower ends to that of the upper ones. The draws behind
    them are not in the table; students that share items, base and reference have draws that rise
    and fall together, and if they did so wholly this would be the interval of the mean: so it is
    rather too wide. A number that one of the rows lacks is lacking in the mean, as in pgr.average.
    """
    for row in rows:
        if row["seed"] == MEAN or len(rows) == 1:
            return row
    mean = rows[0] | {"seed": MEAN, "flag": next((r["flag"] for r in rows if r["flag"]), "")}
    for name in NUMBERS:
        values = [row[name] for row in rows]
        mean[name] = None if None in values else math.fsum(values) / len(values)
    return mean


# ---- The meta-prompt.


def compare_prompts(rows, mixtures=()):
    """Rows with the columns PROMPTS: mean difference in PGR between two meta-prompts, over the
    cells that both have, with a 95 % interval and p of the paired t test, which takes the cells for
    independent (Student 1908). So cells of `mixtures`, whose pairs are those of others, are left
    out.
    """
    found, results = whole(rows), []
    groups = defaultdict(lambda: defaultdict(dict))
    for (student, prompt, generator, method, domain, size), row in found.items():
        if MEAN not in (method, domain) and prompt != NO_PROMPT and sound(row):
            cells = groups[student, size][prompt]  # none, where only mixtures have the prompt
            if generator not in mixtures:
                cells[generator, method, domain] = row["pgr"]
    for (student, size), prompts in groups.items():
        for one, other in itertools.combinations(prompts, 2):
            both = [cell for cell in prompts[one] if cell in prompts[other]]
            difference = np.array([prompts[one][cell] - prompts[other][cell] for cell in both])
            row = {"student": student, "size": size, "prompt": one, "other": other}
            results.append(row | paired(difference))
    return results


def paired(difference):
    """Mean of differences with its interval, or why it has none."""
    from scipy.stats import ttest_1samp

    n = len(difference)
    if not n:
        return {"n": 0, "reason": "no cell has both prompts"}
    row = {"n": n, "difference": float(difference.mean()), "reason": ""}
    if n < 2:
        return row | {"reason": "one cell says nothing about the spread"}
    if np.ptp(difference) == 0:
        return row | {"reason": "the difference is the same in all cells"}
    test = ttest_1samp(difference, 0)
    low, high = test.confidence_interval(0.95)
    return row | {"low": float(low), "high": float(high), "p": float(test.pvalue)}


# ---- The amount.


@dataclass(frozen=True)
class Line:
    """PGR of one generator by size. `place`: the values of LINE; `over`: the (method, domain) that
    it is over; `points`: rows of the PGR table by ascending size; `curve`: a Curve, or the reason
    why there is none.
    """

    place: tuple
    over: tuple
    points: list
    curve: Curve | str

    @property
    def sizes(self):
        return [row["size"] for row in self.points]


def amounts(rows, gain=1.0, fewest=2):
    """Lines of all places with at least `fewest` sizes; averages of several sizes are a line only
    where they are over the same cells. `gain`: see saturation.saturate.
    """
    by_place = defaultdict(list)
    for key, row in whole(rows).items():
        if sound(row):
            by_place[key[:-1], row["over"]].append(row)
    lines = []
    for (place, over), points in by_place.items():
        if len(points) >= fewest:
            points.sort(key=lambda row: row["size"])
            try:
                curve = saturate(
                    [row["size"] for row in points],
                    [row["pgr"] for row in points],
                    [error(row) for row in points],
                    gain,
                )
            except NoValue as why:
                curve = str(why)
            lines.append(Line(place, over, points, curve))
    return lines


def error(row):
    """Standard error of a PGR from its 95 % interval; 0 where it has none."""
    return 0.0 if row["pgr_low"] is None else (row["pgr_high"] - row["pgr_low"]) / (2 * 1.96)


def amount_rows(lines):
    """Rows with the columns AMOUNTS."""
    found = []
    for line in lines:
        row = dict(zip(LINE, line.place, strict=True))
        row |= {
            "sizes": ";".join(map(str, line.sizes)),
            "pgr_smallest": line.points[0]["pgr"],
            "pgr_largest": line.points[-1]["pgr"],
        }
        curve = line.curve
        if isinstance(curve, str):
            found.append(row | {"reason": curve})
            continue
        found.append(
            row
            | {
                "top": curve.top,
                "top_low": curve.top_interval.low,
                "top_high": curve.top_interval.high,
                "lost": curve.lost,
                "rate": curve.rate,
                "enough": round(curve.enough),
                "enough_low": curve.enough_interval.low,
                "enough_high": curve.enough_interval.high,
                "extrapolated": bool(curve.enough > line.sizes[-1]),
                "reason": curve.top_interval.reason or curve.enough_interval.reason,
            }
        )
    return found


# ---- The dollars.


class Costs:
    """What sets took, from the rows of tables/cost.csv."""

    def __init__(self, rows):
        self.sets = defaultdict(list)
        for row in rows:
            names = ("generator", "method", "domain", "prompt", "size")
            self.sets[tuple(row[name] for name in names)].append(row)

    def usd(self, generator, prompt, size, places, column="usd"):
        """USD of the generator's sets at these (method, domain) places: the sum of the means over
        seeds; None where a set has no cost. `column` "usd_per_pair" is that of one pair in each.
        """
        total = []
        for method, domain in places:
            rows = self.sets.get((generator, method, domain, prompt, size), [])
            known = [row[column] for row in rows if row[column] is not None]
            if not known:
                return None
            total.append(math.fsum(known) / len(known))
        return math.fsum(total)


def values(block, costs, prices):
    """Rows with the columns VALUES, as in Table 3 of the paper: a generator's price and ability,
    the PGR of its average, what its sets of the block cost, and whether it is on the Pareto front:
    no other has as high a PGR for as little.
    """
    places = [(method, domain) for method in block.view.methods for domain in block.view.domains]
    rows = []
    for one in block.generators.to_dict("records"):
        cell = block.view.cells[one["generator"], MEAN, MEAN, block.seed]
        usd, each = (
            costs.usd(one["generator"], cell["prompt"], block.view.size, places, column)
            for column in ("usd", "usd_per_pair")
        )
        price = prices.get(one["generator"], {})
        reason = ""
        if math.isnan(one["pgr"]):
            reason = UNSOUND
        elif usd is None:
            reason = "a set has no cost"
        elif not usd:
            reason = "it cost nothing"
        rows.append(
            block.place
            | {
                "generator": one["generator"],
                "price_input": price.get("input"),
                "price_output": price.get("output"),
                "problem_solving": number(one.get(ABILITY)),
                "pgr": number(one["pgr"]),
                "pgr_low": number(one["low"]),
                "pgr_high": number(one["high"]),
                "usd": usd,
                "usd_per_1000_pairs": None if each is None else 1000 * each / len(places),
                "pgr_per_usd": None if reason else one["pgr"] / usd,
                "reason": reason,
            }
        )
    best = front([(row["usd"], row["pgr"]) for row in rows])
    return [row | {"front": "yes" if i in best else ""} for i, row in enumerate(rows)]


def front(points):
    """Indices of the points (usd, pgr) that no other beats: no cheaper one has as high a PGR.

    Points without a value (None) are beaten.
    """
    return {
        i
        for i, (usd, pgr) in enumerate(points)
        if None not in (usd, pgr)
        and not any(
            None not in (other, better)
            and (other, -better) != (usd, -pgr)
            and other <= usd
            and better >= pgr
            for other, better in points
        )
    }


@dataclass(frozen=True)
class Offer:
    """What a generator gives for an amount of dollars: `pairs` in each set, their `usd`, the PGR
    (percent) with its interval, on what `basis`; or the `reason` why nothing can be said.
    `untried`: why no more pairs are offered though the dollars pay for them, if nobody tried more.
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


def offers(lines, costs, dollars):
    """An Offer of each line (see `amounts`, with fewest=1) for so many dollars, the best first.

    Nothing is said of fewer pairs than were tried, and of more only along a curve that levels off,
    and then of no more than pay.
    """
    found = []
    for line in lines:
        _, prompt, generator, *_ = line.place
        each = costs.usd(generator, prompt, line.sizes[-1], line.over, "usd_per_pair")
        found.append(offer(line, generator, each, dollars))
    return sorted(found, key=lambda one: (one.pgr is None, -(one.pgr or 0), one.usd or 0))


def offer(line, generator, each, dollars):
    """The best that a line gives; `each`: USD of one more pair in every set."""
    if each is None:
        return Offer(generator, reason="a set has no cost")
    pays = math.floor(dollars / each + 1e-9) if each else math.inf
    sizes = line.sizes
    if pays < sizes[0]:
        few = f"pays for {pays:,} pairs; the fewest that were tried are {sizes[0]:,}"
        return Offer(generator, reason=f"{few}, for ${budget.format_usd(sizes[0] * each)}")
    tried = [row for row in line.points if row["size"] <= pays]
    best = max(tried, key=lambda row: (row["pgr"], -row["size"]))
    size = best["size"]
    found = Offer(
        generator, size, size * each, best["pgr"], best["pgr_low"], best["pgr_high"], "measured"
    )
    untried = f"more pairs than {sizes[-1]:,} were not tried"
    if isinstance(line.curve, str):
        if not pays > size == sizes[-1]:
            return found
        why = "give an experiment several sizes" if len(sizes) < FEWEST else line.curve
        return replace(found, untried=f"{untried}: {why}")
    # As many as pay, but not far beyond what was tried: a curve is no better than its points.
    more = math.floor(min(pays, line.curve.enough, 2 * sizes[-1]))
    said = float(line.curve.at(more))
    if more <= size or said <= best["pgr"]:
        return found
    basis = "on the curve" if more <= sizes[-1] else f"on the curve, beyond {sizes[-1]:,}"
    bound = 2 * sizes[-1] < min(pays, line.curve.enough)
    untried = f"{untried}, and no curve is followed beyond twice as many" if bound else ""
    return Offer(generator, more, more * each, said, basis=basis, untried=untried)
