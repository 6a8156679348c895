r"""A judge with a rubric: any benchmark without answers to compare, described in the config.

    prompt: "{question}"                      # over the fields of a row
    judge: some-judge                         # a generator
    rubric: config/rubrics/support.md         # what the judge is asked
    scale: 1-5                                # or right: right or wrong
    answer: reference                         # a field, where the rubric shows {reference}

The rubric is the question to the judge, with {prompt}, {completion} and perhaps {reference} in it,
and asks it to end with "[RESULT] 4", or with "[RESULT] right" or "[RESULT] wrong". A score of 1 to
5 counts as 0, 25, 50, 75 or 100 %. A reply whose verdict cannot be read is asked for again, as in
the other benchmarks with a judge.
"""

import re
from functools import cache
from pathlib import Path

from agorabench.errors import UserError
from agorabench.evaluation.benchmarks.match import row_id
from agorabench.files import to_json, value_at
from agorabench.intrinsic.judged import ENDING, parse_score
from agorabench.rows import fill_template

KEYS = {
    "prompt": "the question, a text with {fields} of the rows",
    "rubric": "the file of the question to the judge",
    "scale": None,
    "answer": None,
}
FILES = {}
GAMES = 1  # of an item
WORDS = dict.fromkeys(("right", "correct", "true", "yes"), 1.0)
WORDS |= dict.fromkeys(("wrong", "incorrect", "false", "no"), 0.0)
# What ends the reply: after [RESULT] or "Verdict:", or on a line of its own.
RIGHT = re.compile(
    r"(?:\[result\]|\b(?:verdict|judge?ment|grade|result|conclusion)[\s*_]*(?::|=|\bis\b)|^)[\W_]*"
    rf"(?:the (?:answer|response|completion) is )?(not )?({'|'.join(WORDS)})\b[\W_]*\Z",
    re.I | re.M,
)


def read_items(rows: list[dict], entry: dict) -> list[dict]:
    """Items of rows, with the reference answer where the config names one.

    Raises:
        KeyError: a row lacks a field.
    """
    items = []
    for number, row in enumerate(rows):
        item = {"id": row_id(row, number), "prompt": fill_template(entry["prompt"], row)}
        if "answer" in entry:
            value = value_at(row, entry["answer"])
            item["reference"] = value if isinstance(value, str) else to_json(value)
        items.append(item)
    return items


@cache
def read_rubric(path: Path) -> str:
    """The question to the judge.

    Raises:
        UserError: it does not show the completion.
    """
    text = path.read_text(encoding="utf-8").strip()
    if "{completion}" not in text:
        raise UserError(f"{path}: no {{completion}} in it, what the judge is to judge")
    return text


def item_games(item: dict, completion: str, files: dict[str, Path], seed: int | None) -> list[dict]:
    """The one game of an item.

    Raises:
        UserError: the rubric shows what there is not.
    """
    values = {"prompt": item["prompt"], "completion": completion}
    values |= {"reference": item["reference"]} if "reference" in item else {}
    try:
        question = fill_template(read_rubric(files["rubric"]), values)
    except KeyError as error:
        known = ", ".join(f"{{{name}}}" for name in values)
        advice = "; give the benchmark its `answer`" if error.args[0] == "reference" else ""
        raise UserError(
            f"{files['rubric']}: {{{error.args[0]}}} has no value; there are {known}{advice}"
        ) from None
    return [{"swapped": False, "messages": [{"role": "user", "content": question}]}]


def parse_verdict(entry: dict, game: dict, reply: dict) -> float | None:
    """The share of the best score that a reply gives, or None where it gives none."""
    if entry.get("scale", "1-5") == "1-5":
        score = parse_score(reply)
        return None if score is None else (score - 1) / 4
    if reply["finish_reason"] != "stop":
        return None
    found = RIGHT.search((reply["reply"] or "").strip()[-ENDING:])
    return abs(WORDS[found[2].lower()] - bool(found[1])) if found else None


def grade_items(
    items: list[dict],
    completions: list[str],
    sandbox=None,
    *,
    judgements: list[list[dict]],
    files: dict[str, Path],
    entry: dict,
    predictions=None,
) -> list[dict]:
    """The judge's verdicts as scores; None without one."""
    verdicts = []
    for (game,) in judgements:
        score = game["verdict"]
        shown = "" if score is None else f"{score:g}"
        reason = "no verdict" if score is None else ""
        verdicts.append({"score": score, "extracted": shown, "reason": reason})
    return verdicts


def official_rows(
    items: list[dict], predictions: list[dict], judgements, model, judge, *, entry, files
) -> dict[str, list]:
    """What was asked and said, a row per item: there is no other tool's format."""
    rows = [
        {"id": item["id"], "prompt": item["prompt"], "completion": row["completion"]}
        | {key: game[key] for key in ("verdict", "judge", "reply")}
        for item, row, (game,) in zip(items, predictions, judgements, strict=True)
    ]
    return {"verdicts.jsonl": rows}
