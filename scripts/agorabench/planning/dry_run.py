"""What stale jobs would ask: each runs dry, with the code and the files of the real run.

What is asked about files that the run is still to make, or to make anew (`remade`, paths), cannot
be known before it.
"""

from pathlib import Path
from typing import NamedTuple

from agorabench import paths
from agorabench.config import stages
from agorabench.errors import UserError
from agorabench.evaluation import ability, judge
from agorabench.generation.cells import first_wave, open_slots
from agorabench.generation.slots import Shortfall
from agorabench.intrinsic import judged
from agorabench.llm.request import fingerprint_parameters
from agorabench.llm.silent import DryRun
from agorabench.matrix import Cell


class Query(NamedTuple):
    """A job that asks: what decides it, the name of who is asked, and the journal's path."""

    stage: stages.Stage
    generator: str
    journal: str


class Asked(NamedTuple):
    """What a job would ask.

    Attributes:
        lengths: characters of the prompts, by fingerprint.
        in_batches: how many requests are under way in batches.
        valid, replies: of a set, the valid pairs and the replies that the journal has for it.
        stops: why a set would end without asking, or None.
    """

    lengths: dict
    in_batches: int = 0
    valid: int = 0
    replies: int = 0
    stops: str | None = None


def open_query(config, job) -> Query | None:
    """The Query of a job; None where nobody is asked, or about rows not fetched yet."""
    rule, words, seed = job["rule"], job["wildcards"], config["seed"]
    name = words.get("judge", words.get("generator"))
    if rule == "generate" and config["generators"][name]["backend"] != "dataset":
        cell = Cell.of(words)
        return Query(stages.generate(config, cell), name, paths.set_journal(cell))
    if rule == "judge_set":
        cell = Cell.of(words)
        return Query(
            stages.judge_set(config, name, cell), name, paths.assessment_journal(cell, name)
        )
    if rule == "judge":
        benchmark, model = words["benchmark"], words["model"]
        name = config["benchmarks"][benchmark]["judge"]
        journal = paths.judge_journal(benchmark, name, model, seed)
        return Query(stages.judge(config, benchmark, model), name, journal)
    if rule.startswith("predict_generator_"):
        domain = rule.removeprefix("predict_generator_")
        stage = stages.predict(config, paths.generator_model(name), domain)
        return Query(stage, name, paths.ability_journal(name, domain, seed))
    return None


def unknown_inputs(config, query, remade) -> list[str]:
    """Kinds of a query's input files of which one is not there, or will not stay as it is."""
    weights = {"weights": stages.generator_weights(config, query.generator)}
    return [
        kind
        for kind, files in (query.stage.inputs | weights).items()
        if not all(file not in remade and Path(file).exists() for file in files)
    ]


def run_dry(config, job) -> Asked | None:
    """What a job whose input files are there would ask; None where they do not fit together."""
    rule, words = job["rule"], job["wildcards"]
    stage, name, journal = open_query(config, job)
    entry = config["generators"][name]
    run = DryRun(entry, journal)
    if rule == "generate":
        cell, stops = Cell.of(words), None
        method = config["methods"][cell.method]
        slots = open_slots(stage, entry, method, cell, run.journal, run.backend.identity)
        try:
            with run:
                slots.generate(run.backend, first_wave(stage))
        except Shortfall as error:
            stops = str(error)
        return Asked(run.lengths, run.in_batches, len(slots.pairs), len(slots.rows), stops)
    parameters = fingerprint_parameters(entry), config["seed"]
    try:
        with run:
            if rule == "judge_set":
                games = judged.load_games(stage, words["domain"])
                judge.judge_games(games, judged.read_verdict, *parameters, run.journal, run.backend)
            elif rule == "judge":
                games = judge.load_match(stage, words["benchmark"]).games
                reader = judge.verdict_reader(stage.params["benchmark"])
                judge.judge_games(games, reader, *parameters, run.journal, run.backend)
            else:
                items = ability.load_items(stage.params)
                ability.query_benchmarks(stage.params, entry, items, run.journal, run.backend)
    except UserError:  # the job will say it
        return None
    return Asked(run.lengths, run.in_batches)
