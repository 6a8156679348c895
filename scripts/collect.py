r"""One table of the intrinsic metrics of all generated sets, a row for each set and metric.

    python scripts/collect.py --matrix '{"generators": {"strong": {"backend": "transformers"}},
        "experiments": {"main": {"students": ["mini"], "domains": ["math"], "methods": ["response"],
        "generators": ["strong"], "prompts": ["mini"], "sizes": [600], "seeds": [1]}}}' \
        --metrics '{"reward": null, "quality-hasty": "hasty"}' --measured results/intrinsic \
        --assessments results/assessments --output /tmp/intrinsic.csv

`--metrics` names every metric's judge, null where a model measured it. `without` counts the
examples of the sample that have no value; `median` is that of perplexities, `diversity` is
1 - similarity.
"""

import argparse
import csv
import json
from pathlib import Path

from agorabench import matrix
from agorabench.cli import run_program
from agorabench.files import atomic_file, read_json, read_jsonl
from agorabench.intrinsic import judged

PLACE = ("generator", "method", "domain", "prompt", "size", "seed")
ALSO = ("median", "diversity")  # where a metric has them
COLUMNS = (*PLACE, "metric", "by", "value", "standard_error", "n", "without", *ALSO)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--matrix", type=json.loads, required=True, help="experiments, backends")
    parser.add_argument("--metrics", type=json.loads, required=True, help="metric -> its judge")
    parser.add_argument("--measured", required=True, type=Path, help="folder, {metric}/{cell}.json")
    parser.add_argument(
        "--assessments", required=True, type=Path, help="folder, {judge}/{cell}.jsonl"
    )
    parser.add_argument("--output", required=True)
    args = parser.parse_args(argv)

    with atomic_file(args.output) as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for cell, found in {found.cell: found for found in matrix.expand_runs(args.matrix)}.items():
            place = {column: getattr(found, column) for column in PLACE}
            told = measured(args.measured, args.metrics, cell)
            told |= assessed(args.assessments, args.metrics, cell)
            for name, columns in sorted(told.items()):
                writer.writerow({**place, "metric": name, **columns, **columns["also"]})


def measured(folder, metrics, cell):
    """{metric: its columns} of a set's metrics that models measured."""
    names = [name for name, judge in metrics.items() if not judge]
    return {name: read_json(folder / name / f"{cell}.json") for name in names}


def assessed(folder, metrics, cell):
    """{metric: its columns} of a set's metrics that judges scored."""
    told = {}
    for judge in filter(None, dict.fromkeys(metrics.values())):
        path = folder / judge / f"{cell}.jsonl"
        rows = read_jsonl(path)
        for name, asked in metrics.items():
            if asked == judge:
                columns = judged.measure_scores(path, rows, name).to_dict()
                told[name] = {"by": rows[0]["judge"], **columns}
    return told


if __name__ == "__main__":
    run_program(main)
