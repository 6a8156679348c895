"""Existing instruction-response pairs stand in for a generator.

Human data, or anybody's published set, gets a row of its own in the PGR table. The pairs come from
a JSON or JSON Lines file, or from a Hugging Face data set; a field name may be a dotted path with
list indices ("conversations.0.value").
"""

from agorabench.errors import UserError
from agorabench.files import read_jsonl


def load_pairs(source):
    """Pairs {"instruction", "response"} of a config entry's data set, in its own order.

    Raises:
        UserError: the source cannot be read, is empty, or a row lacks a named field.
    """
    name = source.get("path") or source["hub"]
    if "path" in source:
        rows = read_jsonl(source["path"])
    else:
        import datasets

        try:
            rows = datasets.load_dataset(
                source["hub"],
                source.get("subset"),
                revision=source.get("revision"),
                split=source.get("split", "train"),
            )
        except Exception as error:  # the library raises dozens of kinds
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"cannot load the data set {name}: {reason}") from None
    pairs = []
    for number, row in enumerate(rows, 1):
        pair = {}
        for field in ("instruction", "response"):
            try:
                pair[field] = dig(row, source.get(field, field))
            except (KeyError, IndexError, TypeError, ValueError):
                raise UserError(
                    f"{name}, row {number}: no field '{source.get(field, field)}' for the "
                    f"{field}; known: {', '.join(row)}"
                ) from None
        pairs.append(pair)
    if not pairs:
        raise UserError(f"{name}: the data set is empty")
    return pairs


def dig(row, path):
    """The text at a dotted `path` in nested objects and lists."""
    value = row
    for step in path.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    if not isinstance(value, str):
        raise TypeError(f"{path} is not text")
    return value
