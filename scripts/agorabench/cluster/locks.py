"""What holds for the length of one `snakemake` run in a folder."""

import errno
import fcntl
import hashlib
import json
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import atomic_file

CONFIG = ".snakemake/agorabench.config.json"  # the checked config of the last run

_held = []  # what lasts as long as this process: locks, the warm server and its address


def begin(config, generators=(), folder=".", warm=False):
    """Take the folder's lock, check that generators can be asked, write down the config and, if
    `warm`, start the process that scripts are forked from.

    `generators` names those that this run will ask.

    Snakemake's own lock outlives a killed run and must then be lifted by hand; these are the
    kernel's and end with the processes. The default profile turns the other one off.

    Raises:
        UserError: another run is at work in this folder, or a job that a killed run has left; or a
            generator lacks its key, its endpoint or its model.
    """
    place = Path(folder).resolve()
    if not _lock(folder, "run", fcntl.LOCK_EX):
        raise UserError(f"another snakemake run is at work in {place}")
    if not _lock(folder, "jobs", fcntl.LOCK_EX):
        raise UserError(
            f"a job of an earlier, killed run is still at work in {place}, asking and paying if it "
            "is a generation; wait until it has ended, or end it (pkill -f scripts/)"
        )
    _held.pop().close()  # free for this run's own jobs
    preflight({name: config["generators"][name] for name in generators})
    Path(folder, CONFIG).write_text(json.dumps(config), encoding="utf-8")
    write_snapshot(config, folder)
    if warm:
        import warm as server

        home = tempfile.TemporaryDirectory(prefix="agorabench-")
        try:
            _held.extend((home, server.start(os.path.join(home.name, "warm"))))
        except OSError as error:  # a path too long for a socket, say
            print(f"scripts will start cold: {error}", file=sys.stderr)


def snapshot_path(config):
    """Where a checked config is kept, by its content: a command that names it means the same for
    ever."""
    text = json.dumps(config, sort_keys=True)
    return f".snakemake/agorabench/config-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"


def write_snapshot(config, folder="."):
    """Keep a checked config; returns its path below the folder."""
    path = snapshot_path(config)
    with atomic_file(Path(folder, path)) as file:
        json.dump(config, file)
    return path


def preflight(generators):
    """Check, before any job, that every generator (name -> config entry) can be asked.

    Raises:
        UserError: names the variable or address, and all generators that need it.
    """
    from importlib import import_module

    keys, places = {}, {}  # what one look answers for -> names of generators
    for name, entry in generators.items():
        if "base_url" in entry:
            keys.setdefault(entry["key"], []).append(name)
            places.setdefault((entry["backend"], entry["base_url"], entry["key"]), []).append(name)
        elif (python := entry.get("python")) and not os.access(python, os.X_OK):
            raise UserError(f"generator '{name}': its python, {python}, is no program")
    providers = {
        name: import_module(f"agorabench.llm.{entry['backend']}").provider(entry)
        for name, entry in generators.items()
        if "base_url" in entry
    }
    for names in keys.values():
        with _needed_by(names):
            providers[names[0]].key()
    for (_, address, _), names in places.items():
        models = {generators[name]["model"]: None for name in names}
        with _needed_by(names):
            served = providers[names[0]].served(models)
        for model in models:
            if served is not None and model not in served:
                known = ", ".join(sorted(served)[:20]) or "none"
                with _needed_by(name for name in names if generators[name]["model"] == model):
                    raise UserError(
                        f"{address} does not serve the model '{model}'; it serves: {known}"
                    )


@contextmanager
def _needed_by(names):
    """Let a UserError begin with the generators that it concerns."""
    try:
        yield
    except UserError as error:
        names = list(names)
        told = f"generator{'s' if len(names) > 1 else ''} {', '.join(names)}"
        raise UserError(f"{told}: {error}") from None


def hold_job_lock(folder="."):
    """Let the next run see that this process is still at work, until it ends."""
    if Path(folder, ".snakemake").is_dir():
        _lock(folder, "jobs", fcntl.LOCK_SH, wait=True)  # `begin` holds it for an instant only


def _lock(folder, name, kind, wait=False):
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
