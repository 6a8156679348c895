r"""Turn raw replies into the first N valid training pairs, with a ledger of the rest.

    python scripts/curate.py --raw results/raw/math/response/strong/mini/n600-seed1.jsonl \
        --size 500 --output /tmp/data.jsonl --ledger /tmp/data.ledger.json

Rows hold "messages" as TRL and `datasets` read them, and "origin": "generated" or "seed". With
`--seeds` the seed set itself is trained on too, as the paper does in instance generation (Table 1).
"""

import argparse
from collections import Counter

from agorabench.errors import UserError, run
from agorabench.files import read_jsonl, write_json, write_jsonl


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", required=True)
    parser.add_argument("--seeds", nargs="*", default=[], help="seed data to be trained on too")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--ledger", required=True)
    args = parser.parse_args(argv)

    raw = read_jsonl(args.raw)
    seeds = [row for path in args.seeds for row in read_jsonl(path)]
    pairs = curate(raw, args.size)
    rows = [training_row(pair, "generated") for pair in pairs]
    rows += [training_row(row, "seed") for row in seeds]
    write_jsonl(args.output, rows)
    told = ledger(raw, pairs, len(seeds))
    if mixed := parts(raw, pairs):
        told["parts"] = mixed
    write_json(args.ledger, told)


def curate(raw, size):
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
            {"role": "user", "content": pair["instruction"]},
            {"role": "assistant", "content": pair["response"]},
        ],
        "origin": origin,
    }


def ledger(raw, pairs, seeds):
    """What became of every reply, the tokens they took and the models that said they answered."""
    rejected = Counter(row["verdict"] for row in raw if row["verdict"] != "valid")
    usage = [row["usage"] for row in raw if row["usage"]]  # some endpoints tell none
    batch = [row["usage"] for row in raw if row["usage"] and "mode" in row]  # cost less
    return {
        "pairs": len(pairs),
        "seeds_added": seeds,
        "replies": len(raw),
        "rejected": dict(rejected),
        "slots_given_up": len({row["slot"] for row in raw})
        - sum(row["verdict"] == "valid" for row in raw),
        "input_tokens": sum(part["input"] for part in usage),
        "output_tokens": sum(part["output"] for part in usage),
        "batch_input_tokens": sum(part["input"] for part in batch),  # of those above
        "batch_output_tokens": sum(part["output"] for part in batch),
        "replies_without_usage": len(raw) - len(usage),
        "models": dict(sorted(Counter(row["model"] for row in raw if row.get("model")).items())),
    }


def parts(raw, pairs):
    """Of a mixture, whose rows name their generators: generator -> `ledger` of its rows."""

    def of(name, rows):
        return [row for row in rows if row["generator"] == name]

    names = sorted({row["generator"] for row in raw if "generator" in row})
    return {name: ledger(of(name, raw), of(name, pairs), 0) for name in names}


if __name__ == "__main__":
    run(main)
