"""Write one page of all that was found: results/report.html, with no need of a network; and what to
take from it in sentences, results/tables/decision.md.

    python scripts/report.py --config config/mini.yaml

It holds the PGR table, tables and figures (agorabench/report/exhibits.py), and a section for every
set: numbers, samples, what was rejected, and for every student trained on it scores, training curve
and answers. Samples are spaced evenly over a file, and the same items of a benchmark are shown for
every model.
"""

from agorabench import analysis, paths
from agorabench.analysis.comparisons import read_rows
from agorabench.analysis.pgr_table import list_views, read_table
from agorabench.analysis.study import read_costs
from agorabench.analysis.verdicts import decide_views, render_decision
from agorabench.cli import parse_arguments, run_program
from agorabench.config import result_stages
from agorabench.files import atomic_file
from agorabench.report.exhibits import Exhibit, list_exhibits
from agorabench.report.page import load_exhibit, render_report
from agorabench.report.warnings import list_warnings

COMPARED = [paths.table(name) for name in ("comparisons", "ranks")]


def main(argv=None):
    args = parse_arguments(__doc__, "", argv, add_options)
    rows = read_table(paths.PGR_TABLE)
    views, (pairs, ranks) = list_views(rows), map(read_rows, COMPARED)
    verdicts = decide_views(views, ranks, pairs, read_costs(paths.table("cost")))
    sets = load_exhibit(0, Exhibit("", table=paths.table("data")))
    with atomic_file(paths.table("decision", "md")) as file:
        file.write(render_decision(verdicts, list_warnings(args.config, rows, [sets])))
    page = render_report(
        args.config,
        rows,
        views,
        list_exhibits(args.config, analysis.module_names("figure")),
        result_stages.report(args.config).params["prices"],
        verdicts=verdicts,
        samples=args.samples,
        answers=args.answers,
        characters=args.characters,
    )
    with atomic_file(paths.REPORT) as file:
        file.writelines(page)


def add_options(parser):
    """What changes the page's length only."""
    parser.add_argument("--samples", type=int, default=6, help="pairs to show of a set")
    parser.add_argument("--answers", type=int, default=4, help="of a model on a benchmark")
    parser.add_argument("--characters", type=int, default=2000, help="of a text of a model")


if __name__ == "__main__":
    run_program(main)
