"""Draw the PGR table: what each generator's data recovered, by method and domain, with intervals.

    python scripts/plot.py --config config/mini.yaml

Makes results/figures/pgr.{png,svg,pdf}; agorabench/analysis/pgr_figure.py says what it shows.
`--table` and `--output` are for another table, as results/references/ has them, and its figure.
`--width` is in inches: 7 for a page, 3.3 for a column. `--student`, `--prompt` and `--size` choose
among what the table compares; without them everything is drawn, one block below the other.
"""

from agorabench import paths
from agorabench.analysis.pgr_figure import draw_views, select_views
from agorabench.analysis.pgr_table import list_views, read_table
from agorabench.cli import parse_arguments, run_program
from agorabench.config import result_stages
from agorabench.errors import UserError
from agorabench.report import figures


def main(argv=None):
    args = parse_arguments(__doc__, "student?", argv, add_options)
    titles = result_stages.list_titles(args.config, "method")
    plot_table(args.output, args.width, args.student, args.prompt, args.size, args.table, titles)


def add_options(parser):
    """Add the options that only this program has."""
    files = [paths.figure("pgr", ending) for ending in figures.ENDINGS]
    parser.add_argument("--table", default=paths.PGR_TABLE, help="another, of results/references/")
    parser.add_argument("--output", nargs="+", default=files, help=".png, .svg or .pdf files")
    parser.add_argument("--width", type=float, default=figures.PAGE_WIDTH, help="inches")
    parser.add_argument("--prompt", help="only this prompt")
    parser.add_argument("--size", type=int, help="only this number of pairs per cell")


def plot_table(
    output,
    width=figures.PAGE_WIDTH,
    student=None,
    prompt=None,
    size=None,
    table=paths.PGR_TABLE,
    titles=None,
):
    """Draw the PGR table, or some of it, and write it to files. Raises UserError."""
    if width < figures.COLUMN_WIDTH:
        raise UserError(f"--width {width}: text is legible from {figures.COLUMN_WIDTH} on")
    views = select_views(list_views(read_table(table)), student, prompt, size)
    with figures.style():
        figures.save_figure(draw_views(views, width, titles), output)


if __name__ == "__main__":
    run_program(main)
