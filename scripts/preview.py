"""Show what the first requests of every cell say and, with replies, what becomes of them.

    python scripts/preview.py --config config/mini.yaml

Makes results/preview.html: three prompts of each cell as they will be sent. Where the config's
`preview` is a number (`snakemake preview --config preview=5`), so many replies of each cell are
asked for too, and shown with verdicts and their price: a prompt, or a validator, that fails is seen
before it is paid for thousands of times. The replies are journaled, so the run does not ask for
them again. Data sets and mixtures are asked nothing and not shown.
"""

from collections import Counter

from agorabench import matrix, paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import stages
from agorabench.files import atomic_file
from agorabench.generation.cells import first_wave, list_markers, open_composer
from agorabench.generation.slots import check_reply, pair_checks
from agorabench.llm import answer, open_backend
from agorabench.llm.budget import rows_cost
from agorabench.llm.request import build_request, fingerprint_parameters
from agorabench.report.page import inline_file, load_template

SHOWN = 3  # prompts of a cell


def main(argv=None):
    args = parse_arguments(__doc__, "", argv)
    asked = matrix.model_generators(args.config)
    shown = [
        preview_cell(args.config, cell, args.threads)
        for cell in matrix.list_cells(args.config)
        if cell.generator in asked
    ]
    usd = sum(one["usd"] for one in shown)
    page = load_template("preview.html").render(
        title="preview", style=inline_file("page.css"), script=None, cells=shown, usd=usd
    )
    with atomic_file(paths.PREVIEW) as file:
        file.write(page)
    for one in shown:
        counts = ", ".join(f"{verdict} {n}" for verdict, n in one["verdicts"].items())
        print(f"{one['cell']}: {counts}, {one['usd']:.2g} USD" if counts else one["cell"])
    print(f"{len(shown)} cells are shown in {paths.PREVIEW}")


def preview_cell(config, cell, threads):
    """{"cell", "prompts": messages of each, "replies": rows, "verdicts": counts, "usd"}."""
    stage = stages.generate(config, cell)
    method = config["methods"][cell.method]
    composer = open_composer(stage, method, cell)
    wanted = min(config.get("preview", 0), first_wave(stage), cell.size)
    contents = [composer.compose_request(slot, 0, []) for slot in range(max(SHOWN, wanted))]
    rows = query_cell(config, cell, stage, contents[:wanted], threads) if wanted else []
    check, _ = pair_checks(
        stage.params["generation"], cell.domain, stage.inputs["benchmarks"], list_markers(method)
    )
    replies = [
        row | check_reply(composer, content["instruction"], row, check)
        for content, row in zip(contents, rows, strict=False)
    ]
    price = config["generators"][cell.generator]["price"]
    return {
        "cell": str(cell),
        "prompts": [content["messages"] for content in contents[:SHOWN]],
        "replies": replies,
        "verdicts": Counter(row["verdict"] for row in replies),
        "usd": rows_cost(rows, price),
    }


def query_cell(config, cell, stage, contents, threads):
    """The replies to requests of a cell, from its journal or its generator."""
    parameters = fingerprint_parameters(
        config["generators"][cell.generator], stage.params["replies"]
    )
    journal_path = paths.set_journal(cell)
    with open_backend(cell.generator, config, journal_path, threads) as (journal, backend):
        requests = [
            build_request(backend.identity, parameters=parameters, **content)
            for content in contents
        ]
        answer(backend, journal, {one["fingerprint"]: one for one in requests})
        return [journal[one["fingerprint"]] for one in requests]


if __name__ == "__main__":
    run_program(main)
