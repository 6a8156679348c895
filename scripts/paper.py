r"""Recompute what the paper prints from the tables that it prints, and show both side by side.

    python scripts/paper.py --tables config/paper --output /tmp/comparison.html

The page is one file that needs nothing else: figures are in it, nothing is fetched.
"""

import argparse
import base64
import io
from pathlib import Path

from agorabench.analysis import published
from agorabench.cli import run_program
from agorabench.files import atomic_file
from agorabench.report import diagrams, figures, views
from agorabench.report.table import Sheet, interval, p_value, to_html, value
from agorabench.report.table import page as html_page
from agorabench.stats.regression import COMPONENTS

WORDS = {
    "agrees": "agrees",
    "rounding": "differs by rounding",
    "differs": "differs",
}
PAPER = "arXiv 2412.03679v2"
ADDRESS = "https://arxiv.org/abs/2412.03679v2"
ROUNDED = (
    "Rounding: the difference can come from the rounding of the printed numbers that "
    "the recomputation starts from."
)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", required=True, type=Path, help="folder of the printed tables")
    parser.add_argument("--bootstrap", type=int, default=2000, help="draws behind the intervals")
    parser.add_argument("--seed", type=int, default=1, help="seed of the bootstrap")
    parser.add_argument("--output", required=True, type=Path, help="the page (HTML)")
    args = parser.parse_args(argv)

    tables = published.read(args.tables)
    analyses = published.analyse(tables, args.bootstrap, args.seed)
    with atomic_file(args.output) as file:
        file.write(page(tables, analyses))


def page(tables, analyses):
    """The page as HTML text."""
    claims, loadings = published.claims(tables), published.loadings(tables, analyses)
    averages = published.averages(tables)
    checks = [*claims, *loadings, *averages]
    number = {kind: sum(one.verdict == kind for one in checks) for kind in WORDS}
    title = "The paper's numbers, recomputed"
    parts = [
        f"<h1>{title}</h1>",
        f"<p><a href='{ADDRESS}'><i>Evaluating Language Models as Synthetic Data Generators</i></a>"
        f", {PAPER} (ACL 2025), asks how good models are at making training data. PGR, the "
        "performance gap recovered, is its measure, in percent: how far a student trained on the "
        "data came from its base (0) to a reference (100). What can be recomputed from its printed "
        f"tables is recomputed here, and shown beside what it prints. Of {len(checks)} numbers, "
        f"{number['agrees']} agree in all printed digits, {number['rounding']} differ by no more "
        f"than rounding explains, {number['differs']} differ by more.</p>",
        disagreements(tables, claims, loadings, averages),
        to_html(compared("claims", "Results of analyses", claims, in_full)),
        to_html(
            compared("averages", "Averages that do not add up", wrongly_averaged(averages), in_full)
        ),
        *drawn(analyses),
        beyond(analyses),
        *printed(tables, averages, loadings),
    ]
    return html_page(title, parts, STYLE)


STYLE = (
    "td.w,th.w{white-space:normal;min-width:7rem}figure{margin:1rem 0}"
    "figure img{width:100%;max-width:30rem;height:auto}figcaption,li{max-width:75ch}"
    "summary{cursor:pointer;font-weight:bold;margin:1rem 0}"
    "@media(max-width:40rem){table{font-size:11px}th,td{padding:.3rem .15rem}"
    "td.w,th.w{min-width:4.5rem}th,td:last-child{white-space:normal}}"
)


def disagreements(tables, claims, loadings, averages):
    """What does not agree, in words."""
    escape = views.Html.escape
    sentences = []
    for one in claims:
        if one.verdict != "agrees":
            sentences.append(
                f"{in_full(one)}: printed {one.printed}, recomputed {shown(one)}; "
                f"{WORDS[one.verdict]}. {one.remark}"
            )
    furthest = max(abs(one.difference) for one in loadings)
    sentences.append(
        "Table 4 does not say which loadings are averaged over how many components. As "
        "correlations of metric and component, averaged over all nine components, they come "
        f"nearest to the printed ones: within {furthest:.3f}, but not equal."
    )
    wrong = wrongly_averaged(averages)
    worse = sum(one.verdict == "differs" for one in wrong)
    sentences.append(
        f"{len(wrong)} of {len(averages)} printed averages and shares do not add up in their last "
        f"digit, {worse} of them by more than rounding explains; they are listed below."
    )
    same, other = published.repeated(tables)
    sentences.append(
        f"Table 5 repeats {same} numbers of Table 2, {other} of them with another value."
    )
    sentences.append(
        "Table 2's cells, Table 7's and Table 8's entries cannot be recomputed: student scores, "
        "completions and generated sets are not printed. Figure 7 has no printed numbers beyond "
        "10,000 pairs."
    )
    items = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<h2 id='disagreements'>Disagreements</h2>\n<ul>\n{items}\n</ul>"


def wrongly_averaged(averages):
    """Those that do not agree, by table."""
    return sorted((one for one in averages if one.verdict != "agrees"), key=lambda one: one.where)


def compared(name, title, checks, words=lambda one: one.quantity):
    """A Sheet of checks: what it is of in `words`, printed, recomputed, difference, verdict."""
    lines = [
        [
            words(one),
            one.printed,
            shown(one),
            signed(one.difference, one.digits + 1),
            one.verdict,
        ]
        for one in checks
    ]
    head = ["number", "printed", "recomputed", "difference", "verdict"]
    return Sheet(name, title, ROUNDED, head, lines)


def signed(number, digits):
    """A difference as text; what rounds to 0 has no sign."""
    return f"{number:+.{digits}f}" if value(number, digits).strip("0.") else value(0, digits)


def in_full(one):
    """What a check is of, and where it is printed."""
    return f"{one.where}: {one.quantity}"


def shown(one):
    """What was recomputed, with a digit more than is printed."""
    return f"{one.recomputed:.{one.digits + 1}f}"


def drawn(analyses):
    """The figures, as HTML."""
    found, averages = analyses.found, analyses.averages
    names = list(averages["generator"])
    with figures.style():
        for figure, caption in (
            (ability(analyses, names), f"PGR by problem solving, after Figure 4 of {PAPER}."),
            (
                diagrams.components(
                    f"from Tables 7 and 8 of {PAPER}",
                    analyses.components,
                    [published.METRICS[name] for name in analyses.components.names],
                    COMPONENTS,
                    [f"n = {len(found)} cells; filled bars: the {COMPONENTS} that PGR is "
                     "regressed on"],
                ),
                f"Principal components of the nine metrics, after Figures 5 and 6 of {PAPER}.",
            ),
            (
                predicted(analyses, names),
                "What the five components say of PGR: fitted to all cells, and of each generator "
                "by a fit to the others.",
            ),
            (
                diagrams.correlations(
                    f"from Tables 2, 7 and 8 of {PAPER}",
                    [
                        (published.METRICS[name], one.r, one.interval.low, one.interval.high)
                        for name, one in analyses.correlations.items()
                    ],
                    [f"n = {len(found)} cells of {len(names)} generators; bars: 95 % intervals, "
                     "generators resampled"],
                ),
                "Correlation of each metric with PGR, which the paper does not print.",
            ),
        ):  # fmt: skip
            image = io.StringIO()
            figure.savefig(image, format="svg", metadata=figures.METADATA[".svg"])
            data = base64.b64encode(image.getvalue().encode()).decode()
            text = views.Html.escape(caption)
            yield (
                f"<figure><img alt='{text}' src='data:image/svg+xml;base64,{data}'>"
                f"<figcaption>{text}</figcaption></figure>"
            )


def ability(analyses, names):
    import numpy as np

    panels, notes = [], []
    for table, fit, unit in (
        (analyses.averages, analyses.of_generators, "generators"),
        (analyses.found, analyses.of_cells, "cells"),
    ):
        nothing = np.full(len(table), np.nan)
        points = diagrams.Points(
            table[published.ABILITY].to_numpy(), table["pgr"].to_numpy(),
            nothing, nothing, list(table["generator"]),
        )  # fmt: skip
        heading = f"{len(table)} {unit}: R\u00b2 = {fit.r2:.3f}, p = {fit.p:.4f}"
        panels.append((heading, "problem solving (%)", points, (fit.intercept, fit.slope)))
        notes.append(
            f"{unit}: 95 % interval of R\u00b2 {interval(fit.r2_interval, 2)}; on left-out "
            f"generators {diagrams.minus(f'{fit.r2_held_out:.2f}')}"
        )
    return diagrams.ability(f"from Tables 2, 3 and 7 of {PAPER}", names, panels, notes)


def predicted(analyses, names):
    import numpy as np

    found, fit = analyses.found, analyses.on_components
    nothing = np.full(len(found), np.nan)

    def points(said):
        return diagrams.Points(
            said, found["pgr"].to_numpy(), nothing, nothing, list(found["generator"])
        )

    panels = [
        (f"fitted to all: R\u00b2 = {fit.r2:.3f}", points(fit.fitted)),
        (
            diagrams.minus(f"generator left out: R\u00b2 = {fit.r2_held_out:.3f}"),
            points(fit.held_out),
        ),
    ]
    notes = [f"n = {fit.n} cells of {fit.generators} generators; dashed: right"]
    return diagrams.predictions(f"from Tables 2, 7 and 8 of {PAPER}", names, panels, notes)


def beyond(analyses):
    """What the paper does not print: intervals, and what the fits say of unseen generators."""
    lines = []
    for words, fit in (
        ("problem solving, 6 generators", analyses.of_generators),
        ("problem solving, 54 cells", analyses.of_cells),
        ("five components of nine metrics, 54 cells", analyses.on_components),
        ("five components of the eight intrinsic metrics, 54 cells", analyses.on_intrinsic),
    ):
        lines.append(
            [
                words,
                f"{fit.r2:.3f}",
                interval(fit.r2_interval, 3),
                p_value(fit.p),
                f"{fit.r2_held_out:.3f}",
            ]
        )
    fits = Sheet(
        "fits",
        "How well it all says PGR",
        "R2 in the sample, its 95 % interval (generators resampled with all their cells), p for "
        "independent cells, and R2 on generators left out of the fit. Below 0 the mean of "
        "all cells says PGR better.",
        ["PGR on", "R2", "interval", "p", "R2, left out"],
        lines,
    )
    lines = [
        [
            published.METRICS[name],
            f"{one.r:.2f}",
            interval(one.interval, 2),
            f"{one.rho:.2f}",
            p_value(one.p),
        ]
        for name, one in analyses.correlations.items()
    ]
    correlations = Sheet(
        "correlations",
        "Correlation of each metric with PGR",
        f"Over {len(analyses.found)} cells: Pearson's r with its 95 % interval (generators "
        "resampled), Spearman's rho, and p of r for independent cells.",
        ["metric", "r", "interval", "rho", "p"],
        lines,
    )
    return to_html(fits) + to_html(correlations)


def printed(tables, averages, loadings):
    """All that was checked of each table, as HTML that opens on demand."""
    titles = {
        "Table 2": "PGR by generator, method and domain: averages over domains",
        "Table 3": "averages by generator, from Tables 2 and 7",
        "Table 4": "mean absolute loadings, and shares of the printed ones",
        "Table 5": "PGR by meta-prompt: averages over domains",
        "Table 7": "problem solving: averages over six benchmarks",
        "Table 8": "intrinsic metrics: averages over domains",
    }
    for where, title in titles.items():
        mine = [one for one in [*loadings, *averages] if one.where == where]
        name = where.lower().replace(" ", "")
        sheet = compared(name, f"{where}: {title}", mine)
        yield f"<details><summary>{where}: {len(mine)} numbers</summary>{to_html(sheet)}</details>"


if __name__ == "__main__":
    run_program(main)
