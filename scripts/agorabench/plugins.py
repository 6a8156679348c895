"""Python that a config brings along: `plugins: [miniature, my_sql.py]`.

A plug-in is a module that can be imported, or a Python file. What it offers is found by name:

    protocol_NAME                      read_items(rows) and grade_items(items, completions,
                                       sandbox), as in agorabench/evaluation/benchmarks, in a
                                       module or a class
    validator_NAME(pair, limits)       None, or the reason against a pair
    seed_source_NAME(domain, method)   rows of a set whose source is {source: NAME}
    benchmark_source_NAME(benchmark)   rows of a benchmark whose source is {source: NAME}
    check_config(config)               yields the faults of a config: (key path, text), and where
                                       the key to look for in the files is another, its path
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from agorabench.errors import UserError

KINDS = ("protocol", "validator", "seed_source", "benchmark_source")

_loaded: dict[str, ModuleType] = {}  # of the configs that this process has checked


def load_plugins(names: Iterable[str], root: str | Path = ".") -> list[ModuleType]:
    """Import the plug-ins of a config, so that what they offer is found from now on.

    Raises:
        UserError: there is no such module or file below `root`, or it cannot be imported.
    """
    for name in names:
        if name not in _loaded:
            _loaded[name] = _import_plugin(name, Path(root))
    return [_loaded[name] for name in names]


def _import_plugin(name: str, root: Path) -> ModuleType:
    """Import a module, or the file of a path that ends with .py."""
    try:
        if not name.endswith(".py"):
            return importlib.import_module(name)
        if not (root / name).is_file():
            raise UserError(f"no file {name}")
        spec = importlib.util.spec_from_file_location(f"plugin {name}", root / name)
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except UserError:
        raise
    except Exception as error:  # whatever a user's module may do
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"cannot import {name}: {reason}") from error


def find_plugin(kind: str, name: str):
    """Return what a plug-in offers of this kind (KINDS) under this name, or None."""
    for module in _loaded.values():
        if offered := getattr(module, f"{kind}_{name}", None):
            return offered
    return None


def list_plugins(kind: str, modules: Iterable[ModuleType]) -> list[str]:
    """Return the names of what plug-ins offer of a kind."""
    start = f"{kind}_"
    names = [name for module in modules for name in vars(module) if name.startswith(start)]
    return [name.removeprefix(start) for name in names]


def plugin_faults(config: dict, modules: Iterable[ModuleType]) -> Iterator[tuple]:
    """Yield what the plug-ins of a config say against it: (key path, text, key to look for)."""
    for module in modules:
        for path, text, *at in getattr(module, "check_config", lambda _: ())(config):
            yield path, text, at[0] if at else path
