"""Existing instruction-response pairs stand in for a generator.

Human data, or anybody's published set, gets a row of its own in the PGR table. The pairs come from
a JSON or JSON Lines file, or from a Hugging Face data set; a field name may be a dotted path with
list indices ("conversations.0.value").
"""

from agorabench.errors import UserError
from agorabench.files import read_jsonl, value_at


def load_pairs(source: dict) -> list[dict]:
    """Pairs {"instruction", "response"} of a config entry's data set, in its own order.

    Raises:
        UserError: the source cannot be read, is empty, or a row lacks a named field.
    """
    name = source.get("path") or source["hub"]
    rows = read_jsonl(source["path"]) if "path" in source else _load_hub_rows(source)
    pairs = []
    for number, row in enumerate(rows, 1):
        pair = {}
        for field in ("instruction", "response"):
            path = source.get(field, field)
            pair[field] = text_at(row, path)
            if pair[field] is None:
                raise UserError(
                    f"{name}, row {number}: no field '{path}' for the {field}; "
                    f"known: {', '.join(row)}"
                )
        pairs.append(pair)
    if not pairs:
        raise UserError(f"{name}: the data set is empty")
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


def text_at(row: dict, path: str) -> str | None:
    """The text at a dotted path; None where there is none."""
    try:
        value = value_at(row, path)
    except KeyError:
        return None
    return value if isinstance(value, str) else None
