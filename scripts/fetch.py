"""Bring seed data or benchmark items to where the pipeline reads them, with a manifest.

    python scripts/fetch.py --config config/mini.yaml --domain math --method instance
    python scripts/fetch.py --config config/mini.yaml --benchmark mini-sums
    python scripts/fetch.py --config config/agorabench.yaml --benchmark alpaca-eval --file judge
    ... --dry-run                 says what a classifier of seed data would be asked first

Seed rows become {"id", "instruction", "response"}; benchmark rows stay as their source has them.
Versions that the config leaves open are looked up once and kept in the lock file (config: lock);
rows that come out otherwise than the lock file says are refused. HF_TOKEN is used where it is set.
"""

from contextlib import nullcontext
from functools import partial
from pathlib import Path

from agorabench import matrix, paths
from agorabench.cli import parse_arguments, run_program
from agorabench.config import stages
from agorabench.errors import UserError
from agorabench.evaluation import benchmarks
from agorabench.evaluation.benchmarks import lm_eval
from agorabench.files import file_digest, json_fingerprint, to_json, write_json, write_jsonl
from agorabench.generation.cells import list_markers
from agorabench.llm import open_backend
from agorabench.llm.request import fingerprint_parameters
from agorabench.llm.silent import DryRun
from agorabench.plugins import find_plugin
from agorabench.rows import place_row, warn_unread
from agorabench.seeds import sampling, sources
from agorabench.seeds.classify import make_classifier

VERSION = 1  # raise it where a change of this code is meant to change the rows


def main(argv=None):
    def add_file(parser):
        parser.add_argument("--file", help="of a benchmark: judge, control or baseline")

    args = parse_arguments(__doc__, "domain? method? benchmark? dry-run?", argv, add_file)
    if args.dry_run:
        if not (args.domain and args.method):
            raise UserError("--dry-run: only seed data ask, for classes; give --domain, --method")
        print(dry_run(args.config, args.domain, args.method))
    elif args.benchmark and args.file:
        fetch_file(args.config, args.benchmark, args.file)
    elif args.benchmark:
        fetch_benchmark(args.config, args.benchmark)
    elif args.domain and args.method:
        fetch_seeds(args.config, args.domain, args.method)
    else:
        raise UserError("fetch takes --domain and --method, or --benchmark")


def fetch_file(config, name, file):
    """Fetch a further file of a benchmark."""
    params = stages.benchmark_file(config, name, file).params
    path, lock = paths.benchmark_file(name, file), sources.Lock(params["lock"])
    setting = f"benchmarks.{name}.files.{file}"
    write_json(paths.manifest(path), sources.copy_source(params["source"], lock, setting, path))


def fetch_benchmark(config, name):
    """Fetch the items of a benchmark."""
    params = stages.benchmark(config, name).params
    source, lock, setting = (
        params["source"],
        sources.Lock(params["lock"]),
        f"benchmarks.{name}.source",
    )
    if "source" in source:
        rows, manifest = find_plugin("benchmark_source", source["source"])(name), {}
    elif "task" in source:
        rows, manifest = lm_eval.fetch_rows(source["task"]), {"origins": {name: source}}
    else:
        rows, origin = sources.read_source(source, lock, setting)
        manifest = {"origins": {name: origin}}
        verify(lock, setting, source, manifest, rows)
    # All of it now: generation is paid for before a student meets the items.
    if config["benchmarks"][name]["protocol"] != "unscored":
        place = partial(place_row, source)
        benchmarks.parse_items(config["benchmarks"][name], rows, setting, place)
    write_rows(paths.benchmark_items(name), rows, source, manifest)


def fetch_seeds(config, domain, method):
    """Fetch the seed data of a domain and method."""
    params = stages.seeds(config, domain, method).params
    source, lock, setting = (
        params["source"],
        sources.Lock(params["lock"]),
        f"seeds.{domain}.{method}",
    )
    if "source" in source:
        rows, manifest = find_plugin("seed_source", source["source"])(domain, method), {}
    else:
        with open_classifier(config, source) as classifier:
            rows, manifest = read_seeds(config, params, method, lock, setting, classifier)
        verify(lock, setting, source, manifest, rows)
    write_rows(paths.seed_rows(domain, method), rows, source, manifest)


def dry_run(config, domain, method):
    """What a classifier of the seed data would be asked first, in a line of JSON."""
    params, setting = stages.seeds(config, domain, method).params, f"seeds.{domain}.{method}"
    chosen = matrix.classification(params["source"])
    if chosen is None:
        return to_json({"requests": 0})
    lock = sources.Lock(params["lock"], dry_run=True)
    entry = config["generators"][chosen["generator"]]
    with DryRun(entry, paths.classification_journal(chosen["prompt"])) as run:
        read_seeds(config, params, method, lock, setting, (run.journal, run.backend))
    return run.summary()


def write_rows(path, rows, source, manifest):
    """Write rows, and beside them their manifest."""
    write_jsonl(path, rows)
    about = {"source": source, "rows": len(rows), "sha256": file_digest(path)}
    write_json(paths.manifest(path), about | manifest)


def read_seeds(config, params, method, lock, setting, classifier):
    """(Seed rows of a setting, what its manifest says of their making).

    `classifier` is the (journal, backend) of who sorts rows, or None where nobody does.
    """
    source, seed = params["source"], params["sample_seed"]
    parts = source.get("parts") or {stem(source): source}
    manifest = {"origins": {}, "sample_seed": seed}
    tokens = classify = None
    markers = list_markers(config["methods"][method])
    if "tokenizer" in params:
        manifest["tokenizer"], tokens = tokenizer(params["tokenizer"], lock, setting)
    if classifier:
        chosen = matrix.classification(source)
        manifest["classifier"], classify = describe_classifier(config, chosen, *classifier)
    batch = manifest.get("classifier", {}).get("mode") == "batch"
    rows = []
    for name in sorted(parts):
        part = parts[name]
        raw, origin = sources.read_source(part, lock, setting)
        if part.get("convert", "plain") == "plain":
            warn_unread(raw, part, f"{setting}: {name}", known=["id"])
        try:
            taken, left_out = sampling.sample_rows(
                raw, part, name, seed=seed, answered=matrix.needs_responses(config, method),
                tokens=tokens, markers=markers, classify=classify,
                # A batch may take hours: few large ones, about as many as half of the rows need.
                wave=max(sampling.WAVE, 2 * (part.get("size") or 0) if batch else 0),
            )  # fmt: skip
        except UserError as error:
            raise UserError(f"{setting}: {name}: {error}") from None
        counts = {"rows": len(raw), "taken": len(taken), "left_out": dict(sorted(left_out.items()))}
        manifest["origins"][name] = origin | counts
        rows += taken
    return rows, manifest


def tokenizer(chosen, lock, setting):
    """(What the manifest says of the tokenizer, function that counts a text's tokens)."""
    if not chosen:
        raise UserError(f"{setting}: longest needs tokenizer, which is not set")
    model, revision = chosen["model"], chosen.get("revision")
    if not revision and not Path(model).is_dir():
        revision = sources.hub_revision(model, lock)
    return {"model": model, "revision": revision}, sampling.token_counter(model, revision)


def stem(part):
    """A short name of a source."""
    place = part.get("path") or part.get("url") or part["hub"]
    return place.rstrip("/").rpartition("/")[2].partition(".")[0]


def open_classifier(config, source):
    """The context of the (journal, backend) of who sorts a source's rows; None if nobody does."""
    chosen = matrix.classification(source)
    if chosen is None:
        return nullcontext()
    journal_path = paths.classification_journal(chosen["prompt"])
    return open_backend(chosen["generator"], config, journal_path)


def describe_classifier(config, chosen, journal, backend):
    """(What the manifest says of a classifier, function that classifies rows).

    `chosen`: the `classify` entry of a source.
    """
    entry = config["generators"][chosen["generator"]]
    parameters = fingerprint_parameters(entry)
    about = {"identity": backend.identity, "sampling": parameters, "mode": entry.get("mode")}
    about["prompt_sha256"] = file_digest(chosen["prompt"])
    template = Path(chosen["prompt"]).read_text(encoding="utf-8")
    return about, make_classifier(backend, parameters, template, journal)


def verify(lock, setting, source, manifest, rows):
    """Check that the same recipe gives the same rows as at the first fetch.

    Raises:
        UserError: it does not, or there are no rows.
    """
    if not rows:
        left_out = [origin["left_out"] for origin in manifest["origins"].values()]
        raise UserError(f"{setting}: no row can be used; left out: {left_out}")
    if all("path" in origin for origin in manifest["origins"].values()):
        return  # the user's own files may change as they like
    versions = [
        origin.get("revision") or origin["sha256"] for origin in manifest["origins"].values()
    ]
    settings = [manifest.get(key) for key in ("sample_seed", "tokenizer", "classifier")]
    recipe, found = json_fingerprint(VERSION, source, versions, settings), sources.rows_digest(rows)
    known = lock.pin_entry("sets", setting, lambda: {"recipe": recipe, "sha256": found})
    if known["recipe"] != recipe:  # another config, or another version of a source: a new set
        lock.set_entry("sets", setting, {"recipe": recipe, "sha256": found})
    elif known["sha256"] != found:
        raise UserError(
            f"{setting}: the same sources give other rows than when {lock.path} was written"
            f" (sha256 {found}, not {known['sha256']}); if that is meant, delete sets.{setting}"
            " there and fetch again"
        )


if __name__ == "__main__":
    run_program(main)
