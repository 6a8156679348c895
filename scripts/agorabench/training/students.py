"""The folder of a student: what it was made from, and whether that is still so.

Without torch: a student that is finished is recognised before anything slow is imported.
"""

import shutil
from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import file_digest, read_json, write_json
from agorabench.models import weights


def training_origin(inputs: dict, params: dict, seed: int) -> dict:
    """Return what a student is made from, as `made_from` of its train.json records it.

    Args:
        inputs, params: of the stage `train` (config.stages).
    """
    origin = {key: params[key] for key in ("version", "recipe", "system")} | {"seed": seed}
    origin["data"] = file_digest(*inputs["data"])
    origin["base"] = weights.model_identity(params["base"])
    if inputs["template"]:
        origin["template"] = file_digest(*inputs["template"])
    return origin


def is_finished(output: Path, made_from: dict, base: str = "") -> bool:
    """Return whether the folder holds a whole student that was made from just this.

    Args:
        base: folder or name of the base model. Older records name it by its *.safetensors alone;
            they count where no file that decides its replies is newer than the record.
    """
    try:
        record = read_json(output / "train.json")
    except (FileNotFoundError, ValueError):
        return False
    same = record.get("made_from") == made_from
    if not same and (older := weights.weights_digest(base) if base else None):
        finished = (output / "train.json").stat().st_mtime
        files = weights.deciding_files(base)[1]
        same = record.get("made_from") == made_from | {"base": older} and all(
            file.stat().st_mtime <= finished for file in files
        )
    return same and record.get("weights") == weights.weights_digest(output)


def prepare_folder(output: Path, made_from: dict) -> None:
    """Empty a folder but for the checkpoints of the same training, if there are any.

    Raises:
        UserError: there are files that no training has left.
    """
    left = {path.name for path in output.iterdir()} if output.exists() else set()
    if left and not left & {"checkpoints", "config.json", "train.json"}:
        raise UserError(f"{output} holds other files; name a new folder for the student")
    record = output / "checkpoints" / "made_from.json"
    keep = record.exists() and read_json(record) == made_from
    for path in list(output.iterdir()) if left else []:
        if not (keep and path.name == "checkpoints"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_json(record, made_from)


def finish_folder(output: Path) -> None:
    """Remove the checkpoints of a finished student and record its weights' digest, last of all."""
    shutil.rmtree(output / "checkpoints", ignore_errors=True)
    weights.record_digest(output)
