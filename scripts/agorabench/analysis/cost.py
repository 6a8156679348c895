"""What every generated set took: replies, tokens and USD, rejected replies included.

A row is a set as if it had been made alone. A mixture is taken from sets of its parts that are each
as large as itself, so its row is the sum of theirs, over its own pairs. Sets of several sizes, and
mixtures and their parts, share replies: the rows must not be added up.
"""

from collections import Counter
from dataclasses import asdict, replace

from agorabench import paths
from agorabench.files import read_json
from agorabench.llm.budget import usage_cost
from agorabench.matrix import list_cells


def aggregate(params: dict) -> list[dict]:
    """A row for each set. `params`: of config/result_stages.py; prices: USD per million tokens."""
    rows = []
    for cell in list_cells(params["matrix"]):
        parts = params["mixtures"].get(cell.generator, [cell.generator])
        files = {name: paths.set_ledger(replace(cell, generator=name)) for name in parts}
        ledgers = {name: read_json(file) for name, file in files.items()}
        rows.append(asdict(cell) | set_costs(cell.size, ledgers, params["prices"]))
    return rows


def set_costs(pairs, ledgers, prices):
    """Columns of one set of so many pairs.

    Args:
        ledgers: generator -> ledger of the set that it made for this: of a mixture, of each part.
        prices: generator -> USD per million tokens.
    """
    whole, batch, cost = Counter(), Counter(), 0.0
    for name, ledger in ledgers.items():
        tokens = ledger_tokens(ledger)
        whole.update(tokens[0])
        batch.update(tokens[1])
        cost += usd_of_tokens(*tokens, prices[name])
    books = ledgers.values()
    replies = sum(ledger["replies"] for ledger in books)
    unknown = sum(ledger.get("replies_without_usage", 0) for ledger in books)
    return {
        "pairs": pairs,
        "replies": replies,
        "replies_without_usage": unknown,
        "models": ";".join(sorted({name for ledger in books for name in ledger.get("models", {})})),
        **sum_columns(whole, batch, replies - unknown, pairs, cost),
    }


def ledger_tokens(ledger):
    """Tokens ("input", "output") of all replies of a ledger, and of those that came in a batch."""
    parts = ("input", "output")
    batch = {part: ledger.get(f"batch_{part}_tokens", 0) for part in parts}
    return {part: ledger[f"{part}_tokens"] for part in parts}, batch


def usd_of_tokens(whole, batch, price):
    """What the tokens of `ledger_tokens` cost in USD, at `price` per million."""
    online = {part: whole[part] - batch[part] for part in whole}
    return usage_cost(online, price) + usage_cost(batch, price, batch=True)


def sum_columns(whole, batch, replies, pairs, cost):
    """Tokens and USD, in sum, per reply whose usage is known, and per pair that was kept.

    Args:
        whole, batch: tokens as `ledger_tokens` returns them.
        cost: what they cost in USD.
    """
    parts = ("input", "output")
    return {
        **{f"{part}_tokens": whole[part] for part in parts},
        **{f"batch_{part}_tokens": batch[part] for part in parts},
        **{
            f"{part}_tokens_per_reply": round(whole[part] / replies, 2) if replies else None
            for part in parts
        },
        "usd": round(cost, 6),
        "usd_per_reply": float(f"{cost / replies:.4g}") if replies else None,
        "usd_per_pair": float(f"{cost / pairs:.4g}") if pairs else None,
    }
