"""What holds for the length of one `snakemake` run in this folder: locks, the config's snapshot."""

import errno
import fcntl
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from agorabench.config.preflight import check_endpoints, check_models
from agorabench.errors import UserError
from agorabench.files import atomic_file

_held = []  # what lasts as long as this process: locks, the warm server and its address


def begin_run(
    config: Mapping,
    generators: Iterable[str] = (),
    models: Mapping[str, Mapping] = MappingProxyType({}),
    warm: bool = False,
) -> None:
    """Begin a run: take the folder's lock, check what the run needs, write down the config.

    Args:
        generators: names of those that this run will ask.
        models: what this run loads a model for -> the entry of the config that names the model.
        warm: also start the process that programs are forked from.

    Raises:
        UserError: another run is at work in this folder, or a job that a killed run has left; a
            generator lacks its key, its endpoint or its model; a model cannot be had.
    """
    hold_run_lock()
    check_models(models, config.get("mini", ()))
    check_endpoints({name: config["generators"][name] for name in generators})
    write_snapshot(config)
    if not warm:
        return
    from agorabench.cluster.warm import start_server

    home = tempfile.TemporaryDirectory(prefix="agorabench-")
    try:
        _held.extend((home, start_server(os.path.join(home.name, "warm"))))
    except OSError as error:  # a path too long for a socket, say
        print(f"scripts will start cold: {error}", file=sys.stderr)


def hold_run_lock() -> None:
    """Keep other runs out of this folder until this process ends.

    Snakemake's own lock outlives a killed run and must then be lifted by hand; these are the
    kernel's and end with the processes. The default profile turns the other one off.

    Raises:
        UserError: another run is at work here, or a job that a killed run has left.
    """
    where = Path.cwd()
    if not _lock("run", fcntl.LOCK_EX):
        raise UserError(f"another snakemake run is at work in {where}")
    if not _lock("jobs", fcntl.LOCK_EX):
        raise UserError(
            f"a job of an earlier, killed run is still at work in {where}, asking and paying if it "
            "is a generation; wait until it has ended, or end it (the process that "
            "`fuser .snakemake/agorabench.jobs.lock` shows)"
        )
    _held.pop().close()  # free for this run's own jobs


def end_run() -> None:
    """Let go of what `begin_run` took."""
    _held.clear()


def hold_job_lock() -> None:
    """Let the next run see that this process is still at work, until it ends."""
    if Path(".snakemake").is_dir():
        _lock("jobs", fcntl.LOCK_SH, wait=True)  # a run holds it for an instant only


def _lock(name: str, kind: int, wait: bool = False) -> bool:
    """Take a lock for as long as this process lives; False if it is taken."""
    path = Path(".snakemake", f"agorabench.{name}.lock")
    path.parent.mkdir(exist_ok=True)
    lock = open(path, "a+")  # noqa: SIM115 - held until the process ends
    try:
        fcntl.flock(lock, kind if wait else kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            lock.close()
            return False
        # else a file system without locks: nothing can be known there
    _held.append(lock)
    return True


def snapshot_path(config: Mapping) -> Path:
    """Return where the snapshot of a config lies: its content decides its name."""
    # Sorted: a job of a cluster, which reads the config files anew, must come to the same name.
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    return Path(".snakemake", "agorabench", f"config-{digest[:12]}.json")


def write_snapshot(config: Mapping) -> Path:
    """Write the checked config where jobs read it, and keep it for commands pasted later."""
    path, text = snapshot_path(config), json.dumps(config)
    # In the order given, which is that of the rows of tables.
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with atomic_file(path) as file:
            file.write(text)
    return path
