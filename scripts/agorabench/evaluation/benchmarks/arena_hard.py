r"""Arena-Hard: two games a question against a baseline's answer, five labels, Bradley-Terry.

    uid, prompt (v0.1: question_id, turns)   the question
    baseline      answers of the baseline, in the official tool's own format
    judge         the judge's prompt: YAML with system_prompt and prompt_template

In the first game the baseline is assistant A, in the second the model. The judge ends with one of
[[A>>B]], [[A>B]], [[A=B]], [[B>A]], [[B>>A]]. "Much better" counts three times (Li et al. 2024,
arXiv 2406.11939). All battles of a model are against one baseline, and so the Bradley-Terry
estimate of its chance to win is its share of the battles, a tie being half of one: the score of a
question is its mean over the question's battles, and its weight their number.

How a label is read differs between versions of the official tool, and is a choice in the config
(`labels`):

    v0.1   two different labels in one reply are none; A<B, A<<B and B=A are none either
    v2.0   the last label counts; one pair of brackets will do; A<B is B>A and so on

Beside the score stands `style_controlled`, the chance to win against a baseline whose answers had
the model's own style (evaluation/style_control.py); its features too are the tool's of one version
(`style`).
"""

import re
from functools import cache
from pathlib import Path

from agorabench.errors import UserError
from agorabench.evaluation import style_control
from agorabench.files import read_jsonl

FILES = {"judge": "the judge's prompt (YAML)", "baseline": "the baseline's answers (JSON Lines)"}
ALSO = ("style_controlled",)
GAMES = 2  # of an item
MUCH = 3  # battles that a much better answer counts as
PATTERNS = (re.compile(r"\[\[([AB<>=]+)\]\]"), re.compile(r"\[([AB<>=]+)\]"))
# Share of the battle that assistant A wins, and battles.
LABELS = {
    "A>>B": (1.0, MUCH),
    "A>B": (1.0, 1),
    "A=B": (0.5, 1),
    "B>A": (0.0, 1),
    "B>>A": (0.0, MUCH),
}
TURNED = {"A<<B": "B>>A", "A<B": "B>A", "B=A": "A=B", "B<A": "A>B", "B<<A": "A>>B"}
SLOT = re.compile(r"\{(\w+)\}")
# Names of the slots in v0.1's template and in later ones.
SLOTS = {"question_1": "question", "answer_1": "a", "answer_2": "b"}
SLOTS |= {"QUESTION": "question", "ANSWER_A": "a", "ANSWER_B": "b"}


def read_items(rows: list[dict]) -> list[dict]:
    """Items from the published questions, of v0.1 in either format or of v2.0."""
    return [
        {
            "id": row.get("uid") or row["question_id"],
            "prompt": row["prompt"] if "prompt" in row else row["turns"][0]["content"],
            "category": row.get("category", "arena-hard-v0.1"),
        }
        for row in rows
    ]


@cache
def read_answers(path: Path) -> dict[str, str]:
    """Answers in the official tool's format, old or new: id -> text.

    Raises:
        UserError: a row has none.
    """
    found = {}
    for row in read_jsonl(path):
        try:
            if "messages" in row:
                content = row["messages"][-1]["content"]
                found[row["uid"]] = content["answer"] if isinstance(content, dict) else content
            else:
                found[row["question_id"]] = row["choices"][0]["turns"][0]["content"]
        except (KeyError, IndexError, TypeError):
            raise UserError(f"{path}: row {len(found) + 1} is no answer of Arena-Hard") from None
    return found


@cache
def read_judge_prompt(path: Path):
    """(system message, template of the user's) in a file of the official tool's.

    Raises:
        UserError: it is no such file.
    """
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        template = found["prompt_template"]
        return found["system_prompt"], template if isinstance(template, str) else template[0]
    except (KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: no system_prompt and prompt_template ({error})") from None


def baseline_answer(item: dict, files: dict[str, Path]) -> str:
    """The baseline's answer to an item.

    Raises:
        UserError: it has none.
    """
    found = read_answers(files["baseline"]).get(item["id"])
    if found is None:
        raise UserError(f"{files['baseline']}: no answer to {item['id']}")
    return found


def item_games(
    item: dict, completion: str, files: dict[str, Path], seed: int | None = None
) -> list[dict]:
    """The two games of an item: the baseline's answer first, then the model's.

    Raises:
        UserError: the baseline has no answer to it.
    """
    baseline = baseline_answer(item, files)
    system, template = read_judge_prompt(files["judge"])
    made = []
    for swapped, (a, b) in enumerate([(baseline, completion), (completion, baseline)]):
        values = {"question": item["prompt"], "a": a, "b": b}
        text = SLOT.sub(lambda slot, values=values: values[SLOTS[slot[1]]], template)
        messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        made.append({"swapped": bool(swapped), "messages": messages})
    return made


def parse_label(text: str, version: str = "v0.1") -> str | None:
    """The label in a judge's reply, one of LABELS, or None; see above for the versions."""
    if version == "v0.1":
        found = {match for match in PATTERNS[0].findall(text) if match}
        chosen = found.pop() if len(found) == 1 else None
    else:
        every = (pattern.findall(text.upper()) for pattern in PATTERNS)
        chosen = next((matches[-1] for matches in every if matches), None)
        chosen = TURNED.get(chosen, chosen)
    return chosen if chosen in LABELS else None


def parse_verdict(entry: dict, game: dict, reply: dict):
    """The label of a game, or None."""
    return parse_label(reply["reply"] or "", entry.get("labels", "v0.1"))


def grade_items(
    items: list[dict],
    completions: list[str],
    sandbox=None,
    *,
    judgements: list[list[dict]],
    files: dict[str, Path],
    entry,
) -> list[dict]:
    """The share of battles that the model wins, weighted by their number; None without a verdict.

    A question counts with the games that have one.
    """
    graded = [question_verdict(found) | {"style_controlled": None} for found in judgements]
    fought = [index for index, verdict in enumerate(graded) if verdict["weight"]]
    if fought:
        features = style_features(items, completions, files, entry)[fought]
        battles = [graded[index]["weight"] for index in fought]
        wins = [graded[index]["weight"] * graded[index]["score"] for index in fought]
        scores = style_control.controlled_scores(features, wins, battles)
        for index, score in zip(fought, scores.tolist(), strict=True):
            graded[index]["style_controlled"] = score
    return graded


def question_verdict(games: list[dict]) -> dict:
    """The verdict on a question by its games: score, weight, extracted, reason."""
    won = [result for game in games for result in battle_results(game)]
    return {
        "score": sum(won) / len(won) if won else None,
        "weight": len(won),
        "extracted": " ".join(game["verdict"] or "none" for game in games),
        "reason": "" if won else "no verdict",
    }


def battle_results(game: dict) -> list[float]:
    """What the battles of a game gave the model: 1.0 won, 0.5 drawn, 0.0 lost; none, nothing."""
    if game["verdict"] is None:
        return []
    won, count = LABELS[game["verdict"]]
    return [won if game["swapped"] else 1 - won] * count


def style_features(items: list[dict], completions: list[str], files: dict[str, Path], entry: dict):
    """Differences of style between completions and the baseline's answers, [items, features]."""
    return style_control.style_differences(
        [style_control.style_metadata(text) for text in completions],
        [style_control.style_metadata(baseline_answer(item, files)) for item in items],
        entry.get("style", "v0.1"),
    )


def official_rows(
    items: list[dict],
    predictions: list[dict],
    judgements: list[list[dict]],
    model: str,
    judge: str,
    entry: dict,
    files: dict[str, Path],
) -> dict[str, list[dict]]:
    """The same in the formats of the arena-hard-auto tool: file name -> rows, one a line.

    An answer has the metadata that the tool's style control wants. The rows of leaderboard.csv are
    those of the tool's v0.1, in percent, with its bootstrap over battles; its date is left out, and
    the second row is controlled for style as agorabench.evaluation.style_control says.
    """
    answered = [
        {
            "uid": item["id"],
            "model": model,
            "messages": [
                {"role": "user", "content": item["prompt"]},
                {"role": "assistant", "content": {"answer": row["completion"]}},
            ],
            "metadata": style_control.style_metadata(row["completion"]),
        }
        for item, row in zip(items, predictions, strict=True)
    ]
    judged = [
        {
            "uid": item["id"],
            "category": item["category"],
            "judge": judge,
            "model": model,
            "games": [
                {"score": game["verdict"], "judgment": {"answer": game["reply"]}} for game in games
            ],
        }
        for item, games in zip(items, judgements, strict=True)
    ]
    return {
        "model_answer.jsonl": answered,
        "model_judgment.jsonl": judged,
        "leaderboard.csv": leaderboard_rows(items, predictions, judgements, model, entry, files),
    }


def leaderboard_rows(
    items: list[dict],
    predictions: list[dict],
    judgements: list[list[dict]],
    model: str,
    entry: dict,
    files: dict[str, Path],
) -> list[dict]:
    """Rows of the tool's leaderboard for one model: plain, and with style controlled for."""
    outcomes = [
        [result for game in games for result in battle_results(game)] for games in judgements
    ]
    fought = [index for index, found in enumerate(outcomes) if found]
    if not fought:
        return []
    completions = [row["completion"] for row in predictions]
    features = style_features(items, completions, files, entry)[fought]
    tokens = [style_control.style_metadata(text)["token_len"] for text in completions]
    rows = []
    for control in (False, True):
        score, low, high = style_control.bootstrap_interval(
            [outcomes[index] for index in fought], features if control else None
        )
        rows.append(
            {
                "model": model,
                "score": round(score, 2),
                "rating_q025": round(low, 2),
                "rating_q975": round(high, 2),
                "CI": f"({low - score:+.2f}, {high - score:+.2f})",
                "avg_tokens": round(sum(tokens) / len(tokens)),
                "style_control": control,
            }
        )
    return rows
