"""What an experiment can tell apart, before anything is spent on it: Markdown for plan and tool."""

import itertools
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist, fmean, median

from agorabench import matrix, paths
from agorabench.analysis.comparisons import ITEMS, PGR, read_rows
from agorabench.llm.budget import format_usd
from agorabench.planning.forecast import count_items
from agorabench.report.table import align_markdown, format_number
from agorabench.stats.pgr import MEAN
from agorabench.stats.power import SEED_SPREAD, Items, average_noise, domain_noise

DIFFERENCE = 5.0  # points of PGR that a lab wants to find
HEAD = ("student, prompt, size", "of", "seeds", "found: items", "with seeds")
HEAD += ("seeds for {0:g} points", "or items", "noise of items")


def render_power(
    config, difference=DIFFERENCE, price=(None, None), spread=None, **benchmarks
) -> str:
    """A table in Markdown of what is found with 80 % power, and the assumptions.

    Args:
        price: (USD, GPU hours) of one seed of everything, None where not known.
        spread: of seeds, in points of PGR; None: as measured, or SEED_SPREAD.
        benchmarks: `gap`, `correlation` and `variance` of those without results.
    """
    lines, notes, runs = [], {}, matrix.expand_runs(config)
    groups = dict.fromkeys((run.student, run.prompt, run.size) for run in runs)
    for group in groups:
        if group[1] == matrix.NO_PROMPT and len(groups) > 1:
            continue  # data sets stand beside generators
        own = [run for run in runs if (run.student, run.prompt, run.size) == group]
        compared, ranks = (read_results(name, group) for name in ("comparisons", "ranks"))
        found = measured_spread(ranks)
        each = next(x for x in (spread, found, SEED_SPREAD) if x is not None)
        source = "measured" if each == found else "assumed"
        notes[f"A seed's standard deviation is {each:.1f} points ({source})."] = None
        place, seeds = "{}, {}, {:,}".format(*group), len({run.seed for run in own})
        for (domain, method), noise in list_noises(config, own, each, benchmarks).items():
            measured = measured_noise(compared, method, domain)
            noise = noise if measured is None else replace(noise, items=measured)
            where = "average of all" if domain == MEAN else domain
            basis = "assumed" if measured is None else "measured"
            lines.append([place, where, seeds, *_numbers(noise, seeds, difference), basis])
    head = [name.format(difference) for name in HEAD]
    table = align_markdown(head, lines, "llrrrrrl")
    words = ASSUMED.format(**vars(Items(1, **benchmarks)))
    return "\n".join([INTRO, table, *_price_words(price), words, *notes, ""])


def list_noises(config, runs, spread, benchmarks):
    """(Domain, None) -> Noise of one of its cells; (mean, mean) -> that of the average of all."""
    cells = {}
    for domain in dict.fromkeys(run.domain for run in runs):
        items = [
            Items(count_items(name, config["benchmarks"][name])[0], **benchmarks)
            for name in list_benchmarks(config, domain)
        ]
        methods = len({run.method for run in runs if run.domain == domain})
        cells[domain] = [domain_noise(items, spread)] * methods
    every = list(itertools.chain(*cells.values()))
    noises = {(domain, None): own[0] for domain, own in cells.items()}
    return noises | ({(MEAN, MEAN): average_noise(every)} if len(every) > 1 else {})


INTRO = (
    "The smallest difference in PGR between two generators that is found with 80 % power at 5 % "
    "(one comparison, points): by the choice of items alone, and with the noise of seeds; and how "
    "many seeds, or how many times as many items, find a given one.\n"
)
ASSUMED = (
    "Where nothing was compared yet: a gap of {gap:g} from base to reference, a variance of "
    "{variance:g} of a verdict and a correlation of {correlation:g} of two students' verdicts."
)


def list_benchmarks(config, domain):
    """Names of the benchmarks that are in a domain's mean."""
    names = matrix.scored_benchmarks(config, domain)
    return [name for name in names if config["benchmarks"][name]["in_mean"]]


def _numbers(noise, seeds, difference):
    alone = replace(noise, seeds=0.0).smallest(seeds)
    needed, times = noise.seeds_for(difference), noise.items_for(difference, seeds)
    more = "none: seeds" if times is None else f"x {max(times, 1):.1f}"
    found = (format_number(number, 1) for number in (alone, noise.smallest(seeds)))
    return [*found, "none" if needed is None else needed, more]


def measured_noise(found, method, domain):
    """Variance of a difference by items with one seed, squared points: the median over pairs of
    generators; None where nothing was compared. `found`: rows of comparisons.csv."""
    widths = [
        row["high"] - row["low"]
        for row in found
        if row["low"] is not None and row["measure"] == PGR and row["noise"] == ITEMS
        if row["domain"] == domain and (row["method"] == MEAN) == (method == MEAN)
    ]
    return (median(widths) / (2 * NormalDist().inv_cdf(0.975))) ** 2 if widths else None


def measured_spread(found):
    """Standard deviation of a seed in points of PGR, the mean over cells; None where no cell has
    several seeds. `found`: rows of ranks.csv."""
    known = [
        row["sd_seeds"]
        for row in found
        if row["sd_seeds"] is not None and MEAN not in (row["method"], row["domain"])
    ]
    return fmean(known) if known else None


def read_results(name, group):
    """Rows of a table of comparisons that are of one (student, prompt, size), if it is there."""
    path = paths.table(name)
    rows = read_rows(path) if Path(path).exists() else []
    return [row for row in rows if (row["student"], row["prompt"], row["size"]) == group]


def _price_words(price):
    usd, hours = price
    parts = [f"${format_usd(usd)}"] if usd is not None else []
    parts += [f"{hours:,.1f} GPU hours"] if hours is not None else []
    return [f"A further seed of everything is about {' and '.join(parts)}.\n"] if parts else []
