r"""I have so many dollars: which generator, and how many pairs of each kind?

    python scripts/spend.py --dollars 50
    python scripts/spend.py --dollars 50 --domain math --method instance

It is answered from what was tried: the PGR table and the costs of its sets, rejected replies
included. Without `--domain` and `--method` the pairs are for all settings that the table averages
over, so many for each. Nothing is said of fewer pairs than were tried; of more only where a fitted
curve says what they would add, and no further than twice the largest size. Training and scoring a
student are not in the dollars. A pair of a mixture costs one of each of its parts: their sets are
made whole.
"""

import argparse
import itertools
import math
from pathlib import Path

from agorabench.analysis import choices
from agorabench.cli import run_program
from agorabench.errors import UserError
from agorabench.llm import budget
from agorabench.report import markdown
from agorabench.report.table import value
from agorabench.stats.pgr import MEAN, NO_PROMPT
from analyse import read_costs, read_table


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dollars", required=True, type=float, help="USD to spend")
    parser.add_argument("--table", type=Path, default="results/pgr_table.csv", help="PGR (CSV)")
    parser.add_argument("--cost", type=Path, default="results/tables/cost.csv", help="costs (CSV)")
    parser.add_argument("--student", help="only this student")
    parser.add_argument("--prompt", help="only this meta-prompt")
    parser.add_argument("--domain", help="only this domain")
    parser.add_argument("--method", help="only this method")
    parser.add_argument("--gain", type=float, default=1.0, help="points that a doubling must add")
    args = parser.parse_args(argv)

    if not (math.isfinite(args.dollars) and args.dollars > 0 and args.gain > 0):
        raise UserError("--dollars and --gain must be more than 0")
    rows = read_table(args.table)
    chosen = {name: getattr(args, name) for name in ("student", "prompt", "domain", "method")}
    print(answer(rows, read_costs(args.cost), args.dollars, chosen, args.gain), end="")


def answer(rows, costs, dollars, chosen, gain=1.0):
    """The answer in Markdown: a table for each student and meta-prompt, and a sentence.

    `chosen`: student, prompt, domain, method, each None for all. Raises UserError for one that the
    table does not have.
    """
    for name, wanted in chosen.items():
        known = list(dict.fromkeys(row[name] for row in rows if row[name] != MEAN))
        if wanted is not None and wanted not in known:
            raise UserError(f"no {name} {wanted!r} in the table; known: {', '.join(known)}")
    parts = []
    for student in dict.fromkeys(row["student"] for row in rows):
        mine = [row for row in rows if row["student"] == student]
        prompts = list(dict.fromkeys(row["prompt"] for row in mine))
        # Data sets have no prompt, and can be had instead of any.
        asked = [prompt for prompt in prompts if prompt != NO_PROMPT] or prompts
        for prompt in asked:
            if chosen["student"] in (None, student) and chosen["prompt"] in (None, prompt):
                peers = [row for row in mine if row["prompt"] in (prompt, NO_PROMPT)]
                parts.append(_answer(peers, prompt, costs, dollars, chosen, gain))
    return "\n".join(parts)


def _answer(rows, prompt, costs, dollars, chosen, gain):
    methods, domains = (
        [chosen[axis]]
        if chosen[axis]
        else list(dict.fromkeys(row[axis] for row in rows if row[axis] != MEAN))
        for axis in ("method", "domain")
    )
    places = set(itertools.product(methods, domains))
    lines = [line for line in choices.amounts(rows, gain, fewest=1) if set(line.over) == places]
    found = choices.offers(lines, costs, dollars)
    kinds = f"{len(places)} settings" if len(places) > 1 else " ".join(*places)
    title = f"## ${budget.format_usd(dollars)} for {kinds}, student {rows[0]['student']}, "
    title += f"prompt {prompt}\n"
    told = [
        [
            one.generator,
            "" if one.pairs is None else f"{one.pairs:,}",
            budget.format_usd(one.usd),
            value(one.pgr, 1),
            "" if one.low is None else f"[{one.low:.1f}, {one.high:.1f}]",
            one.basis or one.reason,
        ]
        for one in found
    ]
    head = ["generator", "pairs per setting", "USD", "PGR (%)", "interval", "from"]
    table = markdown.table(head, told, "lrrrrl") if told else ""
    return f"{title}\n{table}\n{sentence(found, len(places))}\n"


def sentence(found, settings):
    """The answer in words. `found`: Offers, the best first."""
    known = [one for one in found if one.pgr is not None]
    if not known:
        return "No generator can be recommended: see the reasons."
    best = known[0]
    each = f" in each of {settings} settings" if settings > 1 else ""
    told = f"Take {best.generator} and {best.pairs:,} pairs{each}: a PGR of {best.pgr:.1f} %"
    told += f" for ${budget.format_usd(best.usd)}."
    close = [
        one for one in known[1:]
        if one.usd < best.usd and None not in (best.low, one.high) and one.high >= best.low
    ]  # fmt: skip
    if close:
        cheap = min(close, key=lambda one: one.usd)
        told += (
            f" {cheap.generator} costs ${budget.format_usd(cheap.usd)}, and their intervals "
            f"overlap: {cheap.pgr:.1f} %."
        )
    if best.untried:
        told += f" Dollars are left over, but {best.untried}."
    return told


if __name__ == "__main__":
    run_program(main)
