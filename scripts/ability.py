r"""Have a generator solve the benchmarks itself, as Table 7 of arXiv 2412.03679 does.

    python scripts/ability.py --generator gpt-4o --config config/agorabench.yaml --seed 1 \
        --entry '{"backend": "openai", "model": "gpt-4o"}' --items resources/benchmarks \
        --benchmarks '{"gsm8k": {"protocol": "gsm8k", "max_tokens": 1024, "temperature": 0.2,
                       "top_p": 0.95, "limit": null}}' \
        --journal journal/ability/math/gpt-4o/benchmarks/seed1.jsonl --output /tmp/predictions

The generator is asked as it is for data, through its backend and a journal, but with the sampling
of the benchmarks (those parts of it that its own config leaves out as refused stay out; there is no
repetition penalty). Writes the same rows as predict.py, under the name generators/NAME.
"""

import argparse
import json
from pathlib import Path

from agorabench.config.references import read
from agorabench.errors import run
from agorabench.evaluation import benchmarks, solving
from agorabench.files import write_jsonl
from agorabench.llm import answer, opened
from agorabench.progress import Progress


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", required=True, help="its name in --config")
    parser.add_argument("--entry", type=json.loads, required=True, help="the generator's config")
    parser.add_argument("--config", required=True, help="the whole config: how to ask, max_usd")
    parser.add_argument("--benchmarks", type=json.loads, required=True, help="config: benchmarks")
    parser.add_argument("--items", required=True, help="folder of {benchmark}.jsonl")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--journal", required=True)
    parser.add_argument("--output", required=True, help="folder of {benchmark}.jsonl")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)

    config = read(args.config)
    entry = args.entry | config["generators"][args.generator]
    items = {
        name: benchmarks.load(benchmark, Path(args.items) / f"{name}.jsonl")
        for name, benchmark in args.benchmarks.items()
    }
    with (
        opened(
            args.generator, entry, config, args.journal,
            threads=args.threads, batch_size=entry.get("batch_size", 64),
        ) as (journal, backend),
        Progress(f"{args.generator} solves", sum(map(len, items.values())), "items") as bar,
    ):  # fmt: skip
        for name, benchmark in args.benchmarks.items():
            asked = solving.requests(
                backend.identity, entry, name, benchmark, items[name], args.seed
            )
            answer(backend, journal, {request["fingerprint"]: request for request in asked})
            replies = [journal[request["fingerprint"]] for request in asked]
            write_jsonl(
                Path(args.output) / f"{name}.jsonl", answers(args.generator, items[name], replies)
            )
            bar.advance(len(replies))


def answers(generator, items, replies):
    """Prediction rows, as predict.py writes them."""
    return [
        {
            "id": item["id"],
            "model": f"generators/{generator}",
            "prompt": item["prompt"],
            "completion": reply["reply"] or "",
            "finish_reason": reply["finish_reason"],
        }
        for item, reply in zip(items, replies, strict=True)
    ]


if __name__ == "__main__":
    run(main)
