r"""Have a generator write instances until N of them are valid; keep every reply.

    python scripts/generate.py --domain math --method response --size 600 --seed 1 \
        --entry '{"backend": "transformers", "model": "resources/models/strong",
                  "sampling": {"temperature": 1.0, "top_p": 0.9, "max_tokens": 96}}' \
        --generation '{"attempts": 10, "validators": {"math": ["length"]},
                       "max_characters": 20000, "system": null}' \
        --seeds resources/seeds/math/response.jsonl --prompt config/prompts/mini/response/math.md \
        --journal journal/math/response/strong/mini/seed1.jsonl --output /tmp/raw.jsonl

The output has one row per reply: slot, attempt, finish_reason, usage, instruction, response and
verdict: "valid", or a reason, and the reply as it came. Slots are numbered from 0; a slot is asked
again, up to the ceiling of attempts, until it has a valid reply. Replies are journaled by
fingerprint before they are used, so nothing is asked twice.

`--entry` says what is asked; how it is asked (address, key, batches, money) is in the entry of that
name in `--config`, which goes before it, and changes nothing in the output. Beside the journal,
….ledger.json says what became of every request, whether the work succeeded or not.
"""

import argparse
import gc
import json
import random
from collections import Counter
from itertools import islice
from pathlib import Path

from agorabench.errors import run
from agorabench.files import read_jsonl, write_json, write_jsonl
from agorabench.generation import prompts
from agorabench.generation.slots import (
    FIRST_WAVE,
    Instances,
    Shortfall,
    judging,
    parameters,
    rejections,
)
from agorabench.llm import dataset, opened
from agorabench.llm.budget import spent
from agorabench.progress import Progress


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entry", type=json.loads, required=True, help="the generator's config")
    parser.add_argument("--generation", type=json.loads, required=True, help="config: generation")
    parser.add_argument("--config", help="the whole config (YAML or JSON): how to ask, max_usd")
    parser.add_argument("--generator", help="the generator's name in --config")
    parser.add_argument("--domain", required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--size", type=int, required=True, help="valid pairs wanted")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seeds", help="seed data (JSON Lines)")
    parser.add_argument("--prompt", help="the meta-prompt file")
    parser.add_argument("--replies", choices=("text", "json"), default="text", help="their form")
    parser.add_argument("--themes", nargs="*", default=[], help="a file, one theme a line")
    parser.add_argument("--openings", nargs="*", default=[], help="a file, one opening a line")
    parser.add_argument("--benchmarks", nargs="*", default=[], help="items no pair may share")
    parser.add_argument("--journal", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=64, help="of a local model: at a time")
    args = parser.parse_args(argv)

    # Replies live to the end, and looking for cycles among them takes a tenth of the time.
    gc.set_threshold(100_000, 50, 1000)
    check, repeats = judging(args.generation, args.domain, args.benchmarks)
    if args.entry["backend"] == "dataset":
        pairs = dataset.load(args.entry["data"][args.domain])
        write_jsonl(args.output, adopt(pairs, check, args.size, args.seed, repeats))
        return
    entry, config = settings(args)
    writer = prompts.Composer(
        domain=args.domain,
        method=args.method,
        seed=args.seed,
        template=Path(args.prompt).read_text(encoding="utf-8"),
        seeds=read_jsonl(args.seeds),
        themes=[line for path in args.themes for line in prompts.read_lines(path)],
        openings=[line for path in args.openings for line in prompts.read_lines(path)],
        demonstrations=args.generation.get("demonstrations"),
        system=args.generation["system"],
        replies=args.replies,
    )
    place = Path(args.journal)
    label = f"{args.method} {args.domain}, {place.parent.parent.name}"
    with (
        opened(
            args.generator, entry, config, place, threads=args.threads, batch_size=args.batch_size
        ) as (journal, backend),
        Progress(label, args.size, "valid") as bar,
    ):
        instances = Instances(
            writer, journal, backend.identity, parameters(entry, args.replies), check,
            args.size, args.generation["attempts"], bar.advance, repeats,
        )  # fmt: skip
        try:
            instances.generate(backend, args.generation.get("first_wave", FIRST_WAVE))
        finally:
            rows = instances.rows
            told = account(journal, rows, entry.get("price"))
            write_json(place.with_suffix(".ledger.json"), told)
    write_jsonl(args.output, rows)


def settings(args):
    """The generator's whole entry, and the config it is from, or {} where none was given."""
    if not args.config:
        return args.entry, {}
    from agorabench.config.references import read

    config = read(args.config)
    return args.entry | config["generators"][args.generator], config


def account(journal, rows, price):
    """What became of every request of a journal, and of the replies of the set at hand.

    "requests" is what the provider counts; "usd" counts what may have been billed, though nobody
    told what it took, at the most that it can be.
    """
    usage = [row["usage"] for row in journal.paid if row.get("usage")]
    return {
        "requests": len(journal) + journal.faults.total(),
        "replies": len(journal),
        "faults": dict(sorted(journal.faults.items())),
        "input_tokens": sum(part["input"] for part in usage),
        "output_tokens": sum(part["output"] for part in usage),
        "replies_without_usage": sum(not row.get("usage") for row in journal.rows.values()),
        "usd": spent(journal.paid, price) if price else 0.0,
        "models": dict(Counter(row["model"] for row in journal.paid if row.get("model"))),
        "set": {
            "replies": len(rows),
            "valid": sum(row["verdict"] == "valid" for row in rows),
            "rejected": dict(Counter(r["verdict"] for r in rows if r["verdict"] != "valid")),
        },
    }


def adopt(pairs, check, size, seed, repeats=None):
    """Rows of the first `size` valid pairs of a data set, in an order drawn by `seed`.

    With `repeats` (see Instances) pairs that repeat an earlier one do not count.
    """
    order = iter(enumerate(random.Random(f"adopt {seed}").sample(range(len(pairs)), len(pairs))))
    rows, valid = [], []
    while missing := list(islice(order, size - len(valid))):
        for slot, place in missing:
            pair = pairs[place]
            verdict = check((pair["instruction"], pair["response"]))
            usage = {"input": 0, "output": 0}
            rows.append({"slot": slot, "attempt": 0, "usage": usage, **pair, "verdict": verdict})
        valid = [row for row in rows if row["verdict"] == "valid"]
        if repeats and repeats(valid):
            valid = [row for row in valid if row["verdict"] == "valid"]
    if len(valid) == size:
        return rows
    raise Shortfall(
        f"the data set has {len(valid)} valid pairs of {len(pairs)} and {size} are wanted; "
        f"{rejections(rows)}"
    )


if __name__ == "__main__":
    run(main)
