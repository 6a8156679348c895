"""Check a configuration before the DAG is built, and fill in its defaults.

Its form is that of agorabench.config.models; names that refer to each other are checked by
references.py, the files that it names by files.py.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from agorabench.config.files import check_files
from agorabench.config.messages import ConfigFault, raise_first
from agorabench.config.models import Config
from agorabench.config.read import read_file, read_shipped
from agorabench.config.references import check_references
from agorabench.errors import UserError

ABSENT = object()
# What a config that has neither seeds nor benchmarks adds to, here as in the Snakefile.
MINIATURE = Path(__file__).resolve().parents[3] / "config" / "mini.yaml"


def load_config(file: str | Path) -> dict:
    """Return the checked config in one file; the files that it names are not checked.

    What is no matrix of its own, as config/axes.yaml, is added to the miniature.
    """
    config = read_file(file)
    if isinstance(config, Mapping) and not {"seeds", "benchmarks"} & {*config}:
        config = merge_configs(read_file(MINIATURE), config)
    return check_config(config, [file], files_too=False)


def merge_configs(config: Mapping, more: Mapping) -> dict:
    """Return a config with the keys of another in it, mappings key by key, as Snakemake does it."""
    merged = {**config, **more}
    for key in config.keys() & more.keys():
        if isinstance(config[key], Mapping) and isinstance(more[key], Mapping):
            merged[key] = merge_configs(config[key], more[key])
    return merged


def check_config(
    config: Mapping, files: Iterable = (), root: str | Path = ".", files_too: bool = True
) -> dict:
    """Check a config and fill in its defaults.

    Args:
        config: what Snakemake made of its config files and --config; left as it is.
        files: the config files, Snakemake's `workflow.configfiles`; the message names the one that
            holds the fault.
        root: folder that paths in the config are relative to.
        files_too: also look for faults in the text of `files`, as keys given twice, and check the
            files that the config names. A job on a cluster reads a config again that has passed and
            can do without.

    Returns:
        A new dictionary with every default in it.

    Raises:
        UserError: the first fault, in one sentence: file, key path, and what was possible.
    """
    root = Path(root)
    if files_too:
        for file in files:
            read_file(root / file, _relative_name(file, root))
    try:
        filled = fill_defaults(config)
        check_references(filled, root)
        _complete_tasks(filled)
        if files_too:
            check_files(filled, root)
    except ConfigFault as fault:
        parts = [_name_holders(fault.at, config, files, root), ".".join(map(str, fault.path))]
        raise UserError(": ".join([*filter(None, parts), fault.text])) from None
    return filled


def fill_defaults(config: Mapping) -> dict:
    """Return a config with every default in it, the domains and methods of the paper too.

    Raises:
        ConfigFault: what does not have the form of the models.
    """
    if isinstance(config, Mapping):
        config = merge_configs(read_shipped(), config)
    try:
        filled = Config.model_validate(config).model_dump(by_alias=True)
    except ValidationError as error:
        raise_first(error.errors(include_url=False), config)
    for name, entry in filled["benchmarks"].items():
        if "task" in entry:  # lm-eval says where its items are
            entry.setdefault("source", {"task": entry["task"]})
        elif "source" not in entry:
            raise ConfigFault(("benchmarks", name), "missing key 'source'")
    return filled


def _complete_tasks(config):
    """Give domains and methods their titles, and every domain the validators that hold for it."""
    for registry in ("domains", "methods"):
        for name, entry in config[registry].items():
            entry["title"] = entry["title"] or name
    chosen = config["generation"]["validators"]
    config["generation"]["validators"] = {
        domain: chosen.get(domain, entry["validators"])
        for domain, entry in config["domains"].items()
    }


# ---- Which file holds a fault


def _name_holders(at, config, files, root):
    """Return the files whose value at key path `at` is the one in force, or "--config".

    A default is in no file: what holds it is the nearest mapping above that is in the config.
    """
    if not files:
        return ""
    while (wanted := _get_value(config, at)) is ABSENT:
        at = at[:-1]
    holders = {}
    for file in files:
        held = _get_value(read_file(root / file), at)
        both = isinstance(held, Mapping) and isinstance(wanted, Mapping)
        if held is not ABSENT and (both or held == wanted):
            holders[_relative_name(file, root)] = None
    return ", ".join(holders) or "--config"


def _get_value(config, path):
    for key in path:
        if not isinstance(config, Mapping) or key not in config:
            return ABSENT
        config = config[key]
    return config


def _relative_name(file, root):
    path, folder = (root / file).absolute(), root.absolute()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else file)
