r"""What PGR goes along with, and what to choose: tables and figures shaped like the paper's.

    python scripts/analyse.py --table results/pgr_table.csv --cost results/tables/cost.csv \
        --intrinsic results/tables/intrinsic.csv --scores results/scores \
        --benchmarks '{"mini-sums": "math"}' --generators strong noisy narrow \
        --prices '{"strong": {"input": 0.35, "output": 0.40}}' --tables /tmp/tables \
        --figures /tmp/figures

Without `--intrinsic` or `--scores` the analyses that need them say so in their place. A generator
whose sets stand in `--intrinsic` and not in `--table` gets a predicted PGR before any training.
Mixtures of generators (`--mixtures`) are in no fit, and get a predicted PGR beside their own. In
the tables PGR, scores and variance are in percent, differences and errors in points of PGR.

Tables: abilities, correlations, components, regressions, prediction, prompts, amount, value (CSV),
and analysis (Markdown, LaTeX, HTML). Figures: ability, components, correlations, prediction,
amount, value (PNG, SVG, PDF).
"""

import argparse
import csv
import json
from pathlib import Path

from agorabench.analysis import choices, findings, illustrations, study
from agorabench.cli import run_program
from agorabench.errors import UserError
from agorabench.files import atomic_file
from agorabench.report.table import to_latex, to_markdown, to_page
from agorabench.stats.pgr import from_csv, views


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", required=True, type=Path, help="the PGR table (CSV)")
    parser.add_argument("--cost", required=True, type=Path, help="what sets took (CSV)")
    parser.add_argument("--intrinsic", type=Path, help="intrinsic metrics of the sets (CSV)")
    parser.add_argument("--scores", type=Path, help="folder of score files")
    parser.add_argument("--generators", nargs="*", default=[], help="whose scores are read")
    parser.add_argument("--benchmarks", type=json.loads, default={}, help="benchmark -> domain")
    parser.add_argument("--apart", nargs="*", default=[], help="benchmarks that no mean is over")
    parser.add_argument("--mixtures", nargs="*", default=[], help="generators that mix others")
    parser.add_argument("--prices", type=json.loads, default={}, help="generator -> USD/Mtok")
    parser.add_argument("--gain", type=float, default=1.0, help="points that a doubling must add")
    parser.add_argument("--bootstrap", type=int, default=2000, help="draws of the bootstrap")
    parser.add_argument("--seed", type=int, default=1, help="seed of the bootstrap")
    parser.add_argument("--tables", required=True, type=Path, help="folder of the tables")
    parser.add_argument("--figures", type=Path, help="folder of the figures; without, none")
    args = parser.parse_args(argv)

    if args.bootstrap < 2 or args.seed < 0 or not args.gain > 0:
        raise UserError("--bootstrap needs at least 2 draws, --seed 0 or more, --gain more than 0")
    rows, costs = read_table(args.table), read_costs(args.cost)
    intrinsic, abilities = [], []
    if args.intrinsic:
        intrinsic = study.read_csv(args.intrinsic, study.INTRINSIC, ["value"])
    if args.scores:
        abilities = study.read_abilities(args.scores, args.generators, args.benchmarks)
    counted = [row for row in abilities if row["benchmark"] not in args.apart]
    found = [
        findings.Findings.of(block, costs, args.prices, args.bootstrap, args.seed)
        for block in study.blocks(views(rows), intrinsic, counted, args.mixtures)
    ]
    prompts = choices.compare_prompts(rows, args.mixtures)
    lines = choices.amounts(rows, args.gain)

    def every(part):
        return [row for one in found for row in getattr(one, part)]

    for name, columns, table in (
        ("abilities", study.ABILITIES, abilities),
        ("correlations", study.CORRELATIONS, every("correlation_rows")),
        ("components", study.COMPONENTS, every("component_rows")),
        ("regressions", study.REGRESSIONS, every("regression_rows")),
        ("prediction", study.PREDICTIONS, every("prediction_rows")),
        ("prompts", choices.PROMPTS, prompts or [missing("meta-prompts")]),
        ("amount", choices.AMOUNTS, choices.amount_rows(lines) or [missing("sizes")]),
        ("value", choices.VALUES, every("values")),
    ):
        write_csv(args.tables / f"{name}.csv", columns, table)
    told = findings.sheets(found, rows, abilities, study.means(counted), prompts, lines, args.gain)
    for ending, form in (
        ("md", to_markdown),
        ("tex", to_latex),
        ("html", to_page),
    ):
        with atomic_file(args.tables / f"analysis.{ending}") as file:
            file.write(form(told))
    if args.figures:
        illustrations.draw(found, lines, args.figures)


def missing(axis):
    """The only row of a table that compares along an axis on which nothing can be compared."""
    return {"reason": f"no cells were run with two {axis}"}


def read_table(path):
    """Rows of the PGR table."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"no PGR table {path}: snakemake {path} makes it") from None
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text") from None
    return from_csv(text, path)


def read_costs(path):
    """choices.Costs of tables/cost.csv."""
    numbers = ["usd", "usd_per_pair"]
    return choices.Costs(study.read_csv(path, study.COSTS, numbers))


def write_csv(path, columns, rows):
    """A tidy table: six digits that matter, nothing for what has no value."""
    with atomic_file(path) as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: text(value) for name, value in row.items()})


def text(value):
    """A value of a table as text."""
    if isinstance(value, float):
        if value != value:
            raise ValueError("a NaN is no value of a table: it needs a reason in words")
        return f"{value:.6g}"
    return "" if value is None else value


if __name__ == "__main__":
    run_program(main)
