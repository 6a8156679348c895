"""Checkpoints of a training: whole or absent, and made when something is about to stop it.

A checkpoint is whole when its `whole.json` is there, which is written last and knows the size of
every other file. A run that dies while it saves leaves one without, which is removed.
"""

import os
import shutil
import signal
import time
from pathlib import Path

import torch
from transformers import TrainerCallback

from agorabench.errors import UserError
from agorabench.files import read_json, write_json
from agorabench.training.launch import WARNING, WARNING_SIGNALS

WHOLE = "whole.json"
KEPT = 2  # the last one, and the one before it until that is whole; three while it is written


class Stopped(UserError):
    """The training was asked to stop and has saved what it did."""


def last_checkpoint(folder: Path) -> Path | None:
    """Return the last whole checkpoint in a folder, or None; torn ones are removed."""
    whole = []
    for path in sorted(Path(folder).glob("checkpoint-*"), key=_step_number):
        if _is_whole(path):
            whole.append(path)
        else:
            shutil.rmtree(path)
    return whole[-1] if whole else None


def _step_number(path):
    return int(path.name.rpartition("-")[2])


def _file_sizes(path):
    return {
        str(file.relative_to(path)): file.stat().st_size
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != WHOLE
    }


def _is_whole(path):
    try:
        return read_json(path / WHOLE) == _file_sizes(path)
    except (FileNotFoundError, ValueError):
        return False


class Checkpoints(TrainerCallback):
    """Saves every so many minutes, and at once when a signal warns of the end.

    SIGTERM and SIGUSR1 (SLURM's `--signal`) let the step that is under way end, save, and stop the
    training; `stopped` is the signal then. So does its name in a file WARNING beside the
    checkpoints. All processes of a training agree on it.

    Args:
        minutes: of training between two checkpoints.
    """

    def __init__(self, minutes: float):
        self.seconds, self.stopped = 60 * minutes, None
        self._warned = None

    def on_train_begin(self, args, state, control, **_):
        self.saved = time.monotonic()
        self._former = {
            number: signal.signal(number, self._record_warning) for number in WARNING_SIGNALS
        }

    def _record_warning(self, number, _):
        self._warned = number

    def on_step_end(self, args, state, control, **_):
        due = time.monotonic() - self.saved > self.seconds
        if state.is_world_process_zero and (written := Path(args.output_dir) / WARNING).exists():
            self._warned = signal.Signals[written.read_text() or "SIGTERM"]
            written.unlink()
        warned, due = _reduce_max([self._warned or 0, int(due)])
        if state.global_step >= state.max_steps:
            return
        control.should_save |= bool(warned or due)
        if warned:
            self.stopped = signal.Signals(warned).name
            control.should_training_stop = True

    def on_save(self, args, state, control, **_):
        _wait_for_all()  # other processes write parts of their own
        if state.is_world_process_zero:
            path = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            for file in path.rglob("*"):
                _sync_file(file)
            write_json(path / WHOLE, _file_sizes(path))
        self.saved = time.monotonic()

    def on_train_end(self, args, state, control, **_):
        for number, handler in self._former.items():
            signal.signal(number, handler)


def _sync_file(file):
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---- Several processes


def _is_distributed():
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _wait_for_all():
    if _is_distributed():
        torch.distributed.barrier()


def _reduce_max(numbers):
    """Return the highest of each number (a list of int) among all processes."""
    if not _is_distributed():
        return numbers
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    shared = torch.tensor(numbers, device=device)
    torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX)
    return shared.tolist()


def broadcast_first(value):
    """Return the first process's value in all processes."""
    if not _is_distributed():
        return value
    shared = [value]
    torch.distributed.broadcast_object_list(shared)
    return shared[0]
