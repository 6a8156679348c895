"""How fast a training was: tokens, padding, operations, memory."""

import math
from collections.abc import Callable

import torch

from agorabench.training.masking import Examples

CHECKED = 8  # batches of a process whose loss spans are looked at
# Dense bfloat16 operations per second at most, from the makers' data sheets.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "B200": 2250e12, "L40S": 362e12}


class Counter:
    """A collator that counts the positions in its batches and those that are padding.

    `check` is called with each of the first CHECKED batches.
    """

    def __init__(self, collate: Callable, check: Callable = lambda batch: None):
        self.collate, self.check, self.checked = collate, check, 0
        self.positions = self.padding = 0

    def __call__(self, examples):
        batch = self.collate(examples)
        if self.checked < CHECKED:
            self.check(batch)
            self.checked += 1
        self.positions += batch["input_ids"].numel()
        self.padding += batch["input_ids"].numel() - sum(len(e["input_ids"]) for e in examples)
        return batch


def measure_speed(
    network: torch.nn.Module, examples: Examples, counter: Counter, arguments, seconds: float
) -> dict:
    """Return the speed since the last start: tokens per second, padding (a fraction), memory (GB).

    Operations per token are 6 N + 12 L H T (Chowdhery et al. 2022, arXiv 2204.02311, appendix B),
    with N parameters, L layers, H the width of attention and T the mean length of an example.
    """
    config = network.config.get_text_config()
    tokens = (counter.positions - counter.padding) * arguments.world_size
    lengths = [len(row["input_ids"]) for row in examples.rows]
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    parameters = sum(math.prod(tensor.shape) for tensor in network.parameters())
    mean = sum(lengths) / max(1, len(lengths))
    per_token = 6 * parameters + 12 * config.num_hidden_layers * width * mean
    rate = tokens / seconds if seconds else 0.0
    measured = {
        "seconds": round(seconds, 2),
        "tokens": tokens,
        "tokens_per_second": round(rate, 1),
        "padding_share": round(counter.padding / max(1, counter.positions), 4),
        "flops_per_second": per_token * rate,
        "mfu": None,
        "peak_memory_gb": None,
    }
    if torch.cuda.is_available() and not arguments.use_cpu:
        name = torch.cuda.get_device_name()
        peak = next((value for key, value in PEAKS.items() if key in name), None)
        measured["mfu"] = peak and round(per_token * rate / (peak * arguments.world_size), 4)
        measured["peak_memory_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    return measured


def device_name(hardware: dict) -> str:
    """Return the devices of a training, for example "4 x NVIDIA H100"."""
    if hardware["gpus"]:
        return f"{hardware['gpus']} x {torch.cuda.get_device_name()}"
    return "cpu"
