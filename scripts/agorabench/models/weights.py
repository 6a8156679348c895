"""What names a model: the digest of its weights.

A builder of a model writes the digest beside the weights, last of all, in a file of its own that
changes only when the weights do. Rules depend on that file, so a model that was built again with
the same result makes nothing stale, and large weights may be removed once they have been used.
"""

from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import atomic_file, file_digest

DIGEST_FILE = "weights.sha256"
PRESENT_FILE = "present"  # says that the weights are there; goes when they do


def weights_digest(folder: str | Path) -> str | None:
    """SHA-256 (hexadecimal) of a folder's weights, or None where there are none."""
    files = sorted(Path(folder).glob("*.safetensors"))
    return file_digest(*files) if files else None


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
    """What names a model: the digest of its weights where they are local, or else its name."""
    recorded = Path(model) / DIGEST_FILE
    return (
        recorded.read_text().strip() if recorded.exists() else weights_digest(model) or str(model)
    )
