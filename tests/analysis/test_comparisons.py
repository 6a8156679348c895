"""Comparisons of generators as tables: blocks, missing cells, gaps within noise, seeds, readers."""

import numpy as np
import pytest
from agorabench.analysis import comparisons
from agorabench.analysis.pgr_table import estimate_table, list_views, table_rows
from agorabench.analysis.study import Study
from agorabench.matrix import Run
from agorabench.report import figures
from agorabench.report.table import six_digits, to_csv
from agorabench.stats.pgr import MEAN, Scores

BENCHMARKS = {"sums": "math", "functions": "code"}
GENERATORS = {"strong": 0.7, "twin": 0.7, "weak": 0.3}


def estimates_of(runs, rates=GENERATORS, base=0.2, reference=0.85, items=300, draws=500):
    """Estimates of a table whose students are right on known shares of the items."""
    scores = {}
    for number, name in enumerate(BENCHMARKS):
        models = {"s/base": base, "s/reference": reference}
        models |= {run.model: rates[run.generator] for run in runs}
        random = np.random.default_rng(number)
        hard = random.random(items)
        scores[name] = {
            model: Scores(
                np.arange(items).astype(str),
                (0.5 * hard + 0.5 * random.permutation(hard) < rate).astype(float),
                "exact",
                None,
            )
            for model, rate in models.items()
        }
    return estimate_table(runs, BENCHMARKS, scores, draws)


def runs_of(generators=GENERATORS, domains=("math", "code"), seeds=(1,)):
    return [
        Run(domain, "response", name, "p", 10, seed, "s")
        for name in generators
        for domain in domains
        for seed in seeds
    ]


def select(rows, **values):
    return [row for row in rows if values.items() <= row.items()]


def read_back(tmp_path, rows, columns):
    path = tmp_path / "rows.csv"
    path.write_text(to_csv(rows, columns, six_digits))
    return comparisons.read_rows(path)


def study_of(tmp_path, estimates):
    pairs, ranks = comparisons.compare_views(estimates, 1)
    pairs = read_back(tmp_path, pairs, comparisons.COLUMNS)
    ranks = read_back(tmp_path, ranks, comparisons.RANK_COLUMNS)
    params = {"mixtures": [], "apart": [], "bootstrap": 100, "seed": 1}
    return Study(table_rows(estimates), None, [], [], params, 1.0, pairs, ranks)


def test_differences_are_of_the_pgr_table_and_sure_of_what_is_sure():
    estimates = estimates_of(runs_of())
    pairs, ranks = comparisons.compare_views(estimates, 1)
    table = {
        (row["generator"], row["domain"]): row["pgr"]
        for row in table_rows(estimates)
        if row["benchmark"] == MEAN
    }
    assert len(pairs) == 9 and len(ranks) == 9  # math, code and their average; no average of one
    for row in pairs:
        difference = table[row["generator"], row["domain"]] - table[row["other"], row["domain"]]
        assert row["difference"] == pytest.approx(difference)
        assert row["low"] < row["difference"] < row["high"]
        assert (row["measure"], row["noise"], row["reason"]) == ("PGR", "items", "")
        assert row["established"] == ("yes" if row["other"] == "weak" else "no")
    best = comparisons.best_sets(ranks)
    assert set(map(frozenset, best.values())) == {frozenset({"strong", "twin"})}


def test_a_shared_reference_drops_out_of_differences():
    """Of the same draws, the interval of a difference is narrower than two intervals apart."""
    estimates = estimates_of(runs_of(), reference=0.5)
    pairs, ranks = comparisons.compare_views(estimates, 1)
    (row,) = select(pairs, domain="math", generator="strong", other="twin")
    widths = [one["high"] - one["low"] for one in select(ranks, domain="math")[:2]]
    assert row["high"] - row["low"] < np.hypot(*widths)


def test_without_a_gap_scores_are_compared():
    pairs, ranks = comparisons.compare_views(estimates_of(runs_of(), reference=0.2), 1)
    assert {row["measure"] for row in pairs + ranks} == {"score"}
    (row,) = select(pairs, domain="math", generator="strong", other="weak")
    assert 50 < row["difference"] < 70 and row["established"] == "yes"
    assert {row["best"] for row in ranks if row["generator"] == "weak"} == {"no"}


def test_a_missing_cell_is_named_and_the_others_are_compared():
    runs = [run for run in runs_of() if (run.generator, run.domain) != ("twin", "code")]
    pairs, ranks = comparisons.compare_views(estimates_of(runs), 1)
    lacking = [row for row in pairs if "difference" not in row]
    assert {(row["generator"], row["other"], row["domain"]) for row in lacking} == {
        (*names, domain)
        for names in (("strong", "twin"), ("twin", "weak"))
        for domain in ("code", MEAN)
    }
    assert {row["reason"] for row in lacking} == {comparisons.ABSENT}
    assert [row["reason"] for row in select(ranks, generator="twin")] == [
        "", comparisons.ABSENT, comparisons.ABSENT,
    ]  # fmt: skip


def test_one_generator_says_that_there_is_no_other(tmp_path):
    study = study_of(tmp_path, estimates_of(runs_of(["strong"])))
    assert study.comparisons == []
    for row in study.ranks:
        assert row["value"] is not None and row["rank"] is None
        assert row["reason"] == comparisons.ALONE
    with figures.style():
        texts = [text.get_text() for text in comparisons.figure(study).texts]
    assert comparisons.ALONE in " ".join(texts)


def test_the_mean_of_seeds_has_their_noise(tmp_path):
    runs = runs_of(seeds=(1, 2))
    pairs, ranks = comparisons.compare_views(estimates_of(runs), 1)
    assert {row["seed"] for row in pairs} == {1, 2, MEAN}
    for row in ranks:
        several = row["seed"] == MEAN
        assert (row["noise"], row["seeds"]) == (("items and seeds", 2) if several else ("items", 1))
        assert ("sd_seeds" in row) == several
    assert comparisons.compare_views(estimates_of(runs), 1) == (pairs, ranks)


def test_no_file_has_a_nan_and_readers_see_the_same(tmp_path):
    study = study_of(tmp_path, estimates_of(runs_of()))
    pairs, ranks = comparisons.tables(study)
    text = pairs.to_markdown() + ranks.to_markdown()
    assert "nan" not in text and "points of PGR" in text and "benchmark items" in text
    assert [row["generator"] for row in pairs.rows] == ["strong", "strong", "twin"]
    assert [row["ranks"] for row in ranks.rows[:3]] == ["[1, 2]", "[1, 2]", "[3, 3]"]
    (view,) = list_views(study.table)
    assert comparisons.overall_place(view) == (1, "response", MEAN)


def test_long_names_and_many_generators_stay_in_the_figure(tmp_path):
    names = [f"a-model-with-a-very-long-name-{i}-{'x' * 60}" for i in range(15)]
    study = study_of(tmp_path, estimates_of(runs_of(names), dict.fromkeys(names, 0.5)))
    with figures.style():
        drawn = comparisons.figure(study)
        drawn.draw_without_rendering()
        for axes in drawn.axes:
            box = axes.get_tightbbox().transformed(drawn.dpi_scale_trans.inverted())
            assert box.x0 > 0 and box.x1 < figures.COLUMN_WIDTH
            assert len(axes.get_yticklabels()) == 15
