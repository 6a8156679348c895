"""Supervised fine-tuning with TRL on one device or several, checked while it runs."""

import gc
import math
import os
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

import torch
from accelerate.utils import AutocastKwargs
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)
from trl import SFTConfig, SFTTrainer

from agorabench.errors import UserError
from agorabench.files import write_json
from agorabench.models.chat import use_template
from agorabench.progress import Progress, hush
from agorabench.training import checks, masking
from agorabench.training.checkpoints import (
    KEPT,
    Checkpoints,
    Stopped,
    broadcast_first,
    last_checkpoint,
)
from agorabench.training.speed import Counter, device_name, measure_speed

# transformers' plain "constant" would ignore the warm-up.
SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
FLAT = ("padding-free", "packed")  # several examples in one row, their attention kept apart
SAMPLES = 8  # prompts of the training set that the finished student has to answer


def train_model(
    model: str, rows: list[dict], recipe: dict, hardware: dict, seed: int, output: Path, *,
    template: str | None = None, threads: int = 1, label: str = "train",
    max_truncated: float = 0.05, trackers: Iterable[str] = (),
) -> dict:  # fmt: skip
    """Fine-tune `model` on `rows` and save it to the folder `output`.

    Goes on from the last whole checkpoint in `output`/checkpoints.

    Args:
        model: the base, a folder or a hub id.
        rows: {"prompt": messages, "completion": [message]}.
        recipe, hardware, template, max_truncated, trackers: the student's config; `max_truncated`
            is a fraction of the rows.
        label: of the progress.

    Returns:
        What train.json records: counts of examples, steps, the loss curve, speed, settings.

    Raises:
        UserError: too many examples are too long; the loss does not cover exactly the responses
            and their end of turn; attention is not kept apart where examples share a row; the
            machine has too few GPUs; a tracker's package is not installed; a loss is no number.
        Stopped: a signal asked for it; a checkpoint was saved.
    """
    hush()
    torch.set_num_threads(threads)
    checks.check_machine(hardware, trackers)
    tokenizer = AutoTokenizer.from_pretrained(model)
    use_template(tokenizer, template)
    examples = masking.build_examples(tokenizer, rows, recipe["max_length"])
    checks.check_lengths(examples, recipe["max_length"], max_truncated)
    network = load_base(model, recipe, hardware)
    if recipe["batches"] in FLAT:
        checks.check_attention(network.config, *_computation(recipe, hardware))
    arguments = sft_config(recipe, hardware, seed, output / "checkpoints", trackers, label)
    keeper, show = Checkpoints(hardware["checkpoint_minutes"]), Show(label)
    set_seed(seed)  # adapters begin with random numbers
    trainer = SFTTrainer(
        model=network,
        args=arguments,
        train_dataset=Dataset.from_list(examples.rows),
        processing_class=tokenizer,
        callbacks=[keeper, show],
        peft_config=adapters(recipe),
    )
    trainer.remove_callback(PrinterCallback)
    # Copies of the weights in bfloat16, of no use where layers are computed again.
    trainer.accelerator.autocast_handler = AutocastKwargs(cache_enabled=False)
    spans = set(examples.spans)
    counter = trainer.data_collator = Counter(
        trainer.data_collator, lambda batch: masking.check_spans(batch, tokenizer, spans)
    )
    seconds = run_steps(trainer, keeper, output / "checkpoints")
    save_student(trainer, tokenizer, examples.end, recipe, output)
    return {
        "examples": len(rows),
        "dropped": examples.dropped,
        "truncated": examples.truncated,
        "steps": trainer.state.global_step,
        "resumed_from": show.resumed,
        "loss_curve": loss_curve(trainer.state.log_history),
        "speed": measure_speed(network, examples, counter, arguments, seconds),
        "devices": device_name(hardware),
        "hardware": hardware,
        "settings": resolved_settings(arguments),
    }


def run_steps(trainer: SFTTrainer, keeper: Checkpoints, folder: Path) -> float:
    """Train from the last whole checkpoint in a folder to the end; return the seconds it took.

    Raises:
        Stopped: a signal asked for it.
    """
    begun = broadcast_first(last_checkpoint(folder) if trainer.is_world_process_zero() else None)
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=str(begun) if begun else None)
    if keeper.stopped:
        raise Stopped(
            f"stopped by {keeper.stopped} after step {trainer.state.global_step} of "
            f"{trainer.state.max_steps}, which is saved; the same command goes on from there"
        )
    return time.monotonic() - started


def destroy_process_group() -> None:
    """End the process group of a training, after `train_model` has returned.

    Not within it: while the trainer lives, its DDP may be the last to hold the group, and would
    end it with Python's lock held, which a thread of gloo may wait for (seen with torch 2.13).
    """
    gc.collect()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _computation(recipe, hardware):
    """(Number format, device) of the forward pass."""
    dtype = torch.float32 if recipe["precision"] == "float32" else torch.bfloat16
    return dtype, f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if hardware["gpus"] else "cpu"


def _weights_format(recipe):
    """Number format of the weights in memory; those that adapters leave as they are need no more
    digits than they are saved with.
    """
    short = recipe["precision"] == "bfloat16" or (
        recipe.get("lora") and recipe["precision"] == "mixed"
    )
    return torch.bfloat16 if short else torch.float32


def adapters(recipe: dict):
    """The LoRA adapters of a recipe in peft's terms, or None."""
    if not (lora := recipe.get("lora")):
        return None
    from peft import LoraConfig

    # peft 0.21 asks for what transformers 5 calls otherwise.
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
    return LoraConfig(
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        use_rslora=lora["rslora"],
        target_modules=lora["targets"] or "all-linear",
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )


def load_base(model: str, recipe: dict, hardware: dict) -> torch.nn.Module:
    """Load the base in the number format that its weights are trained in.

    Raises:
        UserError: the attention implementation of `hardware` is not installed.
    """
    options = {"attn_implementation": hardware["attention"]} if hardware["attention"] else {}
    try:
        return AutoModelForCausalLM.from_pretrained(
            model,
            dtype=_weights_format(recipe),
            **options,
        )
    except (ImportError, ValueError) as error:
        if not hardware["attention"]:
            raise
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"hardware.attention: {hardware['attention']} cannot be loaded: {reason}"
        ) from None


def sft_config(
    recipe: dict, hardware: dict, seed: int, folder: Path, trackers: Iterable[str], label: str
) -> SFTConfig:
    """Return the recipe in TRL's terms.

    Raises:
        UserError: batch_size cannot be shared out among the GPUs.
    """
    gpus = hardware["gpus"]
    processes = int(os.environ.get("WORLD_SIZE", 1))
    per_device = hardware["per_device"] or max(1, recipe["batch_size"] // processes)
    if recipe["batch_size"] % (per_device * processes):
        raise UserError(
            f"batch_size {recipe['batch_size']} is no multiple of {processes} processes with "
            f"{per_device} examples each; change hardware.per_device or hardware.gpus"
        )
    flat = recipe["batches"] in FLAT
    sharing = {}
    # Adapters are no reason to share weights out, and where layers are shared out and computed
    # again peft saves none of them: every process has all (DDP).
    if processes > 1 and not recipe.get("lora"):
        sharing = {
            "fsdp": True,
            "fsdp_config": {
                "state_dict_type": "SHARDED_STATE_DICT",
                "activation_checkpointing": bool(gpus) and hardware["gradient_checkpointing"],
            },
            # Else each GPU keeps whole gradients between the passes of a step, summed in bfloat16.
            "accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": True}},
        }
    return SFTConfig(
        output_dir=str(folder),
        run_name=label,
        seed=seed,
        num_train_epochs=recipe["epochs"],
        learning_rate=recipe["learning_rate"],
        per_device_train_batch_size=per_device,
        gradient_accumulation_steps=recipe["batch_size"] // (per_device * processes),
        # Examples come cut to their length; only packing still looks at it.
        max_length=recipe["max_length"] if recipe["batches"] == "packed" else None,
        packing=recipe["batches"] == "packed",
        padding_free=flat,
        train_sampling_strategy="group_by_length" if recipe["batches"] == "grouped" else "random",
        warmup_steps=recipe["warmup"],
        lr_scheduler_type=SCHEDULES[recipe["schedule"]],
        weight_decay=recipe["weight_decay"],
        use_cpu=not gpus,
        bf16=recipe["precision"] == "mixed",  # weights in bfloat16 need no conversion
        activation_checkpointing=processes == 1
        and bool(gpus)
        and hardware["gradient_checkpointing"],
        torch_compile=bool(gpus) and hardware["compile"],
        tf32=True if gpus else None,
        save_strategy="no",  # Checkpoints decides
        save_total_limit=KEPT,
        logging_steps=1,  # more would count wrong in the first line after a resume
        logging_nan_inf_filter=False,  # Show stops at a loss that is no number
        report_to=list(trackers) or "none",
        disable_tqdm=True,
        dataloader_pin_memory=bool(gpus),
        ddp_find_unused_parameters=False,
        **sharing,
    )


class Show(TrainerCallback):
    """Report steps, and end a training whose loss is no number."""

    def __init__(self, label):
        self.label, self.resumed = label, 0

    def on_train_begin(self, args, state, control, **_):
        self.resumed = state.global_step
        quiet = None if state.is_world_process_zero else open(os.devnull, "w")  # noqa: SIM115
        self.bar = Progress(self.label, state.max_steps, "steps", state.global_step, stream=quiet)
        self.bar.__enter__()

    def on_log(self, args, state, control, logs, **_):
        if not math.isfinite(loss := float(logs.get("loss", 0.0))):
            raise UserError(
                f"{self.label}: the loss is {loss} after step {state.global_step}, and nothing is "
                "saved of it; give the recipe a lower learning_rate or a longer warmup"
            )

    def on_step_end(self, args, state, control, **_):
        losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
        self.bar.advance(note=f"loss {losses[-1]:.3f}" if losses else "")

    def on_train_end(self, args, state, control, **_):
        self.bar.__exit__(None)


def save_student(trainer: SFTTrainer, tokenizer, end: str, recipe: dict, output: Path) -> None:
    """Save the whole student, in the format it computed in, ready to be loaded and to stop.

    Beside it the first prompts of the training set, for checks.check_student.
    """
    if trainer.is_fsdp_enabled:
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    state = trainer.accelerator.get_state_dict(trainer.model)
    if not trainer.is_world_process_zero():
        return
    network = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    if recipe.get("lora"):
        network = network.merge_and_unload()
        state = network.state_dict()
    if recipe["precision"] != "float32":
        state = {
            name: value.to(torch.bfloat16) if value.is_floating_point() else value
            for name, value in state.items()
            if name not in network.all_tied_weights_keys  # copies of another
        }
    ends = network.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends] if ends is not None else []
    turn = tokenizer.convert_tokens_to_ids(end)
    network.generation_config.eos_token_id = sorted({turn, *ends}, key=lambda t: t != turn)
    network.config.use_cache = True
    network.save_pretrained(str(output), state_dict=state)
    if recipe["precision"] != "float32":  # transformers has written that of the trained weights
        network.config.dtype = torch.bfloat16
        network.config.save_pretrained(str(output))
    tokenizer.save_pretrained(str(output))
    prompts = trainer.train_dataset
    write_json(
        output / "checkpoints" / "prompts.json",
        [_prompt_tokens(prompts[row]) for row in range(min(SAMPLES, len(prompts)))],
    )


def _prompt_tokens(row):
    """The first prompt in a row of examples: its tokens up to where the loss begins."""
    ignored = masking.IGNORED
    begin = next(n for n, label in enumerate(row["labels"]) if label != ignored)
    return row["input_ids"][:begin]


def loss_curve(history: list[dict], stride: int = 10) -> list[dict]:
    """Return the mean loss of every `stride` steps and of those that are left."""
    losses = [(entry["step"], float(entry["loss"])) for entry in history if "loss" in entry]
    groups = [losses[start : start + stride] for start in range(0, len(losses), stride)]
    return [
        {"step": group[-1][0], "loss": sum(loss for _, loss in group) / len(group)}
        for group in groups
    ]


def resolved_settings(arguments: SFTConfig) -> dict:
    """Return every setting that the trainer ended up with, but for paths, names and secrets."""
    return {
        key: value
        for key, value in arguments.to_dict().items()
        if not key.endswith(("_dir", "_token", "run_name")) and value not in (None, {}, [])
    }
