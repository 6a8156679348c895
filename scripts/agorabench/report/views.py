"""The PGR table as people read it, shaped like Table 2 of arXiv 2412.03679: Markdown, LaTeX, HTML.

A `Block` is one table: a student, a prompt and a size, with a column for each method and domain.
"""

import html
import re
from dataclasses import dataclass
from typing import ClassVar

from agorabench.stats.pgr import MEAN, METHODS, UNBOUNDED


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


class Html:
    """Blocks as one page of plain HTML, for the report."""

    STYLE = (
        "body{font:14px/1.5 system-ui,sans-serif;margin:1.5rem;color:#222}"
        "div{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0}"
        "th,td{padding:.3rem .6rem;text-align:right;white-space:nowrap}"
        "th:first-child{text-align:left}thead tr:last-child th{border-bottom:1px solid #888}"
        "thead th[colspan]{text-align:center}small{display:block;color:#666}"
        "p{max-width:75ch;color:#555}"
    )

    @classmethod
    def document(cls, blocks):
        head = f"<meta charset='utf-8'><title>PGR</title><style>{cls.STYLE}</style>"
        tables = "\n".join(map(cls.table, blocks))
        body = f"<head>{head}</head><body>\n{tables}</body>"
        return f"<!doctype html>\n<html lang='en'>{body}</html>\n"

    @classmethod
    def table(cls, one):
        groups, heads = ["<th></th>"], ["<th scope='col'>generator</th>"]
        for method, columns in one.groups:
            title = cls.escape(METHODS.get(method, method))
            groups.append(f"<th scope='colgroup' colspan='{len(columns)}'>{title}</th>")
            heads += [
                f"<th scope='col'>{'' if column == method else cls.escape(column)}</th>"
                for column in columns
            ]
        rows = [
            f"<tr><th scope='row'>{cls.escape(name)}</th>{''.join(map(cls.cell, cells))}</tr>"
            for name, cells in one.lines
        ]
        lines = [
            f"<h2>{cls.escape(one.title)}</h2>",
            "<div><table><thead>",
            f"<tr>{''.join(groups)}</tr>",
            f"<tr>{''.join(heads)}</tr>",
            "</thead><tbody>",
            *rows,
            "</tbody></table></div>",
            f"<p>{cls.escape(one.caption)}</p>",
        ]
        for flagged, note in one.notes:
            mark = "\u2020 " if flagged else ""
            lines.append(f"<p>{mark}{cls.escape(note)}</p>")
        return "\n".join(lines) + "\n"

    @staticmethod
    def cell(cell):
        if cell is None:
            return "<td></td>"
        value, interval, best, flagged = cell
        text = (f"<b>{value}</b>" if best else value) + ("\u2020" if flagged else "")
        return f"<td>{text}<small>{interval}</small></td>"

    @staticmethod
    def escape(text):
        return html.escape(text)
