r"""Train a student: fine-tune the base on generated pairs, with the loss on responses only.

    python scripts/train.py --config config/mini.yaml --student mini \
        --cell math/response/strong/mini/n600-seed1

Makes results/models/{student}/{cell}/, a Hugging Face model; its `train.json` records what it was
made from, every resolved setting, the loss curve, the share of truncated examples, speed and
memory; `weights.sha256` is written last. A killed training goes on from its last checkpoint, and so
does one that was warned by SIGTERM or SIGUSR1, which loses no step. For several GPUs the script
starts itself again through `accelerate launch`.
"""

import os
import sys
import time
from pathlib import Path

from agorabench import paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import stages
from agorabench.files import read_jsonl, write_json
from agorabench.models import weights
from agorabench.models.gpus import lease_gpus
from agorabench.training import launch, students


def main(argv=None):
    args = parse_arguments(__doc__, "student cell", argv)
    inputs, params = stages.train(args.config, args.student, args.cell)
    output = Path(paths.student_folder(paths.student_model(args.student, args.cell)))
    made_from = students.training_origin(inputs, params, args.cell.seed)
    if students.is_finished(output, made_from, params["base"]):
        print(f"{output} was trained from the same data and recipe", file=sys.stderr)
        students.finish_folder(output)
        return
    gpus = args.config["students"][args.student]["hardware"]["gpus"]
    lease_gpus(gpus)
    first = int(os.environ.get("RANK", 0)) == 0
    if first:
        # A checkpoint of several processes is in parts, which another number cannot read.
        processes = int(os.environ.get("WORLD_SIZE", max(1, gpus)))
        students.prepare_folder(output, made_from | {"processes": processes})
    if gpus > 1 and "RANK" not in os.environ:
        given = sys.argv[1:] if argv is None else argv
        command = [*launch.launch_command(gpus, args.threads), os.path.abspath(__file__), *given]
        sys.exit(launch.supervise_processes(command, output / "checkpoints"))
    started = time.monotonic()
    record = train_student(args, inputs, params, output)
    if first:
        seconds = round(time.monotonic() - started, 1)
        record |= {"made_from": made_from, "weights": weights.weights_digest(output)}
        write_json(output / "train.json", record | {"seconds": seconds})
        students.finish_folder(output)


def train_student(args, inputs, params, output):
    """Train in this process; the first of several also checks what was saved."""
    from agorabench.training import checks, masking, sft

    entry = args.config["students"][args.student]
    rows = masking.build_conversations(read_jsonl(*inputs["data"]), params["system"])
    record = sft.train_model(
        params["base"], rows, params["recipe"], entry["hardware"], args.cell.seed, output,
        template=next(iter(inputs["template"]), None), threads=args.threads,
        label="train " + "/".join(output.parts[-6:]), max_truncated=entry["max_truncated"],
        trackers=entry["report_to"],
    )  # fmt: skip
    sft.destroy_process_group()
    if int(os.environ.get("RANK", 0)) == 0:
        record |= checks.check_student(output, args.threads)
    return record


if __name__ == "__main__":
    run_program(main)
