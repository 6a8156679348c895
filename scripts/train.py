r"""Train a student: fine-tune the base on generated pairs, with the loss on responses only.

    python scripts/train.py --config config/mini.yaml --student mini \
        --cell math/response/strong/mini/n600-seed1

Makes results/models/{student}/{cell}/, a Hugging Face model; its `train.json` records what it was
made from, every resolved setting, the loss curve, the share of truncated examples, speed and
memory; `weights.sha256` is written last. A killed training goes on from its last checkpoint, and so
does one that was warned by SIGTERM or SIGUSR1, which loses no step. For several GPUs the script
starts itself again through `accelerate launch`.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from agorabench import paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import stages
from agorabench.errors import UserError
from agorabench.files import file_digest, read_json, read_jsonl, write_json
from agorabench.models import weights

WARNING = "warning"  # agorabench.training.checkpoints, which imports torch, looks for it


def main(argv=None):
    args = parse_arguments(__doc__, "student cell", argv)
    inputs, params = stages.train(args.config, args.student, args.cell)
    entry = args.config["students"][args.student]
    hardware, template = entry["hardware"], next(iter(inputs["template"]), None)
    output = Path(paths.student_folder(paths.student_model(args.student, args.cell)))
    made_from = {
        "version": params["version"],
        "data": file_digest(*inputs["data"]),
        "base": weights.model_identity(params["base"]),
        "recipe": params["recipe"],
        "system": params["system"],
        "seed": args.cell.seed,
    }
    if template:
        made_from["template"] = file_digest(template)
    if is_finished(output, made_from):
        print(f"{output} was trained from the same data and recipe", file=sys.stderr)
        shutil.rmtree(output / "checkpoints", ignore_errors=True)
        weights.record_digest(output)
        return
    first = int(os.environ.get("RANK", 0)) == 0
    if first:
        # A checkpoint of several processes is in parts, which another number cannot read.
        processes = int(os.environ.get("WORLD_SIZE", max(1, hardware["gpus"])))
        prepare_folder(output, made_from | {"processes": processes})
    if hardware["gpus"] > 1 and "RANK" not in os.environ:
        given = sys.argv[1:] if argv is None else argv
        command = launch_command(hardware["gpus"], args.threads)
        sys.exit(supervise([*command, os.path.abspath(__file__), *given], output / "checkpoints"))
    if hardware["gpus"] == 1:
        # The others of this machine are left alone; before torch, which looks once.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]

    from agorabench.training import sft

    started = time.monotonic()
    record = sft.train_model(
        params["base"], conversations(read_jsonl(*inputs["data"]), params["system"]),
        params["recipe"], hardware, args.cell.seed, output, template=template,
        threads=args.threads, label="train " + "/".join(output.parts[-6:]),
        max_truncated=entry["max_truncated"], trackers=entry["report_to"],
    )  # fmt: skip
    sft.destroy_process_group()
    if not first:
        return
    record |= sft.check_student(output, args.threads)
    record |= {"made_from": made_from, "weights": weights.weights_digest(output)}
    record["seconds"] = round(time.monotonic() - started, 1)
    write_json(output / "train.json", record)
    shutil.rmtree(output / "checkpoints")
    weights.record_digest(output)


def is_finished(output, made_from):
    """Does the folder hold a whole student that was made from just this?"""
    try:
        record = read_json(output / "train.json")
    except (FileNotFoundError, ValueError):
        return False
    same = record.get("made_from") == made_from
    return same and record.get("weights") == weights.weights_digest(output)


def prepare_folder(output, made_from):
    """Make the folder ready: empty but for the checkpoints of the same training, if there are any.

    Raises:
        UserError: there are files that no training has left.
    """
    left = {path.name for path in output.iterdir()} if output.exists() else set()
    if left and not left & {"checkpoints", "config.json", "train.json"}:
        raise UserError(f"{output} holds other files; name a new folder for the student")
    record = output / "checkpoints" / "made_from.json"
    keep = record.exists() and read_json(record) == made_from
    for path in list(output.iterdir()) if left else []:
        if not (keep and path.name == "checkpoints"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_json(record, made_from)


def launch_command(gpus, threads):
    """The command that starts one process on each GPU."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(gpus)]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--num_cpu_threads_per_process", str(threads), "--main_process_port", "0"]
    return [*command, "--multi_gpu"]


def supervise(command, folder):
    """Run a training of several processes; returns its exit status.

    The launcher would pass no SIGUSR1 on, and kill its processes half a minute after a SIGTERM. So
    a warning is written to `folder`, where the training looks after every step.
    """
    warning = folder / WARNING
    warning.unlink(missing_ok=True)

    def warn(number, _):
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            warning.write_text(signal.Signals(number).name)

    former = {number: signal.signal(number, warn) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        return subprocess.run(command, check=False).returncode
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def conversations(rows, system=""):
    """Rows as prompt and completion: all messages but the last, and the last."""
    opening = [{"role": "system", "content": system}] if system else []
    return [
        {"prompt": opening + row["messages"][:-1], "completion": row["messages"][-1:]}
        for row in rows
    ]


if __name__ == "__main__":
    run_program(main)
