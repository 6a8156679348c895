"""Models of the Hugging Face hub: which names mean one, can it be had, and whose code it executes.

The Snakefile reads it: what asks the hub is imported where it is asked.
"""

import re
from pathlib import Path

from agorabench.errors import UserError

MODELS = "resources/models"  # where the pipeline builds its own
# Files of a model that name classes to import, and how they name one of another repository.
NAMING = ("*config*.json", "*modules.json")
ELSEWHERE = re.compile(r'"([\w.-]+(?:/[\w.-]+)?)--[\w/-]+\.\w+"')


def on_hub(root, model):
    """Is this an id on the hub, which has one slash at most, and no folder below `root`?"""
    return not ((root / model).is_dir() or model.startswith((".", "/")) or model.count("/") > 1)


def check_models(entries, mini=()):
    """Check, before any job, that every model that is no folder can be had.

    Args:
        entries: what needs a model -> its config entry; vLLM's has an `engine`.
        mini: names of the miniature's models.

    Raises:
        UserError: names a model, all that need it, and the local one that may have been meant.
    """
    needed = {}  # what one look answers for -> what needs it
    for what, entry in entries.items():
        chosen = {"revision": entry.get("revision"), **entry.get("engine", {})}
        key = (entry["model"], chosen["revision"], chosen.get("download_dir"))
        needed.setdefault(key, []).append(what)
    for (model, revision, cache), names in needed.items():
        if not on_hub(Path(), model) or not (reason := unavailable_reason(model, revision, cache)):
            continue
        where = "neither a folder here nor on the hub, nor in its cache"
        text = f"{', '.join(sorted(names))}: no model {model}: {where}: {reason}"
        local = f"{MODELS}/{model.rpartition('/')[2]}"
        if Path(local).is_dir() or Path(local).name in mini:
            text += f"; did you mean {local}?"
        raise UserError(text)


def unavailable_reason(model, revision=None, cache=None):
    """Why a model (an id) can be had neither from the hub nor from its cache, or None if it can.

    What is in the cache is enough where the hub cannot be reached. `cache` is its folder, if
    another than the hub's own.
    """
    from huggingface_hub import hf_hub_download, utils
    from huggingface_hub.errors import RemoteEntryNotFoundError

    from agorabench.seeds.sources import refusal

    utils.disable_progress_bars()
    utils.logging.set_verbosity_error()
    try:
        hf_hub_download(model, "config.json", revision=revision, cache_dir=cache)
    except RemoteEntryNotFoundError:
        return None  # a model of another form
    except (OSError, ValueError) as error:
        return refusal(error, {"revision": revision})
    return None


def foreign_code_message(model, others):
    """Why code of `others`, repositories, is not executed for a model."""
    return (
        f"the classes of {model} come from {', '.join(others)}, where no revision of the model pins"
        " them: name a folder with the model and that code, whose JSON files say file.Class and not"
        " owner/name--file.Class"
    )


def pooling_message(model):
    """Why a model cannot say how its tokens become an embedding."""
    return f"{model} is no model of sentence-transformers (no modules.json): say pooling: mean"


def code_repositories(folder):
    """Names of the repositories that the files in a model's folder say its classes come from."""
    files = {file for form in NAMING for file in Path(folder).rglob(form)}
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in sorted(files)]
    return list(dict.fromkeys(name for text in texts for name in ELSEWHERE.findall(text)))
