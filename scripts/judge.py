r"""Put a model's completions of a benchmark, or the examples of a generated set, before a judge.

    python scripts/judge.py --config config/agorabench.yaml --benchmark alpaca-eval \
        --model llama-3.1-8b/reference
    python scripts/judge.py --config config/mini.yaml --judge hasty \
        --cell math/response/strong/mini/n600-seed1
    ... --dry-run                                       says what it would ask, and asks nobody

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

from agorabench import paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import stages
from agorabench.errors import UserError
from agorabench.evaluation import benchmarks, judge
from agorabench.files import atomic_file, json_fingerprint, write_json, write_jsonl
from agorabench.intrinsic import judged
from agorabench.llm import open_backend
from agorabench.llm.request import fingerprint_parameters
from agorabench.llm.silent import DryRun
from agorabench.progress import Progress


def main(argv=None):
    args = parse_arguments(__doc__, "benchmark? model? judge? cell? dry-run?", argv)
    if args.judge and args.cell:
        judge_set(args, args.config, args.judge, args.cell)
    elif args.benchmark and args.model:
        if not args.config["benchmarks"][args.benchmark]["judge"]:
            raise UserError(f"benchmark {args.benchmark} has no judge")
        judge_completions(args, args.config, args.benchmark, args.model)
    else:
        raise UserError("judge takes --benchmark and --model, or --judge and --cell")


def query_judge(args, name, games, read_verdict, journal_path, label):
    """Verdicts of the judge `name` on games; None from a dry run, which says what it would ask."""
    entry, seed = args.config["generators"][name], args.config["seed"]
    query = partial(judge.judge_games, games, read_verdict, fingerprint_parameters(entry), seed)
    if args.dry_run:
        with DryRun(entry, journal_path) as run:
            query(run.journal, run.backend)
        return print(run.summary(games=len(games)))
    with (
        open_backend(name, args.config, journal_path, args.threads) as (journal, backend),
        Progress(label, len(games), "games") as bar,
    ):
        return query(journal, backend, bar.advance)


def judge_completions(args, config, benchmark, model):
    """Write the verdicts of a benchmark's judge on a model's completions."""
    stage = stages.judge(config, benchmark, model)
    entry, name = stage.params["benchmark"], config["benchmarks"][benchmark]["judge"]
    items, predictions, files, games = judge.load_match(stage, benchmark)
    journal_path = paths.judge_journal(benchmark, name, model, config["seed"])
    read_verdict, label = judge.verdict_reader(entry), f"judge {benchmark}, {model}"
    verdicts = query_judge(args, name, games, read_verdict, journal_path, label)
    if verdicts is None:
        return
    asked = stage.params["judge"]["model"]
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
    official = benchmarks.load_protocol(entry).official_rows(
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


def judge_set(args, config, name, cell):
    """Write a judge's scores of samples of a generated set, by the rubrics of its metrics."""
    stage = stages.judge_set(config, name, cell)
    games = judged.load_games(stage, cell.domain)
    journal_path, label = paths.assessment_journal(cell, name), f"{name} judges {cell}"
    verdicts = query_judge(args, name, games, judged.read_verdict, journal_path, label)
    if verdicts is None:
        return
    rows = [
        {
            "metric": game["metric"],
            "id": game["id"],
            "score": verdict["verdict"],
            "attempts": verdict["attempts"],
            "judge": stage.params["judge"]["model"],
            "answered_by": verdict["reply"].get("model"),
            "reply": verdict["reply"]["reply"],
        }
        for game, verdict in zip(games, verdicts, strict=True)
    ]
    write_jsonl(paths.assessments(name, cell), rows)


if __name__ == "__main__":
    run_program(main)
