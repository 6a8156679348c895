"""What was paid in all, a row for each generator: all that its journals hold, once.

Replies to prompts that were given up and faults that were billed are included.
`replies_without_usage` counts those whose tokens the provider did not report; where there are any,
tokens and dollars are lower bounds.
"""

from collections import Counter
from dataclasses import replace

from agorabench import paths
from agorabench.analysis.cost import sum_columns, usd_of_tokens
from agorabench.files import read_json
from agorabench.llm.journal import read_rows
from agorabench.matrix import list_cells


def aggregate(params: dict) -> list[dict]:
    """A row for each generator. `params`: see config/result_stages.py."""
    pairs = count_pairs(params)
    books = read_journals(pairs, params["classified"])
    return [
        {"generator": name} | paid_columns(books[name], pairs[name], params["prices"][name])
        for name in books
    ]


def count_pairs(params):
    """Generator -> pairs that were kept of its replies; of judges and classifiers 0."""
    largest = {}
    for cell in list_cells(params["matrix"]):
        ledger = read_json(paths.set_ledger(cell))
        for name, part in ledger.get("parts", {cell.generator: ledger}).items():
            # Of sets that extend each other the largest has all pairs.
            journal = name, paths.set_journal(replace(cell, generator=name))
            largest[journal] = max(largest.get(journal, 0), part["pairs"])
    pairs = Counter()
    for (generator, _), number in largest.items():
        pairs[generator] += number
    pairs.update(dict.fromkeys([*params["classified"].values(), *params["judges"]], 0))
    return pairs


def read_journals(names, classified):
    """Generator -> Counter of what its journals hold: replies, faults, tokens, models.

    Only generators among `names`, each of which has an entry; `classified`: further journals.
    """
    books = {name: Counter() for name in names}
    journals = {path: journal.generator for path, journal in paths.list_journals().items()}
    for path, name in (journals | classified).items():
        if name in books:
            for row in read_rows(path):
                count_row(books[name], row)
    return books


def count_row(book, row):
    """Count a journal row."""
    usage = row.get("usage")
    if "fault" in row:
        book["faults"] += 1
        book["paid_faults"] += bool(usage)
        book["unclear_faults"] += bool(not usage and row.get("most"))
    else:
        book["replies"] += 1
        book["with_usage"] += bool(usage)
    if row.get("model"):
        book["model", row["model"]] += 1
    for part, tokens in (usage or {}).items():
        book[part] += tokens
        book["batch", part] += tokens if "mode" in row else 0


def paid_columns(book, pairs, price):
    """Columns of one generator from the Counter of its journals."""
    models = [key[1] for key in sorted(book, key=str) if key[0] == "model"]
    whole = {part: book[part] for part in ("input", "output")}
    batch = {part: book["batch", part] for part in ("input", "output")}
    unknown = book["replies"] - book["with_usage"]
    return {
        **{"pairs": pairs, "replies": book["replies"], "replies_without_usage": unknown},
        **{name: book[name] for name in ("faults", "paid_faults", "unclear_faults")},
        "models": ";".join(models),
        **sum_columns(whole, batch, book["with_usage"], pairs, usd_of_tokens(whole, batch, price)),
    }
