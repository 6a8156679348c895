"""What names a model: the digest of its weights, and of the files beside them that decide replies.

A builder of a model writes the digest beside the weights, last of all, in a file of its own that
changes only when the weights do. Rules depend on that file, so a model that was built again with
the same result makes nothing stale, and large weights may be removed once they have been used.
"""

from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import atomic_file, file_digest, json_fingerprint

DIGEST_FILE = "weights.sha256"
PRESENT_FILE = "present"  # says that the weights are there; goes when they do
# Weights in the order in which loaders prefer them: where there are some, later forms are not read.
FORMS = ("*.safetensors", "pytorch_model*.bin", "adapter_model*.bin", "*.gguf",
         "consolidated*.pth", "*.pt")  # fmt: skip
LEFT_BY_TRAINING = ("optimizer.pt", "scheduler.pt", "scaler.pt")
BESIDE = ("config.json", "generation_config.json", "adapter_config.json", "*.index.json",
          "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
          "added_tokens.json", "vocab.*", "merges.txt", "*.model", "*.tiktoken", "tekken.json",
          "params.json", "chat_template*", "additional_chat_templates/*.jinja",
          "*.py")  # fmt: skip


def weights_digest(folder: str | Path) -> str | None:
    """SHA-256 (hexadecimal) of a folder's weights, or None where there are none."""
    files = sorted(Path(folder).glob("*.safetensors"))
    return file_digest(*files) if files else None


def deciding_files(folder: str | Path) -> tuple[list[Path], list[Path]]:
    """(Weights, files beside them) that decide what a model's folder replies; or one file."""
    folder = Path(folder)
    if folder.is_file():
        return [folder], []
    forms = (sorted(folder.glob(form)) for form in FORMS)
    kept = ([file for file in files if file.name not in LEFT_BY_TRAINING] for files in forms)
    return next(filter(None, kept), []), sorted(
        {file for form in BESIDE for file in folder.glob(form)}
    )


def record_digest(folder: str | Path) -> str:
    """Write the digest of a folder's weights beside them and that they are there; return it."""
    value = weights_digest(folder)
    if value is None:
        raise UserError(f"{folder}: there are no weights (*.safetensors)")
    with atomic_file(Path(folder) / DIGEST_FILE) as file:
        file.write(f"{value}\n")
    Path(folder, PRESENT_FILE).touch()
    return value


def remove_weights(folder: str | Path) -> None:
    """Delete a folder's weights; their digest stays."""
    for file in Path(folder).glob("*.safetensors"):
        file.unlink()


def model_identity(model: str | Path) -> str:
    """What names a model: where it is local the recorded digest of its weights, or else that of all
    files that decide its replies; its name where it is not."""
    recorded = Path(model) / DIGEST_FILE
    if recorded.exists():
        return recorded.read_text().strip()
    weights, beside = deciding_files(model)
    if not weights:
        return str(model)
    digest = file_digest(*weights)
    if not beside:
        return digest
    folder = Path(model)
    return json_fingerprint(
        digest, {str(file.relative_to(folder)): file_digest(file) for file in beside}
    )
