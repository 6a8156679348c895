"""Say what a run would do, and what it would take, before anything is spent.

    python scripts/plan.py --config config/mini.yaml
    python scripts/plan.py --config config/mini.yaml --target data

Makes results/plan.md, as printed, and results/plan.csv, a row for each job. The jobs and the
reasons for them are those of a dry run of Snakemake with the same config. What a job would ask is
found by running it dry; what else is estimated says where it is from (planning/estimates.py). No
request is made, no key needed, and nothing else is written.
"""

import csv
import os

from agorabench import paths
from agorabench.cli import parse_arguments, run_program
from agorabench.files import atomic_file
from agorabench.planning.forecast import forecast
from agorabench.planning.summary import render_plan
from agorabench.planning.survey import stale_jobs, survey

COLUMNS = (
    "rule", "model", "benchmark", "student", "anchor", "metric", "domain", "method", "generator",
    "prompt", "size", "seed", "output", "reason", "valid", "requests_at_least", "requests",
    "in_batches", "prompt_tokens", "completion_tokens", "usd_online", "usd_batch", "usd",
    "trained_tokens", "gpu_hours", "source",
)  # fmt: skip


def main(argv=None):
    args = parse_arguments(__doc__, "", argv, add_options)
    jobs = stale_jobs(args.config, args.snakefile, args.target)
    known = survey(args.config, jobs, args.threads)
    rows = forecast(args.config, jobs, known)
    text = render_plan(args.config, rows, known.spent)
    with atomic_file(paths.plan("md")) as file:
        file.write(text)
    with atomic_file(paths.plan("csv")) as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **row["wildcards"]} for row in rows)
    print(text, end="")


def add_options(parser):
    """What only this program has."""
    parser.set_defaults(threads=os.cpu_count())
    parser.add_argument("--target", nargs="*", default=[], help="of the run; none: all")
    parser.add_argument("--snakefile", help="the workflow, if not this checkout's")


if __name__ == "__main__":
    run_program(main)
