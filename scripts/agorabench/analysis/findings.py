"""What the analyses found, as tables for readers, those of the paper among them."""

import math
from dataclasses import dataclass

import numpy as np

from agorabench.analysis import choices, study
from agorabench.report.table import Sheet, equation, interval, p_value, value
from agorabench.stats import regression
from agorabench.stats.learning_curve import FEWEST
from agorabench.stats.pgr import MEAN, METHODS, NO_PROMPT


@dataclass(frozen=True)
class Findings:
    """All that was found of one block; rows as the tables of the same names have them."""

    block: study.Block
    correlations: dict
    components: regression.Components | str
    fits: list
    values: list
    prediction_rows: list

    @classmethod
    def of(cls, block, costs, prices, draws, seed):
        fits = study.fits(block, draws, seed)
        return cls(
            block,
            study.correlations(block, draws, seed),
            study.components(block),
            fits,
            choices.values(block, costs, prices),
            study.predictions(block, fits[-1]),
        )

    @property
    def correlation_rows(self):
        return study.correlation_rows(self.block, self.correlations)

    @property
    def component_rows(self):
        return study.component_rows(self.block, self.components)

    @property
    def regression_rows(self):
        return study.regression_rows(self.block, self.fits)


def sheets(found, rows, abilities, means, prompts, lines, gain):
    """All tables for readers: those of every block, then those over blocks."""
    told = []
    for one in found:
        told.append(value_sheet(one))
        if len(one.block.unmixed) < regression.FEWEST:
            told.append(nothing_sheet(one.block))
        else:
            told += [
                loading_sheet(one),
                regression_sheet(one),
                correlation_sheet(one),
                prediction_sheet(one),
            ]
        if study.usable(one.block.cells, one.block.intrinsic):
            told.append(intrinsic_sheet(one))
    mixtures = list(dict.fromkeys(name for one in found for name in one.block.mixtures))
    told += [prompt_sheet(rows, prompts, mixtures), amount_sheet(lines, rows, gain)]
    told.append(ability_sheet(abilities, means))
    return told


def label(name, block):
    view = block.view
    return f"{name}-{view.student}-{view.prompt}-n{view.size}-seed{block.seed}"


def title(name, block):
    return f"{name}: {block.title}"


def left_out(block):
    """Sentences on cells that are not in the analyses."""
    told, unsound = [], int(block.unmixed["pgr"].isna().sum())
    if unsound:
        told.append(
            f"{unsound} of {len(block.unmixed)} cells are left out: they have no PGR, or one over "
            "a gap within its own noise."
        )
    if block.elsewhere:
        cells = (
            "cell is left out: it has" if block.elsewhere == 1 else "cells are left out: they have"
        )
        told.append(f"{block.elsewhere} {cells} other seeds.")
    return told


def mixtures_left_out(mixtures, of=""):
    """A sentence on mixtures, in a list; an empty one without any."""
    if not mixtures:
        return []
    names = ", ".join(mixtures)
    return [f"Mixtures are left out{of}, as their pairs are of other sets: {names}."]


def caution(found):
    """regression.caution as a sentence."""
    return [f"{told[:1].upper()}{told[1:]}." for told in regression.caution(found)]


def grouped(reasons):
    """A sentence for each reason, after all that have it. `reasons`: (name, reason)."""
    names = {}
    for name, reason in reasons:
        names.setdefault(reason, []).append(name)
    return [f"{', '.join(mine)}: {reason}." for reason, mine in names.items()]


def nothing_sheet(block):
    """In the place of the tables that need more cells than the block has."""
    n, fewest = len(block.unmixed), regression.FEWEST
    cells = f"{n} cell{'s' if n != 1 else ''}" + (" without its mixtures" if block.mixtures else "")
    return Sheet(
        label("nothing", block),
        title("What says PGR", block),
        f"Nothing can be fitted to {cells}: components, regressions, correlations and predictions "
        f"need at least {fewest}.",
        notes=left_out(block),
    )


def value_sheet(one):
    """Table 3: prices, ability, PGR and what it costs."""
    lines = [
        [
            row["generator"],
            "yes" if row["front"] else "",
            value(row["price_input"], 3),
            value(row["price_output"], 3),
            value(row["problem_solving"], 1),
            value(row["pgr"], 1),
            ends(row["pgr_low"], row["pgr_high"], 1),
            digits(row["usd"]),
            digits(row["usd_per_1000_pairs"]),
            digits(row["pgr_per_usd"]),
        ]
        for row in one.values
    ]
    notes = [f"{row['generator']}: {row['reason']}." for row in one.values if row["reason"]]
    return Sheet(
        label("value", one.block),
        title("Price, ability and PGR", one.block),
        "Prices in USD per million tokens; problem solving: mean score on the benchmarks, each "
        "domain counting the same, in percent; PGR: mean over all cells, in percent, with its 95 % "
        "interval over benchmark items; USD: what the sets took, rejected replies included. On the "
        "front: no generator has as high a PGR for as few dollars. After Table 3 of the paper.",
        ["generator", "on the front", "input", "output", "problem solving", "PGR", "interval",
         "USD", "USD per 1,000 pairs", "PGR per USD"],
        lines,
        2,
        notes,
    )  # fmt: skip


def loading_sheet(one):
    """Table 4: mean absolute loadings."""
    name = title("Loadings", one.block)
    found = one.components
    if isinstance(found, str):
        return Sheet(label("loadings", one.block), name, f"No components: {found}.")
    kept = min(regression.COMPONENTS, len(found.variance))
    means = found.mean_loadings()
    order = np.argsort(-means)
    lines = [
        [
            found.names[i],
            value(means[i], 3),
            value(100 * means[i] / means.sum(), 1),
            *(value(loading, 2) for loading in found.loadings[:kept, i]),
        ]
        for i in order
    ]
    shares = ", ".join(f"{100 * share:.1f}" for share in found.variance[:kept])
    return Sheet(
        label("loadings", one.block),
        name,
        "Principal components of the standardised metrics: mean absolute loading over all "
        "components, its share in percent, and the loadings on the first, which explain "
        f"{shares} = {100 * found.variance[:kept].sum():.1f} % of the metrics' variance "
        f"(n = {int(found.rows.sum())} cells). After Table 4 of the paper.",
        ["metric", "mean", "share", *(f"component {i}" for i in range(1, kept + 1))],
        lines,
        notes=[
            *(f"{metric} is left out: {why}." for metric, why in found.left_out.items()),
            *mixtures_left_out(one.block.mixtures),
        ],
    )


FITS = {
    "ability": "problem solving",
    "components": "components of all metrics",
    "intrinsic": "components of the intrinsic metrics",
}


def regression_sheet(one):
    """All regressions of a block."""
    lines, notes = [], []
    for fit in study.regression_rows(one.block, one.fits):
        words = FITS[fit["analysis"]], fit["unit"]
        if "r2" not in fit:
            notes.append(f"PGR of {words[1]} on {words[0]}: {fit['reason']}.")
            continue
        lines.append(
            [
                *words,
                str(fit["n"]),
                value(fit["r2"], 3),
                ends(fit["r2_low"], fit["r2_high"], 3),
                p_value(fit["p"]),
                value(fit["r2_held_out"], 3),
                value(fit["rmse_held_out"], 1),
                value(fit["rmse_others"], 1),
            ]
        )
        if fit["reason"]:
            notes.append(f"PGR of {words[1]} on {words[0]}: {fit['reason']}.")
    return Sheet(
        label("regressions", one.block),
        title("What says PGR", one.block),
        "Regressions of PGR: R2 in the sample with its 95 % interval (generators resampled with "
        "all their cells), p for independent rows, R2 and error (points of PGR, root mean square) "
        "on generators that were left out of the fit, and the error of saying the mean of the "
        "other generators in the same setting. Below 0 the mean of all cells says PGR better.",
        ["PGR on", "of", "n", "R2", "interval", "p", "R2, left out", "error, left out",
         "error of the others' mean"],
        lines,
        2,
        [
            *notes,
            *caution(study.r2_intervals(one.fits)),
            *left_out(one.block),
            *mixtures_left_out(one.block.mixtures),
        ],
    )  # fmt: skip


def correlation_sheet(one):
    """Correlation of each metric with PGR."""
    lines, missing, known = [], [], []
    for name, found in one.correlations.items():
        if isinstance(found, str):
            lines.append([name, "", "n/a", "", "", ""])
            missing.append((name, found))
            continue
        known.append((found.interval, found.generators))
        lines.append(
            [
                name,
                str(found.n),
                value(found.r, 2),
                interval(found.interval, 2),
                value(found.rho, 2),
                p_value(found.p),
            ]
        )
        if found.interval.reason:
            missing.append((name, f"no interval, {found.interval.reason}"))
    return Sheet(
        label("correlations", one.block),
        title("Correlation of each metric with PGR", one.block),
        "Over cells: Pearson's r with its 95 % interval (generators resampled with all their "
        "cells), Spearman's rho, and p of r for independent cells."
        if lines
        else "There are no metrics: neither intrinsic ones nor the generators' ability.",
        ["metric", "n", "r", "interval", "rho", "p"],
        lines,
        notes=[
            *grouped(missing),
            *caution(known),
            *left_out(one.block),
            *mixtures_left_out(one.block.mixtures),
        ],
    )


def prediction_sheet(one):
    """PGR of generators from intrinsic metrics alone."""
    rows = one.prediction_rows
    name = title("PGR predicted from intrinsic metrics alone", one.block)
    if "predicted" not in rows[0]:
        return Sheet(label("prediction", one.block), name, f"No prediction: {rows[0]['reason']}.")
    settings = len(one.block.cells[["method", "domain"]].drop_duplicates())

    def cells(row):
        if row["method"] != MEAN:
            return f"{row['method']}, {row['domain']}"
        return "all" if row["n"] == settings else f"{row['n']} of {settings}"

    lines = [
        [
            row["generator"],
            cells(row),
            row["basis"],
            value(row.get("pgr"), 1),
            value(row.get("predicted"), 1),
            value(row.get("others"), 1),
        ]
        for row in rows
        if row["method"] == MEAN or row["basis"] == "new"
    ]
    error, _, which = one.fits[-1].errors()
    caption = (
        "Every generator by a regression that has not seen it: its PGR, what was predicted, and "
        "the mean of the other generators in the same settings, in percent. A single cell was "
        f"missed by {error:.1f} points (root mean square{which and ', '}{which})."
    )
    if one.block.mixtures:
        caption += " Mixture: by the regression on all other generators, its parts among them."
    if any(row["basis"] == "new" for row in rows):
        caption += " New: not trained on yet."
    reasons = [
        (study.named(row), row["reason"])
        for row in rows
        if row["reason"] and (row["method"] == MEAN or row["basis"] != "held out")
    ]
    return Sheet(
        label("prediction", one.block),
        name,
        caption,
        ["generator", "cells", "basis", "PGR", "predicted", "others' mean"],
        lines,
        3,
        [*grouped(reasons), *left_out(one.block)],
    )


def intrinsic_sheet(one):
    """Table 8: the metrics of every set."""
    block = one.block
    places = [(method, domain) for method in block.view.methods for domain in block.view.domains]
    cells = block.cells.set_index(["generator", "method", "domain"])
    lines = []
    for metric in study.usable(block.cells, block.intrinsic):
        for generator in block.view.generators:
            values = [cells[metric].get((generator, *place), math.nan) for place in places]
            mean = math.fsum(values) / len(values)
            lines.append([metric, generator, *(value(one, 2) for one in [*values, mean])])
    return Sheet(
        label("intrinsic", block),
        title("Intrinsic metrics", block),
        "Of the generated sets, whoever measured them is in intrinsic.csv: judges from 1 to 5, "
        "reward and perplexity in their own units, similarity as a mean cosine. Empty: not "
        "measured. After Table 8 of the paper.",
        ["metric", "generator", *(f"{method}: {domain}" for method, domain in places), "average"],
        lines,
        2,
    )


def prompt_sheet(rows, compared, mixtures):
    """Table 5: PGR by meta-prompt. `mixtures`: names of those that `compared` leaves out."""
    found = choices.whole(rows)
    prompts = list(dict.fromkeys(key[1] for key in found if key[1] != NO_PROMPT))
    name, heading = "prompts", "PGR by meta-prompt"
    if len(prompts) < 2:
        return Sheet(
            name,
            heading,
            f"The matrix has one meta-prompt, {prompts[0]}: for Table 5 give an experiment two."
            if prompts
            else "The matrix has no meta-prompt: all is of data sets.",
        )
    # key: student, prompt, generator, method, domain, size
    domains = list(dict.fromkeys(key[4] for key in found))
    wide = {}
    for (student, prompt, generator, method, domain, size), row in found.items():
        if prompt != NO_PROMPT and method != MEAN:
            wide.setdefault((student, size, generator, method), {})[prompt, domain] = row
    lines = []
    for (student, size, generator, method), cells in wide.items():
        mine = [prompt for prompt in prompts if any(key[0] == prompt for key in cells)]
        if len(mine) < 2:
            continue
        for prompt in mine:
            # An average over other domains than another prompt's would be compared with it.
            overs = {row["over"] for (_, domain), row in cells.items() if domain == MEAN}
            shown = [
                None if domain == MEAN and len(overs) > 1 else cells.get((prompt, domain))
                for domain in domains
            ]
            words = [student, f"{size:,}", generator, METHODS.get(method, method), prompt]
            lines.append(words + [value(row and row["pgr"], 1) for row in shown])
    notes = []
    for row in compared:
        words = f"{row['prompt']} minus {row['other']} ({row['student']}, {row['size']:,} pairs)"
        if "difference" not in row:
            notes.append(f"{words}: {row['reason']}.")
            continue
        spread = row["reason"] or (
            f"95 % interval {ends(row['low'], row['high'], 2)}, p {equation(row['p'])}"
        )
        notes.append(f"{words}: {row['difference']:+.2f} points over {row['n']} cells; {spread}.")
    notes += mixtures_left_out(mixtures, " of the differences")
    return Sheet(
        name,
        heading,
        "In percent. Differences are means over cells that both prompts have, with intervals and p "
        "of the paired t test for independent cells. After Table 5 of the paper.",
        ["student", "pairs", "generator", "method", "prompt",
         *("average" if domain == MEAN else domain for domain in domains)],
        lines,
        5,
        notes,
    )  # fmt: skip


def amount_sheet(lines, rows, gain):
    """PGR by the number of pairs, and where more stops paying."""
    name, heading = "amount", "PGR by the number of pairs"
    if not lines:
        sizes = ", ".join(f"{size:,}" for size in sorted({row["size"] for row in rows}))
        return Sheet(
            name,
            heading,
            f"No cells were run with two sizes (the matrix has {sizes}): give an experiment more, "
            f"at least {FEWEST} for a curve that levels off.",
        )
    shown, notes, unbounded = [], {}, []
    for line in lines:
        student, prompt, generator, method, domain = line.place
        words = [
            student,
            prompt,
            generator,
            *(("average" if x == MEAN else x) for x in (method, domain)),
        ]
        points = "; ".join(f"{row['size']:,}: {row['pgr']:.1f}" for row in line.points)
        curve = line.curve
        if isinstance(curve, str):
            shown.append([*words, points, "", "", ""])
            notes.setdefault(curve, []).append(" ".join(words[2:]))
            continue
        if curve.enough_interval.reason:
            told = f"{' '.join(words[2:])}: no interval, {curve.enough_interval.reason}."
            unbounded.append(told)
        top = f"{curve.top:.1f}"
        enough = f"{curve.enough:,.0f}" + (" *" if curve.enough > line.sizes[-1] else "")
        shown.append([*words, points, top, enough, interval(curve.enough_interval, 0)])
    told = ["* beyond the largest size that was tried: an extrapolation."]
    told = told if any("*" in line[-2] for line in shown) else []
    told += [f"No curve for {', '.join(places)}: {why}." for why, places in notes.items()]
    told += unbounded
    return Sheet(
        name,
        heading,
        "PGR in percent by pairs per cell; what a fitted curve, PGR(n) = top - lost x (n / "
        "smallest)^-rate, says that ever more pairs would reach; and the number of pairs from "
        f"which on twice as many add less than {gain:g} points, with its 95 % interval.",
        ["student", "prompt", "generator", "method", "domain", "PGR by pairs", "top",
         "pays up to", "interval"],
        shown,
        6,
        told,
    )  # fmt: skip


def ability_sheet(abilities, means):
    """Table 7: the generators' own scores. `means`: (generator, domain) -> mean score."""
    name, heading = "abilities", "Problem solving of the generators themselves"
    if not abilities:
        return Sheet(name, heading, "No generator has solved the benchmarks.")
    benchmarks = list(dict.fromkeys(row["benchmark"] for row in abilities))
    lines = []
    for generator in dict.fromkeys(row["generator"] for row in abilities):
        mine = {row["benchmark"]: row for row in abilities if row["generator"] == generator}
        cells = [
            f"{row['score']:.1f} \u00b1 {row['standard_error']:.1f}"
            for row in (mine[one] for one in benchmarks)
        ]
        domains = [score for (name, _), score in means.items() if name == generator]
        lines.append([generator, *cells, f"{math.fsum(domains) / len(domains):.1f}"])
    sizes = {row["benchmark"]: row["n"] for row in abilities}
    return Sheet(
        name,
        heading,
        "Score and standard error in percent; items: "
        + ", ".join(f"{one} {n:,}" for one, n in sizes.items())
        + ". Average: of the domains. After Table 7 of the paper.",
        ["generator", *benchmarks, "average"],
        lines,
    )


def ends(low, high, places):
    """An interval as text, nothing where it has none."""
    return interval(regression.Interval(low, high), places) if low is not None else ""


def digits(amount):
    """A number with four digits that matter."""
    return "" if amount is None else f"{amount:.4g}"
