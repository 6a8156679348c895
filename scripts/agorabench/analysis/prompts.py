"""What the meta-prompt does to PGR: differences over the cells that two prompts have."""

import itertools
from collections import defaultdict
from dataclasses import replace

import numpy as np

from agorabench.analysis.pgr_table import average_seeds
from agorabench.analysis.study import has_sound_pgr, mixture_notes
from agorabench.matrix import NO_PROMPT
from agorabench.report.table import Column, Table, format_interval, format_p_equation, list_columns
from agorabench.stats.pgr import MEAN

COLUMNS = ("student", "size", "prompt", "other", "n", "difference", "low", "high", "p", "reason")
TABLE = Table(
    "prompts",
    "PGR by meta-prompt",
    "In percent. Differences are means over cells that both prompts have, with intervals and p of "
    "the paired t test for independent cells. After Table 5 of the paper.",
    list_columns(student=None, pairs=None, generator=None, method=None, prompt=None),
)


def rows(study) -> list[dict]:
    """A row for each pair of prompts; one that says why, where there is none."""
    none = {"reason": "no cells were run with two meta-prompts"}
    return compare_prompts(study.table, study.mixtures) or [none]


def compare_prompts(table, mixtures=()):
    """Rows of COLUMNS: mean difference in PGR between two meta-prompts, over the cells that both
    have, with a 95 % interval and p of the paired t test, which takes the cells for independent
    (Student 1908). So cells of `mixtures`, whose pairs are those of others, are left out.
    """
    groups = defaultdict(lambda: defaultdict(dict))
    for (student, prompt, generator, method, domain, size), row in average_seeds(table).items():
        if MEAN not in (method, domain) and prompt != NO_PROMPT and has_sound_pgr(row):
            cells = groups[student, size][prompt]  # none, where only mixtures have the prompt
            if generator not in mixtures:
                cells[generator, method, domain] = row["pgr"]
    results = []
    for (student, size), prompts in groups.items():
        for prompt, other in itertools.combinations(prompts, 2):
            both = [cell for cell in prompts[prompt] if cell in prompts[other]]
            difference = np.array([prompts[prompt][cell] - prompts[other][cell] for cell in both])
            row = {"student": student, "size": size, "prompt": prompt, "other": other}
            results.append(row | paired_difference(difference))
    return results


def paired_difference(difference):
    """Mean of differences with its interval, or why it has none."""
    from scipy.stats import ttest_1samp

    n = len(difference)
    if not n:
        return {"n": 0, "reason": "no cell has both prompts"}
    row = {"n": n, "difference": float(difference.mean()), "reason": ""}
    if n < 2:
        return row | {"reason": "one cell says nothing about the spread"}
    if np.ptp(difference) == 0:
        return row | {"reason": "the difference is the same in all cells"}
    test = ttest_1samp(difference, 0)
    low, high = test.confidence_interval(0.95)
    return row | {"low": float(low), "high": float(high), "p": float(test.pvalue)}


def tables(study) -> list[Table]:
    """Table 5: a line for each generator, method and prompt, a column for each domain."""
    averaged = average_seeds(study.table)
    prompts = list(dict.fromkeys(key[1] for key in averaged if key[1] != NO_PROMPT))
    if len(prompts) < 2:
        return [replace(TABLE, caption=_single_prompt(prompts), columns=())]
    domains = list(dict.fromkeys(key[4] for key in averaged))
    columns = [Column(name, "average" if name == MEAN else name, 1) for name in domains]
    notes = [_difference_words(row) for row in compare_prompts(study.table, study.mixtures)]
    generators = {key[2] for key in averaged}
    mixtures = [name for name in study.mixtures if name in generators]
    notes += mixture_notes(mixtures, " of the differences")
    lines, columns = _prompt_lines(study, averaged, prompts, domains), (*TABLE.columns, *columns)
    return [replace(TABLE, columns=columns, rows=lines, notes=notes)]


def _single_prompt(prompts):
    if not prompts:
        return "The matrix has no meta-prompt: it has datasets only."
    return f"The matrix has one meta-prompt, {prompts[0]}: for Table 5 give an experiment two."


def _prompt_lines(study, averaged, prompts, domains):
    wide = defaultdict(dict)  # (student, size, generator, method) -> (prompt, domain): row
    for (student, prompt, generator, method, domain, size), row in averaged.items():
        if prompt != NO_PROMPT and method != MEAN:
            wide[student, size, generator, method][prompt, domain] = row
    lines = []
    for (student, size, generator, method), cells in wide.items():
        own = [prompt for prompt in prompts if any(key[0] == prompt for key in cells)]
        # An average over other domains than another prompt's would be compared with it.
        overs = {row["over"] for (_, domain), row in cells.items() if domain == MEAN}
        for prompt in own if len(own) > 1 else []:
            line = {"student": student, "pairs": f"{size:,}", "generator": generator}
            line |= {"method": study.title(method), "prompt": prompt}
            for domain in domains:
                row = None if domain == MEAN and len(overs) > 1 else cells.get((prompt, domain))
                line[domain] = row and row["pgr"]
            lines.append(line)
    return lines


def _difference_words(row):
    words = f"{row['prompt']} minus {row['other']} ({row['student']}, {row['size']:,} pairs)"
    if "difference" not in row:
        return f"{words}: {row['reason']}."
    spread = row["reason"]
    if not spread:
        interval = format_interval(row["low"], row["high"], 2)
        spread = f"95 % interval {interval}, p {format_p_equation(row['p'])}"
    return f"{words}: {row['difference']:+.2f} points over {row['n']} cells; {spread}."
