"""Put completions before a judge, a chat model, until each verdict can be read.

A game is one question to the judge. A reply whose verdict cannot be read is asked for again, as
another sample, up to a ceiling; what is left without a verdict after that is counted and never
guessed. Replies are journaled, so that a game is paid for once.
"""

from agorabench.llm import answer, open_backend
from agorabench.llm.request import build_request, fingerprint_parameters
from agorabench.progress import Progress

ATTEMPTS = 3


def judge_games(games, read, name, config, journal, seed, label, threads=1):
    """Verdicts on games, in their order.

    Args:
        games: each a dict with "messages".
        read: (game, reply row) -> a verdict, JSON-able, or None where there is none to be read.
        name: the judge's among the generators of the whole `config`.
        journal: path of the journal.
        seed: of the samples.
        label: of the progress.
        threads: of a local model.

    Returns:
        For each game {"verdict", "attempts", "reply": the journal row of the last reply}.

    Raises:
        UserError: some games got no reply.
    """
    parameters = fingerprint_parameters(config["generators"][name])
    with (
        open_backend(name, config, journal, threads) as (replies, backend),
        Progress(label, len(games), "games") as bar,
    ):
        return _query_judge(backend, replies, games, read, parameters, seed, bar.advance)


def judge_request(identity, game, asked, seed, attempt=0):
    """The request that puts a game to a judge.

    Args:
        identity: what names the judge, as its backend has it.
        asked: what decides a reply beside the messages (fingerprint_parameters).
        attempt: 0, 1, ...: which reply is asked for.
    """
    return build_request(identity, game["messages"], asked, [seed, attempt])


def _query_judge(backend, journal, games, read, asked, seed, advance):
    ended = {}
    for attempt in range(ATTEMPTS):
        open_games = [place for place in range(len(games)) if place not in ended]
        requests = {}
        for place in open_games:
            request = judge_request(backend.identity, games[place], asked, seed, attempt)
            games[place]["fingerprint"] = request["fingerprint"]
            requests[request["fingerprint"]] = request
        answer(backend, journal, requests)
        for place in open_games:
            row = journal[games[place]["fingerprint"]]
            verdict = read(games[place], row)
            if verdict is not None or attempt + 1 == ATTEMPTS:
                ended[place] = {"verdict": verdict, "attempts": attempt + 1, "reply": row}
                advance()
    return [ended[place] for place in range(len(games))]
