r"""Put a model's completions of a benchmark, or the examples of a generated set, before a judge.

    python scripts/judge.py --config config/agorabench.yaml --benchmark alpaca-eval \
        --model llama-3.1-8b/reference
    python scripts/judge.py --config config/mini.yaml --judge hasty \
        --cell math/response/strong/mini/n600-seed1

The first makes results/judgements/{model}/{benchmark}.jsonl, a row per game: id, model and answer
(the fingerprint of its completion), game, swapped, verdict (null where none could be read in three
replies), attempts, judge (the model that was asked), answered_by, and the reply; and the same in
the formats of the benchmark's own tool, in a folder beside it. The second makes
results/assessments/{judge}/{cell}.jsonl, a row per metric that the judge scores and example of its
sample: metric, id (the example's line in the data, from 0), score (1 to 5) and the like. Seeds that
a student trains on too are not judged.
"""

import csv
from functools import partial
from pathlib import Path

from agorabench import intrinsic, paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import stages
from agorabench.errors import UserError
from agorabench.evaluation import benchmarks, judge
from agorabench.evaluation.grading import match_items
from agorabench.files import atomic_file, json_fingerprint, read_jsonl, write_json, write_jsonl
from agorabench.intrinsic import judged


def main(argv=None):
    args = parse_arguments(__doc__, "benchmark? model? judge? cell?", argv)
    if args.judge and args.cell:
        judge_set(args.config, args.judge, args.cell, args.threads)
    elif args.benchmark and args.model:
        judge_completions(args.config, args.benchmark, args.model, args.threads)
    else:
        raise UserError("judge takes --benchmark and --model, or --judge and --cell")


def judge_completions(config, benchmark, model, threads):
    """Write the verdicts of a benchmark's judge on a model's completions."""
    inputs, params = stages.judge(config, benchmark, model)
    entry, name = params["benchmark"], config["benchmarks"][benchmark]["judge"]
    protocol = benchmarks.load_protocol(entry)
    files = benchmarks.protocol_files(entry, Path(paths.benchmark_file(benchmark, "")))
    items = benchmarks.load_items(entry, *map(Path, inputs["questions"]))
    predictions = match_items(items, read_jsonl(*inputs["predictions"]), *inputs["predictions"])
    games = benchmarks.build_games(entry, items, predictions, files, params["seed"])
    journal = paths.judge_journal(benchmark, name, model, params["seed"])
    verdicts = judge.judge_games(
        games, partial(protocol.parse_verdict, entry), name, config, journal, params["seed"],
        f"judge {benchmark}, {model}", threads,
    )  # fmt: skip
    asked = params["judge"]["model"]
    rows = [
        {
            "id": game["id"],
            "model": model,
            "answer": json_fingerprint(game["completion"]),
            "game": game["game"],
            "swapped": game["swapped"],
            "verdict": verdict["verdict"],
            "attempts": verdict["attempts"],
            "judge": asked,
            "answered_by": verdict["reply"].get("model"),
            "reply": verdict["reply"]["reply"],
            **logprobs_of(verdict["reply"]),
        }
        for game, verdict in zip(games, verdicts, strict=True)
    ]
    write_jsonl(paths.judgements(model, benchmark), rows)
    by_item = [[row for row in rows if row["id"] == item["id"]] for item in items]
    official = protocol.official_rows(
        items, predictions, by_item, model, asked, entry=entry, files=files
    )
    folder = Path(paths.official_judgements(model, benchmark))
    for file, lines in official.items():
        WRITE[Path(file).suffix](folder / file, lines)


def logprobs_of(reply):
    """The log probabilities of a reply's first token, where it has them."""
    return {"logprobs": reply["logprobs"]} if reply.get("logprobs") else {}


def write_csv(path, rows):
    """Write rows (dicts of the same keys, or none at all) as CSV."""
    with atomic_file(path) as file:
        table = csv.DictWriter(file, rows[0] if rows else [], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


WRITE = {".jsonl": write_jsonl, ".json": write_json, ".csv": write_csv}


def judge_set(config, name, cell, threads):
    """Write a judge's scores of samples of a generated set, by the rubrics of its metrics."""
    inputs, params = stages.assess(config, name, cell)
    pairs = intrinsic.read_generated_pairs(*inputs["data"])
    games = judged.rubric_games(pairs, params["metrics"], cell.domain, params["seed"])
    verdicts = judge.judge_games(
        games, lambda _, reply: judged.parse_score(reply), name, config,
        paths.assessment_journal(cell, name), params["seed"], f"{name} judges {cell}", threads,
    )  # fmt: skip
    rows = [
        {
            "metric": game["metric"],
            "id": game["id"],
            "score": verdict["verdict"],
            "attempts": verdict["attempts"],
            "judge": params["judge"]["model"],
            "answered_by": verdict["reply"].get("model"),
            "reply": verdict["reply"]["reply"],
        }
        for game, verdict in zip(games, verdicts, strict=True)
    ]
    write_jsonl(paths.assessments(name, cell), rows)


if __name__ == "__main__":
    run_program(main)
