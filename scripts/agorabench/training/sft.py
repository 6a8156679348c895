"""Supervised fine-tuning with TRL on one device or several, checked while it runs."""

import gc
import importlib.util
import os
import sys
import time

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from agorabench.errors import UserError
from agorabench.files import read_json, write_json
from agorabench.models import chat
from agorabench.progress import Progress, hush
from agorabench.training.checkpoints import KEPT, Checkpoints, Stopped, last_checkpoint
from agorabench.training.speed import Counter, device_name, measure_speed

# transformers' plain "constant" would ignore the warm-up.
SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
FLAT = ("padding-free", "packed")  # several examples in one row, their attention kept apart
ASKED = 8  # prompts of the training set that the finished student has to answer


def train_model(
    model, rows, recipe, hardware, seed, output, *, template=None, threads=1, label="train",
    max_truncated=0.05, trackers=(),
):  # fmt: skip
    """Fine-tune `model` on `rows` and save it to the folder `output`.

    Goes on from the last whole checkpoint in `output`/checkpoints.

    Args:
        model: the base, a folder or a hub id.
        rows: {"prompt": messages, "completion": [message]}.
        recipe, hardware, template, max_truncated, trackers: the student's config; `max_truncated`
            is a share of the rows.
        label: what the progress is called.

    Returns:
        What to record (train.json), a dict.

    Raises:
        UserError: too many examples are too long; the loss does not cover exactly the responses
            and their end of turn; attention is not kept apart where examples share a row; the
            machine has too few GPUs; a tracker's package is not there.
        Stopped: a signal asked for it; a checkpoint was saved.
    """
    hush()
    torch.set_num_threads(threads)
    check_machine(hardware, trackers)
    tokenizer = AutoTokenizer.from_pretrained(model)
    chat.use_template(tokenizer, template)
    made = chat.build_examples(tokenizer, rows, recipe["max_length"])
    if made.truncated > max_truncated:
        raise UserError(
            f"{made.truncated:.0%} of the examples are longer than max_length "
            f"{recipe['max_length']} tokens (at most {max_truncated:.0%} may be cut); raise "
            "max_length in the recipe, or max_truncated"
        )
    network = load_base(model, recipe, hardware)
    if recipe["batches"] in FLAT:
        computed = torch.float32 if recipe["precision"] == "float32" else torch.bfloat16
        place = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if hardware["gpus"] else "cpu"
        check_apart(network.config, computed, place)
    arguments = sft_config(recipe, hardware, seed, output / "checkpoints", trackers, label)
    keeper, show = Checkpoints(hardware["checkpoint_minutes"]), Show(label)
    trainer = SFTTrainer(
        model=network,
        args=arguments,
        train_dataset=Dataset.from_list(made.rows),
        processing_class=tokenizer,
        callbacks=[keeper, show],
    )
    trainer.remove_callback(PrinterCallback)
    spans = set(made.spans)

    def check_batch(batch):
        chat.check_spans(batch, tokenizer, spans)

    counter = trainer.data_collator = Counter(trainer.data_collator, check_batch)

    begun = last_checkpoint(output / "checkpoints") if trainer.is_world_process_zero() else None
    begun = _broadcast_object(begun)
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=str(begun) if begun else None)
    seconds = time.monotonic() - started
    if keeper.stopped:
        raise Stopped(
            f"stopped by {keeper.stopped} after step {trainer.state.global_step} of "
            f"{trainer.state.max_steps}, which is saved; the same command goes on from there"
        )
    save_student(trainer, tokenizer, made.end, recipe, output)
    return {
        "examples": len(rows),
        "dropped": made.dropped,
        "truncated": made.truncated,
        "steps": trainer.state.global_step,
        "resumed_from": show.resumed,
        "loss_curve": loss_curve(trainer.state.log_history),
        "speed": measure_speed(network, made, counter, arguments, seconds),
        "devices": device_name(hardware),
        "hardware": hardware,
        "settings": resolved_settings(arguments),
    }


def destroy_process_group():
    """Let the processes of a training go their ways, after `train` has returned.

    Not within it: while the trainer lives, its DDP may be the last to hold their group, and would
    end it with Python's lock held, which a thread of gloo may wait for (seen with torch 2.13).
    """
    gc.collect()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def check_machine(hardware, trackers):
    """Look for the GPUs and for the packages of trackers before anything is loaded."""
    found = torch.cuda.device_count()
    if hardware["gpus"] > found:
        raise UserError(f"hardware.gpus is {hardware['gpus']} and this machine has {found} GPUs")
    for name in trackers:
        if importlib.util.find_spec(name) is None:
            raise UserError(f"report_to names {name}, which is not installed: pip install {name}")


def load_base(model, recipe, hardware):
    """The base, in the number format that its weights are trained in."""
    options = {"attn_implementation": hardware["attention"]} if hardware["attention"] else {}
    try:
        return AutoModelForCausalLM.from_pretrained(
            model,
            dtype=torch.bfloat16 if recipe["precision"] == "bfloat16" else torch.float32,
            **options,
        )
    except (ImportError, ValueError) as error:
        if not hardware["attention"]:
            raise
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"hardware.attention: {hardware['attention']} cannot be had: {reason}"
        ) from None


def sft_config(recipe, hardware, seed, folder, trackers, label):
    """The recipe in TRL's terms.

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
    if processes > 1:
        sharing = {
            "fsdp": True,
            "fsdp_config": {
                "state_dict_type": "SHARDED_STATE_DICT",
                "activation_checkpointing": bool(gpus) and hardware["gradient_checkpointing"],
            },
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
        report_to=list(trackers) or "none",
        disable_tqdm=True,
        dataloader_pin_memory=bool(gpus),
        ddp_find_unused_parameters=False,
        **sharing,
    )


def check_apart(config, dtype, device):
    """See on a small model of the same kind that examples in one row do not attend to each other.

    Raises:
        UserError: they do, with this attention implementation.
    """
    import copy

    small = copy.deepcopy(config)
    small.num_hidden_layers = 2
    if getattr(small, "layer_types", None):
        small.layer_types = small.layer_types[:2]
    small.vocab_size = 64
    small.pad_token_id = small.bos_token_id = small.eos_token_id = None
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = AutoModelForCausalLM.from_config(small, dtype=dtype).to(device).eval()
        first, second = torch.randint(64, (2, 24)).to(device)
    collate = _flat_collator(pad=0)
    pair = [{"input_ids": part.tolist(), "labels": part.tolist()} for part in (first, second)]
    with torch.no_grad():
        both, alone = (
            network(
                **{
                    key: value.to(device) if isinstance(value, torch.Tensor) else value
                    for key, value in collate(rows).items()
                    if key != "labels"
                },
                use_cache=False,
            ).logits[0, -len(second) :]
            for rows in (pair, pair[1:])
        )
    error = ((both - alone).norm() / alone.norm()).item()
    del network, both, alone
    if device != "cpu":
        torch.cuda.empty_cache()
    if not error < (1e-4 if dtype == torch.float32 else 0.05):
        raise UserError(
            f"attention implementation {config._attn_implementation} does not keep examples in one "
            "row apart; set hardware.attention to one that does (flash_attention_2, sdpa), or "
            "recipe.batches to padded or grouped"
        )


def _flat_collator(pad):
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    return DataCollatorForLanguageModeling(pad_token_id=pad, padding_free=True)


class Show(TrainerCallback):
    """Report steps, and stay quiet otherwise."""

    def __init__(self, label):
        self.label, self.resumed = label, 0

    def on_train_begin(self, args, state, control, **_):
        self.resumed = state.global_step
        quiet = None if state.is_world_process_zero else open(os.devnull, "w")  # noqa: SIM115
        self.bar = Progress(self.label, state.max_steps, "steps", state.global_step, stream=quiet)
        self.bar.__enter__()

    def on_step_end(self, args, state, control, **_):
        losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
        self.bar.advance(note=f"loss {losses[-1]:.3f}" if losses else "")

    def on_train_end(self, args, state, control, **_):
        self.bar.__exit__(None)


def _broadcast_object(path):
    """What the first process says, to all of them."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return path
    told = [path]
    torch.distributed.broadcast_object_list(told)
    return told[0]


def save_student(trainer, tokenizer, end, recipe, output):
    """Save the whole student, in the format it computed in, ready to be loaded and to stop."""
    if trainer.is_fsdp_enabled:
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    state = trainer.accelerator.get_state_dict(trainer.model)
    if not trainer.is_world_process_zero():
        return
    network = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    if recipe["precision"] != "float32":
        state = {
            name: value.to(torch.bfloat16) if value.is_floating_point() else value
            for name, value in state.items()
            if name not in network.all_tied_weights_keys  # copies of another
        }
        network.config.dtype = torch.bfloat16
    ends = network.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends] if ends is not None else []
    turn = tokenizer.convert_tokens_to_ids(end)
    network.generation_config.eos_token_id = sorted({turn, *ends}, key=lambda t: t != turn)
    network.config.use_cache = True
    network.save_pretrained(str(output), state_dict=state)
    tokenizer.save_pretrained(str(output))
    prompts = trainer.train_dataset
    write_json(
        output / "checkpoints" / "prompts.json",
        [_prompt_tokens(prompts[row]) for row in range(min(ASKED, len(prompts)))],
    )


def _prompt_tokens(row):
    """The first prompt in a row of examples: its tokens up to where the loss begins."""
    ignored = chat.IGNORED
    begins = next(place for place, label in enumerate(row["labels"]) if label != ignored)
    return row["input_ids"][:begins]


def check_student(output, threads=1):
    """Load the saved student and look at it: its tensors, and whether it stops by itself.

    Returns:
        {"stopped": how many of the prompts it was asked it ended by itself, "of": how many}.

    Raises:
        UserError: a tensor is empty, or holds what is no number.
    """
    from safetensors import safe_open

    from agorabench.llm.transformers import Engine

    for path in sorted(output.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118, no mapping
                tensor = file.get_tensor(name)
                if not tensor.numel() or not torch.isfinite(tensor).all():
                    raise UserError(f"{path}: {name} is empty or holds numbers that are none")
    prompts = read_json(output / "checkpoints" / "prompts.json")
    engine = Engine(str(output), threads)
    replies = engine.generate(prompts, range(len(prompts)), max_tokens=512, temperature=0.0)
    stopped = sum(reply["finish_reason"] == "stop" for reply in replies)
    if not stopped:
        print(f"warning: {output} ended none of {len(prompts)} answers", file=sys.stderr)
    return {"stopped": stopped, "asked": len(prompts)}


def loss_curve(history, stride=10):
    """The mean loss of every `stride` steps and of those that are left."""
    losses = [(entry["step"], float(entry["loss"])) for entry in history if "loss" in entry]
    groups = [losses[start : start + stride] for start in range(0, len(losses), stride)]
    return [
        {"step": group[-1][0], "loss": sum(loss for _, loss in group) / len(group)}
        for group in groups
    ]


def resolved_settings(arguments):
    """Every setting that the trainer ended up with, but for names of places and secrets."""
    told = arguments.to_dict()
    return {
        key: value
        for key, value in told.items()
        if not key.endswith(("_dir", "_token", "run_name")) and value not in (None, {}, [])
    }
