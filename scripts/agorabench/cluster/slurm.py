"""What a cluster wants of its jobs, and how it warns them."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from agorabench.errors import UserError

PARTS = ("jobs", "gpu_jobs")


def site(path):
    """Resources of every job, "jobs", and of those with GPUs besides, "gpu_jobs"; both may be {}.

    Raises:
        UserError: the file exists and is not two such mappings of names to numbers or text.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {part: {} for part in PARTS}
    import yaml

    name = Path(path).name
    try:
        told = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{name}: no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(told, Mapping):
        raise UserError(f"{name}: must be a mapping of {' and '.join(PARTS)}")
    for part, chosen in told.items():
        if part not in PARTS:
            raise UserError(f"{name}: unknown key '{part}'; known: {', '.join(PARTS)}")
        if not isinstance(chosen or {}, Mapping):
            raise UserError(f"{name}: {part} must be a mapping, not {chosen!r}")
        for key, value in (chosen or {}).items():
            if isinstance(value, bool) or not isinstance(value, int | str):
                raise UserError(f"{name}: {part}.{key} must be a number or text, not {value!r}")
    return {part: dict(told.get(part) or {}) for part in PARTS}


def mend(executor):
    """Mend two faults of version 2.8.0 of Snakemake's SLURM executor, given as its module.

    It takes a job that accounting calls "CANCELLED by 0" for running, for ever. And for the node
    of a job that SLURM has queued again accounting says "None assigned", which it then excludes by
    name, after which no submission succeeds (its issue 485, open).
    """
    ask, build = executor.query_job_status, executor.get_submit_command

    async def states(*arguments):
        found, seconds = await ask(*arguments)
        return found and {job: state.partition(" ")[0] for job, state in found.items()}, seconds

    def submission(job, params, failed_nodes=None, **settings):
        nodes = {node for node in failed_nodes or () if " " not in node}
        return build(job, params, failed_nodes=nodes, **settings)

    executor.query_job_status, executor.get_submit_command = states, submission


def relay(number):
    """Let this process outlive a signal and pass it on to its process group, if that is its own.

    SLURM signals only the process that it has started itself, where it tracks jobs by cgroup: the
    Snakemake inside a job, not the script that the signal is meant for.
    """

    def pass_on(number, _):
        signal.signal(number, signal.SIG_IGN)
        if os.getpgrp() == os.getpid():
            os.killpg(0, number)
        signal.signal(number, pass_on)

    signal.signal(number, pass_on)
