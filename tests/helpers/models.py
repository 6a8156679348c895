"""Models of the miniature, built in a moment from recipes of a test's own."""

import contextlib
from pathlib import Path

import yaml
from miniature import build

from helpers import ROOT


def build_models(folder, recipes, names=None):
    """Build models (all, or those of `names`) below a folder; returns the folder that has them."""
    whole = yaml.safe_load((ROOT / "config/mini.yaml").read_text(encoding="utf-8"))
    config = Path(folder, "mini.yaml")
    config.write_text(yaml.safe_dump(whole | {"mini": recipes}, sort_keys=False), encoding="utf-8")
    with contextlib.chdir(folder):
        for name in names or recipes:
            build.main(["--config", str(config), "--name", name])
    return Path(folder, "resources/models")
