"""What the rules share: the checked config, wildcards closed over it, and inputs by coordinate."""

import json

from agorabench import grid, session
from agorabench.config import check
from agorabench.errors import UserError

try:
    config.update(
        check(config, workflow.configfiles, files_too=workflow.is_main_process)
    )
except UserError as error:
    raise SystemExit(f"error: {error}") from None


CELL = "{domain}/{method}/{generator}/{prompt}/n{size}-seed{seed}"
RUNS = grid.runs(config)


def one_of(names):
    """A wildcard constraint: exactly one of `names`."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    domain=one_of(grid.DOMAINS),
    method=one_of(grid.METHODS),
    generator=one_of(config["generators"]),
    prompt=one_of([*config["prompts"], grid.NO_PROMPT]),
    size=r"[1-9]\d*",
    seed=r"\d+",
    student=one_of(config["students"]),
    anchor=one_of(grid.ANCHORS),
    benchmark=one_of(config["benchmarks"]),
    mini=one_of(name for name in config["mini"] if name not in ("tokenizer", "base")),


def entry(registry, name, keys):
    """The part of a registry entry that matters to a stage, as JSON for a command line.

    Whatever is left out (a price, say) can change without making the stage's outputs stale.
    """
    chosen = {key: config[registry][name][key] for key in keys if key in config[registry][name]}
    return json.dumps(chosen, sort_keys=True)


def model_file(model):
    """The file that stands for a local model's weights, or nothing for a hub's."""
    folder = Path(model)
    if str(folder.parent) == "resources/models" and folder.name in config["mini"]:
        return [f"{model}/build.json"]
    return [f"{model}/config.json"] if folder.is_dir() else []


def local(source):
    """The local file of a source, or nothing where it has none."""
    return [source["path"]] if "path" in source else []


def code(program, *more):
    """The sources of a cheap stage's script: an edit there makes the stage run again."""
    return grid.sources(program, *more, root=Path(workflow.basedir) / "scripts")
