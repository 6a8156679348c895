import csv
import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import aggregate
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from agorabench import matrix
from agorabench.errors import UserError
from agorabench.report.table import Column, Table
from helpers.tasks import DOMAIN_ENTRIES, METHODS, STUDENT

BENCHMARKS = {"sums": "math", "functions": "code"}
ANCHORS = ("mini/base", "mini/reference")


def write_scores(folder, model, benchmark, share, special=None):
    """Score files of a model right on the first `share` of 100 items; `special`: in the summary."""
    n = 100
    values = np.arange(n) < round(share * n)
    summary = {
        "model": model,
        "benchmark": benchmark,
        "protocol": "mini",
        "judge": None,
        "score": 100 * float(values.mean()),
        "standard_error": 4.0,
        "n": n,
        "unfinished": 0.0,
    }
    items = {
        "id": [f"item-{i:03}" for i in range(n)],
        "score": values.astype(float),
        "extracted": [""] * n,
        "reason": [""] * n,
    }
    path = folder / model / f"{benchmark}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary | (special or {})))
    pyarrow.parquet.write_table(pyarrow.table(items), path.with_suffix(".parquet"))


def config_of(generators=("strong", "weak_one"), benchmarks=BENCHMARKS, draws=200, **axes):
    """A checked config, as far as its PGR table needs one."""
    same = {"students": ["mini"], "domains": ["math", "code"], "prompts": ["main"]}
    same |= {"methods": ["instance", "response"], "sizes": [500], "seeds": [1]}
    return {
        "generators": {name: {"backend": "transformers"} for name in generators},
        "experiments": {"main": same | {"generators": generators} | axes},
        "students": {"mini": STUDENT},
        "methods": METHODS,
        "domains": DOMAIN_ENTRIES | {"code": {"title": "Python"}},
        "benchmarks": {
            name: {"domain": domain, "protocol": "mini", "in_mean": True}
            for name, domain in benchmarks.items()
        },
        "bootstrap": draws,
        "seed": 1,
    }


def runs_of(config):
    """Runs of a config as dictionaries."""
    return [asdict(run) for run in matrix.expand_runs(config)]


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Two generators, two domains, two methods: (runs, folder of scores, function to aggregate)."""
    runs = runs_of(config_of())
    folder = tmp_path / "results/scores"
    for benchmark in BENCHMARKS:
        for model, share in zip(ANCHORS, (0.2, 0.8), strict=True):
            write_scores(folder, model, benchmark, share)
    for run in runs:
        share = {"strong": 0.65, "weak_one": 0.35}[run["generator"]]
        benchmark = {"math": "sums", "code": "functions"}[run["domain"]]
        write_scores(folder, model_of(run), benchmark, share)
    monkeypatch.chdir(tmp_path)

    def aggregated(name="results", **more):
        aggregate.write_pgr_table(config_of(**more))
        if name != "results":
            shutil.copytree("results", name)
        return tmp_path / name

    return runs, folder, aggregated


def model_of(run):
    cell = "{domain}/{method}/{generator}/{prompt}/n{size}-seed{seed}".format(**run)
    return f"{run['student']}/{cell}"


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_is_tidy_and_right(study):
    _, _, aggregated = study
    rows = read(aggregated() / "pgr_table.csv")
    columns = (
        "generator,method,domain,benchmark,prompt,size,seed,student,student_score,base_score,"
        "reference_score,n_items,pgr,pgr_low,pgr_high,flag"
    )
    assert ",".join(rows[0]) == columns
    first = rows[0]
    assert (first["generator"], first["benchmark"], first["pgr"]) == ("strong", "sums", "75.0000")
    assert (first["student_score"], first["n_items"], first["flag"]) == ("65.0000", "100", "")
    assert float(first["pgr_low"]) < 75 < float(first["pgr_high"])
    # per generator: 4 cells x (benchmark, mean), 2 method means, 2 domain means, 1 of both
    assert len(rows) == 2 * (4 * 2 + 2 + 2 + 1)


def test_the_reference_may_be_a_student_trained_on_given_pairs(study):
    _, folder, aggregated = study
    whole = read(aggregated(name="whole") / "pgr_table.csv")
    config = config_of()
    config["generators"]["gold"] = {"backend": "dataset"}
    config["students"] = {
        "mini": STUDENT | {"reference": {"trained_on": "gold", "size": 7, "seed": 2}}
    }
    for benchmark, domain in BENCHMARKS.items():
        shutil.rmtree(folder / "mini/reference", ignore_errors=True)
        write_scores(folder, f"mini/{domain}/instance/gold/none/n7-seed2", benchmark, 0.8)
    aggregate.write_pgr_table(config)
    assert read("results/pgr_table.csv") == whole
    text = Path("results/tables/pgr.md").read_text(encoding="utf-8")
    assert "In math the reference (100 %) is the student trained on 7 pairs of gold." in text


def test_without_a_reference_the_table_has_what_students_gain(study):
    _, folder, _ = study
    config = config_of()
    config["students"] = {"mini": STUDENT | {"reference": None}}
    shutil.rmtree(folder / "mini/reference")
    aggregate.write_pgr_table(config)
    first = read("results/pgr_table.csv")[0]
    assert (first["gain"], first["pgr"], first["flag"]) == ("45.0000", "", "no reference")
    assert float(first["gain_low"]) < 45 < float(first["gain_high"])
    text = Path("results/tables/pgr.md").read_text(encoding="utf-8")
    assert text.count("Points above the base (there is no reference, so no PGR)") == 1
    assert "+45.0" in text and "within noise" not in text
    compared = read("results/tables/comparisons.csv")
    assert {row["measure"] for row in compared} == {"score"}


def test_same_inputs_same_bytes(study):
    _, _, aggregated = study
    first, second = aggregated(name="a"), aggregated(name="b")
    for file in ("pgr_table.csv", "tables/pgr.md", "tables/pgr.tex"):
        assert (first / file).read_bytes() == (second / file).read_bytes()


def test_the_caption_says_that_a_judge_is_related(study, tmp_path):
    config = config_of()
    config["generators"]["strong"]["model"] = "gpt-4o"
    config["generators"]["judge"] = {"backend": "openai", "model": "gpt-4.1"}
    config["benchmarks"]["functions"]["judge"] = "judge"
    aggregate.write_pgr_table(config)
    for ending in ("md", "tex", "html"):
        text = (tmp_path / f"results/tables/pgr.{ending}").read_text()
        assert "judge judges strong in functions." in " ".join(text.split())


def test_the_markdown_view_is_shaped_like_the_papers_table(study):
    _, _, aggregated = study
    text = (aggregated() / "tables/pgr.md").read_text()
    table = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    assert table[0] == [
        "generator",
        "instance: math",
        "instance: Python",
        "instance: average",
        "response: math",
        "response: Python",
        "response: average",
        "average",
    ]
    assert [line[0] for line in table[2:]] == ["strong", r"weak\_one"]
    assert table[2][1].startswith("**75.0** [") and table[3][1].startswith("25.0 [")
    for fact in (
        "n = 100",
        "sums",
        "500 pairs",
        "seed 1",
        "200 draws",
        "protocol mini",
        "no judge",
    ):
        assert fact in text
    assert "\u2020" not in text


def test_the_latex_view_has_the_same_numbers(study):
    _, _, aggregated = study
    text = (aggregated() / "tables/pgr.tex").read_text()
    assert r"\multicolumn{3}{c}{instance generation}" in text
    assert r"\textbf{75.0}" in text and r"weak\_one" in text and r"95 \% interval" in text
    assert text.count("{") == text.count("}")
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}")


def test_a_gap_within_noise_is_a_footnote(study):
    _, folder, aggregated = study
    write_scores(folder, "mini/reference", "functions", 0.2)
    out = aggregated()
    (cell,) = [
        row
        for row in read(out / "pgr_table.csv")
        if (row["generator"], row["method"], row["benchmark"])
        == ("strong", "response", "functions")
    ]
    assert (cell["pgr"], cell["pgr_low"], cell["flag"]) == ("", "", "gap within noise")
    markdown, latex = ((out / f"tables/pgr.{ending}").read_text() for ending in ("md", "tex"))
    assert "n/a\u2020" in markdown and r"n/a$^\dagger$" in latex
    assert "functions (base 20.0 %, reference 20.0 %)" in markdown


def test_several_seeds_have_a_view_each_after_their_mean(study):
    runs, folder, aggregated = study
    more = [run | {"seed": 2} for run in runs]
    for run in more:
        benchmark = {"math": "sums", "code": "functions"}[run["domain"]]
        write_scores(folder, model_of(run), benchmark, 0.5)
    text = (aggregated(seeds=[1, 2]) / "tables/pgr.md").read_text()
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert [title.rpartition("cell, ")[2] for title in titles] == [
        "mean of seeds 1 and 2",
        "seed 1",
        "seed 2",
    ]
    # (75 + 50) / 2 = 62.5, and the seeds lie 25 points apart
    assert "**62.5**" in text and "at most 25.0" in text


def test_a_missing_score_says_which(study):
    runs, folder, aggregated = study
    (folder / model_of(runs[0]) / "sums.parquet").unlink()
    with pytest.raises(
        UserError, match=r"sums\.parquet is missing: score mini/math/instance/strong"
    ):
        aggregated()


@pytest.mark.parametrize(
    "special, message",
    [
        ({"score": 12.0}, "says 12.00 % of 100 items, its items say 20.00 % of 100"),
        ({"n": 99}, "of 99 items"),
        ({"score": float("nan")}, "says nan"),
        ({"protocol": "gsm8k"}, "refuse to mix protocols"),
        ({"counts": "strict"}, r"with mini \(strict\); tables refuse to mix protocols"),
        ({"judge": "gpt-4o"}, "refuse to mix judges"),
    ],
)
def test_summaries_that_do_not_fit_are_refused(study, special, message):
    _, folder, aggregated = study
    write_scores(folder, "mini/base", "sums", 0.2, special)
    with pytest.raises(UserError, match=message):
        aggregated()


@pytest.mark.parametrize(
    "special, message",
    [
        ({"id": ["same"] * 100}, "'same' more than once"),
        ({"score": [float("nan")] * 100}, "score nan, not one from 0 to 1"),
        ({"score": [55.0] * 100}, "score 55.0, not one from 0 to 1"),
        ({"score": [None] * 100}, "no item has a verdict"),
        ({"id": [f"other-{i}" for i in range(100)]}, "has a score of item 'item-000'|'other-0'"),
    ],
)
def test_items_that_do_not_fit_are_refused(study, special, message):
    _, folder, aggregated = study
    write_scores(folder, "mini/base", "sums", 0.2)
    path = folder / "mini/base/sums.parquet"
    table = pyarrow.parquet.read_table(path).to_pydict() | special
    pyarrow.parquet.write_table(pyarrow.table(table), path)
    with pytest.raises(UserError, match=message):
        aggregated()


def test_broken_files_are_refused(study):
    _, folder, aggregated = study
    (folder / "mini/base/sums.parquet").write_bytes(b"not parquet")
    with pytest.raises(UserError, match="no readable id and score"):
        aggregated()
    (folder / "mini/base/sums.json").write_text("{}")
    with pytest.raises(UserError, match="not a score summary"):
        aggregated()


def test_a_domain_without_a_benchmark_is_refused(study):
    _, _, aggregated = study
    with pytest.raises(UserError, match="'code' has no benchmark"):
        aggregated(benchmarks={"sums": "math"})


def test_the_page_shows_what_the_markdown_shows(study):
    _, _, aggregated = study
    folder = aggregated() / "tables"
    page, markdown = (folder / "pgr.html").read_text(), (folder / "pgr.md").read_text()
    intervals = re.findall(r"\[-?[\d.]+, -?[\d.]+\]", markdown)
    assert intervals and intervals == re.findall(r"\[-?[\d.]+, -?[\d.]+\]", page)
    assert page.count("<b>") == markdown.count("**") / 2


def test_text_in_the_page_is_escaped():
    table = Table("t", "<script>", "<b>", (Column("a", "<i>"),), [{"a": "<u>"}], ["<p>"])
    for tag in ("script", "b", "i", "u", "p"):
        assert f"&lt;{tag}&gt;" in table.to_html()
