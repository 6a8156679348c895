r"""AlpacaEval 2.0: which of two answers is better, with the length of answers controlled for.

    instruction  What are the names of some famous actors that started on Broadway?
    output       the answer of the baseline, gpt-4-1106-preview

The judge sees both answers, in an order drawn by the item, under the names m and M, and answers
with one of them. Where it tells probabilities (`extra: {logprobs: true, top_logprobs: 5}`, one
token) the preference is P(model) / (P(m) + P(M)); else it is 0 or 1 by the name itself.

The score is the length-controlled win rate of Dubois et al. 2024 (arXiv 2404.04475): the mean
preference that a logistic regression predicts had both answers had the same length,

    logit P(model preferred) = a tanh(d / sd(d)) + b difficulty + c [not gamed]

with d the length of the baseline's answer minus the model's, in characters, an L1 penalty chosen by
five-fold cross-validation over items, and, at a fifth of the weight in all, the preferences of two
baselines that were told to be short or long (the file `control`), which keep a from being gamed.
The official standard error is that of these predictions, which vary with the difficulty alone:
neither the judge's noise nor that of the fit is in it, which carries far where answers are much
shorter than the baseline's. Here an item's score is its prediction plus its influence on the mean
of all predictions, through the preferences for its answer and for those of the gamed baselines to
it (stats/bootstrap.py): the score is the official one, and the standard error and all intervals
have the noise. The prediction and the plain preference are beside it as `predicted`, with the
official standard error, and `raw`.
"""

import math
import re
from functools import cache
from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import json_fingerprint

FILES = {"judge": "the judge's prompt", "control": "answers of the gamed baselines (CSV)"}
ALSO = ("raw", "predicted")
GAMES = 1  # of an item
NAMES = ("m", "M")  # of the answer shown first, and second
# A reply that is a name, in marks or after "Model", "Answer:" and the like.
NAMED = re.compile(
    r"[\W_]*(?:(?i:the|best|better|model|output|answer|response|winner|is)[\W_]+)*([mM])[\W_]*"
)
TURN = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>", re.S)
GAMED_WEIGHT = 0.2 / 2  # of a gamed baseline's answer; there are two of them


def read_items(rows: list[dict]) -> list[dict]:
    """Items from the baseline's published outputs."""
    return [
        {
            "id": f"alpaca_eval/{number}",
            "prompt": row["instruction"],
            "baseline": row["output"],
            "generator": row.get("generator", "baseline"),
            "dataset": row.get("dataset", ""),
            "number": number,
        }
        for number, row in enumerate(rows)
    ]


@cache
def read_judge_prompt(path: Path):
    """[(role, content)] of the judge's prompt, a file of the official tool's.

    Raises:
        UserError: there are none.
    """
    found = TURN.findall(path.read_text(encoding="utf-8"))
    if not found:
        raise UserError(f"{path}: no <|im_start|>role ... <|im_end|> in the prompt")
    return [(role, content.strip("\n")) for role, content in found]


def item_games(item: dict, completion: str, files: dict[str, Path], seed: int | None) -> list[dict]:
    """The one game of an item: {"messages", "swapped": is the model's answer shown first?}."""
    swapped = int(json_fingerprint(seed, item["id"])[:8], 16) % 2 == 1
    shown = (completion, item["baseline"]) if swapped else (item["baseline"], completion)
    values = {"instruction": item["prompt"], "output_1": shown[0], "output_2": shown[1]}
    fill = re.compile(r"\{(instruction|output_1|output_2)\}")
    return [
        {
            "swapped": swapped,
            "messages": [
                {"role": role, "content": fill.sub(lambda m: values[m[1]], content)}
                for role, content in read_judge_prompt(files["judge"])
            ],
        }
    ]


def parse_verdict(entry: dict, game: dict, reply: dict):
    """The preference for the model's answer, 0 to 1, or None where the judge gave none."""
    told = reply.get("logprobs") or {}
    first, second = (math.exp(min(told[name], 0)) if name in told else 0.0 for name in NAMES)
    if first + second > 0:
        share = second / (first + second)
    elif found := NAMED.fullmatch((reply["reply"] or "").strip()[:100]):
        share = float(found[1] == NAMES[1])
    else:
        return None
    return 1 - share if game["swapped"] else share


def grade_items(
    items: list[dict],
    completions: list[str],
    sandbox=None,
    *,
    judgements: list[list[dict]],
    files: dict[str, Path],
    entry=None,
) -> list[dict]:
    """Verdicts with the length-controlled preference as score; None without a verdict.

    A score may lie outside 0 to 1, by the item's influence.
    """
    preferences = [games[0]["verdict"] for games in judgements]
    judged = [index for index, value in enumerate(preferences) if value is not None]
    predicted, moved = length_controlled(
        [preferences[index] for index in judged],
        [len(items[index]["baseline"]) - len(completions[index]) for index in judged],
        [items[index]["number"] for index in judged],
        files["control"],
    )
    scores = dict(zip(judged, zip(predicted, moved, strict=True), strict=True))
    return [
        {
            "score": sum(scores[index]) if index in scores else None,
            "predicted": scores[index][0] if index in scores else None,
            "raw": value,
            "extracted": "" if value is None else f"{value:.4f}",
            "reason": "" if index in scores else "no verdict",
        }
        for index, value in enumerate(preferences)
    ]


def length_controlled(
    preferences: list[float], differences: list[int], numbers: list[int], control: Path
) -> tuple[list[float], list[float]]:
    """Preferences as predicted for answers of one length.

    Args:
        preferences: for the model, 0 to 1.
        differences: characters of the baseline's answer minus the model's.
        numbers: of the items, their rows in the benchmark.
        control: CSV file of the gamed baselines: index, preference (0 to 1), std_delta_len,
            instruction_difficulty, not_gamed_baseline.

    Returns:
        (probabilities, the influence of each item on their mean), two lists.

    Raises:
        UserError: the file has no such columns, or not every item.
    """
    import numpy as np
    import pandas

    from agorabench.stats.bootstrap import influence

    gamed = pandas.read_csv(control)
    wanted = ["index", "preference", "std_delta_len", "instruction_difficulty"]
    if missing := [name for name in wanted if name not in gamed]:
        raise UserError(f"{control}: no column {missing[0]}; it has {', '.join(gamed)}")
    difficulty = gamed.drop_duplicates("index").set_index("index")["instruction_difficulty"]
    if absent := sorted(set(numbers) - set(difficulty.index)):
        raise UserError(f"{control}: no difficulty of item {absent[0]}")
    lengths = np.asarray(differences, dtype=float)
    lengths = lengths / (lengths.std(ddof=1) or 1.0)
    own = np.column_stack([np.tanh(lengths), difficulty.loc[numbers], np.ones(len(lengths))])
    theirs = np.column_stack(
        [
            np.tanh(gamed["std_delta_len"]),
            gamed["instruction_difficulty"],
            np.zeros(len(gamed)),
        ]
    )
    features = np.vstack([theirs, own])
    targets = np.concatenate([gamed["preference"], preferences])
    weights = np.concatenate([np.full(len(gamed), GAMED_WEIGHT), np.ones(len(own))])
    items = np.concatenate([gamed["index"], numbers])
    known = ~np.isnan(targets)
    features, targets, weights, items = (
        column[known] for column in (features, targets, weights, items)
    )
    model = fit_preferences(features, targets, weights)
    same = own.copy()
    same[:, 0] = 0.0
    predicted, fitted = (1 / (1 + np.exp(-(rows @ model))) for rows in (same, features))
    pull = pandas.DataFrame((weights * (targets - fitted))[:, None] * features)
    pull = pull.groupby(items).sum().loc[numbers].to_numpy()
    bend = features.T @ ((weights * fitted * (1 - fitted))[:, None] * features)
    towards = (predicted * (1 - predicted)) @ same / len(own)
    kept = model != 0  # what the penalty has taken out stays out
    moved = influence(pull[:, kept], bend[np.ix_(kept, kept)], towards[kept])
    return predicted.tolist(), moved.tolist()


def official_rows(
    items: list[dict],
    predictions: list[dict],
    judgements: list[list[dict]],
    model: str,
    judge: str,
    entry: dict | None = None,
    files: dict[str, Path] | None = None,
) -> dict[str, list[dict]]:
    """The same in the formats of the alpaca_eval package: file name -> rows of one JSON list.

    There output_1 is the baseline's, output_2 the model's, and a preference runs from 1 to 2.
    """
    outputs = [
        {"dataset": item["dataset"], "instruction": item["prompt"], "output": row["completion"],
         "generator": model}
        for item, row in zip(items, predictions, strict=True)
    ]  # fmt: skip
    annotations = [
        {
            "instruction": item["prompt"],
            "output_1": item["baseline"],
            "generator_1": item["generator"],
            "output_2": row["completion"],
            "generator_2": model,
            "annotator": judge,
            "preference": None if game["verdict"] is None else 1 + game["verdict"],
        }
        for item, row, (game,) in zip(items, predictions, judgements, strict=True)
    ]
    return {"model_outputs.json": outputs, "annotations.json": annotations}


# scikit-learn's grid for an L1 penalty: ten values of 1/strength from 1e-4 to 1e4.
STRENGTHS = 10
FOLDS = 5


def fit_preferences(features, targets, weights):
    """Coefficients [features] of a logistic regression on probabilities, penalty by five folds.

    A target p becomes two rows, 1 with weight p and 0 with weight 1 - p; both are in one fold. The
    strength with the lowest mean loss over the folds is fitted again on all rows.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    rows = len(targets)
    doubled = np.vstack([features, features])
    labels = np.concatenate([np.ones(rows), np.zeros(rows)])
    shares = np.concatenate([targets, 1 - targets])
    both = np.concatenate([weights, weights])

    def fit_rows(chosen, strength):
        model = LogisticRegression(
            C=strength, l1_ratio=1.0, solver="liblinear", fit_intercept=False, random_state=123
        )
        model.fit(doubled[chosen], labels[chosen], sample_weight=(shares * both)[chosen])
        return model.coef_[0]

    strengths = np.logspace(-4, 4, STRENGTHS)
    losses = np.zeros(STRENGTHS)
    groups = np.tile(np.arange(rows), 2)
    for train, test in GroupKFold(FOLDS).split(doubled, labels, groups):
        for index, strength in enumerate(strengths):
            odds = doubled[test] @ fit_rows(train, strength)
            sign = np.where(labels[test] == 1, 1, -1)
            loss = shares[test] * np.logaddexp(0, -sign * odds)
            losses[index] += (loss * both[test]).mean()
    return fit_rows(np.arange(2 * rows), strengths[losses.argmin()])
