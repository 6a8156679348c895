"""The page that shows the paper's numbers beside the recomputed ones: one file, nothing loaded."""

import base64
import io
from collections import Counter
from dataclasses import replace

from agorabench.analysis import components, correlations, paper, prediction, regressions
from agorabench.report import figures, page
from agorabench.report.table import Column, Table, format_number, html_page
from agorabench.stats.regression import COMPONENTS

PAPER = "arXiv 2412.03679v2"
TITLE = "The paper's numbers, recomputed"
VERDICTS = {"agrees": "agrees", "rounding": "differs by rounding", "differs": "differs"}
CHECKS = Table(
    "checks",
    "Checks",
    "Rounding: the difference can come from the rounding of the printed numbers that the "
    "recomputation starts from.",
    (
        Column("number", "number"),
        *(Column(key, key, 0) for key in ("printed", "recomputed", "difference", "verdict")),
    ),
)
FITS = Table(
    "fits",
    "What predicts PGR",
    "R2 in the sample, its 95 % interval (generators resampled with all their cells), p for "
    "independent cells, and R2 on generators left out of the fit. Negative: worse than predicting "
    "the overall mean.",
    (
        Column("on", "PGR on"),
        Column("r2", "R2", 3),
        Column(("low", "high"), "interval", 3),
        Column("p", "p", "p"),
        Column("r2_held_out", "R2, left out", 3),
    ),
)
STYLE = (
    ".w{white-space:normal;min-width:7rem}figure{margin:1rem 0}"
    "figure img{width:100%;max-width:30rem;height:auto}figcaption,li{max-width:75ch}"
    "summary{cursor:pointer;font-weight:bold;margin:1rem 0}"
    "@media(max-width:40rem){table{font-size:11px}th,td{padding:.3rem .15rem}"
    ".w{min-width:4.5rem}th,td:last-child{white-space:normal}}"
)


def render_page(tables: dict, analyses: paper.Analyses) -> str:
    """The page as HTML text."""
    claims, averages = paper.check_claims(tables), paper.check_averages(tables)
    loadings = paper.check_loadings(tables, analyses)
    checks = [*claims, *loadings, *averages]
    wrong = (check for check in averages if check.verdict != "agrees")
    body = page.load_template("comparison.html").render(
        title=TITLE,
        PAPER=PAPER,
        VERDICTS=VERDICTS,
        checks=checks,
        count=dict.fromkeys(VERDICTS, 0) | Counter(check.verdict for check in checks),
        claims=claims,
        averages=averages,
        wrong=sorted(wrong, key=lambda check: check.where),
        furthest=max(abs(check.difference) for check in loadings),
        repeated=paper.count_repeated(tables),
        printed=[*loadings, *averages],
        compared=compare_checks,
        figures=draw_figures(analyses),
        fits=page.trusted_html(fit_table(analyses)),
        correlations=page.trusted_html(correlation_table(analyses)),
    )
    return html_page(TITLE, [body], STYLE)


def compare_checks(name, title, checks, in_full=True):
    """A table of checks as HTML; `in_full`: says where each is printed."""
    rows = [
        {
            "number": f"{check.where}: {check.quantity}" if in_full else check.quantity,
            "printed": check.printed,
            "recomputed": check.shown,
            "difference": sign_difference(check.difference, check.digits + 1),
            "verdict": check.verdict,
        }
        for check in checks
    ]
    return page.trusted_html(replace(CHECKS, name=name, title=title, rows=rows).to_html())


def sign_difference(number, digits):
    """A difference as text; what rounds to 0 has no sign."""
    text = format_number(number, digits)
    return f"{number:+.{digits}f}" if text.strip("0.") else text


def fit_table(analyses):
    """The fits as HTML, with what the paper does not print: intervals, unseen generators."""
    fits = {
        "problem solving, 6 generators": analyses.of_generators,
        "problem solving, 54 cells": analyses.of_cells,
        "five components of nine metrics, 54 cells": analyses.on_components,
        "five components of the eight intrinsic metrics, 54 cells": analyses.on_intrinsic,
    }
    rows = [
        {"on": words, "low": fit.r2_interval.low, "high": fit.r2_interval.high} | vars(fit)
        for words, fit in fits.items()
    ]
    return replace(FITS, rows=rows).to_html()


def correlation_table(analyses):
    """Correlations of each metric with PGR as HTML, which the paper does not print."""
    rows = [
        {"metric": paper.METRICS[name]} | correlations.table_row(correlation)
        for name, correlation in analyses.correlations.items()
    ]
    return replace(correlations.TABLE, rows=rows).to_html()


# ---- Figures


def draw_figures(analyses):
    """(caption, address that holds the image) of each figure."""
    names = list(analyses.averages["generator"])
    many = f"n = {len(analyses.cells)} cells"
    with figures.style():
        yield (
            f"PGR by problem solving, after Figure 4 of {PAPER}.",
            embed_figure(draw_ability(analyses, names)),
        )
        yield (
            f"Principal components of the nine metrics, after Figures 5 and 6 of {PAPER}; {many}. "
            f"Filled bars: the {COMPONENTS} that PGR is regressed on.",
            embed_figure(draw_components(analyses)),
        )
        yield (
            "PGR predicted from the five components: fitted to all cells, and of each generator by "
            f"a fit to the others; {many} of {len(names)} generators. Dashed: a perfect prediction.",
            embed_figure(draw_predictions(analyses, names)),
        )
        yield (
            f"Correlation of each metric with PGR, which the paper does not print; {many}. Bars: "
            "95 % intervals, generators resampled.",
            embed_figure(draw_correlations(analyses)),
        )
