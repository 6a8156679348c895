r"""Turn the scores of bases, references and students into the PGR table and its views.

The table (CSV) has one row per run and benchmark, and rows called "mean" for domains and averages;
the views (Markdown, LaTeX) are shaped like Table 2 of arXiv 2412.03679. agorabench/pgr.py says what
the numbers and their intervals are.

    python scripts/tally.py --runs runs.json --benchmarks '{"mini-sums": "math"}' \
        --scores results/scores --bootstrap 2000 --seed 1 --output results/pgr_table.csv \
        --markdown results/tables/pgr.md --latex results/tables/pgr.tex

`--runs` is a JSON list of {"student", "domain", "method", "generator", "prompt", "size", "seed"};
`--matrix` gives the same runs as a config does, by its "experiments" and "generators".
`--benchmarks` is a JSON object from benchmark to domain. Each is a file or the JSON itself.
"""

import argparse
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

from agorabench import grid, jsonl
from agorabench.errors import UserError, run
from agorabench.pgr import MEAN, METHODS, UNBOUNDED, Scores, needed, table, to_csv, views

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
    parser.add_argument("--scores", required=True, type=Path, help="folder of score files")
    parser.add_argument("--bootstrap", type=int, default=2000, help="draws of the bootstrap")
    parser.add_argument("--seed", type=int, default=1, help="seed of the bootstrap")
    parser.add_argument("--output", required=True, type=Path, help="the table (CSV)")
    parser.add_argument("--markdown", type=Path, help="its view as Markdown")
    parser.add_argument("--latex", type=Path, help="its view as LaTeX")
    args = parser.parse_args(argv)

    if args.bootstrap < 2 or args.seed < 0:
        raise UserError("--bootstrap needs at least 2 draws and --seed a number from 0 on")
    if args.matrix:
        runs = grid.runs(given(args.matrix, "--matrix"))
    else:
        runs = parse_runs(given(args.runs, "--runs"))
    benchmarks = parse_benchmarks(given(args.benchmarks, "--benchmarks"))
    scores = {
        benchmark: {model: read_scores(args.scores, model, benchmark) for model in models}
        for benchmark, models in needed(runs, benchmarks).items()
    }
    rows = table(runs, benchmarks, scores, args.bootstrap, args.seed)
    outputs = {args.output: to_csv(rows)}
    for path, form in ((args.markdown, Markdown), (args.latex, Latex)):
        if path:
            blocks = [
                block(view, seed, rows, scores, args.bootstrap, args.seed)
                for view in views(rows)
                # The mean over seeds is the result; the seeds follow it.
                for seed in ([MEAN, *view.seeds] if len(view.seeds) > 1 else view.seeds)
            ]
            outputs[path] = form.document([one for one in blocks if one])
    for path, text in outputs.items():
        with jsonl.whole(path) as file:
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
    names = [field.name for field in fields(grid.Run)]
    if not isinstance(value, list) or not value:
        raise UserError("--runs must be a list of at least one run")
    runs = []
    for entry in value:
        if not isinstance(entry, dict) or set(entry) != set(names):
            raise UserError(f"a run has {', '.join(names)}, not more nor less: {entry}")
        if not all(isinstance(entry[name], int) for name in ("size", "seed")):
            raise UserError(f"a run's size and seed are whole numbers: {entry}")
        runs.append(grid.Run(**entry))
    return runs


def parse_benchmarks(value):
    """Benchmark -> domain. Raises UserError where it is anything else."""
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise UserError("--benchmarks must be an object from benchmark to domain")
    return value


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
        claimed, n = float(summary["score"]), summary["n"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{summary_path} is not a score summary: {error!r}") from None
    try:
        items = pyarrow.parquet.read_table(items_path, columns=["id", "score"])
        ids = np.array([str(one) for one in items["id"].to_pylist()])
        values = items["score"].to_numpy().astype(float)
    except (pyarrow.ArrowException, KeyError, ValueError) as error:
        raise UserError(f"{items_path} has no readable id and score: {error}") from None
    if not len(ids):
        raise UserError(f"{items_path} has no items")
    if len(set(ids.tolist())) < len(ids):
        raise UserError(f"{items_path} has item {_repeated(ids)!r} more than once")
    wrong = ~((values >= 0) & (values <= 1))  # true of NaN, too
    if wrong.any():
        item, value = ids[wrong][0], values[wrong][0]
        raise UserError(f"{items_path}: item {item!r} has score {value}, not one from 0 to 1")
    if n != len(ids) or not abs(claimed - 100 * values.mean()) <= TOLERANCE:
        raise UserError(
            f"{summary_path} says {claimed:.2f} % of {n} items, its items say "
            f"{100 * values.mean():.2f} % of {len(ids)}: score {model} on {benchmark} again"
        )
    return Scores(ids, values, protocol, judge)


def _repeated(ids):
    seen = set()
    return next(one for one in ids.tolist() if one in seen or seen.add(one))


# ---- The views: a Block is what both show, a form says how.


@dataclass(frozen=True)
class Block:
    """One table of a view, before it is Markdown or LaTeX.

    `groups`: (method or "average", [column titles]) from left to right; `lines`: (generator,
    cells), each cell (PGR, interval, best?, flagged?) or None where there is no such row; `caption`
    is sentences, `notes` are (about flagged cells?, sentences).
    """

    title: str
    label: str
    groups: list[tuple[str, list[str]]]
    lines: list[tuple[str, list]]
    caption: str
    notes: list[tuple[bool, str]]


def block(view, seed, rows, scores, draws, bootstrap_seed):
    """The Block of one view and seed (a number, or "mean"); None where it has no cell.

    `rows`: the table; `scores`: benchmark -> {model: Scores}, for protocols and judges.
    """
    # An average over one thing would only repeat it.
    domains = [*view.domains, MEAN] if len(view.domains) > 1 else view.domains
    groups = {method: [(method, domain) for domain in domains] for method in view.methods}
    if len(view.methods) > 1:
        groups["average"] = [(MEAN, MEAN if len(view.domains) > 1 else view.domains[0])]
    places = [place for columns in groups.values() for place in columns]
    found = {
        generator: [view.cells.get((generator, *place, seed)) for place in places]
        for generator in view.generators
    }
    found = {name: cells for name, cells in found.items() if any(cells)}
    if not found:
        return None
    best = [_best([cells[i] for cells in found.values()]) for i in range(len(places))]
    lines = [
        (name, [_cell(row, best[i]) for i, row in enumerate(cells)])
        for name, cells in found.items()
    ]
    shown = [row for cells in found.values() for row in cells if row]
    return Block(
        title=_title(view, seed),
        label=f"pgr-{view.student}-{view.prompt}-n{view.size}-seed{seed}",
        groups=[
            (method, ["average" if domain == MEAN else domain for _, domain in columns])
            for method, columns in groups.items()
        ],
        lines=lines,
        caption=_caption(view, seed, rows, scores, draws, bootstrap_seed),
        notes=_notes(view, seed, rows, shown, any(None in cells for cells in found.values())),
    )


def _best(cells):
    """The highest PGR of a column as shown; None where nothing competes."""
    shown = [round(row["pgr"], 1) for row in cells if row and row["pgr"] is not None]
    return max(shown) if len(shown) > 1 else None


def _cell(row, best):
    if row is None:
        return None
    flagged = bool(row["flag"])
    if row["pgr"] is None:
        return "n/a", "", False, flagged
    interval = ""
    if row["pgr_low"] is not None:
        interval = f"[{_one(row['pgr_low'])}, {_one(row['pgr_high'])}]"
    return _one(row["pgr"]), interval, round(row["pgr"], 1) == best, flagged


def _one(value):
    text = f"{value:.1f}"
    return "0.0" if text == "-0.0" else text


def _caption(view, seed, rows, scores, draws, bootstrap_seed):
    domains = {row["benchmark"]: row["domain"] for row in rows if row["benchmark"] != MEAN}
    facts = []
    for domain in view.domains:
        names = []
        for name in (name for name in domains if domains[name] == domain):
            one = next(iter(scores[name].values()))
            judge = f"judge {one.judge}" if one.judge else "no judge"
            names.append(f"{name} (n = {len(one.ids):,}, protocol {one.protocol}, {judge})")
        facts.append(f"{domain}: {_list(names)}")
    return (
        f"PGR in percent and its 95 % interval. {_title(view, seed)}. "
        f"Benchmarks: {'; '.join(facts)}. A domain is the "
        "mean of its benchmarks, an average the mean of its cells. Intervals: bootstrap over "
        f"benchmark items, {draws:,} draws (seed {bootstrap_seed}), student, base and reference "
        "resampled together. Bold: best of a column."
    )


def _title(view, seed):
    seeds = f"mean of seeds {_list(view.seeds)}" if seed == MEAN else f"seed {seed}"
    pairs = f"{view.size:,} pairs per cell"
    return f"Student {view.student}, prompt {view.prompt}, {pairs}, {seeds}"


def _notes(view, seed, rows, shown, gaps):
    notes = []
    noisy = {
        row["benchmark"]: row
        for row in rows
        if (row["student"], row["size"]) == (view.student, view.size)
        and row["domain"] in view.domains
        and row["benchmark"] != MEAN
        and row["flag"]
    }
    if noisy:
        names = [
            f"{name} (base {_one(row['base_score'])} %, reference {_one(row['reference_score'])} %)"
            for name, row in noisy.items()
        ]
        sentence = (
            f"Gap within noise: {_list(names)}. The reference is not measurably better than the "
            "base there, so that these cells and their averages have no finite interval; n/a: it "
            "is not better at all, and there is no PGR."
        )
        notes.append((True, sentence))
    if any(row["flag"] == UNBOUNDED for row in shown):
        sentence = "Interval unbounded: too many draws of this average hold a cell without a gap."
        notes.append((True, sentence))
    if gaps:
        notes.append((False, "Empty: not run, or an average over cells that were not all run."))
    spreads = sorted(_spreads(view)) if seed == MEAN else []
    if spreads:
        middle, most = _one(spreads[len(spreads) // 2]), _one(spreads[-1])
        sentence = (
            "Intervals leave out the spread between seeds: the seeds of one cell lie "
            f"{middle} points apart (median), at most {most}."
        )
        notes.append((False, sentence))
    return notes


def _spreads(view):
    """Largest difference between the seeds' PGRs of each cell, in points."""
    found = {}
    for (generator, method, domain, seed), row in view.cells.items():
        if MEAN not in (method, domain, seed) and row["pgr"] is not None:
            found.setdefault((generator, method, domain), []).append(row["pgr"])
    return [max(values) - min(values) for values in found.values() if len(values) > 1]


def _list(names):
    *most, last = [str(name) for name in names]
    return f"{', '.join(most)} and {last}" if most else last


class Markdown:
    """Blocks as GitHub's tables, which have one header line: each column names its group."""

    @classmethod
    def document(cls, blocks):
        return "\n".join(cls.table(one) for one in blocks)

    @classmethod
    def table(cls, one):
        heads = [
            method if method == column else f"{method}: {column}"
            for method, columns in one.groups
            for column in columns
        ]
        grid = [["generator", *heads]]
        grid += [[cls.escape(name), *map(cls.cell, cells)] for name, cells in one.lines]
        widths = [max(len(line[i]) for line in grid) for i in range(len(grid[0]))]
        grid.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
        lines = [f"## {cls.escape(one.title)}", "", cls.escape(one.caption), ""]
        for first, *others in grid:
            padded = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
            lines.append(f"| {' | '.join([first.ljust(widths[0]), *padded])} |")
        for flagged, note in one.notes:
            lines += ["", cls.escape(f"\u2020 {note}" if flagged else note)]
        return "\n".join(lines) + "\n"

    @staticmethod
    def cell(cell):
        if cell is None:
            return ""
        value, interval, best, flagged = cell
        text = (f"**{value}**" if best else value) + ("\u2020" if flagged else "")
        return f"{text} {interval}".rstrip()

    @staticmethod
    def escape(text):
        return re.sub(r"[\\`*_|<]", r"\\\g<0>", text)


class Latex:
    """Blocks as floats across the page; the document needs booktabs and graphicx."""

    SPECIAL: ClassVar = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        **{character: f"\\{character}" for character in "&%$#_{}"},
    }

    @classmethod
    def document(cls, blocks):
        return "% Needs \\usepackage{booktabs,graphicx}\n" + "\n".join(map(cls.table, blocks))

    @classmethod
    def table(cls, one):
        groups, rules, start = [], [], 2
        for method, columns in one.groups:
            stop = start + len(columns) - 1
            title = cls.escape(METHODS.get(method, method))
            groups.append(f"\\multicolumn{{{len(columns)}}}{{c}}{{{title}}}")
            rules.append(f"\\cmidrule(lr){{{start}-{stop}}}")
            start = stop + 1
        columns = [
            "" if column == method else cls.escape(column)
            for method, columns in one.groups
            for column in columns
        ]
        rows = [" & ".join([cls.escape(name), *map(cls.cell, cells)]) for name, cells in one.lines]
        # Three methods and their averages are wider than a page at any legible size: scale them.
        wide = len(columns) > 8
        lines = [
            r"\begin{table*}[t]",
            r"\centering",
            f"\\caption{{{cls.escape(one.caption)}}}",
            f"\\label{{tab:{one.label}}}",
            r"\footnotesize",
            r"\setlength{\tabcolsep}{3pt}",
            *([r"\resizebox{\textwidth}{!}{%"] if wide else []),
            f"\\begin{{tabular}}{{l{'c' * len(columns)}}}",
            r"\toprule",
            f" & {' & '.join(groups)} \\\\",
            " ".join(rules),
            f"generator & {' & '.join(columns)} \\\\",
            r"\midrule",
            *(f"{row} \\\\[2pt]" for row in rows),
            r"\bottomrule",
            r"\end{tabular}" + ("}" if wide else ""),
        ]
        for flagged, note in one.notes:
            text = (r"$^\dagger$ " if flagged else "") + cls.escape(note)
            lines.append(f"\\par\\vspace{{2pt}}\\parbox{{\\textwidth}}{{\\scriptsize {text}}}")
        return "\n".join([*lines, r"\end{table*}", ""])

    @classmethod
    def cell(cls, cell):
        if cell is None:
            return ""
        value, interval, best, flagged = cell
        value = value.replace("-", r"\textminus{}")
        text = (f"\\textbf{{{value}}}" if best else value) + (r"$^\dagger$" if flagged else "")
        if not interval:
            return text
        interval = interval.replace("-", r"\textminus{}")
        # A table in the cell: unlike \shortstack it stays centred on the generator's line.
        lines = f"{text}\\\\[-3pt]{{\\tiny {interval}}}"
        return f"\\begin{{tabular}}{{@{{}}c@{{}}}}{lines}\\end{{tabular}}"

    @classmethod
    def escape(cls, text):
        return "".join(cls.SPECIAL.get(character, character) for character in text)


if __name__ == "__main__":
    run(main)
