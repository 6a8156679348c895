r"""One table of what every generated set is like.

    python scripts/describe.py --matrix '{"generators": {"strong": {"backend": "transformers"}},
        "experiments": {"main": {"students": ["mini"], "domains": ["math"], "methods": ["response"],
        "generators": ["strong"], "prompts": ["mini"], "sizes": [600], "seeds": [1]}}}' \
        --data results/data --output /tmp/data.csv

Duplicates and overlaps are in percent of the pairs; a benchmark of another domain has no value.
"""

import argparse
import csv
import json
from pathlib import Path

from agorabench import matrix
from agorabench.cli import run_program
from agorabench.files import atomic_file, read_json

COLUMNS = ("domain", "method", "generator", "prompt", "size", "seed")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--matrix", type=json.loads, required=True, help="experiments, backends")
    parser.add_argument("--data", required=True, help="folder of the ledgers and audits")
    parser.add_argument("--output", required=True)
    args = parser.parse_args(argv)

    rows = []
    for cell, found in {found.cell: found for found in matrix.expand_runs(args.matrix)}.items():
        ledger, audit = (
            read_json(Path(args.data) / f"{cell}.{kind}.json") for kind in ("ledger", "audit")
        )
        place = {column: getattr(found, column) for column in COLUMNS}
        rows.append(place | describe(ledger, audit))
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with atomic_file(args.output) as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def describe(ledger, audit):
    """The columns of one set."""

    def percent(count):
        return round(100 * count / audit["pairs"], 2)

    return {
        "pairs": ledger["pairs"],
        "seeds_added": ledger["seeds_added"],
        "replies": ledger["replies"],
        "rejected": sum(ledger["rejected"].values()),
        **{
            f"{kind}_duplicate_{part}s": percent(count)
            for part, counts in audit["duplicates"].items()
            for kind, count in counts.items()
        },
        "in_benchmarks": percent(audit["overlap_any"]),
        **{f"in_{name}": percent(count) for name, count in audit["overlap"].items()},
    }


if __name__ == "__main__":
    run_program(main)
