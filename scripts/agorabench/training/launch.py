"""Several processes of one training: how they are started, and how a warning reaches them.

Without torch, whose import takes seconds: the parent of the processes only waits.
"""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

WARNING = "warning"  # a file that the parent writes, and the processes look for after every step
WARNING_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


def launch_command(gpus: int, threads: int) -> list[str]:
    """Return the command that starts one process on each GPU; the program's own follows it."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(gpus)]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--num_cpu_threads_per_process", str(threads), "--main_process_port", "0"]
    return [*command, "--multi_gpu"]


def supervise_processes(command: list[str], folder: Path) -> int:
    """Run a training of several processes; return its exit status.

    The launcher would pass no SIGUSR1 on, and kill its processes half a minute after a SIGTERM. So
    a warning is written to `folder`, where the training looks after every step. It may be sent to
    the whole process group, and must not end the launcher then.
    """
    warning = folder / WARNING
    warning.unlink(missing_ok=True)

    def write_warning(number, _):
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            warning.write_text(signal.Signals(number).name)

    former = {number: signal.signal(number, write_warning) for number in WARNING_SIGNALS}
    try:
        return subprocess.run(command, check=False, preexec_fn=_ignore_warning).returncode
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _ignore_warning():
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
