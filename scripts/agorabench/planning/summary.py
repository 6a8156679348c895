"""The plan as Markdown: jobs and why, sets, generators and money, students, metrics."""

import re
from collections import Counter, defaultdict

from agorabench.llm.budget import format_usd
from agorabench.matrix import Cell, list_cells
from agorabench.planning.estimates import assumptions
from agorabench.planning.forecast import UNKNOWN
from agorabench.planning.power import render_power
from agorabench.report.table import align_markdown


def render_plan(config, rows, spent) -> str:
    """The plan in Markdown.

    Args:
        rows: jobs with what they take (forecast.forecast).
        spent: generator -> USD that its journals have cost.
    """
    if not rows:
        return "# Plan\n\nNothing is to be done.\n"
    sets = [row for row in rows if row["rule"] == "generate"]
    students = [row for row in rows if "student" in row["wildcards"]]
    metrics = [row for row in rows if row["rule"] == "measure"]
    parts = ["# Plan\n", f"{len(rows):,} jobs are to be done.\n", "## Jobs\n", table_jobs(rows)]
    parts += ["## Generated sets\n", table_sets(sets)] if sets else []
    parts += ["## Generators\n", table_generators(config, rows, spent)]
    parts += ["## Students\n", table_loading(students, "student")] if students else []
    parts += ["## Metrics of generated sets\n", table_loading(metrics, "metric")] if metrics else []
    parts += ["## Power\n", render_power(config, price=price_seed(config, rows))]
    parts += ["## Assumptions\n", *(f"- {line}" for line in assumptions()), ""]
    return "\n".join(parts)


def price_seed(config, rows):
    """(USD, GPU hours) of one seed of everything; None where less than everything is to be done."""
    cells = list_cells(config)
    if sum(row["rule"] == "generate" for row in rows) < len(cells):
        return None, None
    seeds = len({cell.seed for cell in cells})
    totals = (add_up(rows, key) for key in ("usd", "gpu_hours"))
    return tuple(None if total in (None, UNKNOWN) else total / seeds for total in totals)


def table_jobs(rows):
    """Jobs by rule, and why: Snakemake's words, without the files where they go without saying."""
    reasons = defaultdict(Counter)
    for row in rows:
        reasons[row["rule"]][shorten_reason(row["reason"])] += 1
    lines = []
    for rule, counted in reasons.items():
        words = [f"{why} ({n})" if len(counted) > 1 else why for why, n in counted.most_common(5)]
        words += [f"and {len(counted) - 5} more"] if len(counted) > 5 else []
        lines.append((rule, f"{counted.total():,}", "; ".join(words)))
    return align_markdown(("rule", "jobs", "why"), lines, "lrl")


def shorten_reason(reason) -> str:
    """A reason of Snakemake's in some words; of files only the updated ones are named."""
    words = []
    for part in re.split(r"; (?=[A-Z])", reason):
        head, _, files = part.partition(": ")
        names = files.split(", ")
        if head == "Updated input files":
            more = f" and {len(names) - 2} more" if len(names) > 2 else ""
            head += f" {', '.join(sorted(names)[:2])}{more}"
        elif head.startswith("Params have changed") and not files.startswith("Union of"):  # all
            head = part
        words.append(head[0].lower() + head[1:])
    follows = "input files updated by another job"  # from the others
    return ", ".join(word for word in words if word != follows or len(words) == 1)


def table_sets(rows):
    """The sets that are to be generated, and notes on where the numbers are from."""
    head = ("set", "why", "valid", "at least", "about", "prompt", "completion", "USD online")
    head += ("USD batch", "GPU h", "from")
    notes, lines = {}, []
    for row in rows:
        cell, note = Cell.of(row["wildcards"]), notes.setdefault(row["source"], len(notes) + 1)
        under_way = f"{row['in_batches']:,} in batches, " if row.get("in_batches") else ""
        least, *counts = (show_count(row.get(key)) for key in ("requests_at_least", *QUANTITIES))
        valid = f"{show_count(row.get('valid'))} of {cell.size:,}"
        money = [format_usd(row.get(key)) for key in MONEY]
        lines.append(
            (str(cell), shorten_reason(row["reason"]), valid, under_way + least, *counts, *money,
             show_hours(row.get("gpu_hours")), f"[{note}]")
        )  # fmt: skip
    sources = [f"[{number}] {source}.  \n" for source, number in notes.items()]
    intro = "Requests (at least, and about) that are still to be asked, and their tokens:\n\n"
    return "".join([intro, align_markdown(head, lines, "llrrrrrrrrl"), "\n", *sources])


QUANTITIES, MONEY = ("requests", "prompt_tokens", "completion_tokens"), ("usd_online", "usd_batch")


def table_generators(config, rows, spent):
    """A line for each generator that has work or has cost something, one for all, and the bill."""
    entries, asking = config["generators"], [row for row in rows if "asks" in row]
    head = ("generator", "mode", "requests", "prompt", "completion", "USD online", "USD batch")
    head += ("spent before", "max_usd leaves", "GPU h")
    lines, warnings = [], []

    def add_line(name, mode, due, gone, limit, whose):
        left = "no limit" if limit is None else format_usd(limit - gone)
        amounts = [show_count(add_up(due, key) or 0) for key in QUANTITIES]
        money = [format_usd(add_up(due, key)) for key in MONEY]
        hours = show_hours(add_up(due, "gpu_hours"))
        lines.append((name, mode, *amounts, *money, format_usd(gone), left, hours))
        wanted = add_up(due, "usd") or 0.0
        if limit is not None and wanted > limit - gone:
            text = (
                f"max_usd of {whose} leaves {left} USD, and about {format_usd(wanted)} are wanted."
            )
            warnings.append(f"{text}\n")

    for name, entry in entries.items():
        due = [row for row in asking if row["asks"] == name]
        if due or spent[name]:
            mode, limit = entry.get("mode", "local"), entry.get("max_usd")
            add_line(name, mode, due, spent[name], limit, f"generator {name}")
    add_line("in all", "", asking, spent.total(), config["max_usd"], "all generators together")

    providers, own = (
        add_up([row for row in asking if ("mode" in entries[row["asks"]]) == paid], "usd") or 0.0
        for paid in (True, False)
    )
    bill = f"As configured: {format_usd(providers + own)} USD"
    if own:
        bill += f", {format_usd(providers)} of it to providers and the rest for models of one's own"
    return "\n".join([align_markdown(head, lines, "llrrrrrrrr"), f"{bill}.\n", *warnings])


def table_loading(rows, name):
    """Jobs that load a model, by the wildcard `name`, of students by the stage too."""
    groups = defaultdict(list)
    for row in rows:
        stage = row["rule"].partition("_")[0]
        groups[row["wildcards"][name], stage != "train", stage].append(row)
    lines = []
    for (value, _, stage), due in sorted(groups.items()):
        tokens = show_count(add_up(due, "trained_tokens", *QUANTITIES[1:]))
        source = Counter(row["source"] for row in due).most_common(1)[0][0]
        hours = show_hours(add_up(due, "gpu_hours"))
        key = (value, stage) if name == "student" else (value,)
        lines.append((*key, f"{len(due):,}", tokens, hours, source))
    head = (name, "stage") if name == "student" else (name,)
    return align_markdown(
        (*head, "jobs", "tokens", "GPU h", "from"), lines, f"{'l' * len(head)}rrrl"
    )


def add_up(rows, *keys):
    """The sum of columns; "unknown" where a part of it is, None where there is nothing to add."""
    values = [row[key] for row in rows for key in keys if row.get(key) is not None]
    return UNKNOWN if UNKNOWN in values else sum(values) if values else None


def show_count(number) -> str:
    """A count, to three digits where it is large."""
    if number is None or number == UNKNOWN:
        return number or ""
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{round(number):,}"


def show_hours(hours) -> str:
    """GPU hours; empty where there is nothing for a GPU."""
    return hours or "" if hours in (None, UNKNOWN) else f"{hours:,.1f}"
