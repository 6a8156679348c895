r"""Put a model's completions of a benchmark before its judge.

    python scripts/judge.py --name alpaca-eval --entry '{"protocol": "alpaca_eval"}' \
        --items resources/benchmarks/alpaca-eval.jsonl --files resources/benchmarks/alpaca-eval \
        --predictions results/predictions/mini/reference/alpaca-eval.jsonl --model mini/reference \
        --judge '{"backend": "openai", "model": "gpt-4.1", ...}' --config FILE --generator NAME \
        --journal journal/judge/alpaca-eval/NAME/mini--reference/replies.jsonl \
        --output /tmp/judgements.jsonl

Writes a row per game: id, model and answer (the fingerprint of its completion), game, swapped,
verdict (null where none could be read in three replies), attempts, judge (the model that was
asked), answered_by, and the reply. `--official` gets the same in the formats of the benchmark's own
tool, which can go on from there.
"""

import argparse
import csv
import json
from functools import partial
from pathlib import Path

from agorabench.config.references import read
from agorabench.errors import run
from agorabench.evaluation import benchmarks, judge
from agorabench.files import atomic_file, json_fingerprint, read_jsonl, write_json, write_jsonl
from score import match


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="the benchmark")
    parser.add_argument("--entry", type=json.loads, required=True, help="config: benchmarks.NAME")
    parser.add_argument("--items", required=True)
    parser.add_argument("--files", required=True, type=Path, help="folder of the protocol's files")
    parser.add_argument("--predictions", required=True)
    parser.add_argument("--model", required=True, help="whose completions they are")
    parser.add_argument("--judge", type=json.loads, required=True, help="the judge's config")
    parser.add_argument("--config", required=True, help="the whole config: how to ask, max_usd")
    parser.add_argument("--generator", required=True, help="the judge's name in --config")
    parser.add_argument("--seed", type=int, default=1, help="of the order of answers")
    parser.add_argument("--journal", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--official", type=Path, required=True, help="folder: the tool's formats")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)

    protocol = benchmarks.protocol(args.entry)
    files = benchmarks.files(args.entry, args.files)
    items = benchmarks.load(args.entry, args.items)
    predictions = match(items, read_jsonl(args.predictions), args.predictions)
    games = benchmarks.games(args.entry, items, predictions, files, args.seed)
    found = judge.judge(
        games, partial(protocol.verdict, args.entry), args.generator, read(args.config), args.judge,
        args.journal, args.seed, f"judge {args.name}, {args.model}", args.threads,
    )  # fmt: skip
    rows = [
        {
            "id": game["id"],
            "model": args.model,
            "answer": json_fingerprint(game["completion"]),
            "game": game["game"],
            "swapped": game["swapped"],
            "verdict": one["verdict"],
            "attempts": one["attempts"],
            "judge": args.judge["model"],
            "answered_by": one["reply"].get("model"),
            "reply": one["reply"]["reply"],
            **({"logprobs": one["reply"]["logprobs"]} if one["reply"].get("logprobs") else {}),
        }
        for game, one in zip(games, found, strict=True)
    ]
    write_jsonl(args.output, rows)
    by_item = [[row for row in rows if row["id"] == item["id"]] for item in items]
    told = protocol.official(
        items, predictions, by_item, args.model, args.judge["model"], entry=args.entry, files=files
    )
    for name, lines in told.items():
        WRITE[Path(name).suffix](args.official / name, lines)


def write_csv(path, rows):
    """Write rows (dicts of the same keys, or none at all) as CSV."""
    with atomic_file(path) as file:
        table = csv.DictWriter(file, rows[0] if rows else [], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


WRITE = {".jsonl": write_jsonl, ".json": write_json, ".csv": write_csv}


if __name__ == "__main__":
    run(main)
