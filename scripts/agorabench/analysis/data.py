"""What every generated set is like: size, rejected replies, repetition, overlap with benchmarks."""

from dataclasses import asdict

from agorabench import paths
from agorabench.files import read_json
from agorabench.matrix import list_cells


def aggregate(params: dict) -> list[dict]:
    """A row for each set. Duplicates and overlaps are in percent of the pairs; a benchmark of
    another domain has no value. `params`: see config/result_stages.py.
    """
    return [
        asdict(cell)
        | describe_set(read_json(paths.set_ledger(cell)), read_json(paths.set_audit(cell)))
        for cell in list_cells(params["matrix"])
    ]


def describe_set(ledger, audit):
    """The columns of one set."""

    def percent(count):
        return round(100 * count / audit["pairs"], 2)

    return {
        "pairs": ledger["pairs"],
        "seeds_added": ledger["seeds_added"],
        "replies": ledger["replies"],
        "rejected": sum(ledger["rejected"].values()),
        **{
            f"{kind}_duplicate_{part}s": percent(count)
            for part, counts in audit["duplicates"].items()
            for kind, count in counts.items()
        },
        "in_benchmarks": percent(audit["overlap_any"]),
        **{f"in_{name}": percent(count) for name, count in audit["overlap"].items()},
    }
