"""Build a model of the miniature, from nothing: its tokenizer, its base, or what is made of it.

    python scripts/miniature/build.py --config config/mini.yaml --name tokenizer
    python scripts/miniature/build.py --config config/mini.yaml --name base
    python scripts/miniature/build.py --config config/mini.yaml --name noisy

The recipe is the entry of this name under `mini:`; the model is written to resources/models/NAME.
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # scripts/, of which this folder is a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from agorabench.cli import parse_arguments, run_program
from agorabench.errors import UserError
from agorabench.paths import LOCAL_MODELS


def main(argv=None):
    def add_name(parser):
        parser.add_argument("--name", required=True, help="tokenizer, base or a model of mini:")

    args = parse_arguments(__doc__, "", argv, add_name)
    recipes = args.config["mini"]
    if args.name not in recipes:
        known = ", ".join(recipes) or "none"
        raise UserError(f"{args.config_file}: unknown model '{args.name}' in mini; known: {known}")
    build_model(args.name, recipes[args.name], args.threads)


def build_model(name, recipe, threads):
    """Build the tokenizer, the base or a post-trained model into its folder."""
    from miniature import models, tokenizer

    output = Path(LOCAL_MODELS, name)
    if name == "tokenizer":
        tokenizer.build_tokenizer(output, recipe)
    elif name == "base":
        models.build_base(built_folder("tokenizer"), output, recipe, threads)
    else:
        start = built_folder(recipe.get("start", "base"))
        models.posttrain_model(name, start, output, recipe, threads)


def built_folder(name):
    """Return the folder of a model that is built already.

    Raises:
        UserError: it is not.
    """
    folder = Path(LOCAL_MODELS, name)
    if not (folder / "tokenizer.json").is_file():
        raise UserError(f"{folder} is not built yet; build it first with --name {name}")
    return folder


if __name__ == "__main__":
    run_program(main)
