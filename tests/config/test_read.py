"""A fault in the text of a config is one sentence with file and line, whatever the text is."""

import re

import pytest
from agorabench.config import check_config, load_config
from agorabench.config.read import read_file
from agorabench.errors import UserError
from helpers import ROOT

MINI = (ROOT / "config/mini.yaml").read_text(encoding="utf-8")
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
FAULTS = {
    "missing quote": ("a: 1\nb: 'c\nd: 2\n", ", line 2: not YAML: while scanning a quoted scalar"),
    "missing colon": ("a: 1\nb\nc: 2\n", ", line 2: not YAML: while scanning a simple key"),
    "undefined alias": ("a: 1\nb: *c\n", ", line 2: not YAML: found undefined alias"),
    "tab": ("a:\n\tb: 1\n", ", line 2: not YAML: .*; a tab, where YAML takes spaces only"),
    "bad indent": ("a:\n  b: 1\n c: 2\n", ", line 3: not YAML: "),
    "second document": ("a: 1\n---\nb: 2\n", ", line 2: not YAML: "),
    "merge conflict": ("<<<<<<< HEAD\na: 1\n=======\n", ", line [12]: not YAML: "),
    "key that is a list": ("? [a]\n: b\n", ", line 1: not YAML: .*unhashable key"),
    "control character": ("a: 1\nb: c\x07\n", ", line 2: not YAML: control characters"),
    "escaped control character": ('b: "c\\x1b"\n', ", line 1: a control character, '.x1b', in "),
    "key twice": ("a: {b: 1,\n b: 2}\n", ": a: 'b' is given twice, on lines 1 and 2"),
    "key twice, JSON": ('{"a": 1,\n "a": 2}', ": 'a' is given twice, on lines 1 and 2"),
    "endless": ("a: &x {b: *x}\n", ", line 1: an anchor whose alias is inside it"),
    "endless list": ("a: &x [b, [*x]]\n", ", line 1: an anchor whose alias is inside it"),
    "billion laughs": (LAUGHS, ", line 6: its aliases stand for more than 1,000,000 values"),
    "deep": (f"a: {'[' * 100000}{']' * 100000}\n", ", line 1: .* nested more than 100 deep"),
    "date": ("a: 2024-05-13\n", ", line 1: 2024-05-13 is a date to YAML: quote it"),
    "month 13": ("a: 2024-13-45\n", ", line 1: 2024-13-45 is a date to YAML: quote it"),
    "date as a key": ("2024-05-13: 1\n", ", line 1: 2024-05-13 is a date to YAML: quote it"),
    "octal": ("a: [0600]\n", ", line 1: YAML reads 0600 in base 8: write the number, or quote it"),
    "thousands": ("a: [1,000]\n", ", line 1: YAML reads 000 in base 8"),
    "clock": ("a: 10:30\n", ", line 1: YAML reads 10:30 in base 60"),
    "huge": (f"a: {'9' * 5000}\n", ", line 1: 99999999999999999999... is too large a number"),
    "no number": ("a: {b: .nan}\n", ", line 1: .nan is not a finite number"),
    "overflow": ("a: -1.0e+400\n", ", line 1: -1.0e.400 is not a finite number"),
    "JSON's no number": ('{"a": [NaN]}', ": NaN is not a finite number"),
    "JSON's overflow": ('{"a": -1e400}', ": -1e400 is not a finite number"),
    "tag": ("a: !!python/object/apply:os.system [ls]\n", ", line 1: the tag .* has no meaning in"),
    "wrong tag": ("a: !!int many\n", ": not YAML: "),
    "UTF-16": ("a: 1\n".encode("utf-16"), ": not text in UTF-8 .*; save it as UTF-8"),
    "Latin-1": ("a: ä\n".encode("latin-1"), ": not text in UTF-8 .*; save it as UTF-8"),
}


@pytest.mark.parametrize("text, sentence", FAULTS.values(), ids=FAULTS)
def test_fault_of_a_files_text(tmp_path, text, sentence):
    file = tmp_path / "config.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        read_file(file)
    told = str(caught.value)
    assert re.match(f"{re.escape(str(file))}{sentence}", told)
    assert told.isprintable()
    with pytest.raises(UserError):  # before anything is made of what Snakemake has read
        check_config({}, [file])


@pytest.mark.parametrize("text, held", {"": "null", "# x": "null", "[1]": "a list"}.items())
def test_what_is_no_mapping(tmp_path, text, held):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=f"config.yaml: must be a mapping, not {held}"):
        load_config(tmp_path / "config.yaml")


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(UserError, match=r"cannot read the config .*Is a directory"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        MINI.replace("\n", "\r\n"),
        "\ufeff" + MINI,
        MINI.rstrip(),
        MINI.replace("warm: true", "warm: on"),
        MINI.replace("sizes: [600]", "sizes: [1_000, 0x258]"),
        MINI + "dataset: {title: 'Ümläute', license: '2024-05-13', languages: ['no']}\n",
    ],
    ids=["CRLF", "mark of byte order", "no last newline", "on", "other numbers", "quoted"],
)
def test_other_ways_to_write_it(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8", newline="")
    assert load_config(tmp_path / "config.yaml")["warm"] is True
