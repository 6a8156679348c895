"""Build the miniature: seeds, benchmarks, a tokenizer and tiny models, from nothing.

    python scripts/mini.py seeds --domain math --method response --output seeds.jsonl
    python scripts/mini.py benchmark --name mini-sums --output mini-sums.jsonl
    python scripts/mini.py tokenizer --output tokenizer
    python scripts/mini.py base --tokenizer tokenizer --output base --threads 2
    python scripts/mini.py posttrain --name noisy --base base --output noisy \\
        --recipe '{"wrong_share": 0.4}'
"""

import argparse
import json
from pathlib import Path

from agorabench.errors import UserError, run
from agorabench.mini import world

SEEDS = {"seed": 1, "rows": 800}
BENCHMARK = {"seed": 1, "items": None}


def write_rows(rows: list[dict], output: Path) -> None:
    """Write JSON lines, all or nothing."""
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.partial")
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(output)


def recipe_from(text: str) -> dict:
    """The recipe given on the command line; UserError unless it is a JSON object."""
    try:
        recipe = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--recipe is not JSON: {error}") from None
    if not isinstance(recipe, dict):
        raise UserError(f"--recipe must be a JSON object, not {text}")
    return recipe


def arguments(argv: list[str] | None) -> argparse.Namespace:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--output", type=Path, required=True, help="file or folder to make")
    shared.add_argument("--recipe", default="{}", help="JSON: the config's entry for this thing")
    shared.add_argument("--threads", type=int, default=1)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    seeds = commands.add_parser("seeds", parents=[shared], help="seed data of one setting")
    seeds.add_argument("--domain", choices=world.DOMAINS, required=True)
    seeds.add_argument("--method", choices=world.METHODS, required=True)
    benchmark = commands.add_parser("benchmark", parents=[shared], help="held-out items")
    benchmark.add_argument("--name", choices=sorted(world.BENCHMARKS), required=True)
    commands.add_parser("tokenizer", parents=[shared], help="byte-level BPE and chat template")
    base = commands.add_parser("base", parents=[shared], help="pre-train on plain text")
    base.add_argument("--tokenizer", type=Path, required=True)
    posttrain = commands.add_parser("posttrain", parents=[shared], help="reference or generator")
    posttrain.add_argument("--name", required=True)
    posttrain.add_argument("--base", type=Path, required=True)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = arguments(argv)
    recipe = recipe_from(args.recipe)
    if args.command in ("seeds", "benchmark"):
        from agorabench.mini.models import recipe_of

        if args.command == "seeds":
            recipe = recipe_of(SEEDS, recipe)
            rows = world.seeds(args.domain, args.method, recipe["rows"], recipe["seed"])
        else:
            recipe = recipe_of(BENCHMARK, recipe)
            rows = world.benchmark(args.name, recipe["seed"], recipe["items"])
        write_rows(rows, args.output)
        return
    from agorabench.mini import models

    if args.command == "tokenizer":
        models.build_tokenizer(args.output, recipe)
    elif args.command == "base":
        models.build_base(args.tokenizer, args.output, recipe, args.threads)
    else:
        models.posttrain(args.name, args.base, args.output, recipe, args.threads)


if __name__ == "__main__":
    run(main)
