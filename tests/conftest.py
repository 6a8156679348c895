"""What the tests share: where they stand, the real data, a model, a browser."""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from agorabench.plugins import load_plugins
from helpers import DATA, ROOT
from helpers.workflow import MADE, SOURCES
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

load_plugins(["miniature"])  # programs do it where they read their config

# Whatever runs of the checkout have made, no test may depend on it or change it.
OWN = tuple(f"{ROOT / name}/" for name in (*MADE, "logs"))
STAND = Path(tempfile.mkdtemp(prefix="agorabench-stand-"))
EVENTS = {"open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename"}
EVENTS |= {"os.chdir", "subprocess.Popen"}
touched = []
# What hypothesis remembers between runs would else stand there too.
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(STAND.with_suffix(".hypothesis"))
# The same examples every time, however busy the machine is.
settings.register_profile("here", database=None, deadline=None, derandomize=True)
settings.load_profile("here")
# A run in the background or under nohup ignores these, as its children would: a handler is not
# inherited, so theirs are the defaults, and the run itself still survives.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


def watch_checkout(event, args):
    """Note what this process does to files that runs of the checkout have made, and whatever is to
    stand in the checkout, where relative paths lead to them."""
    at = 2 if event == "subprocess.Popen" else 0
    if event not in EVENTS or not isinstance(args[at], (str, bytes, os.PathLike)):
        return
    path = os.path.abspath(os.fsdecode(args[at]))
    stands = event in ("os.chdir", "subprocess.Popen") and Path(path).resolve() == ROOT
    if stands or f"{path}/".startswith(OWN):
        touched.append(f"{event}: {path}")


def pytest_sessionstart(session):
    """Stand in a folder that has what a clone has."""
    if getattr(session.config.option, "numprocesses", None):
        return  # its workers do
    for name in SOURCES:
        (STAND / name).symlink_to(ROOT / name)
    os.chdir(STAND)
    sys.addaudithook(watch_checkout)


def pytest_sessionfinish():
    """Take the folder away."""
    os.chdir(ROOT)
    shutil.rmtree(STAND, ignore_errors=True)
    shutil.rmtree(os.environ["HYPOTHESIS_STORAGE_DIRECTORY"], ignore_errors=True)


class Packages(LoadScopeScheduling):
    """Give all tests of a package to one process."""

    def _split_scope(self, nodeid):
        return nodeid.partition("::")[0].rpartition("/")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadscope` a package shares what is dear: a SLURM, a finished miniature."""
    return Packages(config, log) if config.option.dist == "loadscope" else None


@pytest.fixture(autouse=True)
def own_folder():
    """Fail a test that touches what runs of the checkout have made, or could, or that leaves files
    where it stands."""
    touched.clear()
    yield
    left = sorted({path.name for path in STAND.iterdir()} - set(SOURCES))
    for name in left:
        shutil.rmtree(STAND / name)
    assert not touched, f"a test stands in a folder of its own, not in the checkout: {touched}"
    assert not left, f"a test writes in a folder of its own, not where it was started: {left}"


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
