"""What holds for the length of one `snakemake` run in a folder."""

import fcntl
import os
import tempfile
from pathlib import Path

from agorabench.errors import UserError

_held = []  # what lasts as long as this process: the lock, the server and its address


def begin(warm=False, folder="."):
    """Take the folder's lock and, if `warm`, start the process that scripts are forked from.

    Snakemake's own lock outlives a killed run and must then be lifted by hand; this one is the
    kernel's and ends with the process. The default profile turns the other one off.

    Raises:
        UserError: another run is at work in this folder.
    """
    path = Path(folder, ".snakemake", "agorabench.lock")
    path.parent.mkdir(exist_ok=True)
    lock = open(path, "w")  # noqa: SIM115 - held until the process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"another snakemake run is at work in {Path(folder).resolve()}") from None
    os.set_inheritable(lock.fileno(), False)
    _held.append(lock)
    if warm:
        import warm as server

        place = tempfile.TemporaryDirectory(prefix="agorabench-")
        _held.extend((place, server.start(os.path.join(place.name, "warm"))))
