"""Put completions before a judge, a chat model, until each verdict can be read.

A game is one question to the judge. A reply whose verdict cannot be read is asked for again, as
another sample, up to a ceiling; what is left without a verdict after that is counted and never
guessed. Replies are journaled, so that a game is paid for once.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from agorabench import paths
from agorabench.evaluation import benchmarks
from agorabench.evaluation.grading import match_items
from agorabench.files import read_jsonl
from agorabench.llm import answer
from agorabench.llm.request import build_request
from agorabench.llm.trial import begin_trial

ATTEMPTS = 3


class Match(NamedTuple):
    """A model's completions of a benchmark, as a judge sees them.

    Attributes:
        items, predictions: rows in the same order.
        files: paths of the protocol's further files, by name.
        games: what the judge is asked (benchmarks.build_games).
    """

    items: list
    predictions: list
    files: dict
    games: list


def load_match(stage, benchmark: str) -> Match:
    """The Match of a stage `judge` (config/stages.py).

    Raises:
        UserError: a file is not there, or the predictions are of other items.
    """
    (questions,), (answers,) = stage.inputs["questions"], stage.inputs["predictions"]
    entry = stage.params["benchmark"]
    files = benchmarks.protocol_files(entry, Path(paths.benchmark_file(benchmark, "")))
    items = benchmarks.load_items(entry, Path(questions))
    predictions = match_items(items, read_jsonl(answers), answers)
    games = benchmarks.build_games(entry, items, predictions, files, stage.params["seed"])
    return Match(items, predictions, files, games)


def verdict_reader(entry: dict) -> Callable:
    """What reads the verdict on a game of a benchmark from a reply row."""
    return partial(benchmarks.load_protocol(entry).parse_verdict, entry)


def judge_request(identity: str, game: dict, asked: dict, seed: int, attempt: int = 0) -> dict:
    """The request that puts a game to a judge.

    Args:
        identity: what names the judge, as its backend has it.
        asked: what decides a reply beside the messages (fingerprint_parameters).
        attempt: 0, 1, ...: which reply is asked for.
    """
    return build_request(identity, game["messages"], asked, [seed, attempt])


def judge_games(
    games: list[dict], read_verdict: Callable, asked: dict, seed: int, journal, backend,
    advance=lambda count=1: None,
) -> list[dict]:  # fmt: skip
    """Verdicts on games, in their order.

    Args:
        games: each a dict with "messages".
        read_verdict: (game, reply row) -> a verdict, JSON-able, or None where there is none.
        asked: what decides a reply beside the messages (fingerprint_parameters).
        seed: of the samples.
        advance: called for every game that has ended.

    Returns:
        For each game {"verdict", "attempts", "reply": the journal row of the last reply}.

    Raises:
        UserError: some games got no reply, or none of the first verdicts could be read.
    """
    ended, trial = {}, begin_trial(backend)
    for attempt in range(ATTEMPTS):
        open_games = [index for index in range(len(games)) if index not in ended]
        requests, game_of = {}, {}
        for index in open_games:
            request = judge_request(backend.identity, games[index], asked, seed, attempt)
            key = games[index]["fingerprint"] = request["fingerprint"]
            requests[key], game_of[key] = request, games[index]

        def read_reply(reply, game_of=game_of):
            return read_verdict(game_of[reply["fingerprint"]], reply)

        answer(backend, journal, requests, read=read_reply, trial=trial)
        for index in open_games:
            row = journal[games[index]["fingerprint"]]
            verdict = read_verdict(games[index], row)
            if verdict is not None or attempt + 1 == ATTEMPTS:
                ended[index] = {"verdict": verdict, "attempts": attempt + 1, "reply": row}
                advance()
    return [ended[index] for index in range(len(games))]
