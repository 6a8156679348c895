r"""Grade a model's completions of one benchmark: a score, its standard error, a verdict per item.

    python scripts/score.py --name mini-sums --entry '{"protocol": "mini"}' \
        --items resources/benchmarks/mini-sums.jsonl --model mini/reference \
        --predictions results/predictions/mini/reference/mini-sums.jsonl \
        --output /tmp/score.json --verdicts /tmp/verdicts.parquet
"""

import argparse
import json

from agorabench import benchmarks, jsonl, sandbox, statistics
from agorabench.errors import UserError, run


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="the benchmark")
    parser.add_argument("--entry", type=json.loads, required=True, help="config: benchmarks.NAME")
    parser.add_argument("--items", required=True)
    parser.add_argument("--model", required=True, help="named in the result")
    parser.add_argument("--predictions", required=True)
    parser.add_argument("--sandbox", choices=("isolated", "limits"), default="isolated")
    parser.add_argument("--output", required=True)
    parser.add_argument("--verdicts", required=True)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)

    items = benchmarks.load(args.entry, args.items)
    predictions = match(items, jsonl.read(args.predictions), args.predictions)

    def execute(programs):
        if not programs:
            return []
        isolation = sandbox.accept(args.sandbox)
        return list(sandbox.run_many(programs, workers=args.threads, isolation=isolation))

    completions = [row["completion"] for row in predictions]
    verdicts = benchmarks.protocol(args.entry).grade(items, completions, execute)
    write(args, items, predictions, verdicts)


def match(items, predictions, path):
    """Predictions in the order of the items.

    Raises:
        UserError: an item is missing, unknown or predicted twice.
    """
    by_id = {}
    for row in predictions:
        if row["id"] in by_id:
            raise UserError(f"{path}: the item {row['id']} is predicted twice")
        by_id[row["id"]] = row
    known = {item["id"] for item in items}
    for name in by_id:
        if name not in known:
            raise UserError(f"{path}: the item {name} is not in the benchmark")
    for item in items:
        if item["id"] not in by_id:
            raise UserError(f"{path}: the item {item['id']} has no prediction")
    return [by_id[item["id"]] for item in items]


def write(args, items, predictions, verdicts):
    """Write the score, and the verdicts beside it."""
    import pandas

    scores = [verdict["score"] for verdict in verdicts]
    table = pandas.DataFrame(verdicts)
    table.insert(0, "id", [item["id"] for item in items])
    with jsonl.whole(args.verdicts, "wb") as file:
        table.to_parquet(file, index=False)
    unfinished = sum(row["finish_reason"] != "stop" for row in predictions)
    jsonl.write_json(
        args.output,
        {
            "model": args.model,
            "benchmark": args.name,
            "protocol": args.entry["protocol"],
            "judge": None,
            "score": 100 * sum(scores) / len(scores),
            "standard_error": 100 * statistics.standard_error(scores),
            "n": len(scores),
            "unfinished": unfinished / len(predictions),
        },
    )


if __name__ == "__main__":
    run(main)
