r"""Build the miniature's tokenizer and tiny models, from nothing.

    python scripts/mini.py tokenizer --output tokenizer
    python scripts/mini.py base --tokenizer tokenizer --output base
    python scripts/mini.py posttrain --name noisy --base base --output noisy \
        --recipe '{"wrong_share": 0.4}'

A recipe is the model's entry under `mini:` in the config.
"""

import argparse
import json
from pathlib import Path

from agorabench.cli import run_program
from agorabench.errors import UserError


def main(argv=None):
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--output", type=Path, required=True, help="folder to make")
    shared.add_argument("--recipe", default="{}", help="JSON: the config's entry for this model")
    shared.add_argument("--threads", type=int, default=1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("tokenizer", parents=[shared], help="byte-level BPE and chat template")
    base = commands.add_parser("base", parents=[shared], help="pre-train on plain text")
    base.add_argument("--tokenizer", type=Path, required=True)
    posttrain = commands.add_parser("posttrain", parents=[shared], help="reference or generator")
    posttrain.add_argument("--name", required=True)
    posttrain.add_argument("--base", type=Path, required=True)
    args = parser.parse_args(argv)

    from miniature import models

    recipe = recipe_from(args.recipe)
    if args.command == "tokenizer":
        models.build_tokenizer(args.output, recipe)
    elif args.command == "base":
        models.build_base(args.tokenizer, args.output, recipe, args.threads)
    else:
        models.posttrain(args.name, args.base, args.output, recipe, args.threads)


def recipe_from(text):
    """The recipe given on the command line; UserError unless it is a JSON object."""
    try:
        recipe = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--recipe is not JSON: {error}") from None
    if not isinstance(recipe, dict):
        raise UserError(f"--recipe must be a JSON object, not {text}")
    return recipe


if __name__ == "__main__":
    run_program(main)
