"""What programs share: one sentence for what files and terminals do to them, and no traceback."""

import json

import pytest
from agorabench import cli, progress
from agorabench.errors import UserError
from agorabench.files import cut_tail, read_appended, read_json, read_jsonl


def fail_unicode():
    b"\xff".decode()


def fail_deep():
    json.loads("[" * 100_000)


def fail_path():
    open("x" * 300)  # noqa: SIM115


@pytest.mark.parametrize(
    ("main", "told"),
    [
        (fail_unicode, "can't decode byte 0xff"),
        (fail_deep, "recursion"),
        (fail_path, "File name too long"),
    ],
)
def test_a_program_ends_in_a_sentence(monkeypatch, main, told):
    monkeypatch.setattr(cli.locks, "hold_job_lock", lambda: None)
    with pytest.raises(SystemExit) as ended:
        cli.run_program(main)
    assert ended.value.code.startswith("error: ") and told in ended.value.code


@pytest.mark.parametrize("read", [read_json, read_jsonl])
@pytest.mark.parametrize("data", [b'{"a": ', b'{"a": "\xff"}', b"[" * 100_000])
def test_a_damaged_file_is_named(tmp_path, read, data):
    path = tmp_path / "file.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"file\.json.*: not "):
        read(path)


@pytest.mark.parametrize("tail", ["", '{"k": 2', '{"k": 2}', "\ud800"])
def test_rows_are_appended_to_whole_rows(tmp_path, tail):
    path = tmp_path / "rows"
    path.write_bytes(b'{"k": 1}\n' + tail.encode("utf-8", "surrogatepass"))
    with open(path, "a+b") as file:
        file.seek(0)
        *_, (_, end) = read_appended(file, "k", "line {}")
        cut_tail(file, end)
        file.write(b'{"k": 3}\n')
    assert [row["k"] for row in read_jsonl(path)] == ([1, 2, 3] if tail == '{"k": 2}' else [1, 3])


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_that_cannot_be_written_is_dropped(monkeypatch, terminal):
    class Gone:
        def isatty(self):
            return terminal

        def write(self, text):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(progress, "LINE_EVERY", 0)
    monkeypatch.setattr(progress, "REDRAW_EVERY", 0)
    with progress.Progress("work", 3, stream=Gone()) as bar:
        bar.advance()
    with pytest.raises(KeyError), progress.Progress("work", 3, stream=Gone()) as bar:
        raise KeyError
