"""What holds for the length of one `snakemake` run in a folder: locks, the config's snapshot."""

import errno
import fcntl
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from agorabench.config.preflight import check_endpoints, check_models
from agorabench.errors import UserError
from agorabench.files import atomic_file

CONFIG = ".snakemake/agorabench.config.json"  # the checked config of the last run

_held = []  # what lasts as long as this process: locks, the warm server and its address


def begin_run(
    config: Mapping,
    generators: Iterable[str] = (),
    *,
    models: Mapping[str, Mapping] | None = None,
    folder: str | Path = ".",
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
    hold_run_lock(folder)
    check_models(models or {}, config.get("mini", ()))
    check_endpoints({name: config["generators"][name] for name in generators})
    write_snapshot(config, folder)
    Path(folder, CONFIG).write_text(json.dumps(config), encoding="utf-8")
    if warm:
        _start_warm_server()


def hold_run_lock(folder: str | Path = ".") -> None:
    """Keep other runs out of a folder until this process ends.

    Snakemake's own lock outlives a killed run and must then be lifted by hand; these are the
    kernel's and end with the processes. The default profile turns the other one off.

    Raises:
        UserError: another run is at work there, or a job that a killed run has left.
    """
    where = Path(folder).resolve()
    if not _lock(folder, "run", fcntl.LOCK_EX):
        raise UserError(f"another snakemake run is at work in {where}")
    if not _lock(folder, "jobs", fcntl.LOCK_EX):
        raise UserError(
            f"a job of an earlier, killed run is still at work in {where}, asking and paying if it "
            "is a generation; wait until it has ended, or end it (the process that "
            "`fuser .snakemake/agorabench.jobs.lock` shows)"
        )
    _held.pop().close()  # free for this run's own jobs


def hold_job_lock(folder: str | Path = ".") -> None:
    """Let the next run see that this process is still at work, until it ends."""
    if Path(folder, ".snakemake").is_dir():
        _lock(folder, "jobs", fcntl.LOCK_SH, wait=True)  # a run holds it for an instant only


def _lock(folder, name: str, kind: int, wait: bool = False) -> bool:
    """Take a lock for as long as this process lives; False if it is taken."""
    path = Path(folder, ".snakemake", f"agorabench.{name}.lock")
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


def snapshot_path(config: Mapping, folder: str | Path = ".") -> Path:
    """Return where the snapshot of a config lies: its content decides its name."""
    # Sorted: a job of a cluster, which reads the config files anew, must come to the same name.
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    return Path(folder, ".snakemake", "agorabench", f"config-{digest[:12]}.json")


def write_snapshot(config: Mapping, folder: str | Path = ".") -> Path:
    """Write the checked config where jobs read it, and keep it for commands pasted later."""
    path, text = snapshot_path(config, folder), json.dumps(config)
    # In the order given, which is that of the rows of tables.
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with atomic_file(path) as file:
            file.write(text)
    return path


def _start_warm_server() -> None:
    """Start the process that programs are forked from; it ends with this one."""
    from agorabench.cluster import warm

    home = tempfile.TemporaryDirectory(prefix="agorabench-")
    try:
        _held.extend((home, warm.start_server(os.path.join(home.name, "warm"))))
    except OSError as error:  # a path too long for a socket, say
        print(f"scripts will start cold: {error}", file=sys.stderr)
