"""Make one of the tables (CSV) of results.

    python scripts/aggregate.py --config config/mini.yaml --table pgr

pgr        results/pgr_table.csv, a row for each run and benchmark and rows called "mean" for
           averages; results/tables/comparisons.csv and ranks.csv, which generator is better than
           which; seeds.csv, how far seeds lie apart; and, shaped like Table 2 of arXiv 2412.03679,
           pgr.{md,tex,html}. With --reference NAME only
           results/references/NAME.csv, with that reference of students in the place of the usual.
data       results/tables/data.csv: what every generated set is like
cost       results/tables/cost.csv: what every set took, rejected replies included
paid       results/tables/paid.csv: what was paid in all, by generator
intrinsic  results/tables/intrinsic.csv: intrinsic metrics of every set

agorabench/analysis/ has a module for each, which says what its columns mean.
"""

from agorabench import analysis, paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import result_stages
from agorabench.errors import UserError
from agorabench.files import atomic_file
from agorabench.matrix import student_references
from agorabench.report.table import render_documents, six_digits, to_csv

TABLES = ("pgr", "data", "cost", "paid", "intrinsic")


def main(argv=None):
    args = parse_arguments(
        __doc__,
        "reference?",
        argv,
        lambda parser: parser.add_argument("--table", required=True, choices=TABLES),
    )
    if args.reference and args.table != "pgr":
        raise UserError("--reference is for --table pgr")
    if args.table == "pgr":
        write_pgr_table(args.config, args.reference)
    else:
        write_table(args.config, args.table)


def write_table(config, name):
    """Write results/tables/{name}.csv."""
    rows = analysis.load_module(name).aggregate(result_stages.aggregate(config, name).params)
    columns = dict.fromkeys(column for row in rows for column in row)
    with atomic_file(paths.table(name)) as file:
        file.write(to_csv(rows, columns))


def write_pgr_table(config, reference=None):
    """Write the PGR table and what is made of it, or the table with a further reference."""
    if reference and reference not in (known := student_references(config)):
        raise UserError(f"unknown reference '{reference}'; known: {', '.join(known) or 'none'}")
    params = result_stages.aggregate(config, "pgr", reference).params
    names = ("pgr_table", "pgr_views", "seeds", "comparisons")
    pgr_table, pgr_views, seeds, comparisons = map(analysis.load_module, names)
    runs, scores = pgr_table.read_all_scores(params)
    draws, seed, apart = (params[name] for name in ("bootstrap", "seed", "apart"))
    estimates = pgr_table.estimate_table(runs, params["benchmarks"], scores, draws, seed, apart)
    rows = pgr_table.table_rows(estimates)
    path = paths.reference_table(reference) if reference else paths.PGR_TABLE
    texts = {path: pgr_table.to_csv(rows + pgr_table.missing_rows(params))}
    if not reference:
        texts[paths.table("seeds")] = pgr_table.to_csv(seeds.spread_rows(rows), seeds.COLUMNS)
        pairs, ranks = comparisons.compare_views(estimates, seed)
        texts[paths.table("comparisons")] = to_csv(pairs, comparisons.COLUMNS, six_digits)
        texts[paths.table("ranks")] = to_csv(ranks, comparisons.RANK_COLUMNS, six_digits)
        best = comparisons.best_sets(ranks)
        documents = render_documents("PGR", pgr_views.build_tables(rows, scores, params, best))
        texts |= {paths.table("pgr", ending): text for ending, text in documents.items()}
    for path, text in texts.items():
        with atomic_file(path) as file:
            file.write(text)


if __name__ == "__main__":
    run_program(main)
