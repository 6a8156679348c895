"""What all rules share: the checked config, and wildcards closed over it."""

import json
import os
from functools import cache

from agorabench import matrix
from agorabench.cluster import locks
from agorabench.config.references import check
from agorabench.errors import UserError
from agorabench.models import hub

try:
    config.update(check(config, workflow.configfiles, files_too=workflow.is_main_process))
except UserError as error:
    raise SystemExit(f"error: {error}") from None


CELL = "{domain}/{method}/{generator}/{prompt}/n{size}-seed{seed}"
RUNS = matrix.runs(config)
SETS = dict.fromkeys([*RUNS, *(part for run in RUNS for _, part in matrix.parts(config, run))])
MIXTURES = matrix.mixtures(config)
REFERENCES = matrix.references(config)


def one_of(names):
    """A wildcard constraint: exactly one of `names`."""
    return "|".join(map(re.escape, names)) or "(?!)"  # which nothing matches


wildcard_constraints:
    domain=one_of(matrix.DOMAINS),
    method=one_of(matrix.METHODS),
    generator=one_of(config["generators"]),
    prompt=one_of([*config["prompts"], matrix.NO_PROMPT]),
    size=r"[1-9]\d*",
    seed=r"\d+",
    student=one_of(config["students"]),
    anchor=one_of([*matrix.ANCHORS, *map(matrix.further, REFERENCES)]),
    reference=one_of(REFERENCES),
    benchmark=one_of(config["benchmarks"]),
    judge=one_of(matrix.judges(config)),
    metric=one_of(matrix.measurements(config)),
    mini=one_of(name for name in config["mini"] if name not in ("tokenizer", "base")),


def entry(registry, name, keys):
    """The part of a registry entry that matters to a stage, as JSON for a command line.

    Whatever is left out (a price, say) can change without making the stage's outputs stale.
    """
    chosen = {key: config[registry][name][key] for key in keys if key in config[registry][name]}
    return json.dumps(chosen, sort_keys=True)


def model_file(model):
    """The files that stand for a local model's weights, or nothing for a hub's."""
    folder = Path(model)
    if str(folder.parent) == "resources/models" and folder.name in config["mini"]:
        return [str(folder / "weights.sha256")]
    return sorted(map(str, folder.glob("*.safetensors")))


def local(source):
    """The local file of a source, or nothing where it has none."""
    return [source["path"]] if "path" in source else []


@cache
def code(program, *more):
    """The sources of a cheap stage's script: an edit there makes the stage run again."""
    # Relative, so that a copy of the folder is as fresh as the folder.
    return matrix.sources(program, *more, root=os.path.relpath(f"{workflow.basedir}/scripts"))


def recipe(name):
    """How a model of the miniature is built."""
    return json.dumps(config["mini"][name], sort_keys=True)


def asked(wildcards):
    """Is the generator a model that is asked, and not a data set that is read?"""
    return config["generators"][wildcards.generator]["backend"] != "dataset"


def generators_asked():
    """Names of the generators that the jobs of this run will ask, for instances or for classes."""
    names = set()
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "generate" or job.rule.name.startswith("solve_"):
            names.add(job.wildcards.generator)
        elif job.rule.name == "judge":
            names.add(judge_of(job.wildcards))
        elif job.rule.name == "assess":
            names.add(job.wildcards.judge)
        elif job.rule.name == "fetch_seeds" and (chosen := classification(job.wildcards)):
            names.add(chosen["generator"])
    return sorted(names)


def models_loaded():
    """What the jobs of this run load models for -> the entry of the config that names the model."""
    asked = {name: config["generators"][name] for name in generators_asked()}
    found = {
        f"generator {name}": one for name, one in asked.items() if one["backend"] in matrix.LOCAL
    }
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "measure":
            found[f"metric {job.wildcards.metric}"] = config["intrinsic"][job.wildcards.metric]
        elif job.rule.name == "train":
            student = job.wildcards.student
            found[f"base of {student}"] = config["students"][student]["base"]
        elif job.rule.name == "predict_anchor":
            found[f"{job.wildcards.anchor} of {job.wildcards.student}"] = anchor(job.wildcards)
    return found


def plans_only():
    """Does this run do nothing but plan?"""
    return {job.rule.name for job in workflow.dag.needrun_jobs()} == {"plan"}


def warm():
    """Does this run start the process that scripts are forked from?"""
    # Jobs of a cluster must not leave their node or their limits.
    return config["warm"] and workflow.local_exec and not plans_only()


def optional(option, paths):
    """Arguments for an input that may be absent."""
    return [f"--{option}", *([paths] if isinstance(paths, str) else paths)] if paths else []


def kept(path):
    """An output that goes when it has been used, if the config says so."""
    return temp(path) if config["keep_models"] == "scored" else path


def questions(names):
    """The items of benchmarks."""
    return expand("resources/benchmarks/{benchmark}.jsonl", benchmark=names)


def experiments(students=None):
    """The experiments, and what it takes to expand them into runs, as JSON.

    Of `students` only, where they are given.
    """
    backends = {
        name: {"backend": chosen["backend"]} for name, chosen in config["generators"].items()
    }
    axes = config["experiments"]
    if students:
        axes = {
            name: chosen | {"students": [s for s in chosen["students"] if s in students]}
            for name, chosen in axes.items()
        }
    return json.dumps({"experiments": axes, "generators": backends})


def about():
    """What the dataset card tells of the config, as JSON."""
    used = {run.generator for run in SETS}
    kept = ("model", "sampling", "of")
    return json.dumps(
        {
            "generators": {name: json.loads(entry("generators", name, kept)) for name in used},
            "prompts": config["prompts"],
            "benchmarks": list(config["benchmarks"]),
            "generation": config["generation"],
            "dataset": config["dataset"],
        },
        sort_keys=True,
    )


def prices():
    """USD per million tokens of every generator, as JSON; data sets cost nothing here.

    A mixture has no price of its own: its rows cost what their generators do.
    """
    free = {"input": 0.0, "output": 0.0}
    entries = config["generators"].items()
    return json.dumps(
        {name: chosen.get("price", free) for name, chosen in entries if name not in MIXTURES}
    )


def classified():
    """Journals of classifications -> the generators that were asked, as JSON."""
    return json.dumps(matrix.classifications(config))
