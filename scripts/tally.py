r"""Turn the scores of bases, references and students into the PGR table and its views.

The table (CSV) has one row per run and benchmark, and rows called "mean" for domains and averages;
the views (Markdown, LaTeX, HTML) are shaped like Table 2 of arXiv 2412.03679. The numbers and
their intervals are as agorabench/stats/pgr.py says.

    python scripts/tally.py --benchmarks '{"mini-sums": "math"}' --scores results/scores \
        --runs '[{"student": "mini", "domain": "math", "method": "response", "prompt": "mini",
                  "generator": "strong", "size": 600, "seed": 1}]' \
        --output /tmp/pgr_table.csv --markdown /tmp/pgr.md --spread /tmp/seeds.csv

`--runs` is a JSON list of {"student", "domain", "method", "generator", "prompt", "size", "seed"};
`--matrix` gives the same runs as a config does, by its "experiments" and "generators".
`--benchmarks` is a JSON object from benchmark to domain. Each is a file or the JSON itself.
With `--reference NAME` the students' further reference of that name takes the place of the usual
one. `--spread` says how far seeds lie apart: one row for each place in the table but for its seed.
"""

import argparse
import json
from dataclasses import fields
from pathlib import Path

from agorabench import matrix
from agorabench.cli import run_program
from agorabench.errors import UserError
from agorabench.evaluation.benchmarks import JUDGED
from agorabench.files import atomic_file
from agorabench.report.views import Html, Latex, Markdown, block
from agorabench.stats.pgr import MEAN, SPREAD, Scores, needed, spread, table, to_csv, views

# Scores are written with a few decimals; a larger difference means files of two evaluations.
TOLERANCE = 0.01  # percent points


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--runs", help="JSON list of runs, or a file of it")
    source.add_argument("--matrix", help="JSON object: experiments and generators of a config")
    parser.add_argument("--benchmarks", required=True, help="JSON object: benchmark -> domain")
    parser.add_argument("--apart", nargs="*", default=[], help="benchmarks that no mean is over")
    parser.add_argument("--scores", required=True, type=Path, help="folder of score files")
    parser.add_argument("--reference", help="a further reference, in the place of the usual one")
    parser.add_argument("--bootstrap", type=int, default=2000, help="draws of the bootstrap")
    parser.add_argument("--seed", type=int, default=1, help="seed of the bootstrap")
    parser.add_argument("--output", required=True, type=Path, help="the table (CSV)")
    parser.add_argument("--markdown", type=Path, help="its view as Markdown")
    parser.add_argument("--latex", type=Path, help="its view as LaTeX")
    parser.add_argument("--html", type=Path, help="its view as a page of its own")
    parser.add_argument("--spread", type=Path, help="how far seeds lie apart (CSV)")
    args = parser.parse_args(argv)

    if args.bootstrap < 2 or args.seed < 0:
        raise UserError("--bootstrap needs at least 2 draws and --seed a number from 0 on")
    if args.matrix:
        runs = matrix.expand_runs(given(args.matrix, "--matrix"))
    else:
        runs = parse_runs(given(args.runs, "--runs"))
    benchmarks = parse_benchmarks(given(args.benchmarks, "--benchmarks"))
    scores = {
        benchmark: {
            model: read_scores(args.scores, scored(model, args.reference), benchmark)
            for model in models
        }
        for benchmark, models in needed(runs, benchmarks).items()
    }
    rows = table(runs, benchmarks, scores, args.bootstrap, args.seed, args.apart)
    outputs = {args.output: to_csv(rows)}
    if args.spread:
        outputs[args.spread] = to_csv(spread(rows), SPREAD)
    counted = [row for row in rows if row["benchmark"] not in args.apart]
    forms = ((args.markdown, Markdown), (args.latex, Latex), (args.html, Html))
    for path, form in forms:
        if path:
            blocks = [
                block(view, seed, counted, scores, args.bootstrap, args.seed)
                for view in views(counted)
                # The mean over seeds is the result; the seeds follow it.
                for seed in ([MEAN, *view.seeds] if len(view.seeds) > 1 else view.seeds)
            ]
            outputs[path] = form.document([one for one in blocks if one])
    for path, text in outputs.items():
        with atomic_file(path) as file:
            file.write(text)


def given(argument, option):
    """The JSON value that an option gives, inline or as the path of a file."""
    text = argument
    if not argument.lstrip().startswith(("[", "{")):
        try:
            text = Path(argument).read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"{option}: cannot read {argument} ({error.strerror})") from None
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{option} is not JSON: {error}") from None


def parse_runs(value):
    """Runs of a JSON list of objects. Raises UserError where one is not a run."""
    names = [field.name for field in fields(matrix.Run)]
    if not isinstance(value, list) or not value:
        raise UserError("--runs must be a list of at least one run")
    runs = []
    for entry in value:
        if not isinstance(entry, dict) or set(entry) != set(names):
            raise UserError(f"a run has {', '.join(names)}, not more nor less: {entry}")
        if not all(isinstance(entry[name], int) for name in ("size", "seed")):
            raise UserError(f"a run's size and seed are whole numbers: {entry}")
        runs.append(matrix.Run(**entry))
    return runs


def parse_benchmarks(value):
    """Benchmark -> domain. Raises UserError where it is anything else."""
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise UserError("--benchmarks must be an object from benchmark to domain")
    return value


def scored(model, reference):
    """The model whose scores stand for `model`: of a reference, the further one of that name."""
    student, _, anchor = model.rpartition("/")
    if reference and anchor == matrix.ANCHORS[1]:
        return f"{student}/{matrix.reference_anchor(reference)}"
    return model


def read_scores(folder, model, benchmark):
    """One model's item scores on one benchmark, as `Scores`.

    Raises UserError, naming the file, where the summary (.json) or the items (.parquet) are absent,
    have no usable score, or do not belong together.
    """
    import numpy as np
    import pyarrow
    import pyarrow.parquet

    summary_path = folder / model / f"{benchmark}.json"
    items_path = summary_path.with_suffix(".parquet")
    for path in (summary_path, items_path):
        if not path.is_file():
            raise UserError(f"{path} is missing: score {model} on {benchmark} first")
    try:
        summary = json.loads(summary_path.read_text(encoding="utf-8"))
        protocol, judge = summary["protocol"], summary["judge"]
        counts = summary.get("counts")
        claimed, n = float(summary["score"]), summary["n"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{summary_path} is not a score summary: {error!r}") from None
    try:
        items = pyarrow.parquet.read_table(items_path)
        ids = np.array([str(one) for one in items["id"].to_pylist()])
        values = items["score"].to_numpy().astype(float)
        weights = (
            items["weight"].to_numpy().astype(float) if "weight" in items.schema.names else None
        )
    except (pyarrow.ArrowException, KeyError, ValueError) as error:
        raise UserError(f"{items_path} has no readable id and score: {error}") from None
    if not len(ids):
        raise UserError(f"{items_path} has no items")
    if len(set(ids.tolist())) < len(ids):
        raise UserError(f"{items_path} has item {_repeated(ids)!r} more than once")
    known = ~np.array(items["score"].is_null())  # null: no verdict; NaN is none of ours
    if not known.any():
        raise UserError(f"{items_path}: no item has a verdict")
    # What is fitted to a judge's verdicts has items with parts outside 0 to 1.
    fitted = protocol in JUDGED
    wrong = known & ~(np.isfinite(values) if fitted else (values >= 0) & (values <= 1))
    if wrong.any():
        item, value = ids[wrong][0], values[wrong][0]
        raise UserError(f"{items_path}: item {item!r} has score {value}, not one from 0 to 1")
    mean = 100 * np.average(values[known], weights=None if weights is None else weights[known])
    if n != known.sum() or not abs(claimed - mean) <= TOLERANCE:
        raise UserError(
            f"{summary_path} says {claimed:.2f} % of {n} items, its items say "
            f"{mean:.2f} % of {known.sum()}: score {model} on {benchmark} again"
        )
    return Scores(ids, values, f"{protocol} ({counts})" if counts else protocol, judge, weights)


def _repeated(ids):
    seen = set()
    return next(one for one in ids.tolist() if one in seen or seen.add(one))


if __name__ == "__main__":
    run_program(main)
