"""The tests' server with a clock: its books also tell when it answered first and last.

python perf/server.py --latency 0.2 --write echo
"""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from servers import Server, app, control


class Books(control.Books):
    """With `first` and `last`, the times (seconds since 1970) of the first and the last answer."""

    def __init__(self):
        super().__init__()
        self.first = self.last = None

    def bill(self, mode, reply):
        super().bill(mode, reply)
        self.last = time.time()
        self.first = self.first or self.last


class Measured(Server):
    """A running server whose process can be looked at."""

    def __init__(self, process):
        super().__init__(process.stdout.readline().strip(), control.SETTINGS["key"])
        self.pid = process.pid

    def cpu(self):
        """CPU seconds, user and system, that it has used so far."""
        # After the name, which is in brackets, times are the 12th and 13th field.
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def start(latency):
    """A server in a process of its own that repeats the prompt after `latency` seconds."""
    command = [sys.executable, __file__, "--with-parent", "--write", "echo"]
    process = subprocess.Popen(
        [*command, "--latency", str(latency)],
        stdin=subprocess.PIPE,  # its end tells the server to end
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Measured(process)
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    app.Books = Books
    app.main()
