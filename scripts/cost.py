r"""What every generated set took, and what was paid in all: replies, tokens and dollars.

    python scripts/cost.py --matrix '{"generators": {"strong": {"backend": "transformers"}},
        "experiments": {"main": {"students": ["mini"], "domains": ["math"], "methods": ["response"],
        "generators": ["strong"], "prompts": ["mini"], "sizes": [600], "seeds": [1]}}}' \
        --prices '{"strong": {"input": 0.055, "output": 0.055}}' --data results/data \
        --journals journal --output /tmp/cost.csv --paid /tmp/paid.csv

Prices are USD per million tokens. In `--output` a row is a set: its replies, rejected ones too, as
if it had been made alone. A mixture (`--mixtures`) is taken from sets of its parts that are each as
large as itself, so its row is the sum of theirs, over its own pairs. Sets of several sizes, and
mixtures and their parts, share replies: the rows must not be added up.
In `--paid` a row is a generator: all that its journals hold, once, with what came of prompts that
were given up and of faults that were billed. `replies_without_usage` counts those whose tokens the
provider did not tell; where there are any, tokens and dollars are lower bounds.
"""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

from agorabench import matrix
from agorabench.cli import run_program
from agorabench.files import atomic_file, read_json
from agorabench.llm.budget import usage_cost
from agorabench.llm.journal import read_rows
from agorabench.paths import set_journal

COLUMNS = ("domain", "method", "generator", "prompt", "size", "seed")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--matrix", type=json.loads, required=True, help="experiments, backends")
    parser.add_argument("--mixtures", type=json.loads, default={}, help="mixture -> its parts")
    parser.add_argument("--prices", type=json.loads, required=True, help="generator -> USD/Mtok")
    parser.add_argument("--data", required=True, help="folder of the ledgers")
    parser.add_argument("--journals", help="folder of the journals, for --paid")
    parser.add_argument("--classified", type=json.loads, default={}, help="journal -> generator")
    parser.add_argument("--judges", nargs="*", default=[], help="generators that judge")
    parser.add_argument("--output", help="a row for each set")
    parser.add_argument("--paid", help="a row for each generator")
    args = parser.parse_args(argv)
    if args.paid and not args.journals:
        parser.error("--paid needs --journals")
    for name in matrix.mixture_generators(args.matrix) if args.output else ():
        if name not in args.mixtures:
            parser.error(f"--output needs the parts of {name} in --mixtures")

    import pandas

    def ledger(found):
        return read_json(Path(args.data) / f"{found.cell}.ledger.json")

    cells = list({found.cell: found for found in matrix.expand_runs(args.matrix)}.values())
    if args.output:
        rows = []
        for found in cells:
            names = args.mixtures.get(found.generator, [found.generator])
            made = {name: ledger(replace(found, generator=name)) for name in names}
            row = {column: getattr(found, column) for column in COLUMNS}
            rows.append(row | taken(found.size, made, args.prices))
        with atomic_file(args.output) as file:
            pandas.DataFrame(rows).to_csv(file, index=False)
    if not args.paid:
        return
    pairs = {}
    for found in cells:
        book = ledger(found)
        for name, part in book.get("parts", {found.generator: book}).items():
            # Of sets that extend each other the largest has all pairs.
            journal = name, set_journal(replace(found.cell, generator=name))
            pairs[journal] = max(pairs.get(journal, 0), part["pairs"])
    kept = Counter()
    for (generator, _), number in pairs.items():
        kept[generator] += number
    kept.update(dict.fromkeys([*args.classified.values(), *args.judges], 0))
    books = journals(args.journals, kept, args.classified)
    billed = [
        {"generator": name} | paid(books[name], kept[name], args.prices[name]) for name in books
    ]
    with atomic_file(args.paid) as file:
        pandas.DataFrame(billed).to_csv(file, index=False)


def taken(pairs, ledgers, prices):
    """Columns of one set of so many pairs.

    Args:
        ledgers: generator -> ledger of the set that it made for this: of a mixture, of each part.
        prices: generator -> USD per million tokens.
    """
    whole, batch, cost = Counter(), Counter(), 0.0
    for name, ledger in ledgers.items():
        mine = tokens(ledger)
        whole.update(mine[0])
        batch.update(mine[1])
        cost += usd_of(*mine, prices[name])
    books = ledgers.values()
    replies = sum(ledger["replies"] for ledger in books)
    unknown = sum(ledger.get("replies_without_usage", 0) for ledger in books)
    return {
        "pairs": pairs,
        "replies": replies,
        "replies_without_usage": unknown,
        "models": ";".join(sorted({name for ledger in books for name in ledger.get("models", {})})),
        **sums(whole, batch, replies - unknown, pairs, cost),
    }


def tokens(ledger):
    """Tokens ("input", "output") of all replies of a ledger, and of those that came in a batch."""
    parts = ("input", "output")
    batch = {part: ledger.get(f"batch_{part}_tokens", 0) for part in parts}
    return {part: ledger[f"{part}_tokens"] for part in parts}, batch


def usd_of(whole, batch, price):
    """What the tokens of `tokens` cost in USD, at `price` per million."""
    online = {part: whole[part] - batch[part] for part in whole}
    return usage_cost(online, price) + usage_cost(batch, price, batch=True)


def sums(whole, batch, replies, pairs, cost):
    """Tokens and USD, in sum, per reply whose usage is known, and per pair that was kept.

    Args:
        whole, batch: tokens as `tokens` returns them.
        cost: what they cost in USD.
    """
    return {
        "input_tokens": whole["input"],
        "output_tokens": whole["output"],
        "batch_input_tokens": batch["input"],
        "batch_output_tokens": batch["output"],
        "input_tokens_per_reply": round(whole["input"] / replies, 2) if replies else None,
        "output_tokens_per_reply": round(whole["output"] / replies, 2) if replies else None,
        "usd": round(cost, 6),
        "usd_per_reply": float(f"{cost / replies:.4g}") if replies else None,
        "usd_per_pair": float(f"{cost / pairs:.4g}") if pairs else None,
    }


def journals(folder, names, classified):
    """Generator -> Counter of what its journals hold: replies, faults, tokens, models.

    Only generators among `names`, each of which has an entry. A journal is
    {folder}/{domain}/{method}/{generator}/{prompt}/seed{seed}.jsonl, or one of `classified`.
    """
    books = {name: Counter() for name in names}
    paths = {path: path.parts[-3] for path in sorted(Path(folder).glob("*/*/*/*/seed*.jsonl"))}
    for path, name in (paths | classified).items():
        if name in books:
            for row in read_rows(path):
                enter(books[name], row)
    return books


def enter(book, row):
    """Count a journal row."""
    usage = row.get("usage")
    if "fault" in row:
        book["faults"] += 1
        book["paid_faults"] += bool(usage)
        book["unclear_faults"] += bool(not usage and row.get("most"))
    else:
        book["replies"] += 1
        book["told"] += bool(usage)
    if row.get("model"):
        book["model", row["model"]] += 1
    for part, tokens in (usage or {}).items():
        book[part] += tokens
        book["batch", part] += tokens if "mode" in row else 0


def paid(book, pairs, price):
    """Columns of one generator from the Counter of its journals."""
    models = [key[1] for key in sorted(book, key=str) if key[0] == "model"]
    whole = {part: book[part] for part in ("input", "output")}
    batch = {part: book["batch", part] for part in ("input", "output")}
    return {
        "pairs": pairs,
        "replies": book["replies"],
        "replies_without_usage": book["replies"] - book["told"],
        "faults": book["faults"],
        "paid_faults": book["paid_faults"],
        "unclear_faults": book["unclear_faults"],
        "models": ";".join(models),
        **sums(whole, batch, book["told"], pairs, usd_of(whole, batch, price)),
    }


if __name__ == "__main__":
    run_program(main)
