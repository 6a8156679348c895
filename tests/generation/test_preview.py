"""A preview shows what the run will ask, and what it has asked for is part of the run."""

import contextlib

import preview
import pytest
import servers
from agorabench import paths
from agorabench.files import read_json, write_json
from helpers.asking import KEY, Cell


def show(cell, replies):
    """The page of a preview of one cell."""
    cell.arguments()
    whole = read_json(cell.folder / "config.json")
    axes = {"domains": ["math"], "methods": [cell.method], "sizes": [cell.size]}
    whole["experiments"]["main"] |= axes
    write_json(cell.folder / "config.json", whole | {"preview": replies})
    with contextlib.chdir(cell.folder):
        preview.main(["--config", "config.json"])
    return (cell.folder / paths.PREVIEW).read_text(encoding="utf-8")


@pytest.mark.parametrize("method", ["response", "instance"])
def test_what_a_preview_asks_is_not_asked_again(tmp_path, monkeypatch, capsys, method):
    monkeypatch.setenv(KEY, "test-key")
    with servers.start(write=method, invalid=0.3) as server:
        cell = Cell(tmp_path, server, "openai", method, size=40)
        page = show(cell, 0)
        assert cell.received() == 0 and page.count("<summary>prompt") == 3
        assert "reply 1" not in page
        page = show(cell, 5)
        said = capsys.readouterr().out
        assert cell.received() == 5 and page.count("<summary>reply") == 5
        assert f"math/{method}/g/p/n40-seed1: valid" in said and " USD" in said
        cell.run()
        cell.holds()
        first = [row for row in cell.rows() if row["slot"] < 5 and row["attempt"] == 0]
        shown = [line for line in page.splitlines() if line.startswith("<summary>reply")]
        verdicts = [row["verdict"] for row in first]
        assert [line.split(": ")[1].removesuffix("</summary>") for line in shown] == verdicts
