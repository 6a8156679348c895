"""Say how far a training set repeats itself and the benchmarks' test items.

    python scripts/audit.py --config config/mini.yaml --cell math/response/strong/mini/n600-seed1

Makes results/data/{cell}.audit.json, counts of pairs: "duplicates" of an earlier pair, or of its
instruction, exact and near ones (exact ones included), and "overlap" with each benchmark of the
domain; "overlap_any" with at least one. Seed data that is trained on too is not looked at.
"""

from collections import Counter

from agorabench import paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import stages
from agorabench.files import read_jsonl, write_json
from agorabench.generation import contamination, duplicates
from agorabench.rows import trained_pair


def main(argv=None):
    args = parse_arguments(__doc__, "cell", argv)
    inputs, params = stages.audit(args.config, args.cell)
    pairs = [
        trained_pair(row) for row in read_jsonl(*inputs["data"]) if row["origin"] == "generated"
    ]
    audit = {"pairs": len(pairs), "duplicates": count_duplicates(pairs)}
    items = contamination.load_items(inputs["benchmarks"], params.get("questions"))
    audit |= count_overlaps(pairs, items)
    write_json(paths.set_audit(args.cell), audit)


def count_duplicates(pairs):
    """Numbers of repeated instructions and of repeated (instruction, response) pairs."""
    texts = {"instruction": [pair[0] for pair in pairs], "pair": list(map("\n".join, pairs))}
    return {
        part: {name: sum(repeats(whole)) for name, repeats in duplicates.REPEATS.items()}
        for part, whole in texts.items()
    }


def count_overlaps(pairs, items):
    """Numbers of pairs that share words with test items (contamination.BenchmarkItems)."""
    found = [items.find_overlap(pair) for pair in pairs]
    counts = Counter(name for names in found for name in names)
    return {
        "overlap": {name: counts[name] for name in items.names},
        "overlap_any": sum(map(bool, found)),
    }


if __name__ == "__main__":
    run_program(main)
