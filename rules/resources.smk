"""What jobs ask a cluster for: memory, time, GPUs, and where. On one machine only GPUs count.

Needs: nothing; profiles/slurm/cluster.yaml where the cluster's defaults will not do.
Makes: `ask`, the resources of a rule; no rules.
"""

import math
import signal

from agorabench.cluster.slurm import mend, relay, site

try:
    SITE = site(f"{workflow.basedir}/profiles/slurm/cluster.yaml")
except UserError as error:
    raise SystemExit(f"error: {error}") from None

if workflow.is_main_process:
    if executor := sys.modules.get("snakemake_executor_plugin_slurm"):
        mend(executor)
else:
    # The shell and what stands beside the script in a pipe outlive SLURM's warning.
    shell.prefix("set -euo pipefail; trap '' USR1; ")
    relay(signal.SIGUSR1)


def ask_amounts(gb, minutes, gpus=lambda wildcards: 0, warning=None):
    """Resources of a rule, to be unpacked into its `resources:`.

    Args:
        gb, minutes: memory and time of the first attempt, functions of the wildcards; each further
            attempt gets half as much again.
        gpus: their number, a function of the wildcards; with 0 none is asked for.
        warning: seconds before the time limit at which SLURM sends the job SIGUSR1.
    """

    def grown(amount):
        return lambda wildcards, attempt: math.ceil(amount(wildcards) * (1 + attempt) / 2)

    def of_site(key):
        def value(wildcards):
            general = SITE["jobs"].get(key)
            return SITE["gpu_jobs"].get(key, general) if gpus(wildcards) else general

        return value

    chosen = {
        # SLURM may otherwise spread the GPUs of one job over nodes.
        "nodes": lambda wildcards: 1 if gpus(wildcards) else None,
        "cpus_per_gpu": lambda wildcards: 4 if gpus(wildcards) else None,
    }
    chosen |= {key: of_site(key) for key in {**SITE["jobs"], **SITE["gpu_jobs"]}}
    if warning:
        extra = chosen.get("slurm_extra", lambda wildcards: None)
        chosen["slurm_extra"] = lambda wildcards: " ".join(
            filter(None, (f"--signal=USR1@{warning}", extra(wildcards)))
        )
    chosen |= {"mem_mb": grown(lambda wildcards: 1000 * gb(wildcards)), "runtime": grown(minutes)}
    return chosen | {"gpu": gpus}


def always(amount):
    """The same amount for every job of a rule."""
    return lambda wildcards: amount


def generation_gpus(wildcards):
    """GPUs of a generator: those of the backend vllm."""
    return config["generators"][wildcards.generator].get("gpus", 0)


def generation_gb(wildcards):
    """Memory of the machine, in GB."""
    return loading_gb(wildcards.generator)


def loading_gb(name):
    """Memory in GB for a generator: a model's file passes through it on its way to the GPUs."""
    chosen = config["generators"][name]
    return 4 + 8 * chosen.get("gpus", 0) + (chosen.get("parameters") or 0)


def generation_minutes(wildcards):
    """Three times what the plan expects of GPUs; a provider takes a day, with batches longer.

    Whatever is cut off has its replies in the journal, and the next attempt goes on from there.
    """
    chosen = config["generators"][wildcards.generator]
    if is_asked(wildcards.generator):
        return 2880 if chosen.get("mode") == "batch" else 1440
    return 60 + shared(10 * (chosen.get("parameters") or 0), wildcards, generation_gpus(wildcards))


def shared(minutes, wildcards, gpus):
    """Minutes of one GPU for 10,000 pairs -> minutes of `gpus` for the cell's pairs."""
    return minutes * int(wildcards.size) / 10000 / max(gpus, 1)


def hardware(wildcards, key):
    """A number from a student's `hardware:`."""
    return config["students"][wildcards.student]["hardware"][key]


def billions(wildcards):
    """Parameters of a student, in billions; 0 where the config has none: a miniature."""
    return config["students"][wildcards.student].get("parameters") or 0


def training_gpus(wildcards):
    """GPUs of one training."""
    return hardware(wildcards, "gpus")


def training_gb(wildcards):
    """Memory in GB: each process loads the base in float32; a state of 16 bytes is gathered."""
    processes = max(1, training_gpus(wildcards))
    return 4 + 6 * processes + billions(wildcards) * (4 * processes + 16)


def training_minutes(wildcards):
    """Three times what H100s take for five epochs of 10,000 pairs and of seeds beside them."""
    return 30 + shared(60 * billions(wildcards), wildcards, training_gpus(wildcards))


def prediction_gpus(wildcards):
    """GPUs for the answers of one model."""
    return hardware(wildcards, "predict_gpus")


def prediction_gb(wildcards):
    """Memory in GB: weights in half precision, and their loading."""
    return 4 + 4 * billions(wildcards)


def prediction_minutes(wildcards):
    """A generous guess: thousands of answers, a few at a time."""
    return 30 + 20 * billions(wildcards)


def judging_gpus(wildcards):
    """GPUs of a judge: those of the backend vllm."""
    return config["generators"][config["benchmarks"][wildcards.benchmark]["judge"]].get("gpus", 0)


def judging_gb(wildcards):
    """Memory of the machine, in GB."""
    return loading_gb(config["benchmarks"][wildcards.benchmark]["judge"])


def judging_minutes(wildcards):
    """An hour or two for a thousand verdicts; a day for batches."""
    return (
        1440
        if config["generators"][config["benchmarks"][wildcards.benchmark]["judge"]].get("mode")
        == "batch"
        else 120
    )


def assessing_gpus(wildcards):
    """GPUs of a judge of generated sets: those of the backend vllm."""
    return config["generators"][wildcards.judge].get("gpus", 0)


def assessing_gb(wildcards):
    """Memory of the machine, in GB."""
    return loading_gb(wildcards.judge)


def assessing_minutes(wildcards):
    """Some hours for thousands of verdicts; a day for batches."""
    return 1440 if config["generators"][wildcards.judge].get("mode") == "batch" else 240


def measuring(wildcards, key):
    """A number of the config about the model of a metric; 0 where there is none."""
    return config["intrinsic"][wildcards.metric][key] or 0


def measuring_gpus(wildcards):
    """GPUs of a metric's model."""
    return measuring(wildcards, "gpus")


def measuring_gb(wildcards):
    """Memory in GB: the model in float32, and its loading."""
    return 6 + 4 * measuring(wildcards, "parameters")


def measuring_minutes(wildcards):
    """A generous guess: thousands of examples go through the model once."""
    return 30 + 10 * measuring(wildcards, "parameters")


def scoring_gb(wildcards):
    """Memory in GB: programs that models wrote may take 4 GB each, several at a time."""
    return 2 + 4 * score_threads(wildcards)


def ask(stage, warning=None):
    """Interim: resources of a stage."""
    amounts = {
        "generate": (generation_gb, generation_minutes, generation_gpus),
        "audit": (always(4), always(5)),
        "train": (training_gb, training_minutes, training_gpus),
        "predict": (prediction_gb, prediction_minutes, prediction_gpus),
        "predict_generator": (generation_gb, always(240), generation_gpus),
        "judge": (judging_gb, judging_minutes, judging_gpus),
        "judge_set": (assessing_gb, assessing_minutes, assessing_gpus),
        "measure": (measuring_gb, measuring_minutes, measuring_gpus),
        "score": (scoring_gb, always(10)),
    }[stage]
    return ask_amounts(*amounts, warning=warning)
