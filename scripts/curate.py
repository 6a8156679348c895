"""Turn raw replies into the first N valid training pairs, with a ledger of the rest.

    python scripts/curate.py --config config/mini.yaml --cell math/response/strong/mini/n600-seed1

Makes results/data/{cell}.jsonl, rows of "messages" as TRL and `datasets` read them and "origin"
("generated" or "seed"), and {cell}.ledger.json. In instance generation the seed set itself is
trained on too, as in the paper (Table 1), unless generation.train_on_seeds is false.
"""

from collections import Counter

from agorabench import paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import stages
from agorabench.errors import UserError
from agorabench.files import read_jsonl, write_json, write_jsonl


def main(argv=None):
    args = parse_arguments(__doc__, "cell", argv)
    inputs = stages.curate(args.config, args.cell).inputs
    raw = read_jsonl(*inputs["raw"])
    seeds = [row for path in inputs["seeds"] for row in read_jsonl(path)]
    pairs = select_pairs(raw, args.cell.size)
    rows = [training_row(pair, "generated") for pair in pairs]
    rows += [training_row(row, "seed") for row in seeds]
    write_jsonl(paths.training_set(args.cell), rows)
    ledger = count_replies(raw, pairs, len(seeds))
    if parts := count_by_generator(raw, pairs):
        ledger["parts"] = parts
    write_json(paths.set_ledger(args.cell), ledger)


def select_pairs(raw, size):
    """The first `size` rows whose verdict is "valid", by slot.

    Raises:
        UserError: there are fewer.
    """
    valid = [row for row in raw if row["verdict"] == "valid"][:size]
    if len(valid) < size:
        raise UserError(f"{len(valid)} valid pairs among {len(raw)} replies; {size} are wanted")
    return valid


def training_row(pair, origin):
    """A pair as one conversation."""
    return {
        "messages": [
            *pair.get("before", []),
            {"role": "user", "content": pair["instruction"]},
            {"role": "assistant", "content": pair["response"]},
        ],
        "origin": origin,
    }


def count_replies(raw, pairs, seeds):
    """Counts of accepted and rejected replies, tokens, and the model names the API reported."""
    rejected = Counter(row["verdict"] for row in raw if row["verdict"] != "valid")
    usage = [row["usage"] for row in raw if row["usage"]]  # some endpoints report none
    batch = [row["usage"] for row in raw if row["usage"] and "mode" in row]  # cost less
    return {
        "pairs": len(pairs),
        "seeds_added": seeds,
        "replies": len(raw),
        "rejected": dict(rejected),
        "slots_given_up": len({row["slot"] for row in raw})
        - sum(row["verdict"] == "valid" for row in raw),
        "input_tokens": sum(tokens["input"] for tokens in usage),
        "output_tokens": sum(tokens["output"] for tokens in usage),
        "batch_input_tokens": sum(tokens["input"] for tokens in batch),  # of those above
        "batch_output_tokens": sum(tokens["output"] for tokens in batch),
        "replies_without_usage": len(raw) - len(usage),
        "models": dict(sorted(Counter(row["model"] for row in raw if row.get("model")).items())),
    }


def count_by_generator(raw, pairs):
    """Of a mixture, whose rows name their generators: generator -> `count_replies` of its rows."""

    def rows_of(name, rows):
        return [row for row in rows if row["generator"] == name]

    names = sorted({row["generator"] for row in raw if "generator" in row})
    return {name: count_replies(rows_of(name, raw), rows_of(name, pairs), 0) for name in names}


if __name__ == "__main__":
    run_program(main)
