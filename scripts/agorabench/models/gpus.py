"""The GPUs of one machine, shared out among jobs that run side by side.

Snakemake's resource `gpu` limits how many are in use; which ones, the jobs settle among themselves:
each locks a file for every GPU that it takes, and the kernel lets go of the locks when the job has
ended, whatever ended it.
"""

import fcntl
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
LEASED = "AGORABENCH_GPUS"  # environment variable: what a parent, or this process before exec, took
LOCKS = Path("/tmp/agorabench-gpus")  # of all users of the machine, whatever their TMPDIR
PATIENCE = 2.0  # seconds between two looks for free ones


def lease_gpus(number: int) -> None:
    """Show this process `number` GPUs that no other job has, or none; before torch looks.

    Waits where others have them. Where the machine has too few, all stay visible: what then loads
    a model says so in its own words.
    """
    if number == 0:
        os.environ[VISIBLE] = ""  # what is there and was not asked for belongs to others
        return
    if os.environ.get(LEASED):
        return
    found = list_gpus()
    if len(found) < number:
        return
    told = False
    while not (taken := _take(found, number)):
        if not told:
            print(f"waiting for {number} GPU(s): other jobs have them", file=sys.stderr)
        told = True
        time.sleep(PATIENCE)
    os.environ[VISIBLE] = os.environ[LEASED] = ",".join(taken)


def list_gpus() -> list[str]:
    """Names of the GPUs that this process may use: UUIDs where the driver's tool tells them."""
    with suppress(OSError):
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
        every = dict(re.findall(r"^GPU (\d+): .*UUID: (GPU-[\w-]+)", told, re.M))
        visible = os.environ.get(VISIBLE)
        if visible is None:
            return list(every.values())
        return [every.get(name, name) for name in visible.split(",") if name]
    return []


def _take(found, number):
    """The names of `number` GPUs whose files are locked now, or nothing and no lock."""
    LOCKS.mkdir(exist_ok=True)
    with suppress(PermissionError):  # somebody else made it
        LOCKS.chmod(0o1777)
    held = {}
    for name in found:
        descriptor = _open_lock(LOCKS / name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        os.set_inheritable(descriptor, True)  # by the program after exec
        held[name] = descriptor
        if len(held) == number:
            return list(held)
    for descriptor in held.values():
        os.close(descriptor)
    return []


def _open_lock(path):
    """Open a file that may be another user's: to read is enough for a lock, and to create it where
    it is there is refused in a folder like /tmp (fs.protected_regular).
    """
    while True:
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDONLY)
        with suppress(FileExistsError):
            return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o644)
