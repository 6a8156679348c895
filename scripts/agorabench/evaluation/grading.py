"""From verdicts on items to a score, and what must hold of predictions and judgements before."""

from types import ModuleType

from agorabench import sandbox
from agorabench.errors import UserError
from agorabench.files import json_fingerprint
from agorabench.stats import bootstrap

# The processor's time decides, so that a busy machine changes no verdict; the wall's ends sleepers.
LIMITS = sandbox.Limits(wall_seconds=60, cpu_seconds=10)


class Execute:
    """Runs [(code, tests)] in the sandbox, `workers` at a time; they may import `packages`."""

    def __init__(self, setting, workers, packages=()):
        self.setting, self.workers, self.packages = setting, workers, packages

    def __call__(self, programs, limits=LIMITS, workers=None):
        if not programs:
            return []
        isolation = sandbox.choose_isolation(self.setting)
        workers = workers or self.workers
        return list(sandbox.run_many(programs, workers, limits, isolation, packages=self.packages))


FIELDS = ("id", "model", "prompt", "completion", "finish_reason")


def check_predictions(predictions: list, model: str, path: str) -> None:
    """Are these completions, and of `model`?

    Raises:
        UserError: a row lacks a field or is of another model, or the model has said nothing at all.
    """
    for number, row in enumerate(predictions, 1):
        for field in FIELDS:
            if not isinstance(row, dict) or not isinstance(row.get(field), str):
                raise UserError(
                    f"{path}, row {number}: no text in '{field}'; a row of predictions has "
                    + ", ".join(FIELDS)
                )
        if row["model"] != model:
            raise UserError(f"{path}: these are completions of {row['model']}, not of {model}")
    if predictions and all(is_empty(row) for row in predictions):
        raise UserError(
            f"{path}: all {len(predictions)} completions are empty, which is a fault of the model "
            "or its prompts and no score; see the log of predict"
        )


def is_empty(row: dict) -> bool:
    """Has the model said nothing?"""
    return not row["completion"].strip()


def order_judgements(
    predictions: list[dict], rows: list[dict], model: str, judge: str, games: int, path: str
) -> list[list[dict]]:
    """The judgements of each prediction's games, in the order of the predictions.

    Raises:
        UserError: a game is missing or there twice, an item is unknown, another judge was asked, or
            about other completions.
    """
    found = {row["id"]: {} for row in predictions}
    answers = {row["id"]: json_fingerprint(row["completion"]) for row in predictions}
    for row in rows:
        if row["judge"] != judge:
            raise UserError(f"{path}: judged by {row['judge']}, and the config names {judge}")
        if row["model"] != model:
            raise UserError(f"{path}: these are judgements of {row['model']}, not of {model}")
        if row["id"] not in found:
            raise UserError(f"{path}: the item {row['id']} is not in the benchmark")
        if row["answer"] != answers[row["id"]]:
            raise UserError(f"{path}: another completion of {row['id']} was judged than this one")
        if row["game"] in found[row["id"]]:
            raise UserError(f"{path}: game {row['game']} of item {row['id']} is there twice")
        found[row["id"]][row["game"]] = row
    for name, held in found.items():
        if sorted(held) != list(range(games)):
            raise UserError(f"{path}: the item {name} has {len(held)} of {games} games")
    return [[held[number] for number in range(games)] for held in found.values()]


def match_items(items: list[dict], predictions: list[dict], path: str) -> list[dict]:
    """Predictions in the order of the items.

    Raises:
        UserError: an item is missing, unknown, predicted twice, or was another question then.
    """
    by_id = {}
    for row in predictions:
        if row["id"] in by_id:
            raise UserError(f"{path}: the item {row['id']} is predicted twice")
        by_id[row["id"]] = row
    known = {item["id"] for item in items}
    for name in by_id:
        if name not in known:
            raise UserError(f"{path}: the item {name} is not in the benchmark")
    for item in items:
        if item["id"] not in by_id:
            raise UserError(f"{path}: the item {item['id']} has no prediction")
        if by_id[item["id"]].get("prompt") != item.get("prompt"):
            raise UserError(
                f"{path}: the item {item['id']} was another question when it was answered; these "
                "are predictions on another version of the benchmark"
            )
    return [by_id[item["id"]] for item in items]


MAIN = "main"  # name of a protocol's own score where the config has another one count


def select_score(
    protocol: ModuleType, verdicts: list[dict], name: str | None = None
) -> tuple[list[dict], dict]:
    """What counts as the score: (verdicts, {a score: its mean and standard error}).

    `name`: of the protocol's further scores, the one that takes the place of `score`, or None.

    Raises:
        UserError: it is none of those that a protocol has only now that it has graded.
    """
    weights = getattr(protocol, "WEIGHTS", {})
    if "weight" in verdicts[0]:
        weights = {"score": "weight", **weights}
    also = getattr(protocol, "ALSO", ())
    if also is None:
        also = [key for key in verdicts[0] if key not in ("score", "extracted", "reason", "weight")]
        if name not in (None, *also):
            raise UserError(f"unknown score '{name}'; known: {', '.join(also)}")
    scores = ("score", *also)
    means = {score: weighted_mean(verdicts, score, weights.get(score)) for score in scores}
    if not name:
        return verdicts, means
    turned = []
    for verdict in verdicts:
        row = {key: value for key, value in verdict.items() if key not in (name, "weight")}
        row |= {"score": verdict[name], MAIN: verdict["score"]}
        turned.append(row | ({"weight": verdict[weights[name]]} if name in weights else {}))
    return turned, {"score": means.pop(name), MAIN: means.pop("score"), **means}


def weighted_mean(verdicts: list[dict], name: str, weight: str | None = None) -> dict[str, float]:
    """Mean and standard error, in percent, of a score (fractions) of those that have it.

    Args:
        weight: what of a verdict says how often its item counts, or None.
    """
    known = [verdict for verdict in verdicts if verdict[name] is not None]
    scores = [verdict[name] for verdict in known]
    weights = [verdict[weight] if weight else 1 for verdict in known]
    whole = sum(w * x for w, x in zip(weights, scores, strict=True))
    return {
        "score": 100 * whole / sum(weights),
        "standard_error": 100 * bootstrap.standard_error(scores, weights if weight else None),
    }


def summarise_score(predictions: list[dict], verdicts: list[dict], means: dict) -> dict:
    """What a score's file says besides whose score it is: the score with its standard error and the
    further ones in percent, items with and without a verdict, shares unfinished and empty,
    and how many programs wanted a module that is not in the sandbox.
    """
    n = len(predictions)
    silent = sum(verdict["score"] is None for verdict in verdicts)
    return {
        **means["score"],
        "also": {name: mean for name, mean in means.items() if name != "score"},
        "n": n - silent,
        "without_verdict": silent,
        "unfinished": sum(row["finish_reason"] != "stop" for row in predictions) / n,
        "empty": sum(map(is_empty, predictions)) / n,
        "failed_imports": sum("import: " in (verdict.get("reason") or "") for verdict in verdicts),
    }
