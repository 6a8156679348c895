"""What all rules share: the checked config, wildcards closed over it, and what stages depend on."""

import json
import os
from functools import cache

from agorabench import matrix, paths
from agorabench.cluster import failures, locks
from agorabench.config import check_config, result_stages, stages
from agorabench.config.changes import describe_change
from agorabench.config.jobs import loaded_models, queried_generators
from agorabench.errors import UserError
from agorabench.evaluation.benchmarks import protocol_file
from agorabench.matrix import Cell
from snakemake.persistence import ParamsChange

name_all = ParamsChange.__str__
ParamsChange.__str__ = lambda new: describe_change(new.only_old, new.only_new) or name_all(new)

try:
    config.update(check_config(config, workflow.configfiles, files_too=workflow.is_main_process))
except UserError as error:
    raise SystemExit(f"error: {error}") from None

CONFIG = locks.snapshot_path(config)  # written when a run starts; what every program reads
if not workflow.is_main_process and not Path(CONFIG).exists():
    locks.write_snapshot(config)  # it was edited while this job waited in its queue
CELL = str(Cell.WILDCARDS)
RUNS = matrix.expand_runs(config)
CELLS = matrix.list_cells(config)
SETS = list(
    dict.fromkeys([*CELLS, *(p for c in CELLS for _, p in matrix.mixture_parts(config, c))])
)
MIXTURES = matrix.mixture_generators(config)
REFERENCES = matrix.student_references(config)
# Rules run the Python that runs Snakemake, whether or not its environment is active.
os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), *os.get_exec_path()]))
SCRIPTS = "scripts" if BASE == Path.cwd() else f"{BASE}/scripts"
# Starts a program in a process that has its imports done (config: warm).
WARM = f"python {SCRIPTS}/agorabench/cluster/warm.py"


def one_of(names):
    """A wildcard constraint: exactly one of `names`."""
    return "|".join(map(re.escape, names)) or "(?!)"  # which nothing matches


wildcard_constraints:
    domain=one_of(config["domains"]),
    method=one_of(config["methods"]),
    generator=one_of(config["generators"]),
    prompt=one_of([*config["prompts"], matrix.NO_PROMPT]),
    size=r"[1-9]\d*",
    seed=r"\d+",
    student=one_of(config["students"]),
    anchor=one_of([*matrix.ANCHORS, *map(matrix.reference_anchor, REFERENCES)]),
    reference=one_of(REFERENCES),
    benchmark=one_of(config["benchmarks"]),
    judge=one_of(matrix.judge_generators(config)),
    metric=one_of(matrix.model_metrics(config)),
    mini=one_of(name for name in config["mini"] if name not in ("tokenizer", "base")),


def of_names(stage, *names):
    """A stage of what wildcards of these names say, as a function of a job's wildcards."""
    return lambda wildcards, *more: stage(config, *map(wildcards.get, names), *more)


def of_cell(stage, *names):
    """A stage of what wildcards of these names say and of a cell, likewise."""
    return lambda wildcards: of_names(stage, *names)(wildcards, Cell.of(wildcards))


def inputs(stage):
    """Input files of a stage, to be unpacked."""
    return unpack(lambda wildcards: stage(wildcards).inputs)


def decides(stage):
    """What else decides the result of a stage."""
    return lambda wildcards: stage(wildcards).text


def program(name, options="", start="python"):
    """The shell line that runs a stage's program.

    The config is no param: its path changes with every key, `decides` with those that count.
    """
    options = " ".join(filter(None, (f"--config {CONFIG}", options, "--threads {threads}")))
    return f"{start} {SCRIPTS}/{name}.py {options} 2>&1 | tee -i {{log}}"


@cache
def code(program, *more):
    """The sources of a cheap stage's program: an edit there makes the stage run again."""
    # Relative, so that a copy of the folder is as fresh as the folder.
    return stages.source_files(program, *more, root=os.path.relpath(BASE / "scripts"))


def kept(path):
    """An output that goes when it has been used, if the config says so."""
    return temp(path) if config["keep_models"] == "scored" else path


def is_remote(name):
    """Is the generator a model behind an API?"""
    return config["generators"][name]["backend"] in ("openai", "anthropic")


def starter(name):
    """How the program that asks a generator is started: vLLM wants a process of its own."""
    return "python" if config["generators"][name]["backend"] == "vllm" else WARM


def score_code(wildcards):
    """The sources of `score` and of the benchmark's protocol."""
    protocol = config["benchmarks"][wildcards.benchmark]["protocol"]
    inside = (f"agorabench/sandbox/{name}.py" for name in ("child", "child_walls", "child_program"))
    return code("score", protocol_file(protocol), *inside)


def score_threads(wildcards):
    """Processes that grade at a time: those of the miniature are done before a second has begun."""
    many = ("math", "humaneval", "humaneval_plus", "mbpp", "mbpp_plus")
    benchmark = config["benchmarks"][wildcards.benchmark]
    return 4 if benchmark["protocol"] in many or benchmark.get("compare") == "math" else 1


def completions(model, domain=None):
    """What decides the completions of a model, as a function of a job's wildcards."""
    return lambda wildcards: stages.predict(config, model.format(**wildcards), domain)


def reference_table(wildcards):
    """The PGR table with a further reference."""
    return result_stages.aggregate(config, "pgr", wildcards.reference)


def start_run(workflow):
    """Take the locks of a run, check that what it needs can be had, keep its config, warm up."""
    slurm.lift_rate_limit(workflow.scheduler)
    due = [(job.rule.name, job.wildcards) for job in workflow.dag.needrun_jobs()]
    # Jobs of a cluster must not leave their node or their limits.
    warm = config["warm"] and workflow.local_exec and {rule for rule, _ in due} != {"plan"}
    try:
        generators, models = queried_generators(config, due), loaded_models(config, due)
        locks.begin_run(config, generators, models=models, warm=warm)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None


def end_succeeded(workflow):
    """Say what was found, if this run made the report."""
    if any(job.rule.name == "report" for job in workflow.dag.finished_jobs):
        decision = Path(paths.table("decision", "md")).read_text(encoding="utf-8")
        for sentences in re.findall(r"^- (.+?\.(?: It .+?\.)?)(?= [A-Z]|$)", decision, re.M)[:1]:
            print(f"\n{sentences.replace('**', '')}", file=sys.stderr)
        print(f"How sure, at what price and what next: {paths.REPORT}", file=sys.stderr)


def end_failed(workflow):
    """Make tables and report of what there is, and say last why jobs failed."""
    failed = [job for each in workflow.scheduler.failed for job in getattr(each, "jobs", [each])]
    if not failed:  # it was interrupted
        return
    locks.end_run()
    due = list(workflow.dag.needrun_jobs())
    cheap = [job for job in due if job.rule.name.partition("_")[0] in failures.ENDINGS]
    left = failures.leave_out(config, {str(file) for job in due for file in job.output})
    if cheap and left:
        rules = [rule.name for rule in workflow.rules]
        rules = [name for name in rules if name.partition("_")[0] in failures.ENDINGS]
        targets = [str(job.output[0]) for job in cheap]
        print(failures.make_partial(left, targets, rules, workflow.main_snakefile), file=sys.stderr)
    jobs = [(job.rule.name, str((*job.output, "")[0]), str((*job.log, "")[0])) for job in failed]
    print(failures.explain_failures(jobs), file=sys.stderr)


if not workflow.modifier.is_main_snakefile():  # Snakemake leaves a module's handlers out
    workflow._onstart = lambda log: start_run(workflow)
    workflow._onsuccess = lambda log: end_succeeded(workflow)
    workflow._onerror = lambda log: end_failed(workflow)
