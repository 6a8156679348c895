"""What a PGR costs: price, ability, PGR and USD of every generator, and the Pareto front."""

import math

import numpy as np

from agorabench.analysis.study import ABILITY, PLACE, UNSOUND, value_or_none
from agorabench.report import figures
from agorabench.report.table import Column, Table
from agorabench.stats.pgr import MEAN

COLUMNS = (
    *(*PLACE, "generator", "price_input", "price_output", "problem_solving"),
    *("pgr", "pgr_low", "pgr_high", "usd", "usd_per_1000_pairs", "pgr_per_usd", "front", "reason"),
)
TABLE = Table(
    "value",
    "Price, ability and PGR",
    "Prices in USD per million tokens; problem solving: mean score on the benchmarks, each domain "
    "counting the same, in percent; PGR: mean over all cells, in percent, with its 95 % interval "
    "over benchmark items; USD: what the sets took, rejected replies included. On the front: no "
    "generator has as high a PGR for as few dollars. After Table 3 of the paper.",
    (
        *(Column("generator", "generator"), Column("front", "on the front")),
        *(Column("price_input", "input", 3), Column("price_output", "output", 3)),
        *(Column("problem_solving", "problem solving", 1), Column("pgr", "PGR", 1)),
        *(Column(("pgr_low", "pgr_high"), "interval", 1), Column("usd", "USD", "digits")),
        Column("usd_per_1000_pairs", "USD per 1,000 pairs", "digits"),
        Column("pgr_per_usd", "PGR per USD", "digits"),
    ),
)


def rows(study) -> list[dict]:
    """A row for each block and generator."""
    return [row for block in study.blocks for row in block_rows(study, block)]


def tables(study) -> list[Table]:
    """A table for each block."""
    filled = []
    for block in study.blocks:
        own = block_rows(study, block)
        notes = [f"{row['generator']}: {row['reason']}." for row in own if row["reason"]]
        filled.append(block.fill(TABLE, rows=own, notes=notes))
    return filled


def block_rows(study, block):
    """Rows of a block: a generator's price and ability, the PGR of its average, what its sets of
    the block cost, and whether it is on the Pareto front, as in Table 3 of the paper.
    """
    own = [_generator_row(study, block, row) for row in block.generators.to_dict("records")]
    best = pareto_front([(row["usd"], row["pgr"]) for row in own])
    return [row | {"front": "yes" if i in best else ""} for i, row in enumerate(own)]


def _generator_row(study, block, average):
    name = average["generator"]
    prompt = block.view.cells[name, MEAN, MEAN, block.seed]["prompt"]
    usd, each = (
        study.costs.sum_usd(name, prompt, block.view.size, block.settings, column)
        for column in ("usd", "usd_per_pair")
    )
    price = study.params["prices"].get(name, {})
    numbers = [value_or_none(average.get(key)) for key in (ABILITY, "pgr", "low", "high")]
    per_pair = None if each is None else 1000 * each / len(block.settings)
    reason = _missing_reason(average["pgr"], usd)
    per_usd = None if reason else average["pgr"] / usd
    row = block.place | {"generator": name}
    row |= {"price_input": price.get("input"), "price_output": price.get("output")}
    row |= dict(zip(("problem_solving", "pgr", "pgr_low", "pgr_high"), numbers, strict=True))
    row |= {"usd": usd, "usd_per_1000_pairs": per_pair, "pgr_per_usd": per_usd}
    return row | {"reason": reason}


def _missing_reason(pgr, usd):
    if math.isnan(pgr):
        return UNSOUND
    if usd is None:
        return "a set has no cost"
    return "" if usd else "it cost nothing"


def pareto_front(points):
    """Indices of the points (usd, pgr) that no other beats: no cheaper one has as high a PGR.

    Points without a value (None) are beaten.
    """
    known = {i: point for i, point in enumerate(points) if None not in point}
    return {
        i
        for i, (usd, pgr) in known.items()
        if all(o == (usd, pgr) or o[0] > usd or o[1] < pgr for o in known.values())
    }


def figure(study):
    """PGR by dollars, with the Pareto front."""
    block = study.largest
    known = [row for row in block_rows(study, block) if None not in (row["usd"], row["pgr"])]
    if not known:
        return figures.empty_page(block.title, "No generator has both PGR and costs.")
    # Mixtures last, so that all others look as they do in the other figures.
    page = figures.Page(block.title, [1.9], [*block.unmixed_names, *block.mixtures])
    (axes,) = page.axes
    points = figures.Points.of_rows(known, "usd")
    page.scatter(axes, points)
    front = sorted((row["usd"], row["pgr"]) for row in known if row["front"])
    if len(front) > 1:
        axes.step(*zip(*front, strict=True), where="post", color=figures.MUTED, lw=0.8, zorder=1)
    if np.ptp(points.x) and (points.x > 0).all():
        axes.set_xscale("log")
        axes.minorticks_off()
        low, high = points.x.min(), points.x.max()
        ticks = [low, math.sqrt(low * high), high]
        axes.set_xticks(ticks, [f"${x:,.0f}" if x >= 100 else f"${x:.2g}" for x in ticks])
        axes.set_xlim(low / 1.5, high * 1.5)
    heading = f"PGR by dollars, {len(known)} generators"
    page.label_panel(axes, heading, "cost of the sets (USD)", "PGR (%)")
    return page.figure
