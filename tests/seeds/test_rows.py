"""Rows as people have them: encodings, containers, conversations, and rows that hold no pair."""

import gzip
import json

import pytest
from agorabench import rows
from agorabench.errors import UserError
from agorabench.llm.dataset import load_pairs
from agorabench.seeds.sampling import sample_rows

PAIRS = [{"instruction": f"What is {n} + {n}, élan?", "response": f"{2 * n}"} for n in range(5)]
LINES = "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in PAIRS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("whole", [False, True])
def test_encodings_that_say_what_they_are(tmp_path, encoding, whole):
    file = tmp_path / ("rows.json" if whole else "rows.jsonl")
    file.write_text(json.dumps(PAIRS) if whole else LINES, encoding=encoding)
    assert load_pairs({"path": str(file)}) == PAIRS


def test_containers_that_are_promised(tmp_path):
    import pandas

    pandas.DataFrame(PAIRS).to_parquet(tmp_path / "rows.parquet")
    with gzip.open(tmp_path / "rows.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(LINES)
    shards = tmp_path / "shards"
    shards.mkdir()
    (shards / "a.jsonl").write_text(LINES[: LINES.index("\n") + 1], encoding="utf-8")
    (shards / "b.jsonl").write_text(LINES[LINES.index("\n") + 1 :], encoding="utf-8")
    for name in ("rows.parquet", "rows.jsonl.gz", "shards"):
        assert load_pairs({"path": str(tmp_path / name)}) == PAIRS


def test_a_folder_is_its_rows_whatever_describes_them(tmp_path):
    """As data sets are downloaded: a card, licences, caches, rows in a folder of their own."""
    for name, text in {
        "README.md": "# A card", "LICENSE": "MIT", ".gitattributes": "x", "dataset_info.json": "{",
        ".cache/huggingface/data/b.jsonl": "{", ".hidden.jsonl": "{", "_SUCCESS": "",
        "data/train-1.jsonl": LINES, "data/.train-0.jsonl": "{", "data/notes.txt": "no rows",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert load_pairs({"path": str(tmp_path)}) == PAIRS
    (tmp_path / "top.json").write_text(json.dumps(PAIRS[:1]))
    assert load_pairs({"path": str(tmp_path)}) == PAIRS[:1]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("b.jsonl", b'{"a": 1}\n{"a"\n', "b.jsonl: line 2: not JSON"),
        ("b.jsonl", b'{"a": "\xed\xa0\x80"}\n', "b.jsonl: line 1: not text in UTF-8"),
        ("b.jsonl", b'\n{"a": 1, "b": {"c": 1, "c": 2}}\n', "b.jsonl: line 2: .*'c' twice"),
        ("b.json", b'[{"a": 1}, null]', "b.json: row 2 is null, not a JSON object"),
        ("b.jsonl", b'{"a": 1}\n7\n', "b.jsonl: row 2 is int, not a JSON object"),
        ("b.jsonl.gz", gzip.compress(LINES.encode())[:60], "b.jsonl.gz: b.jsonl.gz cannot be read"),
        ("b.parquet", b"PAR1", "b.parquet: not Parquet"),
        ("b.csv", b"a,b", r"no file in this folder ends in \.jsonl"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, text, sentence):
    (tmp_path / name).write_bytes(text)
    if not name.endswith(".csv"):
        (tmp_path / "a.jsonl").write_text(LINES, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        load_pairs({"path": str(tmp_path)})


@pytest.mark.parametrize("text", [LINES.replace("\n", "\r\n"), LINES + "\n\n \n", f"\n{LINES}"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_line_ends_and_blank_lines_do_not_count(tmp_path, text, encoding):
    (tmp_path / "a.jsonl").write_bytes(text.strip(" ").encode(encoding))
    assert load_pairs({"path": str(tmp_path / "a.jsonl")}) == PAIRS


def test_shards_whose_columns_differ_are_one_set(tmp_path):
    import pandas

    pandas.DataFrame(PAIRS).to_parquet(tmp_path / "a.parquet")
    other = pandas.DataFrame([{"instruction": "Q", "response": "A", "score": [1, 2]}])
    other.to_parquet(tmp_path / "b.parquet")
    mixed = pandas.DataFrame([{"instruction": 7, "response": "A"}])
    mixed.to_parquet(tmp_path / "c.parquet")
    assert load_pairs({"path": str(tmp_path)}) == [*PAIRS, {"instruction": "Q", "response": "A"}]


def test_conversations_in_parquet(tmp_path):
    import pandas

    frame = pandas.DataFrame([{"conversations": SHAREGPT}, {"conversations": None}])
    frame.to_parquet(tmp_path / "a.parquet")
    source = {"path": str(tmp_path / "a.parquet")}
    pair = [{"instruction": "Q", "response": "A"}]
    assert load_pairs(source | {"format": "messages"}) == pair
    fields = {"instruction": "conversations.0.value", "response": "conversations.1.value"}
    assert load_pairs(source | fields) == pair
    with pytest.raises(UserError, match=r"known: conversations; .* with format: messages"):
        load_pairs(source)


def test_single_rows_without_a_pair_are_left_out_and_counted(tmp_path, capsys):
    file = tmp_path / "rows.jsonl"
    spoilt = [{"instruction": None, "response": "a"}, {"instruction": "q", "response": 7}]
    spoilt += [{"instruction": "q"}, {"instruction": "\ud83d", "response": "a"}]
    file.write_text(LINES + "".join(json.dumps(row) + "\n" for row in spoilt), encoding="utf-8")
    assert load_pairs({"path": str(file)}) == PAIRS
    told = capsys.readouterr().err
    assert "4 of 9 rows left out" in told and "instruction is null: 1 (first row 6)" in told
    assert "response is a int, not text: 1 (first row 7)" in told


def test_a_set_without_any_pair_is_refused(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"question": "q", "answer": "a"}\n')
    with pytest.raises(UserError, match=r"no row has a pair: no field 'instruction'.*known: ques"):
        load_pairs({"path": str(file)})


OPENAI = [
    {"role": "user", "content": "Q"},
    {"role": "assistant", "content": [{"type": "text", "text": "A"}]},
]
SHAREGPT = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]


@pytest.mark.parametrize(
    ("row", "pair"),
    [
        ({"messages": OPENAI}, ("Q", "A")),
        ({"conversations": SHAREGPT}, ("Q", "A")),
        ({"messages": [{"role": "Developer", "content": ""}, *OPENAI]}, ("Q", "A")),
        ({"messages": [turn | {"role": None, "content": None} for turn in SHAREGPT]}, ("Q", "A")),
        ({"messages": [OPENAI[0], {"role": "assistant", "content": [{"text": 5}]}]}, "not text"),
        ({"messages": [{"role": "system", "content": "S."}, *OPENAI]}, ("S.\n\nQ", "A")),
        ({"messages": [OPENAI[1], OPENAI[0], OPENAI[1]]}, "assistant, user, assistant"),
        ({"messages": [*OPENAI, *OPENAI]}, "user, assistant, user, assistant"),
        ({"messages": [OPENAI[0], {"role": "tool", "content": "x"}, OPENAI[1]]}, "user, tool"),
        ({"messages": [OPENAI[0]]}, "answer: user"),
        ({"messages": []}, "answer: none"),
        ({"messages": ["Q", "A"]}, "None, None"),
        ({"messages": [OPENAI[0], {"role": "assistant", "content": None}]}, "not text"),
        ({"text": "Q"}, "no messages or conversations"),
    ],
)  # fmt: skip
def test_conversations_are_read_by_their_roles(row, pair):
    if isinstance(pair, tuple):
        assert rows.read_pair(row, {"format": "messages"}) == pair
    else:
        with pytest.raises(rows.Unfit, match=pair):
            rows.read_pair(row, {"format": "messages"})


def test_turns_read_by_position_must_have_the_role(tmp_path, capsys):
    """A system turn is not taken for the question, nor the question for the answer."""
    source = {"instruction": "messages.0.content", "response": "messages.1.content"}
    led = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Q"}]
    file = tmp_path / "rows.jsonl"
    texts = [[{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}], led]
    file.write_text("".join(json.dumps({"messages": turns}) + "\n" for turns in texts))
    assert load_pairs({"path": str(file), **source}) == [{"instruction": "Q", "response": "A"}]
    assert (
        "messages.0 is a turn of role system, not user: 1 (first row 2)" in capsys.readouterr().err
    )
    kept, dropped = sample_rows(
        [{"messages": turns} for turns in texts], source, "s", seed=1, answered=True
    )
    assert len(kept) == 1 and dropped.total() == 1


@pytest.mark.parametrize(
    ("source", "row", "names"),
    [
        ({}, {"input": "Some context here.", "lang": "en", "id": "a b"}, "input"),
        ({}, {"history": [["How are you?", "Fine, thanks."]], "tags": ["a", "b"]}, "history"),
        ({}, {"meta": {"source": {"text": "Some context here."}, "n": [1, 2]}}, "meta"),
        ({"where": {"meta.kind": "a b"}}, {"meta": {"kind": "a b", "text": "c d"}}, "meta.text"),
        ({"format": "messages"}, {"messages": OPENAI, "system": "Be brief."}, "system"),
        ({"format": "messages"}, {"conversations": SHAREGPT, "instruction": "a b"}, "instruction"),
        ({"format": "messages"}, {"messages": [{"role": "user", "content": "Q q"}, OPENAI[1]]}, ""),
        (
            {"instruction": "conversations.0.value", "response": "conversations.1.value"},
            {"conversations": [*SHAREGPT, {"from": "human", "value": "And then?"}]},
            "conversations.2.value",
        ),
        ({}, {}, ""),
    ],
)
def test_text_that_nobody_reads_is_named(tmp_path, capsys, source, row, names):
    file = tmp_path / "rows.jsonl"
    whole = row if source and "where" not in source else PAIRS[0] | row
    file.write_text(json.dumps(whole) + "\n")
    load_pairs({"path": str(file), **source})
    told = f"{file}: text that is not read: {names} (100% of rows)\n" if names else ""
    assert capsys.readouterr().err == told
