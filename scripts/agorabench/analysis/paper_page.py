"""The page that shows the paper's numbers beside the recomputed ones: one file, nothing loaded."""

import io
import math
from collections import Counter
from dataclasses import replace

from markupsafe import Markup

from agorabench.analysis import components, correlations, decisions, paper, prediction, regressions
from agorabench.report import figures, page
from agorabench.report.table import Table, format_interval, format_number, html_page, list_columns
from agorabench.stats.regression import COMPONENTS

PAPER = "arXiv 2412.03679v2"
TITLE = "The paper's numbers, recomputed"
VERDICTS = {"agrees": "agrees", "rounding": "differs by rounding", "differs": "differs"}
CHECKS = Table(
    "checks",
    "Checks",
    "Rounding: the difference can come from the rounding of the printed numbers that the "
    "recomputation starts from.",
    list_columns(number=None, printed=0, recomputed=0, difference=0, verdict=0),
)
FITS = Table(
    "fits",
    "What predicts PGR",
    "R2 in the sample, its 95 % interval (generators resampled with all their cells), p for "
    "independent rows, and R2 on generators left out of the fit. Negative: worse than predicting "
    "the overall mean.",
    (regressions.TABLE.columns[0], *regressions.TABLE.columns[3:7]),
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
        fits=Markup(fit_table(analyses).to_html()),
        correlations=Markup(correlation_table(analyses).to_html()),
        decisions=Markup(decision_table(analyses).to_html()),
        decided={row["predictor"]: row for row in analyses.decisions},
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
    return Markup(replace(CHECKS, name=name, title=title, rows=rows).to_html())


def sign_difference(number, digits):
    """A difference as text; what rounds to 0 has no sign."""
    text = format_number(number, digits)
    return f"{number:+.{digits}f}" if text.strip("0.") else text


def fit_table(analyses):
    """The fits, with what the paper does not print: intervals, generators left out of the fit."""
    fits = {
        "problem solving, 6 generators": analyses.of_generators,
        "problem solving, 54 cells": analyses.of_cells,
        "five components of nine metrics, 54 cells": analyses.on_components,
        "five components of the eight intrinsic metrics, 54 cells": analyses.on_intrinsic,
    }
    rows = [
        {"predictor": words, "r2_low": fit.r2_interval.low, "r2_high": fit.r2_interval.high}
        | vars(fit)
        for words, fit in fits.items()
    ]
    return replace(FITS, rows=rows)


def correlation_table(analyses):
    """Correlations of each metric with PGR, which the paper does not print."""
    rows = [
        {"metric": paper.METRICS[name], "interval": format_interval(*ends(correlation), 2)}
        | {key: getattr(correlation, key) for key in ("n", "r", "rho", "p")}
        for name, correlation in analyses.correlations.items()
    ]
    return replace(correlations.TABLE, rows=rows)


def decision_table(analyses):
    """Predictors judged by decisions, which the paper does not do."""
    lines = analyses.decisions
    shown = decisions.with_intervals(lines)
    columns = [one for one in decisions.TABLE.columns if one.key not in ("good", "p", "rho")]
    notes = ["Of perplexity low is good.", *decisions.notes_of(lines)]
    return replace(decisions.TABLE, columns=columns, rows=shown, notes=notes)


def ends(correlation):
    """(low, high) of a correlation's interval."""
    return correlation.interval.low, correlation.interval.high


# ---- Figures


def draw_figures(analyses):
    """(caption, address that holds the image) of each figure."""
    cells = f"n = {len(analyses.cells)} cells of {len(analyses.averages)} generators"
    captions = {
        draw_ability: f"PGR by problem solving, after Figure 4 of {PAPER}.",
        draw_components: "Principal components of the nine metrics, after Figures 5 and 6 of "
        f"{PAPER}; {cells}. Filled bars: the {COMPONENTS} that PGR is regressed on.",
        draw_predictions: "PGR predicted from the five components: fitted to all cells, and of "
        f"each generator by a fit to the others; {cells}. Dashed: predicted and PGR are equal.",
        draw_decisions: "Pairs of generators that each predictor orders as PGR does, within the "
        f"settings; {cells}. Bars: 95 % intervals, settings resampled.",
        draw_correlations: "Correlation of each metric with PGR, which the paper does not print; "
        f"{cells}. Bars: 95 % intervals, generators resampled.",
    }
    with figures.style():
        for draw, caption in captions.items():
            figure = draw(analyses)
            image = io.BytesIO()
            figure.savefig(image, format="svg", metadata=figures.METADATA[".svg"])
            yield caption, page.embed_bytes(image.getvalue(), "image/svg+xml")


def draw_ability(analyses):
    """PGR by problem solving, of generators and of cells."""
    panels = []
    for table, fit, unit in (
        (analyses.averages, analyses.of_generators, "generators"),
        (analyses.cells, analyses.of_cells, "cells"),
    ):
        heading = f"{len(table)} {unit}: R\u00b2 = {fit.r2:.3f}, p = {fit.p:.4f}"
        points = place_points(table, table[paper.ABILITY])
        panels.append((heading, points, (fit.intercept, fit.slope)))
    return regressions.draw_lines(f"from Tables 2, 3 and 7 of {PAPER}", names_of(analyses), panels)


def draw_components(analyses):
    """Components of the metrics, with the metrics' names in full."""
    names = [paper.METRICS[name] for name in analyses.components.names]
    title = f"from Tables 7 and 8 of {PAPER}"
    return components.draw_components(title, analyses.components, names)


def draw_correlations(analyses):
    """Correlations of the metrics with PGR, with the metrics' names in full."""
    fits = analyses.correlations.items()
    shown = [(paper.METRICS[name], fit.r, *ends(fit)) for name, fit in fits]
    return correlations.draw_correlations(f"from Tables 2, 7 and 8 of {PAPER}", shown)


def draw_decisions(analyses):
    """Decision accuracy of the predictors."""
    return decisions.draw_decisions(f"from Tables 2, 7 and 8 of {PAPER}", analyses.decisions)


def draw_predictions(analyses):
    """PGR against what the components predict, by a fit to all cells and to other generators."""
    fit = analyses.on_components
    left_out = figures.minus_sign(f"{fit.r2_held_out:.3f}")
    panels = [
        (f"fitted to all: R\u00b2 = {fit.r2:.3f}", place_points(analyses.cells, fit.fitted)),
        (f"generator left out: R\u00b2 = {left_out}", place_points(analyses.cells, fit.held_out)),
    ]
    title = f"from Tables 2, 7 and 8 of {PAPER}"
    return prediction.draw_predictions(title, names_of(analyses), panels)


def names_of(analyses):
    """The generators, in the order of the paper's tables."""
    return list(analyses.averages["generator"])


def place_points(table, x):
    """Points of printed PGRs, which have no intervals."""
    return regressions.pgr_points(table.assign(low=math.nan, high=math.nan), x)
