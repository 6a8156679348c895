"""Models of the Hugging Face hub: which names mean one, can it be had, and whose code it executes.

The Snakefile reads it: what asks the hub is imported where it is asked.
"""

import re
from pathlib import Path

# Files of a model that name classes to import, and how they name one of another repository.
NAMING = ("*config*.json", "*modules.json")
# What `datasets` says where huggingface_hub raises RevisionNotFoundError.
LOST_REVISION = re.compile("Revision .* doesn't exist")
ELSEWHERE = re.compile(r'"([\w.-]+(?:/[\w.-]+)?)--[\w/-]+\.\w+"')


def on_hub(root: Path, model: str) -> bool:
    """Is this an id on the hub, which has one slash at most, and no folder below `root`?"""
    return not ((root / model).is_dir() or model.startswith((".", "/")) or model.count("/") > 1)


def unavailable_reason(
    model: str, revision: str | None = None, cache: str | None = None
) -> str | None:
    """Why a model (an id) can be had neither from the hub nor from its cache, or None if it can.

    What is in the cache is enough where the hub cannot be reached. `cache` is its folder, if
    another than the hub's own.
    """
    from huggingface_hub import hf_hub_download, utils
    from huggingface_hub.errors import RemoteEntryNotFoundError

    utils.disable_progress_bars()
    utils.logging.set_verbosity_error()
    try:
        hf_hub_download(model, "config.json", revision=revision, cache_dir=cache)
    except RemoteEntryNotFoundError:
        return None  # a model of another form
    except (OSError, ValueError) as error:
        return describe_refusal(error, revision)
    return None


def describe_refusal(error: Exception, revision: str | None = None) -> str:
    """Why the hub gave nothing, in words; `revision`: what was asked for."""
    from huggingface_hub import errors

    text = first_line(error)
    if isinstance(error, errors.RevisionNotFoundError) or LOST_REVISION.search(text):
        return f"revision {revision} is not there any more"
    if isinstance(error, errors.GatedRepoError) or "gated" in text:
        return "gated: accept its terms on its page on the hub and set HF_TOKEN in the environment"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403, 404):
        return f"not there, or private and HF_TOKEN does not open it (HTTP status {status})"
    return f"cannot be had from the hub ({text})"


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its kind where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def foreign_code_message(model: str, others: list[str]) -> str:
    """Why code of `others`, repositories, is not executed for a model."""
    return (
        f"the classes of {model} come from {', '.join(others)}, where no revision of the model pins"
        " them: name a folder with the model and that code, whose JSON files say file.Class and not"
        " owner/name--file.Class"
    )


def pooling_message(model: str) -> str:
    """Why a model cannot say how its tokens become an embedding."""
    return f"{model} is no model of sentence-transformers (no modules.json): say pooling: mean"


def code_repositories(folder: str | Path) -> list[str]:
    """Names of the repositories that the files in a model's folder say its classes come from."""
    files = {file for form in NAMING for file in Path(folder).rglob(form)}
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in sorted(files)]
    return list(dict.fromkeys(name for text in texts for name in ELSEWHERE.findall(text)))
