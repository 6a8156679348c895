"""Have a generator write pairs until N of them are valid; keep every reply.

    python scripts/generate.py --config config/mini.yaml --cell math/response/strong/mini/n600-seed1
    ... --dry-run                                       says what it would ask, and asks nobody

Makes results/raw/{cell}.jsonl, a row for each reply: slot, attempt, finish_reason, usage,
instruction, response and verdict ("valid", or why not, and the reply as it came). A slot is asked
again, up to the ceiling of attempts, until it has a valid reply. Replies are journaled by
fingerprint before they are used, so nothing is asked twice; beside the journal, ….ledger.json says
what became of every request, whether the work succeeded or not.
"""

import gc
import random
from collections import Counter
from itertools import islice

from agorabench import paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import stages
from agorabench.files import to_json, write_json, write_jsonl
from agorabench.generation.cells import first_wave, list_markers, open_slots
from agorabench.generation.slots import Shortfall, format_rejections, pair_checks
from agorabench.llm import dataset, open_backend
from agorabench.llm.budget import rows_cost
from agorabench.llm.silent import DryRun
from agorabench.progress import Progress


def main(argv=None):
    args = parse_arguments(__doc__, "cell dry-run?", argv)
    # Replies live to the end, and looking for cycles among them takes a tenth of the time.
    gc.set_threshold(100_000, 50, 1000)
    stage = stages.generate(args.config, args.cell)
    adopts = args.config["generators"][args.cell.generator]["backend"] == "dataset"
    if args.dry_run:
        print(to_json({"requests": 0}) if adopts else dry_run(args.config, args.cell, stage))
        return
    if adopts:
        rows = adopt_pairs(stage, args.config["methods"][args.cell.method], args.cell)
    else:
        rows = generate_pairs(args.config, args.cell, stage, args.threads)
    write_jsonl(paths.raw_replies(args.cell), rows)


def generate_pairs(config, cell, stage, threads=1):
    """The rows of a cell, asked of its generator where the journal lacks replies.

    Raises:
        Shortfall: the generator did not give enough valid pairs.
    """
    entry, journal_path = config["generators"][cell.generator], paths.set_journal(cell)
    label = f"{cell.method} {cell.domain}, {cell.generator}"
    method = config["methods"][cell.method]
    with (
        open_backend(cell.generator, config, journal_path, threads) as (journal, backend),
        Progress(label, cell.size, "valid") as bar,
    ):
        slots = open_slots(stage, entry, method, cell, journal, backend.identity, bar.advance)
        try:
            slots.generate(backend, first_wave(stage))
        finally:
            ledger = count_requests(journal, slots.rows, entry.get("price"))
            write_json(paths.journal_ledger(journal_path), ledger)
    return slots.rows


def dry_run(config, cell, stage):
    """What `generate_pairs` would ask, in a line of JSON."""
    entry, method = config["generators"][cell.generator], config["methods"][cell.method]
    with DryRun(entry, paths.set_journal(cell)) as run:
        slots = open_slots(stage, entry, method, cell, run.journal, run.backend.identity)
        slots.generate(run.backend, first_wave(stage))
    return run.summary(valid=len(slots.pairs), size=cell.size)


def count_requests(journal, rows, price):
    """What became of every request of a journal, and of the replies of the set at hand.

    "requests" is what the provider counts; "usd" counts what may have been billed, though nobody
    reported what it took, at the most that it can be.
    """
    usage = [row["usage"] for row in journal.paid_rows if row.get("usage")]
    return {
        "requests": len(journal) + journal.faults.total(),
        "replies": len(journal),
        "faults": dict(sorted(journal.faults.items())),
        "input_tokens": sum(tokens["input"] for tokens in usage),
        "output_tokens": sum(tokens["output"] for tokens in usage),
        "replies_with_thoughts": sum(
            bool(row.get("thoughts") or (row.get("usage") or {}).get("thoughts"))
            for row in journal.rows.values()
        ),
        "replies_without_usage": sum(not row.get("usage") for row in journal.rows.values()),
        "usd": rows_cost(journal.paid_rows, price) if price else 0.0,
        "models": dict(Counter(row["model"] for row in journal.paid_rows if row.get("model"))),
        "set": {
            "replies": len(rows),
            "valid": sum(row["verdict"] == "valid" for row in rows),
            "rejected": dict(Counter(r["verdict"] for r in rows if r["verdict"] != "valid")),
        },
    }


def adopt_pairs(stage, method, cell):
    """The rows of a cell, taken from the data set that stands in for its generator."""
    inputs, params = stage
    pairs = dataset.load_pairs(params["generator"]["data"][cell.domain])
    generation, benchmarks = params["generation"], inputs["benchmarks"]
    check, repeats = pair_checks(generation, cell.domain, benchmarks, list_markers(method))
    return adopt(pairs, check, cell.size, cell.seed, repeats)


def adopt(pairs, check, size, seed, repeats=None):
    """Rows of the first `size` valid pairs of a data set, in an order drawn by `seed`.

    With `repeats` (see Slots) pairs that repeat an earlier one do not count.

    Raises:
        Shortfall: there are fewer.
    """
    order = iter(enumerate(random.Random(f"adopt {seed}").sample(range(len(pairs)), len(pairs))))
    rows, valid = [], []
    while missing := list(islice(order, size - len(valid))):
        for slot, index in missing:
            pair = pairs[index]
            earlier = [turn["content"] for turn in pair.get("before", [])]
            verdict = check(("\n\n".join([*earlier, pair["instruction"]]), pair["response"]))
            usage = {"input": 0, "output": 0}
            rows.append({"slot": slot, "attempt": 0, "usage": usage, **pair, "verdict": verdict})
        valid = [row for row in rows if row["verdict"] == "valid"]
        if repeats and repeats(valid):
            valid = [row for row in valid if row["verdict"] == "valid"]
    if len(valid) == size:
        return rows
    raise Shortfall(
        f"the data set has {len(valid)} valid pairs of {len(pairs)} and {size} are wanted; "
        f"{format_rejections(rows)}"
    )


if __name__ == "__main__":
    run_program(main)
