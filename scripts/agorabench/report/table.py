"""Tables of the analyses in Markdown, LaTeX and HTML, with a caption and notes in words."""

from dataclasses import dataclass, field

from agorabench.report import markdown, views


@dataclass(frozen=True)
class Sheet:
    """One table. `head`: column titles; `lines`: cells as text; `words`: columns at the left that
    hold words, all others hold numbers; `notes`: sentences below."""

    name: str
    title: str
    caption: str
    head: list[str] = field(default_factory=list)
    lines: list[list[str]] = field(default_factory=list)
    words: int = 1
    notes: list[str] = field(default_factory=list)

    def sides(self):
        return "l" * self.words + "r" * (len(self.head) - self.words)


def to_markdown(sheets):
    return "\n".join(map(_markdown, sheets))


def _markdown(one):
    escape = views.Markdown.escape
    parts = [f"## {escape(one.title)}\n", f"{escape(one.caption)}\n"]
    if one.lines:
        lines = [[escape(cell) for cell in line] for line in one.lines]
        parts.append(markdown.table([escape(cell) for cell in one.head], lines, one.sides()))
    parts += [f"{escape(note)}\n" for note in one.notes]
    return "\n".join(parts)


def to_latex(sheets):
    return "% Needs \\usepackage{booktabs,graphicx}\n" + "\n".join(map(_latex, sheets))


def _latex(one):
    escape = views.Latex.escape

    def row(cells):
        cells = [escape(cell) for cell in cells]
        numbers = [cell.replace("-", r"\textminus{}") for cell in cells[one.words :]]
        return " & ".join([*cells[: one.words], *numbers]) + r" \\"

    if not one.lines:  # no float without a table
        return "".join(f"% {line}\n" for line in [one.title, one.caption, *one.notes])
    # More columns than a page has room for are scaled to it.
    wide = len(one.head) > 7
    lines = [
        r"\begin{table*}[t]",
        r"\centering",
        f"\\caption{{{escape(one.title)}. {escape(one.caption)}}}",
        f"\\label{{tab:{one.name}}}",
        r"\footnotesize",
        *([r"\resizebox{\textwidth}{!}{%"] if wide else []),
        f"\\begin{{tabular}}{{{one.sides()}}}",
        r"\toprule",
        " & ".join(map(escape, one.head)) + r" \\",
        r"\midrule",
        *map(row, one.lines),
        r"\bottomrule",
        r"\end{tabular}" + ("}" if wide else ""),
        *(
            f"\\par\\vspace{{2pt}}\\parbox{{\\textwidth}}{{\\scriptsize {escape(note)}}}"
            for note in one.notes
        ),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def to_html(one, level=2):
    """One table as HTML, everything escaped; it scrolls sideways where a screen is narrow."""
    escape = views.Html.escape

    def cells(line, tag):
        sides = ["w" if i < one.words else "n" for i in range(len(line))]
        return "".join(
            f"<{tag} class='{side}'>{escape(cell)}</{tag}>"
            for cell, side in zip(line, sides, strict=True)
        )

    parts = [f"<h{level} id='{escape(one.name)}'>{escape(one.title)}</h{level}>"]
    parts.append(f"<p>{escape(one.caption)}</p>")
    if one.lines:
        rows = "\n".join(f"<tr>{cells(line, 'td')}</tr>" for line in one.lines)
        parts.append(f"<div><table><thead><tr>{cells(one.head, 'th')}</tr></thead>")
        parts.append(f"<tbody>\n{rows}\n</tbody></table></div>")
    parts += [f"<p>{escape(note)}</p>" for note in one.notes]
    return "\n".join(parts) + "\n"


STYLE = (
    views.Html.STYLE + "body{margin:0}main{max-width:60rem;margin:auto;padding:1rem}"
    "td.w,th.w{text-align:left}td.n,th.n{text-align:right}"
    "tbody tr:nth-child(even){background:#f6f6f6}"
)


def page(title, parts, style=""):
    """A page of its own that loads nothing, readable on a phone; `parts` are HTML."""
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{views.Html.escape(title)}</title><style>{STYLE}{style}</style></head>\n"
        "<body><main>\n" + "\n".join(parts) + "</main></body></html>\n"
    )


def to_page(sheets):
    """Tables as a page."""
    return page("Analyses", map(to_html, sheets))


def value(number, digits):
    """A number as text, nothing where there is none."""
    if number is None or number != number:
        return ""
    text = f"{number:.{digits}f}"
    return text.lstrip("-") if not text.strip("-0.") else text


def p_value(p):
    """A p value as text."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def equation(p):
    """What stands behind "p " in a sentence."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def interval(found, digits):
    """An Interval as text; n/a where it has none."""
    if found.reason or found.low is None:
        return "n/a"
    return f"[{found.low:.{digits}f}, {found.high:.{digits}f}]"
