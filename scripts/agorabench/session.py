"""What holds for the length of one `snakemake` run in a folder."""

import errno
import fcntl
import os
import sys
import tempfile
from pathlib import Path

from agorabench.errors import UserError

_held = []  # what lasts as long as this process: locks, the warm server and its address


def begin(warm=False, folder="."):
    """Take the folder's lock and, if `warm`, start the process that scripts are forked from.

    Snakemake's own lock outlives a killed run and must then be lifted by hand; these are the
    kernel's and end with the processes. The default profile turns the other one off.

    Raises:
        UserError: another run is at work in this folder, or a job that a killed run has left.
    """
    place = Path(folder).resolve()
    if not _lock(folder, "run", fcntl.LOCK_EX):
        raise UserError(f"another snakemake run is at work in {place}")
    if not _lock(folder, "jobs", fcntl.LOCK_EX):
        raise UserError(f"a job of an earlier, killed run is still at work in {place}")
    _held.pop().close()  # free for this run's own jobs
    if warm:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # forks of one process cannot share a GPU
        import warm as server

        home = tempfile.TemporaryDirectory(prefix="agorabench-")
        try:
            _held.extend((home, server.start(os.path.join(home.name, "warm"))))
        except OSError as error:  # a path too long for a socket, say
            print(f"scripts will start cold: {error}", file=sys.stderr)


def job(folder="."):
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
