r"""Make a set of several generators' sets, pair by pair; nobody is asked.

    python scripts/mix.py --of '{"noisy": 0.5, "strong": 0.5}' --size 600 \
        --raw results/raw/math/response/noisy/mini/n600-seed1.jsonl \
        results/raw/math/response/strong/mini/n600-seed1.jsonl --output /tmp/raw.jsonl

The output has rows as those of generate.py; "generator" names the one that a row is from.
"""

import argparse
import json
from collections import Counter
from itertools import count, groupby, islice

from agorabench.errors import run
from agorabench.files import read_jsonl, write_jsonl
from agorabench.generation import duplicates
from agorabench.generation.slots import Shortfall, rejections


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--of", type=json.loads, required=True, help="generator -> share, as JSON")
    parser.add_argument("--raw", nargs="+", required=True, help="their sets, in the order of --of")
    parser.add_argument("--size", type=int, required=True, help="valid pairs wanted")
    parser.add_argument("--duplicates", default="keep", help="config: generation.duplicates")
    parser.add_argument("--output", required=True)
    args = parser.parse_args(argv)

    sets = {name: read_jsonl(path) for name, path in zip(args.of, args.raw, strict=True)}
    rows = mix(sets, args.of, args.size, duplicates.sifter(args.duplicates))
    write_jsonl(args.output, rows)


def mix(sets, shares, size, repeats=None):
    """Rows of a mixture with `size` valid pairs, all replies to a slot together.

    Each slot is given by the generator that is furthest behind its share of the pairs. It gives its
    own slot of the same number, so that the slots use the seed data as those of one generator do;
    or, where it has none or has given it, the first that is left. So the pairs of a generator are
    spread evenly, and a larger mixture extends a smaller one.

    Args:
        sets: generator -> rows of its own set, by slot.
        shares: generator -> share of the pairs; the shares add up to 1.
        repeats: as of instances.Instances; pairs that repeat an earlier one are replaced.

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
                    f"{size} pairs, {given[name]} of them from {name}; {rejections(rows)}"
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
    run(main)
