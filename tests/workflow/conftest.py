"""A finished miniature."""

import pytest
from helpers import MINIATURE
from helpers.workflow import Folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder in which the whole miniature is done."""
    folder = Folder(tmp_path_factory.mktemp("made") / "folder", made_from=MINIATURE)
    folder.snakemake()
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    return Folder(tmp_path / "copy", made_from=finished.path)
