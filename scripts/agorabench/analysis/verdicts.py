"""What to take from a run, in sentences: which generator, how sure, at what cost, and what next."""

import math
from dataclasses import dataclass

from agorabench.analysis.comparisons import PGR, SEEDS, overall_place, select_block
from agorabench.analysis.pgr_table import join_words
from agorabench.llm.budget import format_usd
from agorabench.report.table import align_markdown, format_interval, format_number
from agorabench.stats.comparisons import needed_times
from agorabench.stats.pgr import MEAN

ENDS = ("difference", "low", "high")
NAMED = 4  # generators in a sentence; more are counted
HEAD = ("generator", "PGR or score (%)", "rank", "behind the best (points)", "USD of its sets")


@dataclass(frozen=True)
class Verdict:
    """Of one View: its title, (where, sentences) for the average of all cells and for each domain,
    and lines [generators][columns of HEAD], those with the highest PGR first."""

    title: str
    sentences: list[tuple[str, str]]
    lines: list[list[str]]
    head = HEAD

    def to_markdown(self) -> str:
        """A section of decision.md."""
        parts = [f"## {self.title[:1].upper()}{self.title[1:]}\n"]
        parts += [f"- **{where}**: {words}" for where, words in self.sentences]
        return "\n".join([*parts, "", align_markdown(HEAD, self.lines, "lrrrr")])


def decide_views(views, ranks, pairs, costs) -> list[Verdict]:
    """A Verdict of every view, in the table's order.

    `ranks`, `pairs`: rows of ranks.csv and comparisons.csv; `costs`: study.Costs.
    """
    return [_decide_view(view, ranks, pairs, costs) for view in views]


def _decide_view(view, ranks, pairs, costs):
    seed, method, domain = overall_place(view)
    sentences, lines = [], []
    for place in (domain, *view.domains) if domain == MEAN else (domain,):
        own = select_block(ranks, view, seed, method, place)
        known = sorted((row for row in own if row["value"] is not None), key=_height)
        gaps = _gaps_to_best(known, select_block(pairs, view, seed, method, place))
        dollars = {row["generator"]: _sum_usd(view, row, costs) for row in known}
        where = "all cells" if place == MEAN else place
        words = _best_words(known, gaps, dollars)
        if place == domain:
            lacking = [name for name in view.generators if name not in dollars]
            if lacking:
                words += f" Not compared, for want of some cells: {join_words(lacking)}."
            words += _next_words(view, known, gaps, dollars)
            lines = [_line(row, gaps, dollars[row["generator"]]) for row in known]
        sentences.append((where, words))
    return Verdict(view.title(seed), sentences, lines)


def _height(row):
    return -row["value"]


def _gaps_to_best(known, pairs):
    """Generator -> its pair with the best, as the best minus the generator."""
    gaps = {}
    for pair in pairs if known else ():
        names = [pair["generator"], pair["other"]]
        if known[0]["generator"] in names and pair["difference"] is not None:
            turned = names[1] == known[0]["generator"]
            keys = ("high", "low") if turned else ("low", "high")
            ends = (pair[key] for key in keys)
            ends = [end if end is None or not turned else -end for end in ends]
            difference = -pair["difference"] if turned else pair["difference"]
            gap = {"difference": difference, "low": ends[0], "high": ends[1]}
            gaps[names[not turned]] = pair | gap
    return gaps


def _sum_usd(view, row, costs):
    """USD of the generator's sets that a row of ranks is over; None where one has no cost."""
    methods = view.methods if row["method"] == MEAN else [row["method"]]
    domains = view.domains if row["domain"] == MEAN else [row["domain"]]
    cell = view.cells[row["generator"], row["method"], row["domain"], row["seed"]]
    settings = [(method, domain) for method in methods for domain in domains]
    return costs.sum_usd(row["generator"], cell["prompt"], view.size, settings)


def _best_words(known, gaps, dollars):
    """Sentences on the best of a block: whom it beats, whom it cannot be told from, its cost."""
    if not known:
        return "No generator has all cells that are averaged."
    best, name = known[0], known[0]["generator"]
    pgr = best["measure"] == PGR
    interval = format_interval(best["low"], best["high"], 1)
    number = f"{format_number(best['value'], 1)} % {interval}".rstrip()
    stands = "is highest" if gaps else "has no other to be compared with"
    words = f"{name} {stands}, with a {'PGR' if pgr else 'score of its student'} of {number}."
    if not pgr:
        words += " There is no sound PGR, so students' scores are compared."
    elif best["value"] <= 0:
        words += " No data brought the student beyond its base."
    beaten = {key: gap for key, gap in gaps.items() if gap["established"] == "yes"}
    close = {key: gap for key, gap in gaps.items() if key not in beaten}
    if beaten:
        words += f" It is established as better than {_name_gaps(beaten)}."
    if close:
        words += f" It cannot be told from {_name_gaps(close)}."
        paid = {key: dollars[key] for key in (name, *close) if dollars[key] is not None}
        cheapest = min(paid, key=paid.get, default=name)
        if cheapest != name:
            words += f" The cheapest of these is {cheapest}, at ${format_usd(paid[cheapest])}."
    usd = dollars[name]
    if usd:
        each = f", ${format_usd(usd / best['value'])} a point" if pgr and best["value"] > 0 else ""
        words += f" Its sets cost ${format_usd(usd)}{each}."
    return words


def _name_gaps(gaps):
    """Generators with their distance to the best, the nearest first."""
    ordered = sorted(gaps, key=lambda name: gaps[name]["difference"])
    texts = []
    for name in ordered[:NAMED]:
        gap = gaps[name]
        interval = format_interval(gap["low"], gap["high"], 1)
        texts.append(f"{name} (by {format_number(gap['difference'], 1)} points {interval})")
    more = len(ordered) - NAMED
    return join_words([*texts, *([f"{more} more"] if more > 0 else [])])


def _next_words(view, known, gaps, dollars):
    """Sentences on what would make the answer surer, with its price."""
    if not known:
        return ""
    several = known[0]["noise"] == SEEDS
    paid = [usd for usd in dollars.values() if usd]
    price = f"${format_usd(math.fsum(paid))} of sets" if paid else "sets that cost nothing"
    trainings = len(known) * len(view.methods) * len(view.domains)
    words = f" A further seed is {price} and {trainings} training{'s' * (trainings > 1)}."
    if not several:
        words = " Next: a second seed, as nothing here says how far trainings lie apart." + words
    close = {key: gap for key, gap in gaps.items() if gap["established"] != "yes"}
    times = {key: needed_times(*(gap[end] for end in ENDS)) for key, gap in close.items()}
    if known := {key: number for key, number in times.items() if number}:
        name = min(known, key=known.get)
        what = "seeds and test items" if several else "test items"
        words += (
            f" To tell {name} from the best, if they lie as far apart as it seems, takes about "
        )
        words += f"{format_number(known[name], 1)} times as many {what}."
    elif not close and gaps and several:
        words = ""
    return words


def _line(row, gaps, usd):
    gap = gaps.get(row["generator"])
    behind = ""
    if gap:
        interval = format_interval(gap["low"], gap["high"], 1)
        behind = f"{format_number(gap['difference'], 1)} {interval}".rstrip()
    rank = "" if row["rank"] is None else f"{row['rank']:.0f} "
    rank += format_interval(row["rank_low"], row["rank_high"], 0)
    value = f"{format_number(row['value'], 1)} {format_interval(row['low'], row['high'], 1)}"
    return [row["generator"], value.rstrip(), rank, behind, format_usd(usd)]


def render_decision(verdicts, warnings) -> str:
    """decision.md: the verdicts, and what a reader must know before."""
    parts = ["# Which generator?\n", *(f"{one}\n" for one in warnings)]
    return "\n".join([*parts, *(verdict.to_markdown() for verdict in verdicts)])
