r"""Say what a run would do, and what it would take, before anything is spent.

    python scripts/plan.py --config config/mini.yaml --output /tmp/plan.md --table /tmp/plan.csv
    python scripts/plan.py --config config/mini.yaml --target data --output /tmp/plan.md \
        --table /tmp/plan.csv

The jobs and the reasons for them are those of a dry run of Snakemake with the same config. How many
requests a set still takes is counted in its journal, by composing them as generate.py would; what
else is estimated says where it is from (agorabench.planning.estimates). No request is made, no key
needed, and nothing is written but the two files: .md as printed, .csv with a row for each job.
"""

import argparse
import csv
import os
import re
from collections import Counter, defaultdict

from agorabench.cli import run_program
from agorabench.config import references as configs
from agorabench.files import atomic_file
from agorabench.llm.budget import dollars
from agorabench.planning import estimates
from agorabench.planning.forecast import UNKNOWN, forecast, run_of, stale, survey
from agorabench.report.markdown import table

COLUMNS = (
    "rule", "model", "benchmark", "student", "anchor", "metric", "domain", "method", "generator",
    "prompt", "size", "seed", "output", "reason", "valid", "requests_at_least", "requests",
    "in_batches", "prompt_tokens", "completion_tokens", "usd_online", "usd_batch", "usd",
    "trained_tokens", "gpu_hours", "source",
)  # fmt: skip


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, help="the whole config (YAML or JSON)")
    parser.add_argument("--snakefile", default="Snakefile")
    parser.add_argument("--target", nargs="*", default=[], help="of the run; none: all")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", required=True, help="the plan in Markdown")
    parser.add_argument("--table", required=True, help="the plan as CSV")
    args = parser.parse_args(argv)

    config = configs.load_config(args.config)
    jobs = stale(config, args.snakefile, args.target)
    known = survey(config, jobs, args.threads)
    rows = forecast(config, jobs, known)
    text = render(config, rows, known.spent)
    with atomic_file(args.output) as file:
        file.write(text)
    with atomic_file(args.table) as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows({**row, **row["wildcards"]} for row in rows)
    print(text, end="")


def render(config, rows, spent):
    """The plan in Markdown.

    Args:
        config: the whole config, checked.
        rows: jobs with what they take (forecast.forecast).
        spent: generator -> USD that its journals have cost.
    """
    if not rows:
        return "# Plan\n\nNothing is to be done.\n"
    parts = ["# Plan\n", f"{len(rows):,} jobs are to be done.\n", "## Jobs\n", reasons(rows)]
    if due := [row for row in rows if row["rule"] == "generate"]:
        parts += ["## Generated sets\n", sets(due)]
    parts += ["## Generators\n", generators(config, rows, spent)]
    if due := [row for row in rows if "student" in row["wildcards"]]:
        parts += ["## Students\n", students(due)]
    if due := [row for row in rows if row["rule"] == "measure"]:
        parts += ["## Metrics of generated sets\n", metrics(due)]
    parts += ["## Assumptions\n", *(f"- {line}" for line in estimates.assumptions()), ""]
    return "\n".join(parts)


def reasons(rows):
    """Jobs by rule, and why: Snakemake's words, without the files where they go without saying."""
    counted = Counter((row["rule"], brief(row["reason"])) for row in rows)
    totals = Counter(row["rule"] for row in rows)
    lines = []
    for rule in totals:
        whys = [(why, n) for (name, why), n in counted.most_common() if name == rule]
        told = [f"{why} ({n})" if len(whys) > 1 else why for why, n in whys[:5]]
        told += [f"and {len(whys) - 5} more"] if len(whys) > 5 else []
        lines.append((rule, f"{totals[rule]:,}", "; ".join(told)))
    return table(("rule", "jobs", "why"), lines, "lrl")


def brief(reason):
    """A reason of Snakemake's in some words; updated files are named, others not."""
    told = []
    for part in re.split(r"; (?=[A-Z])", reason):
        head, _, files = part.partition(": ")
        names = files.split(", ")
        if head == "Updated input files":
            more = f" and {len(names) - 2} more" if len(names) > 2 else ""
            head += f" {', '.join(sorted(names)[:2])}{more}"
        told.append(head[0].lower() + head[1:])
    if len(told) > 1:  # follows from the others
        told = [words for words in told if words != "input files updated by another job"]
    return ", ".join(told)


def sets(rows):
    """The sets that are to be generated, and notes on where the numbers are from."""
    head = ("set", "why", "valid", "at least", "about", "prompt", "completion", "USD online")
    head += ("USD batch", "GPU h", "from")
    notes, lines = {}, []
    for row in rows:
        made = run_of(row)
        note = notes.setdefault(row["source"], len(notes) + 1)
        under_way = f"{row['in_batches']:,} in batches, " if row.get("in_batches") else ""
        lines.append(
            (
                str(made), brief(row["reason"]), f"{amount(row.get('valid'))} of {made.size:,}",
                under_way + amount(row.get("requests_at_least")), amount(row.get("requests")),
                amount(row.get("prompt_tokens")), amount(row.get("completion_tokens")),
                dollars(row.get("usd_online")), dollars(row.get("usd_batch")),
                gpu(row.get("gpu_hours")), f"[{note}]",
            )
        )  # fmt: skip
    told = [f"[{number}] {source}.  \n" for source, number in notes.items()]
    intro = "Requests (at least, and about) that are still to be asked, and their tokens:\n\n"
    return "".join([intro, table(head, lines, "llrrrrrrrrl"), "\n", *told])


def generators(config, rows, spent):
    """A line for each generator that has work or has cost something, one for all, and the bill."""
    entries = config["generators"]
    asking = [row for row in rows if "asks" in row]
    head = ("generator", "mode", "requests", "prompt", "completion", "USD online", "USD batch")
    head += ("spent before", "max_usd leaves", "GPU h")
    lines, warnings = [], []

    def add(name, mode, mine, gone, limit, whose):
        left = "no limit" if limit is None else dollars(limit - gone)
        amounts = [amount(total(mine, key) or 0)
                   for key in ("requests", "prompt_tokens", "completion_tokens")]  # fmt: skip
        money = [dollars(total(mine, key)) for key in ("usd_online", "usd_batch")]
        hours = gpu(total(mine, "gpu_hours"))
        lines.append((name, mode, *amounts, *money, dollars(gone), left, hours))
        wanted = total(mine, "usd") or 0.0
        if limit is not None and wanted > limit - gone:
            warnings.append(
                f"max_usd of {whose} leaves {left} USD, and about {dollars(wanted)} are wanted.\n"
            )

    for name, entry in entries.items():
        mine = [row for row in asking if row["asks"] == name]
        if mine or spent[name]:
            mode, limit = entry.get("mode", "local"), entry.get("max_usd")
            add(name, mode, mine, spent[name], limit, f"generator {name}")
    add("in all", "", asking, spent.total(), config["max_usd"], "all generators together")

    to_providers = total([row for row in asking if "mode" in entries[row["asks"]]], "usd") or 0.0
    own = total([row for row in asking if "mode" not in entries[row["asks"]]], "usd") or 0.0
    bill = f"As configured: {dollars(to_providers + own)} USD"
    if own:
        bill += f", {dollars(to_providers)} of it to providers and the rest for models of one's own"
    return "\n".join([table(head, lines, "llrrrrrrrr"), f"{bill}.\n", *warnings])


def students(rows):
    """Training and prediction by student."""
    groups = defaultdict(list)
    for row in rows:
        stage = row["rule"].partition("_")[0]
        groups[row["wildcards"]["student"], stage != "train", stage].append(row)
    lines = []
    for (student, _, stage), mine in sorted(groups.items()):
        tokens = total(mine, "trained_tokens", "prompt_tokens", "completion_tokens")
        sources = Counter(row["source"] for row in mine).most_common(1)[0][0]
        hours = gpu(total(mine, "gpu_hours"))
        lines.append((student, stage, f"{len(mine):,}", amount(tokens), hours, sources))
    return table(("student", "stage", "jobs", "tokens", "GPU h", "from"), lines, "llrrrl")


def metrics(rows):
    """What models measure, by metric."""
    lines = []
    for name in sorted({row["wildcards"]["metric"] for row in rows}):
        mine = [row for row in rows if row["wildcards"]["metric"] == name]
        tokens, hours = amount(total(mine, "prompt_tokens")), gpu(total(mine, "gpu_hours"))
        lines.append((name, f"{len(mine):,}", tokens, hours, mine[0]["source"]))
    return table(("metric", "jobs", "tokens", "GPU h", "from"), lines, "lrrrl")


def total(rows, *keys):
    """The sum of columns; "unknown" where a part of it is, None where there is nothing to add."""
    found = [row[key] for row in rows for key in keys if row.get(key) is not None]
    return UNKNOWN if UNKNOWN in found else sum(found) if found else None


def amount(number):
    """A count, to three digits where it is large."""
    if number is None or number == UNKNOWN:
        return number or ""
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{round(number):,}"


def gpu(hours):
    """GPU hours; empty where there is nothing for a GPU."""
    return hours or "" if hours in (None, UNKNOWN) else f"{hours:,.1f}"


if __name__ == "__main__":
    run_program(main)
