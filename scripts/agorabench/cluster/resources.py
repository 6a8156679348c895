"""Memory, time and GPUs of a job, from the table config/resources.yaml."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agorabench import matrix
from agorabench.errors import UserError

COLUMNS = ("model", "gpus", "memory_gb", "minutes", "minutes_online", "minutes_batch")
TERMS = (
    *("fixed", "per_gpu", "per_process", "per_thread"),
    *("per_B", "per_B_process", "per_B_10k_pairs"),
)
MODELS = ("generator", "judge", "student", "metric")


@dataclass(frozen=True)
class Needs:
    """What a job asks for at its first attempt."""

    memory_gb: float
    minutes: float
    gpus: int


def read_table(path: str | Path) -> dict[str, dict]:
    """Read the table of resources: stage -> columns.

    Raises:
        UserError: names the first column or term that is unknown or no number.
    """
    import yaml

    name = Path(path).name
    try:
        table = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{name}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(table, Mapping):
        raise UserError(f"{name}: must be a mapping of stages")
    for stage, row in table.items():
        _check_row(f"{name}: {stage}", row)
    return dict(table)


def _check_row(at: str, row) -> None:
    """Check the columns of one stage."""
    if not isinstance(row, Mapping):
        raise UserError(f"{at} must be a mapping of {', '.join(COLUMNS)}")
    _check_names(at, row, COLUMNS)
    if (model := row.get("model", MODELS[0])) not in MODELS:
        raise UserError(f"{at}.model: unknown '{model}'; known: {', '.join(MODELS)}")
    for column in ("memory_gb", "minutes"):
        terms = row.get(column)
        if not isinstance(terms, Mapping):
            raise UserError(f"{at}.{column} must be a mapping of {', '.join(TERMS)}")
        _check_names(f"{at}.{column}", terms, TERMS)
        for term, number in terms.items():
            _check_number(f"{at}.{column}.{term}", number)
    for column in ("minutes_online", "minutes_batch"):
        if column in row:
            _check_number(f"{at}.{column}", row[column])


def _check_names(at: str, given, known) -> None:
    """Check that every key is known."""
    for key in given:
        if key not in known:
            raise UserError(f"{at}: unknown key '{key}'; known: {', '.join(known)}")


def _check_number(at: str, value) -> None:
    """Check that a value is a number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise UserError(f"{at} must be a number of at least 0, not {value!r}")


def job_needs(row: Mapping, config: Mapping, wildcards, threads: int = 1) -> Needs:
    """Return what a job of a stage asks for.

    Args:
        row: the stage's columns.
        config: the checked config.
        wildcards: the job's, as attributes; which of them count depends on the row's `model`.
    """
    entry = find_model(row.get("model"), config, wildcards)
    gpus = count_gpus(row, config, wildcards)
    processes, billions = max(1, gpus), entry.get("parameters") or 0
    pairs = int(getattr(wildcards, "size", 0))
    quantities = {
        "fixed": 1,
        "per_gpu": gpus,
        "per_process": processes,
        "per_thread": threads,
        "per_B": billions,
        "per_B_process": billions * processes,
        "per_B_10k_pairs": billions * pairs / 10000 / processes,
    }

    def total(terms):
        return sum(number * quantities[term] for term, number in terms.items())

    limit = row.get(f"minutes_{entry.get('mode')}")  # only what providers serve has a mode
    minutes = total(row["minutes"]) if limit is None else limit
    return Needs(total(row["memory_gb"]), minutes, gpus)


def count_gpus(row: Mapping, config: Mapping, wildcards) -> int:
    """Return the number of GPUs of a job; 0 where its stage or its model uses none."""
    if "gpus" not in row:
        return 0
    value = find_model(row.get("model"), config, wildcards)
    for key in row["gpus"].split("."):
        value = value.get(key, 0)
    return value


def find_model(kind: str | None, config: Mapping, wildcards) -> Mapping:
    """Return the registry entry of the model that a job runs or asks; {} where it has none."""
    if kind == "generator":
        return config["generators"][wildcards.generator]
    if kind == "judge":
        name = getattr(wildcards, "judge", None)
        return config["generators"][name or config["benchmarks"][wildcards.benchmark]["judge"]]
    if kind == "student":
        name = getattr(wildcards, "student", None) or wildcards.model.partition("/")[0]
        return matrix.size_answering(config, name, getattr(wildcards, "anchor", None))
    return config["intrinsic"][wildcards.metric] if kind == "metric" else {}


def request_resources(
    row: Mapping, config: Mapping, site: Mapping, warning: int | None = None
) -> dict[str, Callable]:
    """Return the `resources:` of a rule: resource -> function of the job.

    Args:
        row: the stage's columns of the table.
        site: what the cluster wants of every job, and the most that it has, see slurm.read_site.
            In its texts {gpus} is the job's number of GPUs.
        warning: seconds before the time limit at which SLURM sends the job SIGUSR1.
    """

    def on_gpus(amount):
        return lambda wildcards: amount if count_gpus(row, config, wildcards) else None

    def from_site(key):
        def value_of(wildcards):
            gpus = count_gpus(row, config, wildcards)
            value = site["gpu_jobs"].get(key, general) if gpus else general
            return value.replace("{gpus}", str(gpus)) if isinstance(value, str) else value

        general = site["jobs"].get(key)
        return value_of

    # SLURM may otherwise spread the GPUs of one job over nodes.
    chosen = {"nodes": on_gpus(1), "cpus_per_gpu": on_gpus(4)}
    chosen |= {key: from_site(key) for key in {**site["jobs"], **site["gpu_jobs"]}}
    if warning:
        extra = chosen.get("slurm_extra", lambda wildcards: None)
        chosen["slurm_extra"] = lambda wildcards: " ".join(
            filter(None, (f"--signal=USR1@{warning}", extra(wildcards)))
        )
    most = site["most"]
    count = {"gpu": lambda wildcards: count_gpus(row, config, wildcards)}  # unless the site has it
    return {**count, **chosen} | {
        "mem_mb": lambda wildcards, attempt, threads: _grow(
            1000 * job_needs(row, config, wildcards, threads).memory_gb, attempt, most.get("mem_mb")
        ),
        "runtime": lambda wildcards, attempt, threads: _grow(
            job_needs(row, config, wildcards, threads).minutes, attempt, most.get("runtime")
        ),
    }


def _grow(amount: float, attempt: int, most: int | None) -> int:
    """Return the amount for an attempt: half as much again at each, up to what the site has."""
    grown = math.ceil(round(amount * (1 + attempt) / 2, 6))  # no MB for a sum's last digit
    return min(grown, most or grown)
