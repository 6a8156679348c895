"""Loading what measures with transformers, and giving it token ids in padded batches."""

from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from transformers import AutoTokenizer

from agorabench.errors import UserError
from agorabench.models import hub
from agorabench.progress import hush


@contextmanager
def guard_loading(entry: dict, threads: int):
    """What every loading of a metric's model has around it; `entry` is the metric's.

    Raises:
        UserError: this machine has fewer GPUs than the entry asks for, or the model (a folder or
            hub id) cannot be loaded, or would execute code that may change.
    """
    hush()
    torch.set_num_threads(threads)
    if entry["gpus"] > (found := torch.cuda.device_count()):
        raise UserError(f"{entry['name']}: gpus is {entry['gpus']}, and this machine has {found}")
    try:
        if entry.get("trust_remote_code"):
            refuse_other_code(entry["model"], entry["revision"])
        yield
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"cannot load the model {entry['model']}: {reason}") from None


def refuse_other_code(model: str, revision: str | None) -> None:
    """Refuse a model (a folder or hub id) whose classes are in another repository.

    Of that transformers takes the newest, whatever the revision of the model.
    """
    folder = model
    if hub.on_hub(Path(), model):
        folder = snapshot_download(model, revision=revision, allow_patterns=hub.NAMING)
    if others := [name for name in hub.code_repositories(folder) if name != model]:
        raise UserError(hub.foreign_code_message(model, others))


def load_pretrained(kind: type, entry: dict, threads: int, **settings):
    """(tokenizer, model): the model of a transformers Auto class, on as many GPUs as it asks for.

    Args:
        entry: the metric's; "precision" is that of weights and computation.
        settings: what replaces settings in the model's own config.json.
    """
    # GPUs that are there but were not asked for belong to other jobs.
    device = {0: "cpu", 1: "cuda"}.get(entry["gpus"], "auto")
    more = {"revision": entry["revision"]}
    more["trust_remote_code"] = entry.get("trust_remote_code", False)
    with guard_loading(entry, threads):
        tokenizer = AutoTokenizer.from_pretrained(entry["model"], **more)
        precision = getattr(torch, entry["precision"])
        loaded = kind.from_pretrained(
            entry["model"], dtype=precision, device_map=device, **more, **settings
        )
    return tokenizer, loaded.eval()


def token_batches(rows: list[list[int]], size: int, device):
    """Token ids in batches of alike lengths: (places of the rows, arguments of the model).

    Padding is on the right, by a token that none of the rows has.
    """
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for start in range(0, len(order), size):
        indices = order[start : start + size]
        width = len(rows[indices[-1]])
        used = {token for index in indices for token in rows[index]}
        pad = next(token for token in range(len(used) + 1) if token not in used)
        ids = torch.full((len(indices), width), pad)
        mask = torch.zeros((len(indices), width), dtype=torch.long)
        for line, index in enumerate(indices):
            ids[line, : len(rows[index])] = torch.tensor(rows[index])
            mask[line, : len(rows[index])] = 1
        yield indices, {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
