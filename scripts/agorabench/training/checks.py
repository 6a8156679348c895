"""Checks of a training: of the machine and its data before, of the saved student after."""

import copy
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, PretrainedConfig

from agorabench.errors import UserError
from agorabench.files import read_json
from agorabench.models.generate import Engine
from agorabench.training.masking import Examples


def check_machine(hardware: dict, trackers: Iterable[str]) -> None:
    """Check for the GPUs and for the packages of trackers before anything is loaded.

    Raises:
        UserError: one is not there.
    """
    gpus = torch.cuda.device_count()
    if hardware["gpus"] > gpus:
        raise UserError(f"hardware.gpus is {hardware['gpus']} and this machine has {gpus} GPUs")
    for name in trackers:
        if importlib.util.find_spec(name) is None:
            raise UserError(f"report_to names {name}, which is not installed: pip install {name}")


def check_lengths(examples: Examples, max_length: int, max_truncated: float) -> None:
    """Raise UserError if too large a fraction of the examples is longer than max_length tokens."""
    if examples.truncated > max_truncated:
        raise UserError(
            f"{examples.truncated:.0%} of the examples are longer than max_length {max_length} "
            f"tokens (at most {max_truncated:.0%} may be cut); raise max_length in the recipe, or "
            "max_truncated"
        )


def check_attention(config: PretrainedConfig, dtype: torch.dtype, device: str) -> None:
    """Check on a small model of the same kind that examples in one row do not attend to each other.

    Raises:
        UserError: they do, with this attention implementation.
    """
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


def check_student(output: Path, threads: int = 1) -> dict:
    """Load the saved student and check its tensors and whether it stops by itself.

    Returns:
        {"asked": number of prompts, "stopped": number of answers that ended by themselves}.

    Raises:
        UserError: a tensor is empty or contains NaN or Inf.
    """
    for path in sorted(output.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118, no mapping
                tensor = file.get_tensor(name)
                if not tensor.numel() or not torch.isfinite(tensor).all():
                    raise UserError(f"{path}: {name} is empty or contains NaN or Inf")
    prompts = read_json(output / "checkpoints" / "prompts.json")
    engine = Engine(str(output), threads)
    replies = engine.generate(prompts, range(len(prompts)), max_tokens=512, temperature=0.0)
    stopped = sum(reply["finish_reason"] == "stop" for reply in replies)
    if not stopped:
        print(
            f"warning: {output} never emitted an end-of-turn token in {len(prompts)} samples",
            file=sys.stderr,
        )
    return {"stopped": stopped, "asked": len(prompts)}
