"""What all programs share: the form of their arguments, and how they end.

    python scripts/STAGE.py --config FILE --cell CELL

`--config` is a whole config; every path follows from it and from what the other options name
(paths.py), and what decides a result is computed by config/stages.py and result_stages.py.
"""

import argparse
import sys
import traceback

from agorabench import matrix
from agorabench.cluster import locks
from agorabench.config import load_config
from agorabench.errors import UserError
from agorabench.matrix import Cell
from agorabench.paths import parse_model


def read_cell(text):
    """A cell, as the type of an argument."""
    try:
        return Cell.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


OPTIONS = {
    "cell": {"type": read_cell, "help": "DOMAIN/METHOD/GENERATOR/PROMPT/nSIZE-seedSEED"},
    "model": {
        "help": "STUDENT/CELL, STUDENT/base, STUDENT/reference[-NAME] or generators/GENERATOR"
    },
    "student": {"help": "a student of the config"},
    "benchmark": {"help": "a benchmark of the config"},
    "metric": {"help": "an intrinsic metric of the config"},
    "judge": {"help": "a generator of the config that judges"},
    "domain": {"help": "a domain"},
    "method": {"help": "a method of generation"},
    "reference": {"help": "a further reference of students"},
    "dry-run": {
        "action": "store_true",
        "help": "say in a line of JSON what would be asked; ask nobody, write nothing",
    },
}


def parse_arguments(doc, names, argv=None, more=None):
    """Parse a program's command line; `args.config` becomes the checked config.

    Args:
        doc: the program's docstring, its help.
        names: of OPTIONS, separated by spaces; one that ends with ? may be left out.
        argv: arguments; None for those of this process.
        more: called with the parser, to add what only this program has.

    Raises:
        UserError: the config has a fault.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="a config, YAML or JSON")
    for name in names.split():
        key = name.rstrip("?")
        parser.add_argument(f"--{key}", required=name == key, **OPTIONS[key])
    parser.add_argument("--threads", type=int, default=1, help="processor cores to use")
    if more:
        more(parser)
    args = parser.parse_args(argv)
    args.config_file, args.config = args.config, load_config(args.config)
    _check_names(args)
    return args


def _check_names(args):
    """Refuse names that the config does not have, with those that it has."""
    config = args.config
    registries = {"student": "students", "benchmark": "benchmarks", "metric": "intrinsic"}
    registries |= {"judge": "generators"}
    names = [(kind, getattr(args, kind, None), config[key]) for kind, key in registries.items()]
    names += [("domain", getattr(args, "domain", None), config["domains"])]
    names += [("method", getattr(args, "method", None), config["methods"])]
    names += _cell_names(config, getattr(args, "cell", None))
    if model := getattr(args, "model", None):
        try:
            parsed = parse_model(model)
        except ValueError as error:
            raise UserError(f"--model: {error}") from None
        names += [("student", parsed.student, config["students"])]
        names += [("generator", parsed.generator, config["generators"])]
        names += _cell_names(config, parsed.cell)
        if parsed.student in config["students"]:
            further = map(matrix.reference_anchor, config["students"][parsed.student]["references"])
            names += [("model of a student", parsed.anchor, [*matrix.ANCHORS, *further])]
    for kind, name, known in names:
        if name is not None and name not in known:
            raise UserError(
                f"{args.config_file}: unknown {kind} '{name}'; known: {', '.join(known)}"
            )


def _cell_names(config, cell):
    """(Kind, name, known names) of what a cell is made of."""
    if cell is None:
        return []
    return [
        ("domain", cell.domain, config["domains"]),
        ("method", cell.method, config["methods"]),
        ("generator", cell.generator, config["generators"]),
        ("prompt", cell.prompt, [*config["prompts"], matrix.NO_PROMPT]),
    ]


def run_program(main):
    """Call `main()` as a program: a UserError, or what files, texts and the machine can do to us,
    becomes one line on stderr and exit status 1."""
    locks.hold_job_lock()
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"error: {error}")
    except FileNotFoundError as error:  # what an earlier stage makes
        path = error.filename
        sys.exit(f"error: {path}: no such file; if a rule makes it, `snakemake {path}` does")
    except (OSError, RecursionError, UnicodeError) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        sys.exit(f"error: {error or type(error).__name__} ({place.filename}, line {place.lineno})")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; the same command goes on from where it was")
