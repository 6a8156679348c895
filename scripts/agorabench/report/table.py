"""Tables: one form for readers, rendered as Markdown, LaTeX and HTML, and CSV for programs."""

import csv
import html
import io
import math
import re
from dataclasses import dataclass
from itertools import groupby

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\u2020": r"$^\dagger$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
WIDE = 7  # columns; a LaTeX table with more is scaled to the page
STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:0;color:#222}"
    "main{max-width:90rem;margin:auto;padding:1rem}div{overflow-x:auto}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "th,td{padding:.3rem .6rem;text-align:right;white-space:nowrap}"
    ".w{text-align:left;font-weight:normal}thead .w{font-weight:bold}"
    "thead tr:last-child th{border-bottom:1px solid #888}thead th[colspan]{text-align:center}"
    "tbody tr:nth-child(even){background:#f6f6f6}small{display:block;color:#666}"
    "p{max-width:75ch;color:#555}"
)


@dataclass(frozen=True)
class Cell:
    """What stands in a cell: a number or words, its interval, and whether it is the best of its
    column or has a note that a dagger leads to."""

    text: str = ""
    interval: str = ""
    best: bool = False
    flagged: bool = False


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: of the rows; two keys are the ends of an interval.
        title: what readers see, with its unit.
        decimals: of its numbers; "p" for p values, "digits" for four significant digits; None for
            words, which stand at the left. Text in a column of numbers stands as it is.
        group: a title that several columns share.
    """

    key: str | tuple[str, str]
    title: str
    decimals: int | str | None = None
    group: str = ""

    def cell(self, row: dict) -> Cell:
        """The Cell of a row."""
        if isinstance(self.key, tuple):
            return Cell(format_interval(*map(row.get, self.key), self.decimals))
        entry = row.get(self.key)
        return entry if isinstance(entry, Cell) else Cell(format_entry(entry, self.decimals))

    @property
    def heading(self):
        """Group and title as one."""
        return f"{self.group}: {self.title}".strip(": ")


def list_columns(**decimals) -> tuple[Column, ...]:
    """Columns titled by their keys, from key=decimals."""
    return tuple(Column(key, key, digits) for key, digits in decimals.items())


@dataclass(frozen=True)
class Table:
    """A table for readers: rows of values with a caption, and notes (sentences) below.

    `name` names its place in a document; `groups`: in full, what columns have as `group`.
    """

    name: str
    title: str
    caption: str = ""
    columns: tuple[Column, ...] = ()
    rows: tuple[dict, ...] = ()
    notes: tuple[str, ...] = ()
    groups: tuple[tuple[str, str], ...] = ()

    @property
    def sides(self):
        """Of each column "l" for words, "r" for numbers."""
        return "".join("l" if column.decimals is None else "r" for column in self.columns)

    def cells(self):
        """[rows][columns] Cell."""
        return [[column.cell(row) for column in self.columns] for row in self.rows]

    def column_groups(self):
        """[(group in full, number of columns)] from left to right; empty without groups."""
        spans, full = groupby(column.group for column in self.columns), dict(self.groups)
        groups = [(full.get(name, name), len(list(own))) for name, own in spans]
        return groups if any(name for name, _ in groups) else []

    def to_markdown(self) -> str:
        """A section of a Markdown document."""
        parts = [f"## {escape_markdown(self.title)}\n", f"{escape_markdown(self.caption)}\n"]
        if self.rows:
            heads = [escape_markdown(column.heading) for column in self.columns]
            lines = [list(map(_markdown_cell, cells)) for cells in self.cells()]
            parts.append(align_markdown(heads, lines, self.sides))
        return "\n".join([*parts, *(f"{escape_markdown(note)}\n" for note in self.notes)])

    def to_latex(self) -> str:
        """A float across the page; it needs booktabs and graphicx. Comments, without rows."""
        if not self.rows:
            return "".join(f"% {line}\n" for line in [self.title, self.caption, *self.notes])
        wide = len(self.columns) > WIDE
        heads = [escape_latex(column.title) for column in self.columns]
        lines = [
            r"\begin{table*}[t]",
            r"\centering",
            f"\\caption{{{escape_latex(self.title)}. {escape_latex(self.caption)}}}",
            f"\\label{{tab:{self.name}}}",
            r"\footnotesize",
            *([r"\resizebox{\textwidth}{!}{%"] if wide else []),
            f"\\begin{{tabular}}{{{self.sides}}}",
            r"\toprule",
            *_latex_groups(self.column_groups()),
            " & ".join(heads) + r" \\",
            r"\midrule",
            *(" & ".join(map(_latex_cell, cells, self.columns)) + r" \\" for cells in self.cells()),
            r"\bottomrule",
            r"\end{tabular}" + ("}" if wide else ""),
        ]
        note = "\\par\\vspace{{2pt}}\\parbox{{\\textwidth}}{{\\scriptsize {}}}"
        lines += [note.format(escape_latex(text)) for text in self.notes]
        return "\n".join([*lines, r"\end{table*}", ""])

    def to_html(self, level: int = 2) -> str:
        """A section of a page, everything escaped; it scrolls sideways where a screen is narrow."""
        parts = [f"<h{level} id='{html.escape(self.name)}'>{html.escape(self.title)}</h{level}>"]
        parts.append(f"<p>{html.escape(self.caption)}</p>")
        if self.rows:
            heads = [
                f"<th scope='col'{_html_side(column)}>{html.escape(column.title)}</th>"
                for column in self.columns
            ]
            group = "<th scope='colgroup' colspan='{}'>{}</th>".format
            groups = [
                group(n, html.escape(name)) if name else "<th></th>" * n
                for name, n in self.column_groups()
            ]
            above = f"<tr>{''.join(groups)}</tr>\n" if groups else ""
            rows = [
                f"<tr>{''.join(map(_html_cell, cells, self.columns))}</tr>"
                for cells in self.cells()
            ]
            parts.append(f"<div><table><thead>\n{above}<tr>{''.join(heads)}</tr></thead><tbody>")
            parts += [*rows, "</tbody></table></div>"]
        parts += [f"<p>{html.escape(note)}</p>" for note in self.notes]
        return "\n".join(parts) + "\n"


def render_documents(title: str, tables: list[Table]) -> dict[str, str]:
    """Ending -> tables as one document: Markdown, LaTeX (to be included), a page."""
    latex = "\n".join(table.to_latex() for table in tables)
    return {
        "md": "\n".join(table.to_markdown() for table in tables),
        "tex": f"% Needs \\usepackage{{booktabs,graphicx}}\n{latex}",
        "html": html_page(title, [table.to_html() for table in tables]),
    }


def html_page(title, parts, style=""):
    """A page of its own that loads nothing, readable on a phone; `parts` are HTML."""
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{STYLE}{style}</style></head>\n"
        "<body><main>\n" + "\n".join(parts) + "</main></body></html>\n"
    )


def align_markdown(head, lines, sides=None):
    """A Markdown table whose columns are aligned as plain text too ("l" or "r" for each)."""
    sides = sides or "l" * len(head)
    lines = [[str(cell) for cell in line] for line in [head, *lines]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * (width - 1) for width in widths]
    lines.insert(1, [dashes + "-:"[side == "r"] for dashes, side in zip(rule, sides, strict=True)])
    pads = [str.rjust if side == "r" else str.ljust for side in sides]
    return "".join(
        f"| {' | '.join(pad(*cell) for pad, *cell in zip(pads, line, widths, strict=True))} |\n"
        for line in lines
    )


# ---- Cells


def _markdown_cell(cell):
    text = escape_markdown(cell.text)
    text = (f"**{text}**" if cell.best else text) + ("\u2020" if cell.flagged else "")
    return f"{text} {cell.interval}".rstrip()


def _latex_cell(cell, column):
    text, interval = escape_latex(cell.text), cell.interval
    if column.decimals is not None:
        text, interval = (part.replace("-", r"\textminus{}") for part in (text, interval))
    text = (f"\\textbf{{{text}}}" if cell.best else text) + (r"$^\dagger$" if cell.flagged else "")
    if not interval:
        return text
    # A table in the cell: unlike \shortstack it stays centred on the generator's line.
    lines = f"{text}\\\\[-3pt]{{\\tiny {interval}}}"
    return f"\\begin{{tabular}}{{@{{}}c@{{}}}}{lines}\\end{{tabular}}"


def _latex_groups(groups):
    if not groups:
        return []
    heads, rules, start = [], [], 1
    for name, n in groups:
        heads.append(f"\\multicolumn{{{n}}}{{c}}{{{escape_latex(name)}}}")
        if name:
            rules.append(f"\\cmidrule(lr){{{start}-{start + n - 1}}}")
        start += n
    return [" & ".join(heads) + r" \\", " ".join(rules)]


def _html_cell(cell, column):
    text = html.escape(cell.text)
    text = (f"<b>{text}</b>" if cell.best else text) + ("\u2020" if cell.flagged else "")
    interval = f"<small>{html.escape(cell.interval)}</small>" if cell.interval else ""
    return f"<td{_html_side(column)}>{text}{interval}</td>"


def _html_side(column):
    return " class='w'" if column.decimals is None else ""


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"[\\`*_|<]", r"\\\g<0>", text)


def escape_latex(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return "".join(LATEX.get(character, character) for character in text)


# ---- Numbers


def format_entry(entry, decimals):
    """A value of a row as text; nothing for None and NaN."""
    if entry is None or entry != entry:
        return ""
    if decimals is None or isinstance(entry, str):
        return str(entry)
    if decimals == "p":
        return format_p(entry)
    return f"{entry:.4g}" if decimals == "digits" else format_number(entry, decimals)


def format_number(number: float | None, decimals: int) -> str:
    """A number as text, zero without a sign; nothing for None and NaN."""
    if number is None or number != number:
        return ""
    text = f"{number:.{decimals}f}"
    return text.lstrip("-") if not text.strip("-0.") else text


def format_p(p: float) -> str:
    """A p value as text."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def format_p_equation(p: float) -> str:
    """What stands behind "p " in a sentence."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def format_interval(low, high, decimals):
    """An interval as text; nothing for one without ends."""
    if low is None or low != low:
        return ""
    return f"[{format_number(low, decimals)}, {format_number(high, decimals)}]"


# ---- CSV


def to_csv(rows, columns, form=str):
    """Rows (dicts) as CSV text: `form` of each finite float, nothing for None and missing values.

    Raises ValueError for NaN and infinity: what has no value needs a reason in words.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _csv_entry(entry, form) for name, entry in row.items()})
    return file.getvalue()


def _csv_entry(entry, form):
    if isinstance(entry, float) and not math.isfinite(entry):
        raise ValueError(f"not a number for a table: {entry}")
    return form(entry) if isinstance(entry, float) else entry


def six_digits(number: float) -> str:
    """A number as the analyses' tables have it."""
    return f"{number:.6g}"
