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


def test_text_that_nobody_reads_is_named(tmp_path, capsys):
    file = tmp_path / "rows.jsonl"
    more = {"input": "Some context here.", "lang": "en", "id": "a b"}
    file.write_text("".join(json.dumps(pair | more) + "\n" for pair in PAIRS))
    load_pairs({"path": str(file)})
    assert capsys.readouterr().err == f"{file}: text that is not read: input (100% of rows)\n"
    file.write_text(LINES, encoding="utf-8")
    load_pairs({"path": str(file)})
    assert capsys.readouterr().err == ""
