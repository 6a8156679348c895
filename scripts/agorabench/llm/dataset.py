"""Existing instruction-response pairs stand in for a generator.

Human data, or anybody's published set, gets a row of its own in the PGR table. The pairs come from
files (see rows.py) or from a Hugging Face data set; a field name may be a dotted path with list
indices ("conversations.0.value").
"""

import sys
from collections import Counter

from agorabench.errors import UserError
from agorabench.rows import (
    Unfit,
    Unreadable,
    known_fields,
    place_row,
    read_files,
    read_pairs,
    text_fault,
    warn_unread,
)


def load_pairs(source: dict) -> list[dict]:
    """Pairs {"instruction", "response"} of a config entry's data set, in its own order.

    Rows that hold no pair of texts are left out, and counted on stderr by reason.

    Raises:
        UserError: the source cannot be read, is empty, or no row has the named fields.
    """
    name = source.get("path") or source["hub"]
    try:
        rows = read_files(source["path"])[0] if "path" in source else _load_hub_rows(source)
    except Unreadable as fault:
        raise UserError(f"{name}: {fault}") from None
    pairs, faults, first = [], Counter(), {}
    for number, row in enumerate(rows):
        try:
            found = read_pairs(row, source)
            for pair in found:
                for field in ("instruction", "response"):
                    if fault := text_fault(pair[field]):
                        raise Unfit(f"{source.get(field, field)} is {fault}")
            pairs += found
        except (Unfit, KeyError) as reason:
            fault = f"no field {reason}" if isinstance(reason, KeyError) else str(reason)
            faults[fault] += 1
            first.setdefault(fault, number)
    told = "; ".join(
        f"{fault}: {n} (first {place_row(source, first[fault]).removeprefix(f'{name}, ')})"
        for fault, n in faults.items()
    )
    if not pairs:
        known = f"; known: {known_fields(rows[0])}" if len(rows) else ""
        raise UserError(
            f"{name}: " + (f"no row has a pair: {told}{known}" if told else "the data set is empty")
        )
    if told:
        print(f"{name}: {faults.total()} of {len(rows)} rows left out: {told}", file=sys.stderr)
    warn_unread(rows, source, name, known=["id"])
    return pairs


def _load_hub_rows(source):
    import datasets

    try:
        return datasets.load_dataset(
            source["hub"],
            source.get("subset"),
            revision=source.get("revision"),
            split=source.get("split", "train"),
        )
    except Exception as error:  # the library raises dozens of kinds
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"cannot load the data set {source['hub']}: {reason}") from None
