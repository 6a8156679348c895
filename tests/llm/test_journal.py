"""What was paid for is on disk before it is used, and survives any death."""

import os
import signal
import subprocess
import sys

import pytest
from agorabench.errors import UserError
from agorabench.llm.journal import Journal
from helpers import ROOT


def row(number):
    return {"fingerprint": f"f{number}", "reply": f"reply\u2028{number}"}


def test_rows_come_back(tmp_path):
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.add([row(1), row(2)])
    with Journal(tmp_path / "journal.jsonl") as journal:
        assert "f1" in journal and "f3" not in journal
        assert journal["f2"] == row(2)


def test_a_reply_is_written_once(tmp_path):
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.add([row(1)])
        journal.add([row(1), row(2)])
    assert len((tmp_path / "journal.jsonl").read_bytes().splitlines()) == 2


@pytest.mark.parametrize("cut", range(2, 30, 4))
def test_torn_tail_is_cut_off_and_the_rest_kept(tmp_path, cut):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.add([row(1), row(2)])
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path) as journal:
        assert "f1" in journal and "f2" not in journal
        journal.add([row(2)])
    with Journal(path) as journal:
        assert journal["f2"] == row(2)


def test_a_last_row_that_lacks_only_its_newline_is_whole(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.add([row(1), row(2)])
    path.write_bytes(path.read_bytes()[:-1])
    with Journal(path) as journal:
        assert journal["f2"] == row(2)
        journal.add([row(3)])
    with Journal(path) as journal:
        assert len(journal) == 3


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(UserError, match="does not lock files"), Journal(tmp_path / "j"):
        pass


def test_damage_in_the_middle_is_not_cut_away(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"fingerprint": "f1"}\nrubbish\n{"fingerprint": "f2"}\n')
    with (
        pytest.raises(UserError, match=r"journal\.jsonl, line 2: not a journal row"),
        Journal(path),
    ):
        pass
    assert "f2" in path.read_text()


def test_rows_survive_kill_9_right_after_add(tmp_path):
    path = tmp_path / "journal.jsonl"
    program = (
        f"import sys, os, signal; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        "from agorabench.llm.journal import Journal\n"
        f"with Journal({str(path)!r}) as journal:\n"
        "    journal.add([{'fingerprint': 'f1'}])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program])
    assert ended.returncode == -signal.SIGKILL
    with Journal(path) as journal:
        assert "f1" in journal


def test_a_second_writer_waits_for_the_first(tmp_path):
    path = tmp_path / "journal.jsonl"
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        "from agorabench.llm.journal import Journal\n"
        f"with Journal({str(path)!r}) as journal:\n"
        "    print(len(journal), flush=True)\n"
    )
    with Journal(path) as journal:
        other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=1)
        journal.add([row(1), row(2)])
    assert other.communicate(timeout=30)[0] == b"2\n"
    assert os.path.getsize(path) > 0


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_disk_that_takes_no_more_is_told_in_a_sentence(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(UserError, match="cannot be written: No space left"),
        Journal(tmp_path / "j") as journal,
    ):
        monkeypatch.setattr("agorabench.llm.journal.ROOM", 0)
        monkeypatch.setattr(f"os.{call}", full)
        journal.add([row("a")])


def test_replies_wait_for_room_on_a_full_disk(tmp_path, monkeypatch, capfd):
    """Also where a part of them was written before it was full."""
    write, calls = os.write, []

    def fill(file, data):
        calls.append(len(data))
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return write(file, data[:20])

    with Journal(tmp_path / "j") as journal, monkeypatch.context() as patch:
        patch.setattr("os.write", fill)
        journal.add([row(1), row(2)])
    with Journal(tmp_path / "j") as journal:
        assert journal["f2"] == row(2)
    assert "No space left on device; waiting for room" in capfd.readouterr().err


def test_rows_of_a_batch_are_on_disk_at_once(tmp_path, monkeypatch):
    """Others are synced beside the work; a batch is forgotten right after its rows are added."""
    synced = []
    monkeypatch.setattr("os.fsync", lambda file: synced.append(file))
    with Journal(tmp_path / "j") as journal:
        journal.add([row("a") | {"mode": "batch"}])
        assert synced
