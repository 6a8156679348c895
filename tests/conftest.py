"""What the tests share: the real data, a model, a browser."""

import shutil
from pathlib import Path

import pytest
from agorabench.plugins import load_plugins
from helpers import DATA

load_plugins(["miniature"])  # programs do it where they read their config


@pytest.fixture
def data():
    """The folder of real data; a test that needs it is skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA} (set AGORABENCH_DATA)")
    return DATA


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The folder of a barely trained model with the miniature's tokenizer and template."""
    from helpers.models import build_models

    sizes = {"hidden": 32, "layers": 1, "heads": 2, "intermediate": 64, "steps": 20, "length": 64}
    recipes = {"tokenizer": {"lines": 500}, "base": sizes}
    return str(build_models(tmp_path_factory.mktemp("model"), recipes) / "base")


@pytest.fixture(scope="module")  # its event loop is in the way of other tests
def browser():
    """Headless Chromium, as a page's reader has it; a test that needs it is skipped without one."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
        found = own if Path(own).exists() else next(filter(None, map(shutil.which, names)), None)
        if not found:
            pytest.skip("no Chromium on the PATH, and none that playwright has installed")
        opened = playwright.chromium.launch(executable_path=found)
        yield opened
        opened.close()
