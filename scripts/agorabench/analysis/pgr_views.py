"""The PGR table for readers, shaped like Table 2 of arXiv 2412.03679.

A table is a student, a prompt and a size, with a column for each method and domain.
"""

from agorabench.analysis.pgr_table import GAINS, join_words, list_views
from agorabench.paths import parse_model
from agorabench.report.table import Cell, Column, Table, format_interval, format_number
from agorabench.stats.pgr import MEAN, NO_REFERENCE, UNBOUNDED

AVERAGE = "average"


def build_tables(rows, scores, params, best):
    """Tables of all views and seeds; the mean over seeds is the result, the seeds follow it.

    `rows`: of the PGR table; `scores`: benchmark -> {model: Scores}, for protocols and judges;
    `params`: what decides the table (config/result_stages.py); `best`: block -> generators that
    cannot be told from its best (comparisons.best_sets).
    """
    rows = [row for row in rows if row["benchmark"] not in params["apart"]]
    tables = []
    for view in list_views(rows):
        for seed in [MEAN, *view.seeds] if len(view.seeds) > 1 else view.seeds:
            cells = {
                name: [view.cells.get((name, *key, seed)) for key in _view_columns(view)]
                for name in view.generators
            }
            if cells := {name: own for name, own in cells.items() if any(own)}:
                caption = _caption(view, rows, scores, params)
                titles = params.get("titles", {}), params.get("domain_titles", {})
                tables.append(_build_table(view, seed, rows, cells, caption, best, *titles))
    return tables


def _view_columns(view, titles=()):
    """(method, domain) -> Column; an average over one thing would only repeat it.

    `titles`: domains -> what they are called in full.
    """
    words = {MEAN: AVERAGE} | {domain: domain for domain in view.domains} | dict(titles)
    columns = {}
    for method in view.methods:
        for domain in [*view.domains, MEAN] if len(view.domains) > 1 else view.domains:
            columns[method, domain] = Column(f"{method} {domain}", words[domain], 1, method)
    if len(view.methods) > 1:
        key = MEAN, MEAN if len(view.domains) > 1 else view.domains[0]
        group = "" if key[1] == MEAN else AVERAGE
        columns[key] = Column(" ".join(key), words[key[1]], 1, group)
    return columns


def _build_table(view, seed, rows, cells, caption, best, methods, domains):
    """`cells`: generator -> rows of the PGR table or None, in the order of the columns."""
    columns, block = _view_columns(view, domains), (view.student, view.prompt, view.size, seed)
    marked = [best.get((*block, *place), ()) for place in columns]
    title = view.title(seed)
    return Table(
        f"pgr-{view.student}-{view.prompt}-n{view.size}-seed{seed}",
        title[:1].upper() + title[1:],
        caption,
        (Column("generator", "generator"), *columns.values()),
        [
            {"generator": name}
            | {
                column.key: _format_cell(row, name in leading)
                for column, row, leading in zip(columns.values(), own, marked, strict=True)
            }
            for name, own in cells.items()
        ],
        _notes(view, seed, rows, cells),
        tuple(methods.items()),
    )


def _format_cell(row, best):
    if row is None:
        return Cell()
    if row["flag"] == NO_REFERENCE:
        gain, *ends = (row[name] for name in GAINS)
        return Cell(f"{gain:+.1f}", format_interval(*ends, 1), best)
    if row["pgr"] is None:
        return Cell("n/a", flagged=bool(row["flag"]))
    text = format_number(row["pgr"], 1)
    interval = format_interval(row["pgr_low"], row["pgr_high"], 1)
    return Cell(text, interval, best, bool(row["flag"]))


def _caption(view, rows, scores, params):
    domains = {row["benchmark"]: row["domain"] for row in rows if row["benchmark"] != MEAN}
    facts = []
    for domain in view.domains:
        names = []
        for name in (name for name in domains if domains[name] == domain):
            first = next(iter(scores[name].values()))
            judge = f"judge {first.judge}" if first.judge else "no judge"
            names.append(f"{name} (n = {len(first.ids):,}, protocol {first.protocol}, {judge})")
        facts.append(f"{domain}: {join_words(names)}")
    none = all(row["flag"] == NO_REFERENCE for row in view.cells.values())
    what = "Points above the base (there is no reference, so no PGR)" if none else "PGR in percent"
    together = "student and base" if none else "student, base and reference"
    trained = params.get("references", {}).get(view.student, {})
    made = {parse_model(model).cell for model in trained.values() if model}
    said = "".join(
        f" In {cell.domain} the reference (100 %) is the student trained on {cell.size:,} pairs of "
        f"{cell.generator}."
        for cell in sorted(made, key=str)
    )
    return (
        f"{what} and its 95 % interval. Benchmarks: {'; '.join(facts)}. A domain is the "
        "mean of its benchmarks, an average the mean of its cells. Intervals: bootstrap over "
        f"benchmark items, {params['bootstrap']:,} draws (seed {params['seed']}), {together} "
        f"resampled together.{said} Bold: not established as worse than the best of its column "
        "(5 %, all pairs adjusted after Holm)."
    ) + (f" {params['related']}" if "related" in params else "")


def _notes(view, seed, rows, cells):
    shown = [row for own in cells.values() for row in own]
    notes = _noise_note(view, rows)
    if any(row and row["flag"] == UNBOUNDED for row in shown):
        what = "too many draws of this average contain a cell without a gap"
        notes.append(f"\u2020 Interval unbounded: {what}.")
    if None in shown:
        notes.append("Empty: not run, or an average over cells that were not all run.")
    spreads = sorted(_seed_spreads(view)) if seed == MEAN else []
    if spreads:
        median, largest = (format_number(x, 1) for x in (spreads[len(spreads) // 2], spreads[-1]))
        apart = f"the seeds of one cell lie {median} points apart (median), at most {largest}"
        notes.append(f"Intervals leave out the spread between seeds: {apart}.")
    return notes


def _noise_note(view, rows):
    """A sentence on the benchmarks whose gap is within noise, in a list."""
    noisy = {
        row["benchmark"]: (row["base_score"], row["reference_score"])
        for row in rows
        if (row["student"], row["size"]) == (view.student, view.size)
        and row["domain"] in view.domains
        and row["benchmark"] != MEAN
        and row["flag"] not in ("", NO_REFERENCE)
    }
    if not noisy:
        return []
    shown = {name: [format_number(score, 1) for score in scores] for name, scores in noisy.items()}
    names = [f"{name} (base {low} %, reference {high} %)" for name, (low, high) in shown.items()]
    return [
        f"\u2020 Gap within noise: {join_words(names)}. The reference is not measurably better "
        "than the base there, so these cells and their averages have no finite interval; n/a: it "
        "is not better at all, and there is no PGR."
    ]


def _seed_spreads(view):
    """Largest difference between the seeds' PGRs of each cell, in points."""
    cells = {}
    for (*key, seed), row in view.cells.items():
        if MEAN not in (*key, seed) and row["pgr"] is not None:
            cells.setdefault(tuple(key), []).append(row["pgr"])
    return [max(values) - min(values) for values in cells.values() if len(values) > 1]
