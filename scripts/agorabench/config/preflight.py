"""Before any job: can every generator be asked, and can every model be had?

The Snakefile reads it: what asks a provider or the hub is imported where it is asked.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from agorabench import paths
from agorabench.errors import UserError
from agorabench.models import hub


def check_endpoints(generators: Mapping[str, Mapping]) -> None:
    """Check that every generator (name -> config entry) can be asked.

    Raises:
        UserError: names the variable or address, and all generators that need it.
    """
    _check_interpreters(generators)
    remote = {name: entry for name, entry in generators.items() if "base_url" in entry}
    providers = {
        name: import_module(f"agorabench.llm.{entry['backend']}").make_provider(entry)
        for name, entry in remote.items()
    }
    for names in _group(remote, "key").values():
        with _named_by(names):
            providers[names[0]].api_key()
    for (_, address, _), names in _group(remote, "backend", "base_url", "key").items():
        models = {remote[name]["model"]: None for name in names}
        with _named_by(names):
            served = providers[names[0]].served_models(models)
        for model in models:
            if served is not None and model not in served:
                known = ", ".join(sorted(served)[:20]) or "none"
                with _named_by(name for name in names if remote[name]["model"] == model):
                    raise UserError(
                        f"{address} does not serve the model '{model}'; it serves: {known}"
                    )


def _check_interpreters(generators: Mapping[str, Mapping]) -> None:
    """Check that the Python of every generator with one of its own can be started."""
    for name, entry in generators.items():
        python = entry.get("python")
        if python and "base_url" not in entry and not os.access(python, os.X_OK):
            raise UserError(
                f"generator '{name}': python: {python} is not executable; point it at an "
                "interpreter with vLLM installed"
            )


def _group(entries: Mapping[str, Mapping], *keys: str) -> dict[tuple, list[str]]:
    """Return names of entries by their values under keys, in the order of the entries."""
    groups = {}
    for name, entry in entries.items():
        groups.setdefault(tuple(entry[key] for key in keys), []).append(name)
    return groups


@contextmanager
def _named_by(names: Iterable[str]) -> Iterator[None]:
    """Let a UserError begin with the generators that it concerns."""
    try:
        yield
    except UserError as error:
        names = list(names)
        plural = "s" if len(names) > 1 else ""
        raise UserError(f"generator{plural} {', '.join(names)}: {error}") from None


def check_models(entries: Mapping[str, Mapping], built: Iterable[str] = ()) -> None:
    """Check that every model that is no folder can be had from the hub or from its cache.

    Args:
        entries: what needs a model -> its config entry; vLLM's has an `engine`.
        built: names of the models that the pipeline builds.

    Raises:
        UserError: names a model, all that need it, and the local one that may have been meant.
    """
    needed = {}  # (model, revision, cache folder) -> what needs it
    for user, entry in entries.items():
        chosen = {"revision": entry.get("revision"), **entry.get("engine", {})}
        key = (entry["model"], chosen["revision"], chosen.get("download_dir"))
        needed.setdefault(key, []).append(user)
    for (model, revision, cache), users in needed.items():
        if not hub.on_hub(Path(), model) or not (
            reason := hub.unavailable_reason(model, revision, cache)
        ):
            continue
        where = "neither a folder here nor on the hub, nor in its cache"
        text = f"{', '.join(sorted(users))}: no model {model}: {where}: {reason}"
        local = Path(paths.LOCAL_MODELS, model.rpartition("/")[2])
        if local.is_dir() or local.name in built:
            text += f"; did you mean {local}?"
        raise UserError(text)
