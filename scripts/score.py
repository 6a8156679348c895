"""Grade a model's completions of one benchmark: a score, its standard error, a verdict per item.

    python scripts/score.py --config config/mini.yaml --benchmark mini-sums --model mini/reference

Makes results/scores/{model}/{benchmark}.json and, with the verdict on every item, .parquet.
"""

from pathlib import Path

from agorabench import paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import stages
from agorabench.errors import UserError
from agorabench.evaluation import benchmarks, grading
from agorabench.files import atomic_file, read_jsonl, write_json

EXTRACTED = 100_000  # characters of an answer that are kept beside its verdict


def main(argv=None):
    args = parse_arguments(__doc__, "benchmark model", argv)
    inputs, params = stages.score(args.config, args.benchmark, args.model)
    entry = params["benchmark"]
    items = benchmarks.load_items(entry, *map(Path, inputs["questions"]))
    (source,) = inputs["predictions"]
    predictions = read_jsonl(source)
    grading.check_predictions(predictions, args.model, source)
    predictions = grading.match_items(items, predictions, source)
    protocol = benchmarks.load_protocol(entry)
    more = {"predictions": predictions, "entry": entry} if hasattr(protocol, "KEYS") else {}
    for path in inputs.get("judgements", ()):
        more["judgements"] = grading.order_judgements(
            predictions, read_jsonl(path), args.model, params["judge"], protocol.GAMES, path
        )
        check_verdicts(args, [[game["verdict"] for game in held] for held in more["judgements"]])
        more["files"] = benchmarks.protocol_files(
            entry, Path(paths.benchmark_file(args.benchmark, ""))
        )
        more["entry"] = entry
    execute = grading.Execute(params["sandbox"], args.threads, params["packages"])
    completions = [row["completion"] for row in predictions]
    verdicts = protocol.grade_items(items, completions, execute, **more)
    check_verdicts(args, [[verdict["score"]] for verdict in verdicts])
    verdicts, means = grading.select_score(protocol, verdicts, entry.get("score"))
    write_verdicts(paths.verdicts(args.model, args.benchmark), items, verdicts)
    summary = {"model": args.model, "benchmark": args.benchmark, "protocol": entry["protocol"]}
    summary |= {"judge": params.get("judge"), "counts": entry.get("score")}
    summary |= grading.summarise_score(predictions, verdicts, means)
    write_json(paths.score(args.model, args.benchmark), summary)


def check_verdicts(args, found):
    """A score and its error need two items with a verdict; so do the fits of judged benchmarks."""
    if sum(any(value is not None for value in values) for values in found) < 2:
        raise UserError(f"{args.model} on {args.benchmark}: fewer than two items have a verdict")


def write_verdicts(path, items, verdicts):
    """Write the verdict on every item as Parquet."""
    import pandas

    # What a model has written may have no end, and halves of characters that no file can hold.
    shown = [row["extracted"][:EXTRACTED].encode(errors="replace").decode() for row in verdicts]
    table = pandas.DataFrame(verdicts).assign(extracted=shown)
    table.insert(0, "id", [item["id"] for item in items])
    with atomic_file(path, "wb") as file:
        table.to_parquet(file, index=False)


if __name__ == "__main__":
    run_program(main)
