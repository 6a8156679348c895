"""The slots of a cell, from the files and the parameters that its stage names."""

from pathlib import Path

from agorabench.errors import UserError
from agorabench.files import read_jsonl
from agorabench.generation import prompts
from agorabench.generation.slots import FIRST_WAVE, Slots, pair_checks
from agorabench.llm.request import fingerprint_parameters
from agorabench.llm.trial import ALIKE, Trial
from agorabench.matrix import Cell


def open_slots(
    stage,
    entry: dict,
    method: dict,
    cell: Cell,
    journal,
    identity: str,
    advance=lambda count=1: None,
) -> Slots:
    """The Slots of a cell, none of them asked for yet.

    Args:
        stage: (inputs, params), as config/stages.py has them.
        entry, method: the generator's and the method's in the config.
        cell: the matrix.Cell.
        journal, identity: see Slots.
        advance: called with the number of further valid pairs.
    """
    inputs, params = stage
    generation = params["generation"]
    markers = list_markers(method)
    check, repeats = pair_checks(generation, cell.domain, inputs["benchmarks"], markers)
    asked = fingerprint_parameters(entry, params["replies"])
    return Slots(
        open_composer(stage, method, cell), journal, identity, asked, check, cell.size,
        generation["attempts"], advance, repeats,
        name=cell.generator, trial=Trial(entry.get("give_up_after", ALIKE)),
    )  # fmt: skip


def open_composer(stage, method: dict, cell: Cell) -> prompts.Composer:
    """What composes the requests of a cell (prompts.Composer)."""
    inputs, params = stage
    generation = params["generation"]
    seeds = read_jsonl(*inputs["seeds"]) if inputs["seeds"] else []
    demonstrations = generation.get("demonstrations")
    if demonstrations and demonstrations["seed"] > len(seeds):
        raise UserError(
            f"generation.demonstrations.seed: {demonstrations['seed']} are to be shown, but "
            f"{inputs['seeds'][0]} has {len(seeds)} rows"
        )
    return prompts.Composer(
        domain=cell.domain,
        method=cell.method,
        seed=cell.seed,
        shows=method["shows"],
        form=method["reply"],
        template=read_template(stage),
        seeds=seeds,
        themes=[line for path in inputs["themes"] for line in prompts.read_lines(path)],
        openings=[line for path in inputs["openings"] for line in prompts.read_lines(path)],
        demonstrations=demonstrations,
        system=generation["system"],
        replies=params["replies"],
    )


def list_markers(method: dict) -> list[str]:
    """The markers of a method's replies."""
    return list(filter(None, method["reply"].values()))


def read_template(stage) -> str:
    """The meta-prompt of a cell."""
    return Path(*stage.inputs["prompt"]).read_text(encoding="utf-8")


def first_wave(stage) -> int:
    """Slots that are filled before any generated pair is shown."""
    return stage.params["generation"].get("first_wave", FIRST_WAVE)
