"""Recompute what the paper prints from the tables that it prints, and show both side by side.

    python scripts/paper.py --config config/mini.yaml

Makes results/paper/comparison.html, one file with its figures in it. Of the config only `bootstrap`
and `seed` matter; the printed tables are in config/paper.
"""

from agorabench import paths
from agorabench.analysis.paper import analyse_tables, read_tables
from agorabench.analysis.paper_page import render_page
from agorabench.cli import parse_arguments, run_program
from agorabench.config import result_stages
from agorabench.files import atomic_file


def main(argv=None):
    args = parse_arguments(__doc__, "", argv)
    params = result_stages.paper(args.config).params
    tables = read_tables()
    analyses = analyse_tables(tables, params["bootstrap"], params["seed"])
    with atomic_file(paths.PAPER_COMPARISON) as file:
        file.write(render_page(tables, analyses))


if __name__ == "__main__":
    run_program(main)
