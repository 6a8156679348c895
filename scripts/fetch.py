r"""Bring seed data or benchmark items to where the pipeline reads them, with a manifest.

    python scripts/fetch.py seeds --domain code --method instance \
        --source '{"hub": "google-research-datasets/mbpp", "subset": "full", "split": "train",
                   "revision": null, "instruction": "text", "response": "code",
                   "convert": "mbpp", "size": 100}' \
        --output /tmp/seeds.jsonl --manifest /tmp/seeds.manifest.json --lock /tmp/lock.json
    python scripts/fetch.py benchmark --source '{"source": "mini"}' --name mini-sums \
        --output /tmp/items.jsonl --manifest /tmp/items.manifest.json

Seed rows become {"id", "instruction", "response"}; benchmark rows stay as their source has them.
Versions that the config leaves open are looked up once and kept in the lock file; rows that come
out otherwise than the lock file says are refused. HF_TOKEN is used where it is set.

Where rows are classified, `--entry`, `--config` and `--generator` say by whom, as for generate.py.
"""

import argparse
import json
from contextlib import ExitStack
from pathlib import Path

from agorabench.errors import UserError, run
from agorabench.files import file_digest, json_fingerprint, write_json, write_jsonl
from agorabench.seeds import sampling, sources

VERSION = 1  # raise it where a change of this code is meant to change the rows


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("seeds", "benchmark", "file"))
    parser.add_argument("--source", type=json.loads, required=True, help="the config's entry")
    parser.add_argument("--domain", help="of seeds")
    parser.add_argument("--method", help="of seeds")
    parser.add_argument("--name", help="of a benchmark")
    parser.add_argument("--file", help="of a benchmark: judge, control, baseline")
    parser.add_argument("--sample-seed", type=int, default=1, help="of the seeds' sample")
    parser.add_argument("--tokenizer", type=json.loads, help="config: tokenizer")
    parser.add_argument("--lock", default="config/sources.lock.json", help="versions found")
    parser.add_argument("--entry", type=json.loads, help="the classifier's config")
    parser.add_argument("--config", help="the whole config: how to ask the classifier, max_usd")
    parser.add_argument("--generator", help="the classifier's name in --config")
    parser.add_argument("--journal", help="of the classification")
    parser.add_argument("--output", required=True)
    parser.add_argument("--manifest", required=True)
    args = parser.parse_args(argv)

    lock = sources.Lock(args.lock)
    if args.kind == "file":
        setting = f"benchmarks.{args.name}.files.{args.file}"
        write_json(args.manifest, sources.whole(args.source, lock, setting, args.output))
        return
    if "source" in args.source:
        from miniature import world

        if args.kind == "seeds":
            rows, manifest = world.seeds(args.domain, args.method), {}
        else:
            rows, manifest = world.benchmark(args.name), {}
    elif args.kind == "benchmark":
        setting = f"benchmarks.{args.name}.source"
        rows, origin = sources.read(args.source, lock, setting)
        manifest = {"origins": {args.name: origin}}
        verify(lock, setting, args.source, manifest, rows)
    else:
        setting = f"seeds.{args.domain}.{args.method}"
        with ExitStack() as stack:
            rows, manifest = seeds(args, lock, setting, stack)
        verify(lock, setting, args.source, manifest, rows)
    write_jsonl(args.output, rows)
    told = {"source": args.source, "rows": len(rows), "sha256": file_digest(args.output)}
    write_json(args.manifest, told | manifest)


def seeds(args, lock, setting, stack):
    """(Seed rows of a setting, what its manifest says of their making)."""
    parts = args.source.get("parts") or {stem(args.source): args.source}
    manifest = {"origins": {}, "sample_seed": args.sample_seed}
    tokens = classify = None
    if any(part.get("longest") for part in parts.values()):
        manifest["tokenizer"], tokens = tokenizer(args.tokenizer, lock, setting)
    if prompts := {part["classify"]["prompt"] for part in parts.values() if part.get("classify")}:
        manifest["classifier"], classify = classification(args, prompts.pop(), stack)
    batch = manifest.get("classifier", {}).get("mode") == "batch"
    rows = []
    for name in sorted(parts):
        part = parts[name]
        raw, origin = sources.read(part, lock, setting)
        try:
            taken, left_out = sampling.pick(
                raw, part, name, seed=args.sample_seed, answered=args.method != "response",
                tokens=tokens, classify=classify,
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
    return {"model": model, "revision": revision}, sampling.counter(model, revision)


def stem(part):
    """A short name of a source."""
    place = part.get("path") or part.get("url") or part["hub"]
    return place.rstrip("/").rpartition("/")[2].partition(".")[0]


def classification(args, prompt, stack):
    """(What the manifest says of the classifier, function that classifies until `stack` closes)."""
    from agorabench.generation.slots import parameters
    from agorabench.llm import opened
    from generate import settings

    entry, config = settings(args)
    journal, backend = stack.enter_context(opened(args.generator, entry, config, args.journal))
    asked = parameters(entry, "text")
    told = {"identity": backend.identity, "sampling": asked, "mode": entry.get("mode")}
    told["prompt_sha256"] = file_digest(prompt)
    template = Path(prompt).read_text(encoding="utf-8")
    return told, sampling.classifier(backend, asked, template, journal)


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
    recipe, found = json_fingerprint(VERSION, source, versions, settings), sources.digest(rows)
    known = lock.pin("sets", setting, lambda: {"recipe": recipe, "sha256": found})
    if known["recipe"] != recipe:  # another config, or another version of a source: a new set
        lock.put("sets", setting, {"recipe": recipe, "sha256": found})
    elif known["sha256"] != found:
        raise UserError(
            f"{setting}: the same sources give other rows than when {lock.path} was written"
            f" (sha256 {found}, not {known['sha256']}); if that is meant, delete sets.{setting}"
            " there and fetch again"
        )


if __name__ == "__main__":
    run(main)
