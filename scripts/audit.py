r"""Say how far a training set repeats itself and the benchmarks' test items.

    python scripts/audit.py --data results/data/math/response/strong/mini/n600-seed1.jsonl \
        --benchmarks resources/benchmarks/mini-sums.jsonl --output /tmp/data.audit.json

Counts pairs: "duplicates" of an earlier pair, or of its instruction, exact and near ones (exact
ones included), and "overlap" with each benchmark; "overlap_any" with at least one. What is counted
says agorabench/generation/duplicates.py. Seed data that is trained on too is not looked at.
"""

import argparse
from collections import Counter

from agorabench.errors import run
from agorabench.files import read_jsonl, write_json
from agorabench.generation import duplicates


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the training set")
    parser.add_argument("--benchmarks", nargs="*", default=[], help="files of test items")
    parser.add_argument("--output", required=True)
    args = parser.parse_args(argv)

    pairs = [
        tuple(turn["content"] for turn in row["messages"])
        for row in read_jsonl(args.data)
        if row["origin"] == "generated"
    ]
    told = {"pairs": len(pairs), "duplicates": count_duplicates(pairs)}
    write_json(args.output, told | overlaps(pairs, duplicates.load(args.benchmarks)))


def count_duplicates(pairs):
    """Numbers of repeated instructions and of repeated (instruction, response) pairs."""
    texts = {"instruction": [pair[0] for pair in pairs], "pair": list(map("\n".join, pairs))}
    return {
        part: {name: sum(repeats(whole)) for name, repeats in duplicates.REPEATS.items()}
        for part, whole in texts.items()
    }


def overlaps(pairs, items):
    """Numbers of pairs that share words with test items (an overlap.Items)."""
    found = [items.found(pair) for pair in pairs]
    counts = Counter(name for names in found for name in names)
    return {
        "overlap": {name: counts[name] for name in items.names},
        "overlap_any": sum(map(bool, found)),
    }


if __name__ == "__main__":
    run(main)
