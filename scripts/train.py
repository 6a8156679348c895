r"""Train a student: fine-tune the base on generated pairs, with the loss on responses only.

    python scripts/train.py --model resources/models/base --seed 1 \
        --recipe '{"epochs": 5, "learning_rate": 2e-3, "batch_size": 16, "max_length": 128,
                   "gradient_accumulation": 1, "warmup": 0.05, "schedule": "linear",
                   "weight_decay": 0, "precision": "float32"}' \
        --data results/data/math/response/strong/mini/n600-seed1.jsonl --output /tmp/student

The folder is a Hugging Face model; its `train.json` records what it was made from, the loss curve,
the share of truncated examples and the time it took; `weights.sha256` is written last.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from agorabench import jsonl, weights
from agorabench.errors import UserError, run
from agorabench.progress import Progress, hush

# transformers' plain "constant" would ignore the warm-up.
SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
MAX_TRUNCATED = 0.05  # share of examples longer than max_length above which training is refused


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the base: a folder or a hub id")
    parser.add_argument("--data", required=True, help='rows with "messages" (JSON Lines)')
    parser.add_argument(
        "--recipe", type=json.loads, required=True, help="config: students.*.recipe"
    )
    parser.add_argument("--system", default="", help="system message of every conversation")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", required=True, help="folder of the trained model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--version", type=int, default=1, help="another one trains anew")
    args = parser.parse_args(argv)

    output = Path(args.output)
    made_from = {
        "version": args.version,
        "data": jsonl.digest(args.data),
        "base": weights.identity(args.model),
        "recipe": args.recipe,
        "system": args.system,
        "seed": args.seed,
    }
    if finished(output, made_from):
        print(f"{output} was trained from the same data and recipe", file=sys.stderr)
    else:
        clear(output)
        rows = conversations(jsonl.read(args.data), args.system)
        label = "train " + "/".join(output.parts[-6:])
        started = time.monotonic()
        trainer, record = train(
            args.model, rows, args.recipe, args.seed, output, args.threads, label
        )
        trainer.save_model(str(output))
        (output / "training_args.bin").unlink()  # a pickle; train.json says it readably
        shutil.rmtree(output / "checkpoints")
        record |= {"made_from": made_from, "weights": weights.digest(output)}
        record |= {"examples": len(rows), "seconds": round(time.monotonic() - started, 1)}
        jsonl.write_json(output / "train.json", record)
    weights.record(output)


def finished(output, made_from):
    """Does the folder hold a whole student that was made from just this?"""
    try:
        record = jsonl.read_json(output / "train.json")
    except (FileNotFoundError, ValueError):
        return False
    same = record.get("made_from") == made_from
    return same and record.get("weights") == weights.digest(output)


def clear(output):
    """Make an empty folder; a killed job's remains are removed, anything else is not.

    Raises:
        UserError: there are files that no training has left.
    """
    left = {path.name for path in output.iterdir()} if output.exists() else set()
    if left and not left & {"checkpoints", "config.json", "train.json"}:
        raise UserError(f"{output} holds other files; name a new folder for the student")
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)


def conversations(rows, system=""):
    """Rows as TRL's conversational prompt and completion: all but the last turn, and the last."""
    opening = [{"role": "system", "content": system}] if system else []
    return [
        {"prompt": opening + row["messages"][:-1], "completion": row["messages"][-1:]}
        for row in rows
    ]


def train(model, rows, recipe, seed, output, threads, label):
    """Fine-tune `model` on `rows`; returns the trainer and what to record.

    Raises:
        UserError: too many examples are longer than max_length, or the loss does not cover exactly
            the responses and their end of turn.
    """
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    hush()
    torch.set_num_threads(threads)
    gpu = torch.cuda.is_available()
    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForCausalLM.from_pretrained(
        model, dtype=torch.bfloat16 if recipe["precision"] == "bfloat16" else torch.float32
    )
    settings = SFTConfig(
        output_dir=str(output / "checkpoints"),
        seed=seed,
        num_train_epochs=recipe["epochs"],
        learning_rate=recipe["learning_rate"],
        per_device_train_batch_size=recipe["batch_size"],
        gradient_accumulation_steps=recipe["gradient_accumulation"],
        max_length=recipe["max_length"],
        warmup_steps=recipe["warmup"],
        lr_scheduler_type=SCHEDULES[recipe["schedule"]],
        weight_decay=recipe["weight_decay"],
        completion_only_loss=True,
        use_cpu=not gpu,
        bf16=gpu and recipe["precision"] == "bfloat16",
        activation_checkpointing=gpu,
        save_strategy="no",
        logging_steps=10,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=gpu,
    )

    class Show(TrainerCallback):
        """Report steps, and stay quiet otherwise."""

        def on_train_begin(self, args, state, control, **_):
            self.bar = Progress(label, state.max_steps, "steps").__enter__()

        def on_step_end(self, args, state, control, **_):
            losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
            self.bar.advance(note=f"loss {losses[-1]:.3f}" if losses else "")

        def on_train_end(self, args, state, control, **_):
            self.bar.__exit__(None)

    trainer = SFTTrainer(
        model=network,
        args=settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[Show()],
    )
    trainer.remove_callback(PrinterCallback)
    truncated = share_truncated(tokenizer, rows, recipe["max_length"])
    if truncated > MAX_TRUNCATED:
        raise UserError(
            f"{truncated:.0%} of the examples are longer than max_length {recipe['max_length']} "
            f"tokens (at most {MAX_TRUNCATED:.0%} may be cut); raise max_length in the recipe"
        )
    check_loss_spans(trainer, rows, tokenizer)
    trainer.train()
    curve = [
        {"step": entry["step"], "loss": float(entry["loss"])}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    return trainer, {
        "steps": trainer.state.global_step,
        "loss_curve": curve,
        "truncated": truncated,
        "device": str(network.device),
    }


def share_truncated(tokenizer, rows, max_length):
    """Share of conversations that are longer than `max_length` tokens."""
    texts = tokenizer.apply_chat_template(
        [row["prompt"] + row["completion"] for row in rows], tokenize=False
    )
    lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
    return sum(length > max_length for length in lengths) / len(lengths)


def check_loss_spans(trainer, rows, tokenizer, count=32):
    """See on real batches that the loss covers exactly each response and its end of turn."""
    examples = [trainer.train_dataset[i] for i in range(min(count, len(rows)))]
    batch = trainer.data_collator(examples)
    for row, ids, labels, mask in zip(
        rows, batch["input_ids"], batch["labels"], batch["attention_mask"], strict=False
    ):
        trained = tokenizer.decode(ids[labels != -100]).strip()
        wanted = row["completion"][0]["content"].strip()
        if mask.sum() == trainer.args.max_length:  # cut: there is no end of turn
            right = wanted.startswith(trained)
        else:
            right = trained.startswith(wanted)
            right = right and trained[len(wanted) :].strip() == tokenizer.eos_token
        if not right:
            raise UserError(
                f"the loss would be taken on {trained!r}, not on the response {wanted!r} and "
                f"{tokenizer.eos_token}: the model's chat template does not mark turns as expected"
            )


if __name__ == "__main__":
    run(main)
