"""The figures of a user's results, from what findings has of the block with the most cells."""

import math
from pathlib import Path

import numpy as np

from agorabench.analysis.findings import FITS
from agorabench.analysis.study import ABILITY, r2_intervals
from agorabench.report import diagrams, figures
from agorabench.report.table import equation, interval
from agorabench.stats import regression
from agorabench.stats.pgr import MEAN, METHODS

ENDINGS = ("png", "svg", "pdf")
# Most panels of the figure of amounts: domains of one method, one below the other.
PANELS = 4


def draw(found, lines, folder):
    """Save all figures as {folder}/{name}.{png,svg,pdf}."""
    one = max(found, key=lambda each: (len(each.block.unmixed), -found.index(each)))
    for name, figure in (
        ("ability", ability),
        ("components", components),
        ("correlations", correlations),
        ("prediction", prediction),
        ("amount", lambda one: amount(lines)),
        ("value", value_figure),
    ):
        with figures.style():
            figures.save(figure(one), [Path(folder) / f"{name}.{ending}" for ending in ENDINGS])


def points(rows, x):
    """Points of rows with generator, pgr, low and high; `x`: [rows]."""
    return diagrams.Points(
        np.asarray(x, dtype=float),
        rows["pgr"].to_numpy(),
        rows["low"].to_numpy(),
        rows["high"].to_numpy(),
        list(rows["generator"]),
    )


def unmixed(block):
    """Names of the block's generators that are no mixtures."""
    return [name for name in block.view.generators if name not in block.mixtures]


def about_mixtures(block):
    """A note on the block's mixtures, in a list; an empty one without any."""
    return [f"without mixtures ({', '.join(block.mixtures)})"] if block.mixtures else []


def ability(one):
    """After Figure 4 of the paper."""
    panels, notes = [], []
    for fit in one.fits[:2]:
        result = fit.result
        if isinstance(result, str):
            notes.append(f"{fit.unit}: no line, {result}")
            if not len(fit.rows):
                continue
            heading, line = f"{len(fit.rows)} {fit.unit}", None
        else:
            heading = f"{result.n} {fit.unit}: R\u00b2 = {result.r2:.2f}, p {equation(result.p)}"
            line = result.intercept, result.slope
            whole = result.r2_interval
            told = whole.reason or f"R\u00b2 95 % interval {interval(whole, 2)}"
            if result.r2_held_out is not None:
                told += f"; left out {result.r2_held_out:.2f}"
            notes.append(diagrams.minus(f"{fit.unit}: {told}"))
        where = points(fit.rows, fit.rows[ABILITY])
        panels.append((heading, "problem solving (%)", where, line))
    notes += regression.caution(r2_intervals(one.fits[:2])) + about_mixtures(one.block)
    if not panels:
        return diagrams.nothing(one.block.title, ["PGR by problem solving:", *notes])
    notes.append("bars: 95 % intervals of PGR over benchmark items; left out: R\u00b2 on "
                 "generators that were left out of the fit")  # fmt: skip
    return diagrams.ability(one.block.title, unmixed(one.block), panels, notes)


def components(one):
    """After Figures 5 and 6 of the paper."""
    found = one.components
    without = about_mixtures(one.block)
    if isinstance(found, str):
        return diagrams.nothing(one.block.title, [f"No principal components: {found}", *without])
    kept = min(regression.COMPONENTS, len(found.variance))
    notes = [f"n = {int(found.rows.sum())} cells; filled bars: the {kept} that PGR is regressed on"]
    notes += [f"{name} is left out: {why}" for name, why in found.left_out.items()] + without
    return diagrams.components(one.block.title, found, found.names, kept, notes)


def correlations(one):
    rows = [
        (name, None, None, None)
        if isinstance(found, str)
        else (name, found.r, found.interval.low, found.interval.high)
        for name, found in one.correlations.items()
    ]
    if not rows:
        return diagrams.nothing(one.block.title, ["No correlations: there are no metrics"])
    known = [found for found in one.correlations.values() if not isinstance(found, str)]
    notes = []
    if known:
        least, most = min(found.n for found in known), max(found.n for found in known)
        n = f"{most}" if least == most else f"{least} to {most}"
        groups = max(found.generators for found in known)
        notes.append(f"n = {n} cells of {groups} generators; bars: 95 % intervals, generators "
                     "resampled")  # fmt: skip
        notes += regression.caution([(found.interval, found.generators) for found in known])
    reasons = {
        found if isinstance(found, str) else found.interval.reason
        for found in one.correlations.values()
    }
    notes += [f"missing: {why}" for why in sorted(filter(None, reasons))]
    notes += about_mixtures(one.block)
    return diagrams.correlations(one.block.title, rows, notes)


def prediction(one):
    """What the components say of PGR, in the sample and of generators left out."""
    panels, notes = [], []
    for fit in one.fits[2:]:
        result, words = fit.result, FITS[fit.analysis]
        if isinstance(result, str):
            notes.append(f"{words}: {result}")
            continue
        if fit.analysis == "components":
            heading = f"{words}: R\u00b2 = {result.r2:.2f}"
            panels.append((heading, points(fit.rows, result.fitted)))
            continue
        if result.held_out is None:
            notes.append(f"{words}: {result.held_out_reason}")
            continue
        heading = diagrams.minus(f"intrinsic, left out: R\u00b2 = {result.r2_held_out:.2f}")
        panels.append((heading, points(fit.rows, result.held_out)))
        error, standard, which = fit.errors()
        told = f"error on left-out generators {error:.1f} points (root mean square)"
        if standard is not None:
            told += f", of the other generators' mean in the same setting {standard:.1f}"
        if which:
            told += f"; errors: {which}"
        notes.append(f"n = {result.n} cells of {result.generators} generators; {told}")
    notes += about_mixtures(one.block)
    if not panels:
        return diagrams.nothing(one.block.title, ["PGR from intrinsic metrics:", *notes])
    notes.append("bars: 95 % intervals of PGR over benchmark items; dashed: predicted as it is")
    return diagrams.predictions(one.block.title, unmixed(one.block), panels, notes)


def amount(lines):
    """After Figure 7 of the paper: the student, prompt and method with the most lines."""
    if not lines:
        return diagrams.nothing(
            "PGR by the number of pairs", ["No cells were run with two sizes: nothing to draw"]
        )
    groups = {}
    for line in lines:
        student, prompt, _, method, _ = line.place
        groups.setdefault((student, prompt, method), []).append(line)
    (student, prompt, method), mine = max(
        groups.items(), key=lambda item: (item[0][2] != MEAN, len(item[1]))
    )
    names = list(dict.fromkeys(line.place[2] for line in mine))
    domains = list(dict.fromkeys(line.place[4] for line in mine))[:PANELS]
    panels = []
    for domain in domains:
        drawn = {}
        for line in mine:
            if line.place[4] == domain:
                where = diagrams.Points(
                    np.array(line.sizes, dtype=float),
                    *(
                        np.array(
                            [math.nan if row[key] is None else row[key] for row in line.points]
                        )
                        for key in ("pgr", "pgr_low", "pgr_high")
                    ),
                    [line.place[2]] * len(line.points),
                )
                curve = None if isinstance(line.curve, str) else line.curve
                drawn[line.place[2]] = (where, curve)
        panels.append(("average" if domain == MEAN else domain, drawn))
    count = sum(len(line.points) for line in mine if line.place[4] != MEAN)
    notes = [f"n = {count} cells; bars: 95 % intervals of PGR over benchmark items"]
    if any(curve for _, drawn in panels for _, curve in drawn.values()):
        notes.append("lines: fitted curves that level off")
    reasons = {line.curve for line in mine if isinstance(line.curve, str)}
    notes += [f"dotted: no curve, {why}" for why in sorted(reasons)]
    kind = "all methods" if method == MEAN else METHODS.get(method, method)
    heading = f"student {student}, prompt {prompt}, {kind}"
    return diagrams.amounts(heading, names, panels, notes)


def value_figure(one):
    """PGR by dollars, with the Pareto front."""
    rows = [row for row in one.values if row["usd"] is not None and row["pgr"] is not None]
    reasons = [f"{row['generator']}: {row['reason']}" for row in one.values if row["reason"]]
    if not rows:
        return diagrams.nothing(one.block.title, ["PGR by dollars:", *reasons])

    def column(name):
        return np.array([math.nan if row[name] is None else row[name] for row in rows])

    where = diagrams.Points(
        *(column(name) for name in ("usd", "pgr", "pgr_low", "pgr_high")),
        [row["generator"] for row in rows],
    )
    front = sorted((row["usd"], row["pgr"]) for row in rows if row["front"])
    notes = [
        f"n = {len(rows)} generators; mean of all cells; bars: 95 % intervals over benchmark items",
        "line: the front, where no cheaper generator has as high a PGR",
        *reasons,
    ]
    title = one.block.title
    # Mixtures last, so that all others look as they do in the other figures.
    names = [*unmixed(one.block), *one.block.mixtures]
    return diagrams.value(title, names, where, front, "cost of the sets (USD)", notes)
