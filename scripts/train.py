r"""Train a student: fine-tune the base on generated pairs, with the loss on responses only.

    python scripts/train.py --model resources/models/base --seed 1 \
        --recipe '{"epochs": 5, "learning_rate": 2e-3, "batch_size": 16, "max_length": 128,
                   "batches": "padded", "warmup": 0.05, "schedule": "linear", "weight_decay": 0,
                   "precision": "float32"}' \
        --data results/data/math/response/strong/mini/n600-seed1.jsonl --output /tmp/student

The folder is a Hugging Face model; its `train.json` records what it was made from, every resolved
setting, the loss curve, the share of truncated examples, speed and memory; `weights.sha256` is
written last. A killed training goes on from its last checkpoint, and so does one that was warned
by SIGTERM or SIGUSR1, which loses no step.

What the student is trained on (`hardware`) is in the entry of `--student` in `--config`. For
several GPUs the script starts itself again through `accelerate launch`.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from agorabench.config.schema import conform, schema
from agorabench.errors import UserError, run
from agorabench.files import file_digest, read_json, read_jsonl, write_json
from agorabench.models import weights

WARNING = "warning"  # agorabench.training.checkpoints, which imports torch, looks for it


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the base: a folder or a hub id")
    parser.add_argument("--data", required=True, help='rows with "messages" (JSON Lines)')
    parser.add_argument(
        "--recipe", type=json.loads, required=True, help="config: students.*.recipe"
    )
    parser.add_argument("--system", default="", help="system message of every conversation")
    parser.add_argument("--template", help="file of a chat template instead of the base's own")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", required=True, help="folder of the trained model")
    parser.add_argument("--config", help="the whole config (YAML or JSON): hardware, trackers")
    parser.add_argument("--student", help="the student's name in --config")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--version", type=int, default=1, help="another one trains anew")
    args = parser.parse_args(argv)

    output = Path(args.output)
    hardware, max_truncated, trackers = settings(args)
    made_from = {
        "version": args.version,
        "data": file_digest(args.data),
        "base": weights.identity(args.model),
        "recipe": args.recipe,
        "system": args.system,
        "seed": args.seed,
    }
    if args.template:
        made_from["template"] = file_digest(args.template)
    if finished(output, made_from):
        print(f"{output} was trained from the same data and recipe", file=sys.stderr)
        shutil.rmtree(output / "checkpoints", ignore_errors=True)
        weights.record(output)
        return
    first = int(os.environ.get("RANK", 0)) == 0
    if first:
        # A checkpoint of several processes is in parts, which another number cannot read.
        processes = int(os.environ.get("WORLD_SIZE", max(1, hardware["gpus"])))
        prepare(output, made_from | {"processes": processes})
    if hardware["gpus"] > 1 and "RANK" not in os.environ:
        given = sys.argv[1:] if argv is None else argv
        command = [*launcher(hardware["gpus"], args.threads), os.path.abspath(__file__), *given]
        sys.exit(supervise(command, output / "checkpoints"))
    if hardware["gpus"] == 1:
        # The others of this machine are left alone; before torch, which looks once.
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[
            0
        ]

    from agorabench.training import sft

    label = "train " + "/".join(output.parts[-6:])
    started = time.monotonic()
    record = sft.train(
        args.model, conversations(read_jsonl(args.data), args.system), args.recipe, hardware,
        args.seed, output, template=args.template, threads=args.threads, label=label,
        max_truncated=max_truncated, trackers=trackers,
    )  # fmt: skip
    sft.part()
    if not first:
        return
    record |= sft.examine(output, args.threads)
    record |= {"made_from": made_from, "weights": weights.digest(output)}
    record["seconds"] = round(time.monotonic() - started, 1)
    write_json(output / "train.json", record)
    shutil.rmtree(output / "checkpoints")
    weights.record(output)


def settings(args):
    """(hardware, max_truncated, trackers) of the student's entry, or what they are without one."""
    if args.config:
        from agorabench.config.references import read

        entry = read(args.config)["students"][args.student]
    else:
        entry = defaults()
    return entry["hardware"], entry["max_truncated"], entry["report_to"]


def defaults():
    """What a student's entry has where the config says nothing."""
    rules = schema()["properties"]["students"]["additionalProperties"]["properties"]
    return {key: conform(rule["default"], rule) for key, rule in rules.items() if "default" in rule}


def finished(output, made_from):
    """Does the folder hold a whole student that was made from just this?"""
    try:
        record = read_json(output / "train.json")
    except (FileNotFoundError, ValueError):
        return False
    same = record.get("made_from") == made_from
    return same and record.get("weights") == weights.digest(output)


def prepare(output, made_from):
    """Make the folder ready: empty but for the checkpoints of the same training, if there are any.

    Raises:
        UserError: there are files that no training has left.
    """
    left = {path.name for path in output.iterdir()} if output.exists() else set()
    if left and not left & {"checkpoints", "config.json", "train.json"}:
        raise UserError(f"{output} holds other files; name a new folder for the student")
    begun = output / "checkpoints" / "made_from.json"
    keep = begun.exists() and read_json(begun) == made_from
    for path in list(output.iterdir()) if left else []:
        if not (keep and path.name == "checkpoints"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_json(begun, made_from)


def launcher(gpus, threads):
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
    run(main)
