r"""What PGR to expect of generated sets on which nobody was trained yet, from their metrics alone.

    snakemake intrinsic          # with a new generator in the config: its sets and their metrics
    python scripts/foresee.py

It is said by the regression on components of the intrinsic metrics, fitted to all sets that have a
PGR, as results/tables/prediction.csv has it, whose error on generators that it has not seen stands
below the table. Another finished experiment can say it too: give its files as `--table` and
`--known`. Mixtures are in no fit: without `--mixtures` those of the config of the last run in this
folder, if there was one.
"""

import argparse
from pathlib import Path
from statistics import fmean

from agorabench import matrix
from agorabench.analysis import study
from agorabench.analysis.study import SET
from agorabench.cli import run_program
from agorabench.cluster import locks
from agorabench.errors import UserError
from agorabench.files import read_json
from agorabench.report import markdown
from agorabench.report.table import value
from agorabench.stats.pgr import MEAN, views
from analyse import read_table


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, default="results/pgr_table.csv", help="PGR (CSV)")
    parser.add_argument(
        "--intrinsic", type=Path, default="results/tables/intrinsic.csv",
        help="intrinsic metrics of the new sets (CSV)",
    )  # fmt: skip
    parser.add_argument("--known", type=Path, help="those of the sets of --table, if not there too")
    parser.add_argument("--mixtures", nargs="*", help="generators that mix others")
    args = parser.parse_args(argv)

    rows = read_table(args.table)
    intrinsic = []
    for path in filter(None, (args.intrinsic, args.known)):
        intrinsic += study.read_csv(path, study.INTRINSIC, ["value"])
    mixtures = last_mixtures() if args.mixtures is None else args.mixtures
    found = study.blocks(views(rows), intrinsic, mixtures=mixtures)
    new = [block for block in found if len(block.new)]
    if not new:
        raise UserError(
            f"{args.intrinsic} has no set that is new to {args.table}: none with a student's "
            "meta-prompt, size, methods and domains that has no PGR yet"
        )
    print("\n".join(map(answer, new)), end="")


def last_mixtures():
    """Names of the mixtures in the config of the folder's last run; none without a run."""
    if not Path(locks.CONFIG).exists():
        return []
    return matrix.mixture_generators(read_json(locks.CONFIG))


def answer(block):
    """The answer on the new sets of a block, in Markdown."""
    title = f"## {block.title[:1].upper()}{block.title[1:]}\n"
    fit = study.fits(block, draws=2, seed=1)[-1]  # no interval of it is shown
    rows = [row for row in study.predictions(block, fit) if row["basis"] == "new"]
    if not rows:
        why = fit.result if isinstance(fit.result, str) else fit.result.held_out_reason
        return f"{title}\nNothing can be foreseen: {why}.\n"
    lines = [line(row) for row in rows]
    for name in dict.fromkeys(row["generator"] for row in rows):
        sets = [row for row in rows if row["generator"] == name]
        values = {key: [row.get(key) for row in sets] for key in ("predicted", "others")}
        means = {key: fmean(each) for key, each in values.items() if None not in each}
        if len(sets) > 1 and "predicted" in means:
            lines.append(line({"generator": name, "method": MEAN, "domain": MEAN, **means}))
    reasons = [f"{study.named(row)}: {row['reason']}." for row in rows if row["reason"]]
    head = [*SET, "predicted PGR (%)", "others' mean (%)"]
    told = [markdown.table(head, lines, "lllrr"), *(f"{reason}\n" for reason in reasons)]
    return "\n".join([title, *told, f"{sentence(fit)}\n"])


def line(row):
    """Cells of a row of the answer."""
    return [
        *(row[name] for name in SET),
        *(value(row.get(key), 1) for key in ("predicted", "others")),
    ]


def sentence(fit):
    """How far such predictions were off, in words."""
    error, standard, which = fit.errors()
    told = f"Of generators that it had not seen, it missed a set's PGR by {error:.1f} points"
    if standard is not None:
        told += (
            f"; the mean of the other generators in the same setting missed it by {standard:.1f}"
        )
        if standard <= error:
            told += ", so the metrics say nothing that it does not"
    return f"{told} (root mean square{which and ', '}{which})."


if __name__ == "__main__":
    run_program(main)
