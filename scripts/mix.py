"""Make a set of several generators' sets, pair by pair; nobody is asked.

    python scripts/mix.py --config config/axes.yaml --cell math/response/mixed/mini/n300-seed1

Makes results/raw/{cell}.jsonl with rows as those of generate.py; "generator" names the one that a
row is from.
"""

from collections import Counter
from itertools import count, groupby, islice

from agorabench import matrix, paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import stages
from agorabench.files import read_jsonl, write_jsonl
from agorabench.generation.duplicates import repeat_filter
from agorabench.generation.slots import Shortfall, format_rejections


def main(argv=None):
    args = parse_arguments(__doc__, "cell", argv)
    params = stages.mix(args.config, args.cell).params
    parts = [part for _, part in matrix.mixture_parts(args.config, args.cell)]
    sets = {part.generator: read_jsonl(paths.raw_replies(part)) for part in parts}
    rows = mix(sets, params["shares"], args.cell.size, repeat_filter(params["duplicates"]))
    write_jsonl(paths.raw_replies(args.cell), rows)


def mix(sets, shares, size, repeats=None):
    """Rows of a mixture with `size` valid pairs, all replies to a slot together.

    Each slot is given by the generator that is furthest behind its share of the pairs. It gives its
    own slot of the same number, so that the slots use the seed data as those of one generator do;
    or, where it has none or has given it, the first that is left. So the pairs of a generator are
    spread evenly, and a larger mixture extends a smaller one.

    Args:
        sets: generator -> rows of its own set, by slot.
        shares: generator -> share of the pairs; the shares add up to 1.
        repeats: as of slots.Slots; pairs that repeat an earlier one are replaced.

    Raises:
        Shortfall: a generator has nothing left to give.
    """
    left = {
        name: {slot: list(rows) for slot, rows in groupby(sets[name], lambda row: row["slot"])}
        for name in shares
    }
    rows, valid, given = [], [], Counter()
    slots = count()
    while missing := size - len(valid):
        for slot in islice(slots, missing):
            name = max(shares, key=lambda name: shares[name] * (given.total() + 1) - given[name])
            if not left[name]:
                raise Shortfall(
                    f"{name} has no further pair to give: the mixture has {given.total()} of "
                    f"{size} pairs, {given[name]} of them from {name}; {format_rejections(rows)}"
                )
            place = slot if slot in left[name] else next(iter(left[name]))
            for reply in left[name].pop(place):
                row = reply | {"slot": slot, "generator": name}
                rows.append(row)
                if row["verdict"] == "valid":
                    valid.append(row)
                    given[name] += 1
        if repeats:
            given.subtract(row["generator"] for row in repeats(valid))
            valid = [row for row in valid if row["verdict"] == "valid"]
    return rows


if __name__ == "__main__":
    run_program(main)
