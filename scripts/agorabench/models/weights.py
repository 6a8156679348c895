"""What names a model: the digest of its weights, and of the files beside them that decide replies.

A builder of a model writes the digest beside the weights, last of all, in a file of its own that
changes only when the weights do. Rules depend on that file, so a model that was built again with
the same result makes nothing stale, and large weights may be removed once they have been used. What
else decides replies is written down with it, so that an edit by hand is seen.
"""

import os
from contextlib import suppress
from itertools import chain
from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import atomic_file, file_digest, json_fingerprint, read_json, write_json

DIGEST_FILE = "weights.sha256"
RECORD_FILE = "deciding_files.json"  # name -> [bytes, ns of its last change, sha256]
PRESENT_FILE = "present"  # says that the weights are there; goes when they do
# Weights in the order in which loaders prefer them: where there are some, later forms are not read.
# Modules of sentence-transformers are in folders with a number.
FORMS = ("*.safetensors", "*.bin", "*.gguf", "consolidated*.pth", "*.pt",
         "0_*/*.safetensors", "0_*/*.bin")  # fmt: skip
LEFT_BY_TRAINING = ("optimizer", "scheduler", "scaler", "training_args", "rng_state")
BESIDE = ("config.json", "generation_config.json", "adapter_config.json", "*.index.json",
          "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
          "added_tokens.json", "vocab.*", "merges.txt", "bpe.codes", "*.model",
          "tokenizer.model.v*", "*.spm", "*.tiktoken", "tekken.json", "params.json",
          "*processor_config.json", "*quant*config.json", "chat_template.json",
          "chat_template.jinja", "additional_chat_templates/*.jinja", "*.py", "modules.json",
          "*sentence_*.json", "[0-9]_[A-Z]*/*")  # fmt: skip


def weights_digest(folder: str | Path) -> str | None:
    """SHA-256 (hexadecimal) of a folder's weights, or None where there are none."""
    files = sorted(Path(folder).glob("*.safetensors"))
    return file_digest(*files) if files else None


def deciding_files(folder: str | Path) -> tuple[list[Path], list[Path]]:
    """(Weights, files beside them) that decide what a model's folder replies; or one file."""
    folder = Path(folder)
    if folder.is_file():
        return [folder], []
    weights = next(filter(None, (_list_files(folder, [form]) for form in FORMS)), [])
    beside = [file for file in _list_files(folder, BESIDE) if file not in weights]
    with suppress(FileNotFoundError, ValueError, AttributeError):  # no adapter, or none of peft
        base = Path(read_json(folder / "adapter_config.json").get("base_model_name_or_path") or "")
        if base.name and base.is_dir() and not base.samefile(folder):
            beside += chain(*deciding_files(base))
    return weights, beside


def _list_files(folder, forms):
    """The files of these forms, without hidden ones and what a training leaves."""
    return sorted(
        {
            file
            for form in forms
            for file in folder.glob(form)
            if file.is_file() and not file.name.startswith((".", *LEFT_BY_TRAINING))
        }
    )


def record_digest(folder: str | Path) -> str:
    """Write the digest of a folder's weights beside them and that they are there; return it."""
    folder, value = Path(folder), weights_digest(folder)
    if value is None:
        raise UserError(f"{folder}: there are no weights (*.safetensors)")
    weights, beside = deciding_files(folder)
    # Where these weights were recorded before, what has been edited since stays edited.
    if not (folder / RECORD_FILE).exists() or set(weights) & set(edited_files(folder)):
        record = {
            _name(file, folder): [*_size_and_time(file), file_digest(file)]
            for file in weights + beside
        }
        write_json(folder / RECORD_FILE, record)
    with atomic_file(folder / DIGEST_FILE) as file:
        file.write(f"{value}\n")
    (folder / PRESENT_FILE).touch()
    return value


def remove_weights(folder: str | Path) -> None:
    """Delete a folder's weights; their digest stays."""
    for file in Path(folder).glob("*.safetensors"):
        file.unlink()


def edited_files(folder: str | Path) -> list[Path]:
    """Deciding files of a folder with a recorded digest that are not as they were recorded; for one
    that is gone, the record."""
    folder = Path(folder)
    weights, beside = deciding_files(folder)
    if not (folder / RECORD_FILE).exists():  # of an older version: what is newer than the digest
        digest = folder / DIGEST_FILE
        newer = [f for f in weights + beside if f.stat().st_mtime_ns > digest.stat().st_mtime_ns]
        if not set(weights) & set(newer) or file_digest(*weights) == digest.read_text().strip():
            newer = [file for file in newer if file not in weights]
        return newer
    record = read_json(folder / RECORD_FILE)
    edited = []
    for file in weights + beside:
        *state, digest = record.pop(_name(file, folder), [None])
        if state != _size_and_time(file) and file_digest(file) != digest:
            edited.append(file)
    if not weights:  # removed after their use
        record = {
            name: state for name, state in record.items() if not name.endswith(".safetensors")
        }
    return edited + [folder / RECORD_FILE] * bool(record)


def _name(file, folder):
    return os.path.relpath(file, folder)


def _size_and_time(file):
    return [file.stat().st_size, file.stat().st_mtime_ns]


def model_identity(model: str | Path) -> str:
    """What names a model: where it is local the digest of all files that decide its replies, or, of
    a folder as its builder left it, the recorded one of its weights; its name where it is not."""
    folder = Path(model)
    recorded = folder / DIGEST_FILE
    if recorded.exists() and not edited_files(folder):
        return recorded.read_text().strip()
    weights, beside = deciding_files(folder)
    if weights:
        digest = file_digest(*weights)
    elif recorded.exists():
        digest = recorded.read_text().strip()
    else:
        return str(model)
    if not beside:
        return digest
    return json_fingerprint(digest, {_name(file, folder): file_digest(file) for file in beside})
