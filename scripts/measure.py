r"""Measure a generated set by an intrinsic metric that a model of one's own measures.

    python scripts/measure.py --config config/mini.yaml --metric reward \
        --cell math/response/strong/mini/n600-seed1

Makes results/intrinsic/{metric}/{cell}.json: value, standard_error and n, without (examples of the
sample that have no value), also (further numbers), by (the model) and measure; and .parquet: of
every example of the sample its id, which is its line in the data from 0, and its value where the
metric has values of examples; of a perplexity also what metrics made of it need of its model, a
column each. Seeds that a student trains on too are not measured. What judges said, and metrics made
of others, are made metrics by aggregate.py.
"""

from agorabench import intrinsic, paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import stages
from agorabench.files import atomic_file, write_json
from agorabench.models.gpus import lease_gpus
from agorabench.progress import Progress


def main(argv=None):
    args = parse_arguments(__doc__, "metric cell", argv)
    inputs, params = stages.measure(args.config, args.metric, args.cell)
    entry = {**args.config["intrinsic"][args.metric], "name": args.metric}
    entry["scored"] = intrinsic.scored_metrics(args.config["intrinsic"], args.metric)
    pairs = intrinsic.sample_pairs(
        intrinsic.read_generated_pairs(*inputs["data"]), params["metric"]["sample"], params["seed"]
    )
    lease_gpus(entry["gpus"])
    module = intrinsic.load_metric_module(entry)
    with Progress(f"measure {args.metric} of {args.cell}", len(pairs), "examples") as bar:
        measured = module.measure_pairs(
            module.load_model(entry, args.threads), entry, pairs, bar.advance
        )
    about = {"cell": str(args.cell), "metric": args.metric}
    about |= {"by": entry["model"], "measure": entry["measure"]}
    write_json(paths.metric(args.metric, args.cell), about | measured.to_dict())
    ids = [pair["id"] for pair in pairs]
    columns = {} if measured.values is None else {"value": measured.values}
    columns |= {f"scored {name}": values for name, values in measured.scored.items()}
    write_examples(paths.metric_examples(args.metric, args.cell), ids, columns)


def write_examples(path, ids, columns):
    """Write a row for every example, as Parquet; values of columns may be None."""
    import pandas

    table = pandas.DataFrame({"id": pandas.array(ids, dtype="int64")})
    for name, values in columns.items():
        table[name] = pandas.array(values, dtype="Float64")
    with atomic_file(path, "wb") as file:
        table.to_parquet(file, index=False)


if __name__ == "__main__":
    run_program(main)
