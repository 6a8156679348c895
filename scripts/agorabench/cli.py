"""What all programs share: the form of their arguments, and how they end.

    python scripts/STAGE.py --config FILE --cell CELL

`--config` is a whole config; every path follows from it and from what the other options name
(paths.py), and what decides a result is computed by config/stages.py and result_stages.py.
"""

import argparse
import sys
from pathlib import Path

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
    "model": {"help": "STUDENT/CELL, STUDENT/base, STUDENT/reference or generators/GENERATOR"},
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
    config, cell = args.config, getattr(args, "cell", None)
    registries = {"student": "students", "benchmark": "benchmarks", "metric": "intrinsic"}
    registries |= {"judge": "generators", "domain": "seeds"}
    wanted = [(registry, getattr(args, name, None)) for name, registry in registries.items()]
    if model := getattr(args, "model", None):
        try:
            parsed = parse_model(model)
        except ValueError as error:
            raise UserError(f"--model: {error}") from None
        wanted += [("students", parsed.student), ("generators", parsed.generator)]
        cell = parsed.cell or cell
    if cell:
        wanted += [("generators", cell.generator)]
    for registry, name in wanted:
        if name is not None and name not in config[registry]:
            known = ", ".join(config[registry])
            kind = {"intrinsic": "metric"}.get(registry, registry.removesuffix("s"))
            raise UserError(f"{args.config_file}: unknown {kind} '{name}'; known: {known}")


def run_program(main):
    """Call `main()` as a program: a UserError becomes one line on stderr and exit status 1."""
    locks.hold_job_lock()
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; the same command goes on from where it was")


def label_of(path):
    """A path as the label of a progress bar, without its folder of results and its ending."""
    return "/".join(Path(path).with_suffix("").parts[2:])
