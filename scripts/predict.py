"""Let one model answer its benchmarks, loading it once.

    python scripts/predict.py --config config/mini.yaml --model mini/reference
    python scripts/predict.py --config config/mini.yaml --model generators/strong --domain math
    ... --dry-run                     says what it would ask a generator, and asks nobody

Makes results/predictions/{model}/{benchmark}.jsonl, a row per item: id, model, prompt, completion,
finish_reason. A trained student answers the benchmarks of its domain, a base or reference all. A
model that knows no conversation (a base) is shown worked examples as plain text instead. With
keep_models: scored a student loses its weights when it has answered.

A generator solves the benchmarks as Table 7 of arXiv 2412.03679 has it: asked through its backend
and a journal, with the sampling of the benchmarks but for what its own config leaves out.
"""

from functools import cache, partial
from pathlib import Path

from agorabench import llm, matrix, paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import stages
from agorabench.errors import UserError
from agorabench.evaluation import ability, benchmarks
from agorabench.evaluation.completions import answer_benchmark
from agorabench.files import write_jsonl
from agorabench.llm.silent import DryRun
from agorabench.models import weights
from agorabench.models.gpus import lease_gpus
from agorabench.progress import Progress


def main(argv=None):
    args = parse_arguments(__doc__, "model domain? dry-run?", argv)
    name = paths.parse_model(args.model)
    if args.dry_run and not name.generator:
        raise UserError(f"--dry-run: {args.model} is asked nothing, generators/GENERATOR are")
    if args.domain and not name.generator:
        raise UserError(f"--domain: {args.model} answers all its benchmarks at once")
    if not name.generator:
        answer_benchmarks(args.config, args.model, name, args.threads)
        return
    for domain in [args.domain] if args.domain else scored_domains(args.config):
        if args.dry_run:
            print(dry_run(args.config, name.generator, domain))
        else:
            solve_benchmarks(args.config, name.generator, domain, args.threads)


def scored_domains(config):
    """The domains that have a benchmark which a generator can solve."""
    return [domain for domain in config["domains"] if matrix.asked_benchmarks(config, domain)]


def answer_benchmarks(config, model, name, threads):
    """Have a student, base or reference answer; `name` is its paths.ModelName."""
    params = stages.predict(config, model).params
    folder = params.get("model", paths.student_folder(model))
    engine = cache(
        partial(
            load_engine, folder, matrix.size_answering(config, name.student, name.anchor), threads
        )
    )
    for benchmark, entry in params["benchmarks"].items():
        answer_benchmark(
            engine, benchmark, entry, read_items(benchmark, entry), (folder, model),
            params["system"], params.get("chat", True), params["seed"],
            paths.predictions(model, benchmark),
        )  # fmt: skip
    if name.cell and config["keep_models"] == "scored":
        weights.remove_weights(folder)


def read_items(benchmark, entry):
    """The items of a benchmark, as its protocol has them."""
    return benchmarks.load_items(entry, Path(paths.benchmark_items(benchmark)))


def load_engine(model, student, threads):
    """The engine that answers: vLLM where the student's hardware names an interpreter that has it.

    Does not return where that is another interpreter than this one.
    """
    if (Path(model) / weights.DIGEST_FILE).exists() and not weights.weights_digest(model):
        raise UserError(
            f"the weights of {model} were removed when it was scored; to train it again, delete "
            f"{model}/present and start again"
        )
    hardware = student["hardware"]
    # One number format for students, base and reference: that in which students are saved.
    precision = "float32" if student["recipe"]["precision"] == "float32" else "bfloat16"
    lease_gpus(hardware["predict_gpus"])
    if hardware["predict_gpus"] and hardware["python"]:
        llm.switch_interpreter(hardware["python"])
        from agorabench.llm.vllm import Answers

        return Answers(model, hardware["predict_gpus"], precision)
    from agorabench.models.generate import Engine

    return Engine(model, threads, precision)


def solve_benchmarks(config, generator, domain, threads):
    """Have a generator answer the benchmarks of a domain."""
    model = paths.generator_model(generator)
    params = stages.predict(config, model, domain).params
    entry, items = config["generators"][generator], ability.load_items(params)
    journal_path = paths.ability_journal(generator, domain, params["seed"])
    with (
        llm.open_backend(generator, config, journal_path, threads) as (journal, backend),
        Progress(f"{generator} solves", sum(map(len, items.values())), "items") as bar,
    ):
        replies = ability.query_benchmarks(params, entry, items, journal, backend, bar.advance)
    for name, rows in replies.items():
        predictions = ability.prediction_rows(model, items[name], rows)
        write_jsonl(paths.predictions(model, name), predictions)


def dry_run(config, generator, domain):
    """What `solve_benchmarks` would ask, in a line of JSON."""
    params = stages.predict(config, paths.generator_model(generator), domain).params
    entry, items = config["generators"][generator], ability.load_items(params)
    with DryRun(entry, paths.ability_journal(generator, domain, params["seed"])) as run:
        ability.query_benchmarks(params, entry, items, run.journal, run.backend)
    return run.summary()


if __name__ == "__main__":
    run_program(main)
