"""Write all generated sets as one folder with a dataset card, ready for upload.

    python scripts/export.py --config config/mini.yaml
    hf upload USER/NAME results/dataset --repo-type dataset

Every set becomes a configuration of its own, in Parquet: load_dataset("results/dataset", NAME).
"""

from pathlib import Path

from agorabench import matrix, paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import result_stages
from agorabench.errors import UserError
from agorabench.files import atomic_file, read_json, read_jsonl
from agorabench.report.card import name_sets, render_card
from agorabench.report.readable import read_table


def main(argv=None):
    args = parse_arguments(__doc__, "", argv)
    output = Path(paths.DATASET)
    if output.exists() and any(output.iterdir()):
        raise UserError(f"{output} is not empty; remove it")
    cells = matrix.list_cells(args.config)
    names = name_sets(cells)
    counts = {
        name: write_parquet(paths.training_set(cell), output / name / "train.parquet")
        for name, cell in names.items()
    }
    card = render_card(result_stages.export(args.config).params, names, counts, read_records(cells))
    with atomic_file(output / "README.md") as file:
        file.write(card)


def write_parquet(source, target):
    """Write a JSON Lines file as Parquet; returns the number of rows."""
    import pyarrow
    import pyarrow.parquet

    text = pyarrow.string()
    turns = pyarrow.list_(pyarrow.struct({"role": text, "content": text}))
    schema = pyarrow.schema({"messages": turns, "origin": text})
    rows = pyarrow.Table.from_pylist(read_jsonl(source), schema)
    target.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(rows, target)
    return len(rows)


def read_records(cells):
    """Ledgers, manifests of the seed data, and rows of the tables of sets and costs."""
    seeds = {(c.domain, c.method): None for c in cells if c.prompt != matrix.NO_PROMPT}
    return {
        "ledgers": {cell: read_json(paths.set_ledger(cell)) for cell in cells},
        "manifests": {key: read_json(paths.manifest(paths.seed_rows(*key))) for key in seeds},
        "sets": rows_by_cell(paths.table("data")),
        "costs": rows_by_cell(paths.table("cost")),
    }


def rows_by_cell(path):
    """Rows of a table by their cell's coordinates, as text."""
    _, rows = read_table(path)
    return {tuple(row[axis] for axis in matrix.COORDINATES): row for row in rows}


if __name__ == "__main__":
    run_program(main)
