r"""Say how far a training set repeats itself and the benchmarks' test items.

    python scripts/audit.py --data results/data/math/response/strong/mini/n600-seed1.jsonl \
        --benchmarks resources/benchmarks/mini-sums.jsonl --output /tmp/data.audit.json

Counts pairs: "duplicates" of an earlier pair, or of its instruction, exact and near ones (exact
ones included), and "overlap" with each benchmark; "overlap_any" with at least one. What is counted
says agorabench/overlap.py. Seed data that is trained on too is not looked at.
"""

import argparse
from collections import Counter

from agorabench import jsonl, overlap
from agorabench.errors import run


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the training set")
    parser.add_argument("--benchmarks", nargs="*", default=[], help="files of test items")
    parser.add_argument("--output", required=True)
    args = parser.parse_args(argv)

    rows = [row for row in jsonl.read(args.data) if row["origin"] == "generated"]
    pairs = [tuple(turn["content"] for turn in row["messages"]) for row in rows]
    jsonl.write_json(args.output, audit(pairs, overlap.load(args.benchmarks)))


def audit(pairs, items):
    """Counts of duplicates among (instruction, response) pairs and of overlaps with `items`."""
    found = [items.found(pair) for pair in pairs]
    counts = Counter(name for names in found for name in names)
    texts = {"instruction": [pair[0] for pair in pairs], "pair": ["\n".join(p) for p in pairs]}
    return {
        "pairs": len(pairs),
        "duplicates": {
            part: {name: sum(repeats(whole)) for name, repeats in overlap.REPEATS.items()}
            for part, whole in texts.items()
        },
        "overlap": {name: counts[name] for name in items.names},
        "overlap_any": sum(map(bool, found)),
    }


if __name__ == "__main__":
    run(main)
