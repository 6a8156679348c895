"""IFEval's verifiers, one by one and against the verdicts of Google's own program."""

import pytest
import yaml
from agorabench.config import check_config
from agorabench.errors import UserError
from agorabench.evaluation import benchmarks, grading
from agorabench.evaluation.benchmarks import ifeval
from agorabench.files import read_jsonl, write_jsonl
from helpers import ROOT

CASES = read_jsonl(ROOT / "tests" / "cases" / "ifeval.jsonl")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["instruction"])
def test_an_instruction_is_told_from_its_opposite(case):
    name, arguments = case["instruction"], case["arguments"]
    assert ifeval.follows_instruction(case["followed"], name, arguments)
    assert not ifeval.follows_instruction(case["broken"], name, arguments)
    assert not ifeval.follows_instruction(" \n", name, arguments)  # an empty answer follows nothing


def test_all_25_are_there():
    assert len(ifeval.VERIFIERS) == 25 == len({case["instruction"] for case in CASES})


def row(**instructions):
    """A row as published; its instructions named by what follows their colon."""
    full = {name.partition(":")[2]: name for name in ifeval.VERIFIERS}
    return {
        "key": 1, "prompt": "Do.",
        "instruction_id_list": [full[name] for name in instructions],
        # As on the hub: every argument there is, most of them null.
        "kwargs": [{"num_words": None, "letter": None} | given for given in instructions.values()],
    }  # fmt: skip


ASKED = row(no_comma={}, number_words={"num_words": 3, "relation": "at least"})


@pytest.mark.parametrize(
    ("completion", "scores", "reason"),
    [
        ("Red and blue", (1, 1, 1, 1), ""),
        ("Red, blue", (0, 0, 0, 0), "punctuation:no_comma"),
        ("Red", (0, 0, 0.5, 0.5), "length_constraints:number_words"),
        ("Sure, here you are:\nRed and blue", (0, 1, 0.5, 1), "punctuation:no_comma"),
        ("", (0, 0, 0, 0), "punctuation:no_comma"),
    ],
)
def test_prompts_and_instructions_strict_and_loose(completion, scores, reason):
    (verdict,) = ifeval.grade_items(ifeval.read_items([ASKED]), [completion])
    names = ("score", "loose", "instruction", "instruction_loose")
    assert tuple(verdict[name] for name in names) == scores
    assert verdict["reason"] == reason and verdict["instructions"] == 2


def test_an_answer_is_loosened_in_eight_ways():
    assert set(ifeval.loose_versions("*a*\nb\n*c*")) == {
        "*a*\nb\n*c*", "a\nb\nc", "b\n*c*", "b\nc", "*a*\nb", "a\nb", "b",
    }  # fmt: skip


def test_an_instruction_counts_once_in_the_accuracy_of_instructions():
    items = ifeval.read_items([ASKED, row(no_comma={})])
    verdicts = ifeval.grade_items(items, ["Red", "Red, blue"])
    _, found = grading.select_score(ifeval, verdicts)
    assert found["instruction"]["score"] == pytest.approx(100 / 3)
    assert found["loose"]["score"] == 0
    # And with its weights where it is what counts.
    turned, other = grading.select_score(ifeval, verdicts, "instruction")
    assert other["score"] == found["instruction"] and other["main"] == found["score"]
    assert grading.weighted_mean(turned, "score", "weight") == found["instruction"]


def test_an_unknown_instruction_is_refused(tmp_path):
    broken = ASKED | {"instruction_id_list": ["keywords:rhyme", "punctuation:no_comma"]}
    write_jsonl(tmp_path / "items.jsonl", [broken])
    with pytest.raises(UserError, match="unknown instruction 'keywords:rhyme'"):
        benchmarks.load_items({"protocol": "ifeval"}, tmp_path / "items.jsonl")


@pytest.mark.parametrize("kind", ["strict", "loose"])
def test_googles_verdicts_on_gpt4s_answers_come_out(data, kind):
    """Files of google-research/instruction_following_eval: input_data.jsonl, and what its program
    makes of input_response_data_gpt4_20231107_145030.jsonl."""
    folder = data / "ifeval"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    published = read_jsonl(folder / "input_data.jsonl")
    items = dict(
        zip((one["prompt"] for one in published), ifeval.read_items(published), strict=True)
    )
    other = []
    for theirs in read_jsonl(folder / f"eval_results_{kind}.jsonl"):
        item, answer = items[theirs["prompt"]], theirs["response"]
        versions = [answer] if kind == "strict" else ifeval.loose_versions(answer)
        ours = [
            any(ifeval.follows_instruction(v, *asked) for v in versions)
            for asked in item["instructions"]
        ]
        pairs = zip(item["instructions"], ours, theirs["follow_instruction_list"], strict=True)
        other += [(*asked, mine) for asked, mine, google in pairs if mine != google]
    # Google's program replaces the letter "#" by a random one.
    letter = {"let_relation": "at least", "letter": "#", "let_frequency": 4}
    expected = [("keywords:letter_frequency", letter, True)]
    assert other == ([] if kind == "strict" else expected)


def merged(one, other):
    """What Snakemake makes of two config files."""
    return one | {
        key: merged(one.get(key, {}), value) if isinstance(value, dict) else value
        for key, value in other.items()
    }


def test_ifeval_is_one_stanza_beside_the_papers_benchmarks():
    paper, added = (
        yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8"))
        for name in ("agorabench", "ifeval")
    )
    config = check_config(merged(paper, added), root=ROOT)
    assert config["benchmarks"]["ifeval"]["in_mean"] is False
    paper["benchmarks"]["alpaca-eval"] |= {"protocol": "unscored"}
    paper["benchmarks"]["arena-hard"]["protocol"] = "unscored"
    with pytest.raises(UserError, match="'instruction' counts in its mean"):
        check_config(merged(paper, added), root=ROOT)


@pytest.mark.parametrize(
    "text", ["[" * 995, "[" * 100_000, '{"a":' * 2000, "[" * 200_000 + "]" * 200_000]
)
def test_json_deeper_than_the_parser_goes_is_none(text):
    assert not ifeval.is_json(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("[a] and [b]", 2), ("[[a]", 1), ("[a\n] [b]", 1), ("[]", 1), ("] [", 0), ("[a] [", 1)],
)
def test_placeholders_are_closed_on_their_line(text, count):
    assert ifeval.has_placeholders(text, count) and not ifeval.has_placeholders(text, count + 1)


@pytest.mark.parametrize(
    ("text", "found"), [("<<A title>>", 1), ("<<>>", 0), ("< <a>>", 0), ("x <<a> b>> y", 1)]
)
def test_titles(text, found):
    assert ifeval.has_title(text) == bool(found)
