"""Say how small a difference between two generators an experiment finds, and what finds a smaller.

    python scripts/tools/power.py --config config/agorabench.yaml
    python scripts/tools/power.py --config config/agorabench.yaml --difference 3 --gap 0.3

A table of what is compared: a cell of every domain, and the average of all cells. The noise of
items and seeds is that of results/tables/comparisons.csv and ranks.csv, else assumed; items that
were fetched are counted. Nothing is asked and nothing is written. Dollars are of cost.csv, GPU
hours of results/plan.csv, where they are there.
"""

import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agorabench import paths
from agorabench.cli import parse_arguments, run_program
from agorabench.errors import UserError
from agorabench.matrix import expand_runs
from agorabench.planning.power import DIFFERENCE, render_power
from agorabench.stats.power import CORRELATION, GAP, SEED_SPREAD, VARIANCE


def main(argv=None):
    args = parse_arguments(__doc__, "", argv, add_options)
    if not (args.difference > 0 and args.gap > 0 and args.variance > 0):
        raise UserError("--difference, --gap and --variance must be more than 0")
    if not -1 <= args.correlation < 1:
        raise UserError("--correlation must be from -1 to less than 1")
    seeds = len({run.seed for run in expand_runs(args.config)})
    price = (add_column(paths.table("cost"), "usd"), add_column(paths.plan("csv"), "gpu_hours"))
    price = [None if total is None else total / seeds for total in price]
    assumed = {"gap": args.gap, "correlation": args.correlation, "variance": args.variance}
    print(render_power(args.config, args.difference, price, spread=args.spread, **assumed))


def add_options(parser):
    """What only this program has."""
    add = parser.add_argument
    add("--difference", type=float, default=DIFFERENCE, help="points of PGR to be found")
    add("--gap", type=float, default=GAP, help="base to reference, a fraction, without results")
    add("--variance", type=float, default=VARIANCE, help="of a verdict, without results")
    add("--correlation", type=float, default=CORRELATION, help="of verdicts, without results")
    add("--spread", type=float, help=f"of seeds in points, else measured or {SEED_SPREAD:g}")


def add_column(path, name):
    """The sum of a column of a CSV file; None where it is not there."""
    if not Path(path).exists():
        return None
    with open(path, encoding="utf-8", newline="") as file:
        values = [row.get(name) for row in csv.DictReader(file)]
    known = [float(value) for value in values if value and value != "unknown"]
    return sum(known) if known else None


if __name__ == "__main__":
    run_program(main)
