"""Rows as people have them: encodings, containers, conversations, and rows that hold no pair."""

import gzip
import json
from collections import Counter

import pytest
from agorabench import rows
from agorabench.errors import UserError
from agorabench.llm.dataset import load_pairs
from agorabench.seeds.sampling import sample_rows
from agorabench.training.masking import build_conversations
from curate import training_row

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
        ("b.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)[:60], "b.jsonl.gz cannot be read"),
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


WORDS = {"s": ("system", "S"), "u": ("user", "Q"), "a": ("assistant", "A"), "t": ("tool", "T")}


def talk(shape):
    """The turns of a shape: a letter of WORDS each, numbered where there are several of it."""
    seen, turns = Counter(), []
    for letter in shape:
        seen[letter] += 1
        role, text = WORDS[letter]
        turns.append({"role": role, "content": f"{text}{seen[letter]}"})
    return turns


def turn(role, text, **more):
    return {"role": role, "content": text, **more}


ONE = [("Q1", "A1")]
TWO = [("Q1", "A1"), ("Q2", "A2")]
LED = [("S1\n\nQ1", "A1")]
NOT = "turns are not"
# Turns, and what they are where several rounds are left out (None) and where they are split: pairs,
# or words of the reason against them.
CONVERSATIONS = {
    "one round": (talk("ua"), ONE, ONE),
    "system first": (talk("sua"), LED, LED),
    "two systems": (talk("ssua"), [("S1\n\nS2\n\nQ1", "A1")], [("S1\n\nS2\n\nQ1", "A1")]),
    "a blank system": ([turn("system", " "), *talk("ua")], ONE, ONE),
    "a system of nothing": ([turn("system", None), *talk("ua")], ONE, ONE),
    "a developer": ([turn("Developer", "S1"), *talk("ua")], LED, LED),
    "two rounds": (talk("uaua"), NOT, TWO),
    "two rounds after a system": (talk("suaua"), NOT, [*LED, ("S1\n\nQ2", "A2")]),
    "five rounds": (talk("ua" * 5), NOT, [(f"Q{n}", f"A{n}") for n in range(1, 6)]),
    "a last question": (talk("uau"), NOT, ONE),
    "a last question after two rounds": (talk("uauau"), NOT, TWO),
    "an empty last question": ([*talk("ua"), turn("user", "")], NOT, ONE),
    "model first": (talk("aua"), NOT, NOT),
    "model first, after a system": (talk("saua"), NOT, NOT),
    "model alone": (talk("a"), NOT, NOT),
    "question alone": (talk("u"), NOT, NOT),
    "system alone": (talk("s"), NOT, NOT),
    "no turn": ([], "none", "none"),
    "two questions": (talk("uua"), NOT, NOT),
    "two answers": (talk("uaa"), NOT, NOT),
    "two answers later": (talk("uauaa"), NOT, NOT),
    "system in the middle": (talk("usa"), NOT, NOT),
    "system between rounds": (talk("uasua"), NOT, NOT),
    "system last": (talk("uas"), NOT, NOT),
    "a tool's turn": (talk("uata"), "user, assistant, tool", NOT),
    "a tool's turn before the answer": (talk("uta"), "user, tool", NOT),
    "a call of a tool": ([*talk("u"), turn("assistant", "A1", tool_calls=[{}])], "text", "text"),
    "a call of a function": ([*talk("u"), turn("function_call", "A1")], "function_call", NOT),
    "an empty question": ([turn("user", ""), *talk("a")], "empty", "empty"),
    "an empty answer": ([*talk("u"), turn("assistant", " \n")], "empty", "empty"),
    "an empty answer between": ([*talk("u"), turn("assistant", ""), *talk("ua")], NOT, "empty"),
    "an answer of nothing": ([*talk("u"), turn("assistant", None)], "not text", "not text"),
    "an answer in parts": ([*talk("u"), turn("assistant", [{"text": "A1"}])], ONE, ONE),
    "an answer of an image": ([*talk("u"), turn("assistant", [{"image": 5}])], "not text", "text"),
    "human and gpt": ([{"from": "human", "value": "Q1"}, {"from": "gpt", "value": "A1"}], ONE, ONE),
    "both forms mixed": ([{"from": "human", "value": "Q1"}, *talk("a")], ONE, ONE),
    "both forms in a turn": (
        [{"role": None, "content": None, "from": "human", "value": "Q1"}, *talk("a")], ONE, ONE,
    ),
    "capitals": ([turn("User", "Q1"), turn("ASSISTANT", "A1")], ONE, ONE),
    "text in place of content": ([{"role": "prompter", "text": "Q1"}, *talk("a")], ONE, ONE),
    "roles that the config names": ([turn("patient", "Q1"), turn("Dr", "A1")], ONE, ONE),
    "roles that nobody names": ([turn("boss", "Q1"), turn("clerk", "A1")], "boss, clerk", NOT),
    "no roles": ([{"content": "Q1"}, {"content": "A1"}], "None, None", NOT),
    "texts": (["Q1", "A1"], "None, None", NOT),
    "a role that is a number": ([turn(1, "Q1"), turn(2, "A1")], "None, None", NOT),
}  # fmt: skip
NAMES = {"patient": "user", "Dr": "assistant"}


@pytest.mark.parametrize("field", rows.TURNS)
@pytest.mark.parametrize("turns", [None, "split"])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversations_are_read_by_their_roles(name, turns, field):
    given, *wanted = CONVERSATIONS[name]
    source, expected = {"format": "messages", "turns": turns, "roles": NAMES}, wanted[bool(turns)]
    if isinstance(expected, str):
        with pytest.raises(rows.Unfit, match=expected):
            rows.read_pairs({field: given}, source)
    else:
        found = rows.read_pairs({field: given}, source)
        assert [(pair["instruction"], pair["response"]) for pair in found] == expected


def test_rows_without_turns():
    with pytest.raises(rows.Unfit, match="no messages or conversations"):
        rows.read_pairs({"text": "Q"}, {"format": "messages"})


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversations_kept_whole_train_on_each_answer_after_all_before_it(name):
    given, _, split = CONVERSATIONS[name]
    source = {"format": "messages", "turns": "whole", "roles": NAMES}
    if isinstance(split, str):
        with pytest.raises(rows.Unfit, match=split):
            rows.read_pairs({"messages": given}, source)
        return
    (pair,) = rows.read_pairs({"messages": given}, source)
    row = training_row(pair, "generated")
    examples = build_conversations([row], "Be brief.")
    assert [example["completion"][0]["content"] for example in examples] == [a for _, a in split]
    for number, example in enumerate(examples):
        first, *later = example["prompt"]
        opening = split[0][0].removesuffix("Q1").strip() or "Be brief."
        assert first == {"role": "system", "content": opening}
        texts = [f"{letter}{n}" for n in range(1, number + 2) for letter in "QA"][:-1]
        assert [message["content"] for message in later] == texts
    assert rows.trained_pair(row)[1] == split[-1][1]


def test_rounds_become_seeds_and_pairs_of_their_own(tmp_path):
    source = {"format": "messages", "turns": "split"}
    given = [{"id": "x", "messages": talk("suaua")}, {"messages": talk("ua")}]
    seeds, dropped = sample_rows(given, source, "s", seed=1, answered=True)
    assert [row["id"] for row in seeds] == ["x.0", "x.1", "s/1"] and not dropped
    assert seeds[1] == {"id": "x.1", "instruction": "S1\n\nQ2", "response": "A2"}
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    assert len(load_pairs({"path": str(tmp_path / "a.jsonl"), **source})) == 3


@pytest.mark.parametrize(
    ("source", "pair"),
    [
        ({"instruction": "{q}\n\nSchema: {db.schema}"}, ("How many?\n\nSchema: t(a)", "2")),
        ({"instruction": "{q}", "response": "{{n}}: {n}, {none}"}, ("How many?", "{n}: 2, ")),
        ({"instruction": "q", "response": '{"answer": {n}}'}, ("How many?", '{"answer": 2}')),
        ({"instruction": "{q} {gone}"}, "gone"),
        ({"instruction": "{talk.0.value}", "response": "talk.1.value"}, ("Q", "A")),
        ({"instruction": "{talk.0.value}|{talk.1.value}", "response": "q"}, ("Q|A", "How many?")),
        ({"instruction": "q", "response": "{talk.0.value}"}, "role user, not assistant"),
    ],
)
def test_texts_over_fields(tmp_path, capsys, source, pair):
    talk = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]
    row = {"q": "How many?", "n": 2, "none": None, "db": {"schema": "t(a)"}, "talk": talk}
    source = {"path": str(tmp_path / "a.jsonl"), "response": "{n}"} | source
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    if isinstance(pair, str):
        with pytest.raises(UserError, match=pair):
            load_pairs(source)
    else:
        found = dict(zip(("instruction", "response"), pair, strict=True))
        assert load_pairs(source) == [found]
        assert sample_rows([row], source, "s", seed=1, answered=True)[0] == [{"id": "s/0"} | found]


def test_a_row_at_fault_is_named_by_its_file(tmp_path, capsys):
    shards = {"a": PAIRS[:2], "b": [*PAIRS[2:], {"instruction": "q"}]}
    for name, found in shards.items():
        lines = "".join(json.dumps(row) + "\n" for row in found)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    source = {"path": str(tmp_path)}
    assert load_pairs(source) == PAIRS
    told = capsys.readouterr().err.replace(f"{tmp_path}/", "")
    assert "no field 'response': 1 (first b.jsonl, row 4)" in told
    with pytest.raises(UserError, match=rf"^{tmp_path}/b\.jsonl, row 4 has no 'response'"):
        sample_rows(rows.read_files(tmp_path)[0], source, "s", seed=1, answered=True)


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
