r"""Recommend a generator for an amount of dollars, or say what PGR to expect of a new one.

    python scripts/tools/recommend.py spend --dollars 50
    python scripts/tools/recommend.py spend --dollars 50 --domain math --method instance
    snakemake intrinsic    # with a new generator in the config: its sets and their metrics
    python scripts/tools/recommend.py expect

Both answer from finished results of this folder.

spend: from what was tried, the PGR table and the costs of its sets, rejected replies included.
Without `--domain` and `--method` the pairs are for all settings that the table averages over, so
many for each. Nothing is said of fewer pairs than were tried; of more only where a fitted curve
says what they would add, and no further than twice the largest size. Training and scoring a student
are not in the dollars. A pair of a mixture costs one of each of its parts: their sets are made
whole.

expect: of sets that nobody was trained on yet, from their metrics alone, by the regression on
components of the intrinsic metrics, fitted to all sets that have a PGR, as
results/tables/prediction.csv has it. Its error on generators that it has not seen stands below the
table. Another finished experiment can be the basis too: give its files as `--table` and `--known`.
Mixtures of generators are in no fit: name them (`--mixtures`), or the config that has them
(`--config`).
"""

import argparse
import itertools
import math
import sys
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agorabench import matrix, paths
from agorabench.analysis.amount import fit_lines
from agorabench.analysis.offers import rank_offers
from agorabench.analysis.pgr_table import axis_values, read_table
from agorabench.analysis.prediction import predict_block, set_words
from agorabench.analysis.regressions import fit_block
from agorabench.analysis.study import SET, Study, read_costs, read_intrinsic
from agorabench.cli import run_program
from agorabench.config import load_config
from agorabench.errors import UserError
from agorabench.llm import budget
from agorabench.matrix import NO_PROMPT
from agorabench.report.table import align_markdown, format_interval, format_number
from agorabench.stats.pgr import MEAN

AXES = ("student", "prompt", "domain", "method")


def main(argv=None):
    args = parse_options(argv)
    print(args.answer(read_table(args.table), args), end="")


def parse_options(argv):
    """The parsed command line; `answer` is the function of the question."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    questions = parser.add_subparsers(required=True)
    spend = questions.add_parser("spend", help="which generator, and how many pairs?")
    spend.set_defaults(answer=answer_spend)
    spend.add_argument("--dollars", required=True, type=float, help="USD to spend")
    spend.add_argument("--cost", type=Path, default=paths.table("cost"), help="costs (CSV)")
    spend.add_argument("--gain", type=float, default=1.0, help="points that a doubling must add")
    for name in AXES:
        spend.add_argument(f"--{name}", help=f"only this {name}")
    expect = questions.add_parser("expect", help="what PGR has a new generator?")
    expect.set_defaults(answer=answer_expect)
    new, metrics = "intrinsic metrics of the new sets (CSV)", paths.table("intrinsic")
    expect.add_argument("--intrinsic", type=Path, default=metrics, help=new)
    known = "those of the sets of --table, if not there too"
    expect.add_argument("--known", type=Path, help=known)
    expect.add_argument("--mixtures", nargs="*", default=[], help="generators that mix others")
    expect.add_argument("--config", type=Path, help="the config that has them")
    for question in (spend, expect):
        question.add_argument("--table", type=Path, default=paths.PGR_TABLE, help="PGR (CSV)")
    return parser.parse_args(argv)


# ---- Dollars


def answer_spend(rows, args):
    """The answer in Markdown, of the rows of the PGR table."""
    if not (math.isfinite(args.dollars) and args.dollars > 0 and args.gain > 0):
        raise UserError("--dollars and --gain must be more than 0")
    chosen = {name: getattr(args, name) for name in AXES}
    return recommend_generators(rows, read_costs(args.cost), args.dollars, chosen, args.gain)


def recommend_generators(rows, costs, dollars, chosen, gain=1.0):
    """The answer in Markdown: a table for each student and meta-prompt, and a sentence.

    `chosen`: student, prompt, domain, method, each None for all. Raises UserError for one that the
    table does not have.
    """
    for name, wanted in chosen.items():
        known = axis_values(rows, name)
        if wanted is not None and wanted not in known:
            raise UserError(f"no {name} {wanted!r} in the table; known: {', '.join(known)}")
    parts = []
    for student in dict.fromkeys(row["student"] for row in rows):
        own = [row for row in rows if row["student"] == student]
        prompts = list(dict.fromkeys(row["prompt"] for row in own))
        # Data sets have no prompt, and can be had instead of any.
        for prompt in [prompt for prompt in prompts if prompt != NO_PROMPT] or prompts:
            if chosen["student"] in (None, student) and chosen["prompt"] in (None, prompt):
                peers = [row for row in own if row["prompt"] in (prompt, NO_PROMPT)]
                parts.append(_recommend_of_prompt(peers, prompt, costs, dollars, chosen, gain))
    return "\n".join(parts)


def _recommend_of_prompt(rows, prompt, costs, dollars, chosen, gain):
    axes = ("method", "domain")
    asked = ([chosen[axis]] if chosen[axis] else axis_values(rows, axis) for axis in axes)
    settings = set(itertools.product(*asked))
    lines = [line for line in fit_lines(rows, gain, fewest=1) if set(line.over) == settings]
    offers = rank_offers(lines, costs, dollars)
    kinds = f"{len(settings)} settings" if len(settings) > 1 else " ".join(*settings)
    place = f"student {rows[0]['student']}, prompt {prompt}"
    title = f"## ${budget.format_usd(dollars)} for {kinds}, {place}\n"
    cells = []
    for offer in offers:
        pairs = "" if offer.pairs is None else f"{offer.pairs:,}"
        interval = format_interval(offer.low, offer.high, 1)
        numbers = (pairs, budget.format_usd(offer.usd), format_number(offer.pgr, 1), interval)
        cells.append([offer.generator, *numbers, offer.basis or offer.reason])
    head = ["generator", "pairs per setting", "USD", "PGR (%)", "interval", "from"]
    table = align_markdown(head, cells, "lrrrrl") if cells else ""
    return f"{title}\n{table}\n{offer_words(offers, len(settings))}\n"


def offer_words(offers, settings):
    """The answer in words. `offers`: the best first."""
    known = [offer for offer in offers if offer.pgr is not None]
    if not known:
        return "No generator can be recommended: see the reasons."
    best = known[0]
    each = f" in each of {settings} settings" if settings > 1 else ""
    words = f"Take {best.generator} and {best.pairs:,} pairs{each}: a PGR of {best.pgr:.1f} %"
    words += f" for ${budget.format_usd(best.usd)}."
    cheaper = [offer for offer in known[1:] if offer.usd < best.usd and best.low is not None]
    close = [offer for offer in cheaper if offer.high is not None and offer.high >= best.low]
    if close:
        cheap = min(close, key=lambda offer: offer.usd)
        words += f" {cheap.generator} costs ${budget.format_usd(cheap.usd)}, and their intervals "
        words += f"overlap: {cheap.pgr:.1f} %."
    if best.untried:
        words += f" Dollars are left over, but {best.untried}."
    return words


# ---- A new generator


def answer_expect(rows, args):
    """The answer in Markdown, of the rows of the PGR table."""
    files = filter(None, (args.intrinsic, args.known))
    intrinsic = [row for path in files for row in read_intrinsic(path)]
    mixtures = args.mixtures
    if args.config:
        mixtures = mixtures + matrix.mixture_generators(load_config(args.config))
    # No interval of a fit is shown, so few draws do.
    params = {"mixtures": mixtures, "bootstrap": 2, "seed": 1, "apart": []}
    study = Study(rows, None, intrinsic, [], params)
    new = [block for block in study.blocks if len(block.new)]
    if not new:
        raise UserError(
            f"{args.intrinsic} has no set that is new to {args.table}: none with a student's "
            "meta-prompt, size, methods and domains that has no PGR yet"
        )
    return "\n".join(expect_new_sets(study, block) for block in new)


def expect_new_sets(study, block):
    """The answer on the new sets of a block, in Markdown."""
    title = f"## {block.title[:1].upper()}{block.title[1:]}\n"
    fit = fit_block(study, block)[-1]
    rows = [row for row in predict_block(study, block) if row["basis"] == "new"]
    if not rows:
        why = fit.result if isinstance(fit.result, str) else fit.result.held_out_reason
        return f"{title}\nNothing can be predicted: {why}.\n"
    lines = []
    for row in rows + mean_predictions(rows):
        numbers = (format_number(row.get(key), 1) for key in ("predicted", "others"))
        lines.append([*(row[name] for name in SET), *numbers])
    reasons = [f"{set_words(row)}: {row['reason']}.\n" for row in rows if row["reason"]]
    table = align_markdown([*SET, "predicted PGR (%)", "others' mean (%)"], lines, "lllrr")
    return "\n".join([title, table, *reasons, f"{error_words(fit)}\n"])


def mean_predictions(rows):
    """A row for each generator that has several sets, all of them with a prediction: the means."""
    means = []
    for name in dict.fromkeys(row["generator"] for row in rows):
        sets = [row for row in rows if row["generator"] == name]
        values = {key: [row.get(key) for row in sets] for key in ("predicted", "others")}
        known = {key: fmean(each) for key, each in values.items() if None not in each}
        if len(sets) > 1 and "predicted" in known:
            means.append({"generator": name, "method": MEAN, "domain": MEAN, **known})
    return means


def error_words(fit):
    """How far such predictions were off, in words."""
    error, others, which = fit.errors()
    words = f"Of generators that it had not seen, it missed a set's PGR by {error:.1f} points"
    if others is not None:
        words += f"; the mean of the other generators in the same setting missed it by {others:.1f}"
        if others <= error:
            words += ", so the metrics say nothing that it does not"
    return f"{words} (root mean square{which and ', '}{which})."


if __name__ == "__main__":
    run_program(main)
