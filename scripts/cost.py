r"""What every generated set took: replies, tokens and dollars.

    python scripts/cost.py --matrix '{"generators": {"strong": {"backend": "transformers"}},
        "experiments": {"main": {"students": ["mini"], "domains": ["math"], "methods": ["response"],
        "generators": ["strong"], "prompts": ["mini"], "sizes": [600], "seeds": [1]}}}' \
        --prices '{"strong": {"input": 0.055, "output": 0.055}}' \
        --data results/data --output /tmp/cost.csv

Prices are USD per million tokens. All replies are counted, rejected ones too: they were paid for.
"""

import argparse
import json
from pathlib import Path

from agorabench import grid, jsonl
from agorabench.errors import run

COLUMNS = ("domain", "method", "generator", "prompt", "size", "seed")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--matrix", type=json.loads, required=True, help="experiments, backends")
    parser.add_argument("--prices", type=json.loads, required=True, help="generator -> USD/Mtok")
    parser.add_argument("--data", required=True, help="folder of the ledgers")
    parser.add_argument("--output", required=True)
    args = parser.parse_args(argv)

    import pandas

    cells = {found.cell: found for found in grid.runs(args.matrix)}
    rows = []
    for cell, found in cells.items():
        ledger = jsonl.read_json(Path(args.data) / f"{cell}.ledger.json")
        row = {column: getattr(found, column) for column in COLUMNS}
        rows.append(row | spent(ledger, args.prices[found.generator]))
    with jsonl.whole(args.output) as file:
        pandas.DataFrame(rows).to_csv(file, index=False)


def spent(ledger, price):
    """Replies, tokens and USD of one set, at `price` per million tokens."""
    usd = ledger["input_tokens"] * price["input"] + ledger["output_tokens"] * price["output"]
    return {
        "pairs": ledger["pairs"],
        "replies": ledger["replies"],
        "input_tokens": ledger["input_tokens"],
        "output_tokens": ledger["output_tokens"],
        "usd": round(usd / 1e6, 6),
    }


if __name__ == "__main__":
    run(main)
