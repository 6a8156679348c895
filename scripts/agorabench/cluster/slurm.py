"""SLURM: what a site wants of every job, and faults of the executor that are worked round here.

Each workaround names the fault, the version it was seen with and the one from which it can go.
"""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from agorabench.errors import UserError

SECTIONS = ("jobs", "gpu_jobs", "most")
MOST = ("mem_mb", "runtime")

# Before every shell command of a job. SLURM's warning (SIGUSR1, see `relay_signal`) is for the
# program, which saves a checkpoint; by default it would end the shell that waits for the program,
# and `tee` beside it. To be kept as long as commands are pipes that must outlive a signal.
SHELL_PREFIX = "set -euo pipefail; trap '' USR1; "


def read_site(path: str | Path) -> dict[str, dict]:
    """Read the site file: resources of every job ("jobs") and of those with GPUs ("gpu_jobs"), and
    the most that a job may ask for ("most": mem_mb in MB, runtime in minutes).

    Returns:
        The three sections, {} where the file or the section is absent.

    Raises:
        UserError: the file is not three such mappings of names to numbers or text.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {section: {} for section in SECTIONS}
    import yaml

    name = Path(path).name
    try:
        sections = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{name}: no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(sections, Mapping):
        raise UserError(f"{name}: must be a mapping of {', '.join(SECTIONS)}")
    for section, resources in sections.items():
        if section not in SECTIONS:
            raise UserError(f"{name}: unknown key '{section}'; known: {', '.join(SECTIONS)}")
        if not isinstance(resources or {}, Mapping):
            raise UserError(f"{name}: {section} must be a mapping, not {resources!r}")
        for key, value in (resources or {}).items():
            if section == "most" and (key not in MOST or not isinstance(value, int) or value < 1):
                raise UserError(f"{name}: most takes whole numbers for {' and '.join(MOST)}")
            if isinstance(value, bool) or not isinstance(value, int | str):
                raise UserError(f"{name}: {section}.{key} must be a number or text, not {value!r}")
    return {section: dict(sections.get(section) or {}) for section in SECTIONS}


def patch_executor(executor: ModuleType) -> None:
    """Patch two functions of the module snakemake_executor_plugin_slurm.

    Both faults are in version 2.8.0, the newest; a release without them makes this unnecessary.

    - A cancelled job that accounting calls "CANCELLED by 0" counts as running for ever, because
      the state is compared with "CANCELLED" as a whole (`fail_stati`; no issue is filed).
    - For the node of a job that SLURM has requeued accounting says "None assigned". The executor
      passes that to --exclude, after which no submission succeeds (its issue 485, open).
    """
    try:
        query_job_status, get_submit_command = (
            executor.query_job_status,
            executor.get_submit_command,
        )
    except AttributeError:  # another version, which has them elsewhere
        return

    async def query_plain_states(*arguments):
        states, seconds = await query_job_status(*arguments)
        plain = states and {job: state.partition(" ")[0] for job, state in states.items()}
        return plain, seconds

    def exclude_real_nodes(job, params, failed_nodes=None, **settings):
        nodes = {node for node in failed_nodes or () if " " not in node}
        return get_submit_command(job, params, failed_nodes=nodes, **settings)

    executor.query_job_status = query_plain_states
    executor.get_submit_command = exclude_real_nodes


def relay_signal(number: int) -> None:
    """Survive a signal and pass it on to the process group of this process, if it leads one.

    Where SLURM tracks processes by cgroup it signals only the one that it has started itself: the
    Snakemake inside a job, not the program that `--signal` is meant for. Neither Snakemake (9.27)
    nor the job step's executor (0.6.1) passes signals on; one that does makes this unnecessary.
    """

    def pass_on(number, _):
        signal.signal(number, signal.SIG_IGN)
        if os.getpgrp() == os.getpid():
            os.killpg(0, number)
        signal.signal(number, pass_on)

    signal.signal(number, pass_on)


def lift_rate_limit(scheduler) -> None:
    """Switch off Snakemake's default limit of 100 started jobs a second.

    With it the scheduler of version 9.27 looks at all waiting jobs once more, one second later, for
    every job that has ended (`JobScheduler._schedule_reevalutation`); nothing here comes near it. A
    lower limit that a user has set stays. A scheduler that does so once a second makes this
    unnecessary.
    """
    limiter = getattr(scheduler, "job_rate_limiter", None)
    if limiter and limiter.max_jobs >= 100 * limiter.timespan:
        scheduler.job_rate_limiter = None
