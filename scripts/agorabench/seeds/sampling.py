"""Which rows of a source become seed data."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from agorabench.errors import UserError
from agorabench.files import value_at
from agorabench.generation.validators import no_markers
from agorabench.rows import Unfit, known_fields, place_row, text_fault
from agorabench.seeds.classify import rows_of_class
from agorabench.seeds.convert import convert_row

WAVE = 256  # rows classified before their classes are known


def sample_rows(
    rows: Sequence[dict],
    source: dict,
    name: str,
    *,
    seed: int,
    answered: bool,
    tokens: Callable[[str], int] | None = None,
    markers: Sequence[str] = (),
    classify: Callable | None = None,
    wave: int = WAVE,
) -> tuple[list[dict], Counter]:
    """The seed rows that the config takes from a source.

    Args:
        rows: a sequence of dictionaries.
        source: config entry: instruction, response, where, convert, longest, size, classify.
        name: goes before the row's number in its id, where it has none of its own.
        seed: of the order in which rows are considered where only `size` of them are wanted. They
            are considered one by one until there are enough, and keep their order in the source.
        answered: every row needs a response.
        tokens: counts the tokens of a text, for `longest`.
        markers: of the method's replies, which no row may hold (validators.no_markers).
        classify: rows -> their classes, each "1", "2" or None; see `classify.make_classifier`.
        wave: rows classified at a time, which does not matter to what is taken.

    Returns:
        (rows with "id", "instruction" and "response"; a Counter of reasons against rows).

    Raises:
        UserError: a field is absent, or there are fewer than `size` rows.
    """
    order, size = list(range(len(rows))), source.get("size")
    if size:
        random.Random(f"seeds {seed}").shuffle(order)
    dropped = Counter()
    fit = fitting_rows(rows, order, source, name, answered, tokens, markers, dropped)
    if source.get("classify"):
        fit = rows_of_class(fit, source["classify"]["class"], classify, wave, dropped)
    taken = sorted(islice(fit, size), key=lambda pair: pair[0])
    if size and len(taken) < size:
        reasons = ", ".join(f"{reason} {count}" for reason, count in dropped.most_common())
        raise UserError(
            f"{len(taken)} rows of {len(rows)} can be used and size is {size}; left out:"
            f" {reasons or 'none'}"
        )
    return [row for _, row in taken], dropped


def fitting_rows(rows, order, source, name, answered, tokens, markers, dropped) -> Iterator:
    """Yield (number, seed row) of every row that fits, in the given order; count the others."""
    for number in order:
        row = rows[number]
        try:
            _check_where(row, source.get("where", {}))
            seeds = convert_row(row, source, answered)
        except Unfit as reason:
            dropped[str(reason)] += 1
            continue
        except KeyError as path:
            place = place_row(source, number)
            raise UserError(f"{place} has no {path}; known: {known_fields(row)}") from None
        own = row.get("id")
        named = own is not None and text_fault(str(own)) is None
        for turn, seed in enumerate(seeds):
            try:
                _check_texts(seed, source.get("longest"), tokens, markers)
            except Unfit as reason:
                dropped[str(reason)] += 1
                continue
            part = f".{turn}" if len(seeds) > 1 else ""
            yield number, {"id": (str(own) if named else f"{name}/{number}") + part, **seed}


def _check_where(row, where):
    for field, wanted in where.items():
        if value_at(row, field) not in (wanted if isinstance(wanted, list) else [wanted]):
            raise Unfit("not matching where")


def _check_texts(seed, longest, tokens, markers):
    if no_markers((seed["instruction"], seed["response"]), {"markers": markers}):
        raise Unfit("marker of the prompts")  # shown, it would look like another reply
    if longest and tokens(seed["instruction"] + seed["response"]) > longest:
        raise Unfit("too long")


def token_counter(tokenizer: str, revision: str | None) -> Callable[[str], int]:
    """Return a function: text -> its number of tokens, without special ones.

    Raises:
        UserError: there is no such tokenizer.
    """
    from transformers import AutoTokenizer

    from agorabench.models.hub import describe_refusal

    try:
        loaded = AutoTokenizer.from_pretrained(tokenizer, revision=revision)
    except Exception as error:  # the library raises dozens of kinds
        reason = describe_refusal(error, revision)
        raise UserError(
            f"tokenizer: {tokenizer} {reason}; or download its tokenizer files, put them in a"
            " folder and name that folder as tokenizer.model"
        ) from None
    return lambda text: len(loaded(text, add_special_tokens=False)["input_ids"])
