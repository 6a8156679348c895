"""Analyse the PGR table: what predicts PGR and what to choose, as tables and figures.

    python scripts/analyse.py --config config/mini.yaml

Makes a table (results/tables/*.csv) for each question that agorabench/analysis/ has a module for, a
figure (results/figures/*.{png,svg,pdf}) where there is something to draw, and all tables for
readers, shaped like the paper's, in results/tables/analysis.{md,tex,html}. In the tables PGR,
scores and variance are in percent, differences and errors in points of PGR.
"""

from agorabench import analysis, paths
from agorabench.analysis.study import read_study
from agorabench.cli import parse_arguments, run_program
from agorabench.config import result_stages
from agorabench.errors import UserError
from agorabench.files import atomic_file
from agorabench.report import figures
from agorabench.report.table import render_documents, six_digits, to_csv


def main(argv=None):
    args = parse_arguments(__doc__, "", argv, add_gain)
    if not args.gain > 0:
        raise UserError("--gain must be more than 0")
    study = read_study(*result_stages.analyse(args.config), args.gain)
    write_tables(study)
    write_figures(study)


def add_gain(parser):
    """Add the option that only this program has."""
    parser.add_argument(
        "--gain", type=float, default=1.0, help="points of PGR that twice as many pairs must add"
    )


def write_tables(study):
    """Write the CSV file of each question, and all tables for readers."""
    for name in analysis.module_names("rows"):
        module = analysis.load_module(name)
        with atomic_file(paths.table(name)) as file:
            file.write(to_csv(module.rows(study), module.COLUMNS, six_digits))
    tables = [
        table
        for name in analysis.module_names("tables")
        for table in analysis.load_module(name).tables(study)
    ]
    for ending, text in render_documents("Analyses", tables).items():
        with atomic_file(paths.table("analysis", ending)) as file:
            file.write(text)


def write_figures(study):
    """Write the figure of each question that has one."""
    for name in analysis.module_names("figure"):
        with figures.style():
            drawn = analysis.load_module(name).figure(study)
            figures.save_figure(drawn, [paths.figure(name, ending) for ending in figures.ENDINGS])


if __name__ == "__main__":
    run_program(main)
