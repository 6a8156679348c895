r"""Put a sample of a generated set before a judge, who scores each example by a rubric.

    python scripts/assess.py --data results/data/math/response/strong/mini/n600-seed1.jsonl \
        --metrics '{"quality-hasty": {"rubrics": "config/rubrics/mini/quality", "sample": 200}}' \
        --domain math --judge '{"backend": "transformers", "model": "resources/models/hasty"}' \
        --config config/mini.yaml --generator hasty --seed 1 \
        --journal journal/assess/math/hasty/response--strong--mini/seed1.jsonl \
        --output /tmp/assessments.jsonl

Writes a row per metric and example: metric, id (the example's line in the data, from 0), score (1
to 5, null where none could be read in three replies), attempts, judge (the model that was asked),
answered_by, and the reply. Seeds that a student trains on too are not assessed.
"""

import argparse
import json
from pathlib import Path

from agorabench import intrinsic
from agorabench.config.references import read
from agorabench.errors import run
from agorabench.evaluation import judge
from agorabench.files import write_jsonl
from agorabench.intrinsic import judged


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the generated set")
    parser.add_argument("--domain", required=True)
    parser.add_argument("--metrics", type=json.loads, required=True, help="config: intrinsic")
    parser.add_argument("--judge", type=json.loads, required=True, help="the judge's config")
    parser.add_argument("--config", required=True, help="the whole config: how to ask, max_usd")
    parser.add_argument("--generator", required=True, help="the judge's name in --config")
    parser.add_argument("--seed", type=int, required=True, help="of the sample and the replies")
    parser.add_argument("--journal", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)

    pairs = intrinsic.generated(args.data)
    games = judged.games(pairs, args.metrics, args.domain, args.seed)
    found = judge.judge(
        games, lambda _, reply: judged.score(reply), args.generator, read(args.config), args.judge,
        args.journal, args.seed, f"{args.generator} assesses {Path(args.output).stem}",
        args.threads,
    )  # fmt: skip
    write_jsonl(
        args.output,
        (
            {
                "metric": game["metric"],
                "id": game["id"],
                "score": one["verdict"],
                "attempts": one["attempts"],
                "judge": args.judge["model"],
                "answered_by": one["reply"].get("model"),
                "reply": one["reply"]["reply"],
            }
            for game, one in zip(games, found, strict=True)
        ),
    )


if __name__ == "__main__":
    run(main)
