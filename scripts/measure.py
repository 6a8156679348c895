r"""Measure a generated set by an intrinsic metric that a model of one's own measures.

    python scripts/measure.py --data results/data/math/response/strong/mini/n600-seed1.jsonl \
        --cell math/response/strong/mini/n600-seed1 --config config/mini.yaml --seed 1 \
        --metric reward --entry '{"measure": "reward", "model": "resources/models/reward",
            "revision": null, "precision": "float32", "template": null, "max_length": 256,
            "sample": 200}' \
        --output /tmp/reward.json --examples /tmp/reward.parquet

`--entry` is the metric in the config as far as it decides values. Writes value, standard_error and
n, without (examples of the sample that have no value) and also (further numbers), by (the model)
and measure; and of every example of the sample its id, which is its line in the data from 0, and
its value where the metric has values of examples. Seeds that a student trains on too are not
measured. What judges said is measured by collect.py.
"""

import argparse
import json

from agorabench import intrinsic
from agorabench.config.references import read
from agorabench.errors import run
from agorabench.files import atomic_file, write_json
from agorabench.progress import Progress


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the generated set")
    parser.add_argument("--cell", required=True, help="what the output calls it")
    parser.add_argument("--metric", required=True, help="its name in --config")
    parser.add_argument("--entry", type=json.loads, required=True, help="config: the metric")
    parser.add_argument("--config", required=True, help="the whole config: batch size, GPUs")
    parser.add_argument("--seed", type=int, required=True, help="of the sample")
    parser.add_argument("--output", required=True)
    parser.add_argument("--examples", required=True, help="Parquet file of single values")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)

    entry = {**read(args.config)["intrinsic"][args.metric], **args.entry, "name": args.metric}
    pairs = intrinsic.sample(intrinsic.generated(args.data), entry["sample"], args.seed)
    module = intrinsic.module(entry)
    with Progress(f"measure {args.metric} of {args.cell}", len(pairs), "examples") as bar:
        told = module.measure(module.load(entry, args.threads), entry, pairs, bar.advance)
    about = {"cell": args.cell, "metric": args.metric}
    about |= {"by": entry["model"], "measure": entry["measure"]}
    write_json(args.output, about | told.summary())
    write(args.examples, [pair["id"] for pair in pairs], told.values)


def write(path, ids, values):
    """Write a row for every example, as Parquet; values may be None, for all or for some."""
    import pandas

    table = pandas.DataFrame({"id": pandas.array(ids, dtype="int64")})
    if values is not None:
        table["value"] = pandas.array(values, dtype="Float64")
    with atomic_file(path, "wb") as file:
        table.to_parquet(file, index=False)


if __name__ == "__main__":
    run(main)
