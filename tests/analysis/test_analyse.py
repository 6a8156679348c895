"""The analyses of a user's results: on the paper's numbers as if they were the user's, and where
something is missing."""

import contextlib
import csv
import itertools
import json
import math

import analyse
import numpy as np
import pandas
import pytest
from agorabench.analysis import (
    amount,
    components,
    correlations,
    decisions,
    offers,
    pgr_table,
    prediction,
    prompts,
    regressions,
    study,
    value,
)
from agorabench.analysis import (
    paper as published,
)
from agorabench.analysis.pgr_table import COLUMNS, list_views, to_csv
from agorabench.errors import UserError
from agorabench.report import figures
from agorabench.stats import regression
from agorabench.stats.learning_curve import Curve
from agorabench.stats.pgr import MEAN
from helpers import ROOT
from sklearn.linear_model import LinearRegression
from tools import recommend

METHODS = {
    "instance_generation": "instance",
    "response_generation": "response",
    "quality_enhancement": "enhancement",
}
FIGURES = (
    "comparisons",
    "regressions",
    "components",
    "correlations",
    "prediction",
    "amount",
    "value",
)


def row(generator, method, domain, pgr, prompt="main", size=100, seed=1, half=4.0, **more):
    values = {"generator": generator, "method": method, "domain": domain, "benchmark": MEAN}
    values |= {"prompt": prompt, "size": size, "seed": seed, "student": "s", "student_score": 50.0}
    values |= {"base_score": 10.0, "reference_score": 90.0, "n_items": 300, "pgr": pgr, "flag": ""}
    values |= {"pgr_low": None, "pgr_high": None}
    if pgr is not None:
        values |= {"pgr_low": pgr - half, "pgr_high": pgr + half}
    return {name: (values | more)[name] for name in COLUMNS}


def complete(cells, **more):
    """Rows of {(generator, method, domain): PGR} with all averages that have all their cells."""
    rows = []
    methods, domains = (list(dict.fromkeys(key[i] for key in cells)) for i in (1, 2))
    for generator in dict.fromkeys(key[0] for key in cells):
        for method in (*methods, MEAN):
            for domain in (*domains, MEAN):
                group = [
                    cells.get((generator, m, d))
                    for m in (methods if method == MEAN else [method])
                    for d in (domains if domain == MEAN else [domain])
                ]
                if None not in group:
                    pgr = math.fsum(group) / len(group)
                    rows.append(row(generator, method, domain, pgr, **more))
    return rows


class Results:
    """A folder of results that analyse.py reads; `run` gives its tables."""

    def __init__(self, folder):
        self.folder = folder
        self.rows, self.metrics, self.costs, self.scores = [], [], [], {}
        self.benchmarks = {}

    def study(self, mixtures=(), prices=None):
        """The Study of the results, as files."""
        folder = self.folder / "results"
        table, cost = folder / "pgr_table.csv", folder / "tables/cost.csv"
        metrics = folder / "tables/intrinsic.csv"
        cost.parent.mkdir(parents=True, exist_ok=True)
        table.write_text(to_csv(self.rows))
        pandas.DataFrame(self.costs, columns=list(study.COSTS)).to_csv(cost, index=False)
        if self.metrics:
            pandas.DataFrame(self.metrics).to_csv(metrics, index=False)
        for (generator, benchmark), score in self.scores.items():
            path = folder / f"scores/generators/{generator}/{benchmark}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            summary = {"score": score, "standard_error": 1.25, "n": 200}
            path.write_text(json.dumps(summary))
        inputs = {"table": [table], "cost": [cost], "intrinsic": [metrics] if self.metrics else []}
        inputs["comparisons"] = []
        params = {"generators": list(dict.fromkeys(name for name, _ in self.scores)), "apart": []}
        params |= {"benchmarks": self.benchmarks, "mixtures": list(mixtures)}
        params |= {"prices": prices or {}, "bootstrap": 200, "seed": 1}
        with contextlib.chdir(self.folder):
            return study.read_study(inputs, params)

    def run(self, mixtures=(), prices=None, figures=False):
        found = self.study(mixtures, prices)
        with contextlib.chdir(self.folder):
            analyse.write_tables(found)
            if figures:
                analyse.write_figures(found)
        return {
            path.stem: list(csv.DictReader(path.open()))
            for path in (self.folder / "results/tables").glob("*.csv")
            if path.stem not in ("cost", "intrinsic")
        }

    def text(self, ending="md"):
        return (self.folder / f"results/tables/analysis.{ending}").read_text()


def measure(results, generator, method, domain, metrics, **more):
    place = {"generator": generator, "method": method, "domain": domain, "prompt": "main"}
    place |= {"size": 100, "seed": 1, **more}
    for name, number in metrics.items():
        results.metrics.append(place | {"metric": name, "value": number})


def charge(results, generator, method, domain, each, size=100, prompt="main"):
    place = {"generator": generator, "method": method, "domain": domain, "prompt": prompt}
    place |= {"size": size, "seed": 1, "usd": each * size, "usd_per_pair": each}
    results.costs.append(place)


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """The paper's printed numbers as if they were a user's results; (results, tables)."""
    results = Results(tmp_path_factory.mktemp("paper"))
    tables = published.read_tables(ROOT / "config/paper")
    cells = published.join_cells(tables)
    pgr = {}
    for one in cells.to_dict("records"):
        place = one["generator"], METHODS[one["method"]], one["domain"]
        pgr[place] = one["pgr"]
        names = [name for name in published.METRICS if name != published.ABILITY]
        measure(results, *place, {name: one[name] for name in names})
    results.rows = complete(pgr)
    for domain, names in published.BENCHMARKS.items():
        for name in names:
            results.benchmarks[name] = domain
            for one in tables["table7_problem_solving"].to_dict("records"):
                results.scores[one["generator"], name] = one[name]
    prices = {}
    for one in tables["table3_cost"].to_dict("records"):
        prices[one["generator"]] = {
            "input": one["usd_per_mtok_in"], "output": one["usd_per_mtok_out"]
        }  # fmt: skip
        for method in METHODS.values():
            for domain in published.BENCHMARKS:
                charge(results, one["generator"], method, domain, one["usd_per_mtok_out"] / 2000)
    free = tables["table5_prompts"].query("domain != 'average' and prompt != 'agorabench'")
    for prompt, rows in free.groupby("prompt"):
        other = {
            (one["generator"], METHODS[one["method"]], one["domain"]): one["pgr"]
            for one in rows.to_dict("records")
        }
        results.rows += complete(other, prompt=prompt)
    return results, results.run(prices=prices, figures=True)


def told_by(question, results, mixtures=()):
    """The lines of a figure's title, legend and headings."""
    with figures.style():
        return [text.get_text() for text in question.figure(results.study(mixtures)).texts]


def of(rows, **values):
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def test_the_papers_numbers_come_out_of_a_users_tables(paper):
    _, tables = paper
    fits = of(tables["regressions"], prompt="main")
    assert [(row["analysis"], row["unit"]) for row in fits] == [
        ("ability", "generators"), ("ability", "cells"),
        ("components", "cells"), ("intrinsic", "cells"),
    ]  # fmt: skip
    expected = [(6, 0.244, 0.319), (54, 0.0970, 0.0219), (54, 0.338, 0.0011)]
    for row, (n, r2, p) in zip(fits, expected, strict=False):
        assert int(row["n"]) == n
        assert float(row["r2"]) == pytest.approx(r2, abs=0.0005)
        assert float(row["p"]) == pytest.approx(p, abs=0.0005)
        assert float(row["r2_low"]) < float(row["r2"]) < float(row["r2_high"])
        assert float(row["r2_held_out"]) < float(row["r2"])
    shares = {
        row["component"]: float(row["variance"])
        for row in of(tables["components"], prompt="main")
        if row["variance"]
    }
    assert [shares[str(i)] for i in range(1, 6)] == pytest.approx(
        [40.6, 31.0, 12.7, 6.0, 5.8], abs=0.06
    )
    contributions = [
        float(row["contribution"])
        for row in of(tables["components"], prompt="main", component=MEAN)
    ]
    assert sum(contributions) == pytest.approx(100, abs=0.01) and len(contributions) == 9


def test_the_prompt_ablation_is_table_5(paper):
    results, tables = paper
    found = {
        (row["prompt"], row["other"]): (float(row["difference"]), int(row["n"]))
        for row in tables["prompts"]
    }
    assert found["main", "json"] == (pytest.approx(4.456, abs=0.001), 18)
    assert found["main", "unoptimised"] == (pytest.approx(4.0, abs=0.001), 18)
    assert "main minus json (s, 100 pairs): +4.46 points over 18 cells; 95 % interval [" in (
        results.text().replace("\\", "")
    )


def test_every_generator_is_predicted_by_the_others(paper):
    _, tables = paper
    rows = of(tables["prediction"], prompt="main")
    cells = [row for row in rows if row["method"] != MEAN]
    assert len(cells) == 54 and len(rows) == 60
    errors = np.array([float(row["error"]) for row in cells])
    (fit,) = of(tables["regressions"], prompt="main", analysis="intrinsic")
    assert float(cells[0]["rmse"]) == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-4)
    assert float(fit["rmse_held_out"]) == pytest.approx(float(cells[0]["rmse"]), rel=1e-4)
    others = {row["others"] for row in of(cells, method="instance", domain="math")}
    assert len(others) == 6  # the mean of the other five differs for each


def test_the_front_is_what_no_cheaper_generator_beats(paper):
    _, tables = paper
    rows = {row["generator"]: row for row in of(tables["value"], prompt="main")}
    front = {name for name, row in rows.items() if row["front"]}
    assert front == {"llama-3.1-8b", "gpt-4o-mini", "gpt-4o"}
    one = rows["gpt-4o"]
    assert float(one["usd"]) == pytest.approx(9 * 100 * 10 / 2000)
    assert float(one["pgr_per_usd"]) == pytest.approx(29.5556 / 4.5, rel=1e-3)
    assert float(one["problem_solving"]) == pytest.approx(80.967, abs=0.01)
    assert (one["price_input"], one["price_output"]) == ("2.5", "10")


def test_all_tables_and_figures_are_there(paper):
    results, tables = paper
    assert set(tables) == {
        "abilities", "correlations", "components", "regressions", "prediction",
        "decisions", "prompts", "amount", "value",
    }  # fmt: skip
    assert len(tables["abilities"]) == 36
    assert tables["abilities"][0] == {
        "generator": "gpt-4o", "domain": "math", "benchmark": "gsm8k",
        "score": "96.1", "standard_error": "1.25", "n": "200",
    }  # fmt: skip
    for name in FIGURES:
        for ending in ("png", "svg", "pdf"):
            assert (results.folder / f"results/figures/{name}.{ending}").stat().st_size > 2000
    for ending in ("md", "tex", "html"):
        text = results.text(ending)
        assert "nan" not in text.lower().replace("nano", "")
        assert "Intrinsic metrics" in text and "Problem solving of the generators" in text


def test_no_table_has_a_nan(paper):
    _, tables = paper
    values = {value for rows in tables.values() for row in rows for value in row.values()}
    assert not values & {"nan", "inf", "-inf", "NaN"}


def test_without_metrics_every_table_says_why(tmp_path):
    results = Results(tmp_path)
    domains = ("math", "code")
    results.rows = complete({(g, "response", d): 10.0 for g in "ab" for d in domains})
    tables = results.run(figures=True)
    assert [row["reason"] for row in tables["correlations"]] == ["there are no metrics"]
    assert [row["reason"] for row in tables["components"]] == ["there are no intrinsic metrics"]
    assert all(row["reason"] for row in tables["regressions"])
    assert tables["prediction"][0]["reason"] == "intrinsic metrics are not known"
    assert {row["reason"] for row in tables["value"]} == {"a set has no cost"}
    assert [row["reason"] for row in tables["amount"]] == ["no cells were run with two sizes"]
    assert [row["reason"] for row in tables["prompts"]] == [
        "no cells were run with two meta-prompts"
    ]
    text = results.text().replace("\\", "")
    assert "one meta-prompt, main: for Table 5 give an experiment two" in text
    assert "No cells were run with two sizes (the matrix has 100)" in text
    assert "No generator has solved the benchmarks" in text
    for name in FIGURES:
        assert (tmp_path / f"results/figures/{name}.png").exists()


def test_one_generator_has_no_interval_and_no_held_out_r2(tmp_path):
    results = Results(tmp_path)
    random = np.random.default_rng(1)
    cells = {("a", m, d): random.normal(20, 9) for m in METHODS.values() for d in ("x", "y")}
    results.rows = complete(cells)
    for place in cells:
        measure(results, *place, {"reward": random.normal(), "perplexity": random.normal()})
    tables = results.run()
    fit = tables["regressions"][-1]
    assert float(fit["r2"]) >= 0 and fit["r2_low"] == "" and fit["r2_held_out"] == ""
    assert "at least 3 of them, not 1" in fit["reason"]
    assert "only one generator, so none can be left out" in fit["reason"]
    assert "only one generator" in tables["prediction"][0]["reason"]
    assert tables["correlations"][0]["r"] and "not 1" in tables["correlations"][0]["reason"]


def test_missing_and_unsound_cells_are_counted_and_left_out(tmp_path):
    results = Results(tmp_path)
    random = np.random.default_rng(2)
    places = [(g, m, d) for g in "abcd" for m in METHODS.values() for d in ("x", "y")]
    results.rows = complete({place: random.normal(20, 9) for place in places[1:]})
    for one in results.rows:
        if (one["generator"], one["domain"]) == ("b", "x"):
            one.update(pgr=None, pgr_low=None, pgr_high=None, flag="gap within noise")
        if (one["generator"], one["method"], one["domain"]) == ("c", "instance", "y"):
            one.update(pgr=9000.0, pgr_low=None, pgr_high=None, flag="gap within noise")
    for place in places:
        metrics = {"reward": random.normal(), "perplexity": random.normal(), "same": 3.0}
        measure(results, *place, metrics)
    del results.metrics[-3:]  # the last set has not been measured
    tables = results.run()
    assert {row["n"] for row in of(tables["correlations"], metric="reward")} == {"18"}
    (same,) = of(tables["correlations"], metric="same")
    assert (same["r"], same["reason"]) == ("", "the metric is the same in all 18 rows")
    (left_out,) = of(tables["components"], metric="same")
    assert left_out["reason"] == "it is the same in all rows"
    assert "4 of 23 cells are left out" in results.text()
    # A set with metrics and without a PGR row is predicted.
    (new,) = of(tables["prediction"], basis="new")
    assert (new["generator"], new["method"], new["domain"]) == places[0]
    assert new["pgr"] == "" and math.isfinite(float(new["predicted"]))


def test_a_setting_of_one_generator_has_no_other_to_go_by(tmp_path):
    results = Results(tmp_path)
    random = np.random.default_rng(3)
    cells = {
        (name, method, domain): random.normal(20, 9)
        for name, method in (("a", "instance"), ("b", "response"), ("d", "instance"))
        for domain in "xyzuvw"
    }
    results.rows = complete(cells)
    for place in cells:
        measure(results, *place, {"reward": random.normal(), "perplexity": random.normal()})
    tables = results.run(figures=True)
    (one,) = of(tables["prediction"], generator="b", method="response", domain="x")
    assert one["predicted"] and one["others"] == ""
    assert one["reason"] == "no other generator to compare with"
    (two,) = of(tables["prediction"], generator="a", method="instance", domain="x")
    assert float(two["others"]) == pytest.approx(cells["d", "instance", "x"], rel=1e-4)
    # Of the whole generator there is what was predicted, and no mean of others to compare it with.
    (mean,) = of(tables["prediction"], generator="b", method=MEAN)
    pgr = np.mean([cells["b", "response", domain] for domain in "xyzuvw"])
    assert float(mean["pgr"]) == pytest.approx(pgr, rel=1e-4)
    assert (mean["others"], mean["reason"]) == ("", "no other generator to compare with")
    assert "b: no other generator to compare with." in results.text()


def test_both_errors_are_over_the_cells_that_another_generator_has(tmp_path):
    results = Results(tmp_path)
    random = np.random.default_rng(4)
    cells = {
        (name, method, domain): random.normal(20, 9)
        for name in "abc" for method in METHODS.values() for domain in "xy"
        if name == "a" or method != "response"
    }  # fmt: skip
    results.rows = complete(cells)
    for place in cells:
        measure(results, *place, {"reward": random.normal(), "perplexity": random.normal()})
    tables = results.run(figures=True)
    rows = [row for row in tables["prediction"] if row["method"] != MEAN]
    shared = [row for row in rows if row["others"]]
    assert (len(rows), len(shared)) == (14, 12)

    def error(said):
        return math.sqrt(np.mean([(float(row[said]) - float(row["pgr"])) ** 2 for row in shared]))

    (fit,) = of(tables["regressions"], analysis="intrinsic")
    assert fit["n"] == "14"
    assert float(fit["rmse_held_out"]) == pytest.approx(error("predicted"), rel=1e-3)
    assert float(fit["rmse_others"]) == pytest.approx(error("others"), rel=1e-3)
    which = "over the 12 of 14 cells that another generator has too"
    assert fit["reason"] == f"errors: {which}"
    assert {float(row["rmse"]) for row in rows} == {float(fit["rmse_held_out"])}
    assert f"(root mean square, {which})" in results.text()
    assert f"missed by {error('predicted'):.1f} points" in results.text()
    assert f"by the mean of the others by {error('others'):.1f} (" in results.text()
    assert f"errors: {which}." in results.text()
    # So are the three numbers of an average.
    (mean,) = of(tables["prediction"], generator="a", method=MEAN)
    mine = of(shared, generator="a")
    for name in ("pgr", "predicted", "others"):
        assert float(mean[name]) == pytest.approx(
            np.mean([float(row[name]) for row in mine]), rel=1e-4
        )
    assert mean["reason"] == "over the 4 of 6 cells that another generator has too"
    assert {row["reason"] for row in of(tables["prediction"], generator="b")} == {""}


def test_a_mixture_is_in_no_fit_and_is_predicted(tmp_path):
    """All that is told of the generators is the same with it and without it."""
    random = np.random.default_rng(5)
    pgr = {
        (name, method, domain): random.normal(30, 9)
        for name in ("a", "ab", "b", "c") for method in METHODS.values() for domain in "xyz"
    }  # fmt: skip
    metrics = {place: {"reward": random.normal(), "perplexity": random.normal()} for place in pgr}
    fitted = {place: value for place, value in pgr.items() if place[0] != "ab"}
    found, texts = {}, {}
    for kind, cells in (("without", fitted), ("with", pgr)):
        results = Results(tmp_path / kind)
        results.folder.mkdir()
        results.rows = complete(cells)
        for place in cells:
            measure(results, *place, metrics[place])
            charge(results, *place, 0.01)
        found[kind] = results.run(["ab", "unused"], figures=True)
        texts[kind] = results.text()
    for table in ("correlations", "components", "regressions"):
        assert found["with"][table] == found["without"][table]
    told = {kind: of(found[kind]["prediction"], basis="held out") for kind in found}
    assert told["with"] == told["without"] and len(told["with"]) == 30
    mixed = of(found["with"]["prediction"], basis="mixture")
    assert len(mixed) == 10 and {row["generator"] for row in mixed} == {"ab"}
    # As many components as metrics: a plain regression of all the others.
    values = {place: list(found.values()) for place, found in metrics.items()}
    fit = LinearRegression().fit([values[place] for place in fitted], list(fitted.values()))
    for row in mixed[:-1]:
        place = row["method"], row["domain"]
        assert float(row["pgr"]) == pytest.approx(pgr["ab", *place], rel=1e-4)
        said = fit.predict([values["ab", *place]])
        assert float(row["predicted"]) == pytest.approx(said[0], rel=1e-4)
        others = np.mean([pgr[name, *place] for name in "abc"])
        assert float(row["others"]) == pytest.approx(others, rel=1e-4)
    for name in ("pgr", "predicted", "others"):
        mean = np.mean([float(row[name]) for row in mixed[:-1]])
        assert float(mixed[-1][name]) == pytest.approx(mean, rel=1e-4)
    assert [row["generator"] for row in found["with"]["value"]] == ["a", "ab", "b", "c"]
    left_out = "Mixtures are left out, as their pairs are of other sets: ab."
    assert texts["with"].count(left_out) == 4
    assert (
        "Mixture: by the regression on all other generators, its parts among them."
        in (texts["with"])
    )
    assert "ixture" not in texts["without"]
    for question in (components, correlations, prediction):
        name = question.__name__.rpartition(".")[2]
        caption = " ".join((ROOT / f"docs/captions/{name}.rst").read_text().split())
        assert "ixtures of generators" in caption  # that they are left out
        assert "ab" not in told_by(question, results, ["ab"])  # in the legend
    assert "ab" in told_by(value, results, ["ab"])


def mixed_results(folder):
    """Three generators and "ab", a mixture, of six cells each."""
    results = Results(folder)
    random = np.random.default_rng(7)
    cells = {
        (name, method, domain): random.normal(30, 9)
        for name in ("a", "ab", "b", "c") for method in METHODS.values() for domain in "xy"
    }  # fmt: skip
    results.rows = complete(cells)
    for place in cells:
        measure(results, *place, {"reward": random.normal(), "perplexity": random.normal()})
    return results


def test_a_mixture_without_a_sound_pgr_says_so_and_its_average_tells_its_cells(tmp_path):
    results = mixed_results(tmp_path)
    for one in results.rows:
        if (one["generator"], one["domain"]) == ("ab", "y"):
            one.update(pgr=None, pgr_low=None, pgr_high=None, flag="gap within noise")
    rows = of(results.run(["ab"])["prediction"], basis="mixture")
    assert len(rows) == 7
    for row in rows[:6]:
        assert row["predicted"] and row["others"]
        lost = row["domain"] == "y"
        assert (row["pgr"] == "", row["error"] == "") == (lost, lost)
        assert row["reason"] == ("no sound PGR" if lost else "")
    assert (rows[6]["method"], rows[6]["n"]) == (MEAN, "3")
    for name in ("pgr", "predicted", "others"):
        mean = np.mean([float(row[name]) for row in rows[:6] if row["domain"] == "x"])
        assert float(rows[6][name]) == pytest.approx(mean, rel=1e-4)
    lines = [line.replace(" ", "") for line in results.text().splitlines()]
    assert any(line.startswith("|ab|3of6|mixture|") for line in lines)
    assert any(line.startswith("|a|all|heldout|") for line in lines)
    places = ", ".join(f"ab {method} y" for method in METHODS.values())
    assert f"{places}: no sound PGR." in results.text()


def test_a_mixture_of_one_cell_is_not_averaged_as_all(tmp_path):
    results = mixed_results(tmp_path)

    def kept(one):
        return one["generator"] != "ab" or (one["method"], one["domain"]) == ("instance", "x")

    results.rows, results.metrics = (
        list(filter(kept, rows)) for rows in (results.rows, results.metrics)
    )
    results.run(["ab"])
    lines = [line.replace(" ", "") for line in results.text().splitlines()]
    assert any(line.startswith("|ab|1of6|mixture|") for line in lines)


def test_mixtures_do_not_decide_the_seed():
    rows = [row(name, "response", "x", 10.0, seed=1) for name in "ab"]
    mixed = [row(name, "response", "x", 10.0, seed=2) for name in ("ab1", "ab2", "ab3")]
    names = ["ab1", "ab2", "ab3"]
    (block,) = study.build_blocks(list_views(rows + mixed), mixtures=names)
    assert (block.seed, block.cells["generator"].tolist(), block.elsewhere) == (1, ["a", "b"], 3)
    (block,) = study.build_blocks(list_views(mixed), mixtures=names)
    assert block.seed == 2


def test_meta_prompts_are_compared_without_mixtures(tmp_path):
    results = Results(tmp_path)
    for prompt, more in (("main", 0.0), ("other", 5.0)):
        cells = {
            (name, "response", domain): 10.0 * i + more * (9 if name == "ab" else i)
            for i, name in enumerate(("a", "b", "ab"), 1)
            for domain in "xy"
        }
        results.rows += complete(cells, prompt=prompt)
    (row,) = results.run(["ab"])["prompts"]
    assert (row["n"], float(row["difference"])) == ("4", -7.5)
    assert "Mixtures are left out of the differences" in results.text()
    only = [row for row in results.rows if row["prompt"] == "main" or row["generator"] == "ab"]
    (row,) = prompts.compare_prompts(only, ["ab"])
    assert (row["n"], row["reason"]) == (0, "no cell has both prompts")


def test_intervals_of_few_generators_say_how_little_they_say(paper, tmp_path):
    results = mixed_results(tmp_path)
    results.benchmarks = {"sums": "x", "code": "y"}
    random = np.random.default_rng(9)
    abilities = [
        {
            "generator": name,
            "domain": domain,
            "benchmark": benchmark,
            "score": random.uniform(0, 90),
        }
        for name in "abc"
        for benchmark, domain in results.benchmarks.items()
    ]
    results.scores = {(one["generator"], one["benchmark"]): one["score"] for one in abilities}
    results.run(["ab"])
    told = "ntervals from resampled generators say little: of 3 there are 10 distinct resamples"
    assert results.text().count(f"I{told}.") == 2  # regressions and correlations
    paper_results, _ = paper  # six generators, and three for the other meta-prompts
    for section in paper_results.text().split("\n## "):
        assert "say little" not in section or "prompt main," not in section


@pytest.mark.parametrize(("generators", "resamples"), [(3, 10), (4, 35), (5, 126), (6, None)])
def test_how_many_resamples_there_are(generators, resamples):
    drawn = itertools.combinations_with_replacement(range(generators), generators)
    told = regression.few_generators_caution([(regression.Interval(1.0, 2.0), generators)])
    assert bool(told) == (generators < 6)
    if resamples:
        assert resamples == len(list(drawn)) and f" {resamples} distinct" in told[0]
    assert (
        regression.few_generators_caution([(regression.Interval(reason="none"), generators)]) == []
    )


def test_what_is_too_small_for_any_fit_says_what_is_left_out():
    rows = [row("a", "response", "x", 10.0), row("b", "response", "x", None, flag="no gap")]
    rows.append(row("c", "response", "x", 10.0, seed=2))
    (block,) = study.build_blocks(list_views(rows))
    assert regressions.too_small(block).notes == [
        "1 of 2 cells are left out: they have no PGR, or one over a gap within its own noise.",
        "1 cell is left out: it has other seeds.",
    ]


def test_blocks_too_small_for_any_fit_are_told_in_one_sentence(tmp_path):
    results = Results(tmp_path)
    cells = {(name, "response", "x"): pgr for name, pgr in (("a", 10.0), ("ab", 15.0), ("b", 20.0))}
    results.rows = complete(cells)
    results.rows += complete({("a", "response", "x"): 30.0}, prompt="other")
    for place in cells:
        measure(results, *place, {"reward": 1.0})
    tables = results.run(["ab"], figures=True)
    text = results.text()
    assert text.count("Nothing can be fitted to 2 cells without its mixtures: ") == 1
    assert text.count("Nothing can be fitted to 1 cell: ") == 1
    assert "## Loadings" not in text and "## Correlation" not in text
    assert text.count("## What predicts PGR") == 2 and text.count("## Price, ability and PGR") == 2
    assert all(row["reason"] for row in tables["correlations"] + tables["regressions"])
    assert len(tables["correlations"]) == 2 and len(tables["regressions"]) == 8


def test_more_seeds_of_one_generator_leave_no_other_out():
    rows = [
        {**row(name, method, "math", 10.0, seed=seed), "pgr_low": 5.0, "pgr_high": 15.0}
        for name, seeds in (("a", (1, 2, 3)), ("b", (1,)), ("c", (1,)))
        for method in ("instance", "response")
        for seed in (*seeds, *([MEAN] if len(seeds) > 1 else []))
    ]
    (block,) = study.build_blocks(list_views(rows))
    assert block.seed == 1
    assert block.cells["generator"].tolist() == ["a", "a", "b", "b", "c", "c"]
    assert block.new.empty
    assert block.elsewhere == 0


def test_cells_with_other_seeds_are_counted(tmp_path):
    results = Results(tmp_path)
    random = np.random.default_rng(6)
    for seed, names in ((1, "abc"), (2, "d")):
        cells = {(g, m, "x"): random.normal(20, 9) for g in names for m in METHODS.values()}
        results.rows += complete(cells, seed=seed)
        for place in cells:
            measure(results, *place, {"reward": random.normal()}, seed=seed)
    results.run()
    # Below the tables of regressions, correlations, predictions and decisions.
    assert results.text().count("3 cells are left out: they have other seeds.") == 4


def test_some_of_the_seeds_stand_for_their_mean():
    rows = [
        row("a", "response", "x", pgr, prompt=prompt, seed=seed, half=half)
        for prompt, more in (("main", 0.0), ("other", 7.0))
        for pgr, seed, half in ((10.0 + more, 1, 2.0), (16.0 + more, 2, 4.0))
    ]
    found = pgr_table.average_seeds(rows)
    one = found["s", "main", "a", "response", "x", 100]
    assert (one["pgr"], one["pgr_low"], one["pgr_high"]) == (13.0, 10.0, 16.0)
    (line,) = [line for line in amount.fit_lines(rows, fewest=1) if line.place[1] == "main"]
    assert [point["pgr"] for point in line.points] == [13.0]
    (told,) = prompts.compare_prompts(rows)
    assert (told["difference"], told["n"]) == (-7.0, 1)
    # A mean over all seeds stands for them; a PGR that one lacks, the mean lacks.
    whole = pgr_table.average_seeds([*rows, row("a", "response", "x", 12.0, seed=MEAN)])
    assert whole["s", "main", "a", "response", "x", 100]["pgr"] == 12.0
    rows[1] |= {"pgr": None, "pgr_low": None, "pgr_high": None, "flag": "gap within noise"}
    one = pgr_table.average_seeds(rows)["s", "main", "a", "response", "x", 100]
    assert (one["pgr"], one["flag"]) == (None, "gap within noise")
    assert len(amount.fit_lines(rows, fewest=1)) == 1


def test_metrics_are_means_over_seeds(tmp_path):
    results = Results(tmp_path)
    cells = {(g, m, "x"): 10.0 * i for i, g in enumerate("abc") for m in METHODS.values()}
    for seed in (1, 2, MEAN):
        results.rows += complete(cells, seed=seed)
    for i, place in enumerate(cells):
        for seed in (1, 2):
            measure(results, *place, {"reward": i + seed}, seed=seed)
    (block,) = study.build_blocks(list_views(results.rows), results.metrics)
    assert block.seed == MEAN
    assert list(block.cells["reward"]) == [i + 1.5 for i in range(len(cells))]


def test_amounts_say_where_more_stops_paying_or_why_not(tmp_path):
    results = Results(tmp_path)
    for size in (100, 200, 400, 800, 1600):
        rising = 80 - 60 * (size / 100) ** -1.2
        cells = {("up", "response", "x"): rising, ("down", "response", "x"): 50 - size / 100}
        results.rows += complete(cells, size=size, half=0.5)
    tables = results.run()
    rows = {row["generator"]: row for row in of(tables["amount"], method="response", domain="x")}
    up = rows["up"]
    assert up["sizes"] == "100;200;400;800;1600" and up["reason"] == ""
    assert float(up["top"]) == pytest.approx(80, abs=0.1)
    assert float(up["enough_low"]) < float(up["enough"]) < float(up["enough_high"])
    assert rows["down"]["reason"] == "PGR does not rise with the number of pairs"
    assert "No curve for down response x" in results.text()


def test_bad_input_is_told_with_the_file_and_what_was_possible(tmp_path):
    results = Results(tmp_path)
    results.rows = complete({("a", "response", "x"): 1.0, ("b", "response", "x"): 2.0})
    results.metrics = [{"generator": "a", "metric": "reward", "value": 1}]
    with pytest.raises(UserError, match=r"intrinsic.csv lacks the column 'method'; it needs"):
        results.run()
    results.metrics = []
    measure(results, "a", "response", "x", {"reward": "high"})
    with pytest.raises(UserError, match=r"intrinsic.csv, line 2: value is no number: 'high'"):
        results.run()
    results.metrics = []
    measure(results, "a", "response", "x", {"reward": 1.0}, size="many")
    with pytest.raises(UserError, match=r"intrinsic.csv, line 2: size is no whole number: 'many'"):
        results.run()
    results.metrics, results.benchmarks = [], {"b1": "x"}
    results.scores["a", "b1"] = None
    with pytest.raises(UserError, match=r"generators/a/b1.json is not a score summary"):
        results.run()


# ---- "I have X dollars."


def line(pgrs, curve="no curve", generator="g"):
    points = [row(generator, MEAN, MEAN, pgr, size=size) for size, pgr in pgrs.items()]
    return amount.Line(("s", "main", generator, MEAN, MEAN), (), points, curve)


def test_an_offer_is_the_best_that_the_dollars_pay_for():
    found = offers.make_offer(line({100: 20.0, 1000: 40.0}), "g", 0.01, 9.99)
    assert (found.pairs, found.usd, found.pgr, found.basis) == (100, 1.0, 20.0, "measured")
    assert (found.low, found.high) == (16.0, 24.0)
    assert offers.make_offer(line({100: 20.0, 1000: 40.0}), "g", 0.01, 10.0).pairs == 1000
    few = offers.make_offer(line({100: 20.0}), "g", 0.01, 0.5)
    assert few.pgr is None
    assert few.reason == "pays for 50 pairs; the fewest that were tried are 100, for $1.00"
    assert offers.make_offer(line({100: 20.0}), "g", 0.01, 1.0).untried == ""  # nothing left over
    untried = offers.make_offer(line({100: 20.0}), "g", 0.01, 1.01).untried
    assert untried == "more pairs than 100 were not tried: give an experiment several sizes"
    sizes = {100: 20.0, 200: 21.0, 400: 22.0, 800: 23.0}
    untried = offers.make_offer(line(sizes, "it does not level off"), "g", 0.01, 99.0).untried
    assert untried == "more pairs than 800 were not tried: it does not level off"
    assert offers.make_offer(line({100: 20.0, 1000: 10.0}), "g", 0.01, 99.0).untried == ""
    # More pairs that did worse are not recommended, and of what is free there is no end.
    assert offers.make_offer(line({100: 20.0, 1000: 10.0}), "g", 0.0, 0.0).pairs == 100


def test_an_offer_goes_along_a_curve_as_far_as_it_pays_and_not_far_beyond():
    curve = Curve(80.0, 60.0, 1.0, 100, 1.0, None, None)  # a doubling adds < 1 from 3,000 on
    points = {100: 20.0, 200: 50.0, 400: 65.0, 800: 72.5}
    found = offers.make_offer(line(points, curve), "g", 0.01, 6.0)
    assert (found.pairs, found.basis) == (600, "on the curve")
    assert found.pgr == pytest.approx(70.0)
    far = offers.make_offer(line(points, curve), "g", 0.01, 1e6)
    assert (far.pairs, far.basis) == (1600, "on the curve, beyond 800")
    assert far.untried == (
        "more pairs than 800 were not tried, and no curve is followed beyond twice as many"
    )
    assert found.untried == ""


def test_front():
    assert value.pareto_front([(1, 10), (2, 20), (3, 15), (None, 50), (2, 20), (4, None)]) == {
        0,
        1,
        4,
    }


def test_a_generator_that_trained_nobody_is_foreseen_as_if_it_had_been_left_out(
    paper, tmp_path, capsys
):
    results, tables = paper
    name = results.rows[0]["generator"]
    table = tmp_path / "pgr.csv"
    table.write_text(to_csv([row for row in results.rows if row["generator"] != name]))
    known = pandas.DataFrame(results.metrics)
    mine = known["generator"] == name
    known[mine].to_csv(tmp_path / "new.csv", index=False)
    known[~mine].to_csv(tmp_path / "known.csv", index=False)
    files = ["--intrinsic", str(tmp_path / "new.csv"), "--known", str(tmp_path / "known.csv")]
    recommend.main(["expect", "--table", str(table), *files])
    text = capsys.readouterr().out
    found = {
        tuple(cells[:3]): cells[3]
        for line in text.splitlines()
        if (cells := [cell.strip() for cell in line.strip("|").split("|")])[0] == name
    }
    held_out = {
        (name, row["method"], row["domain"]): f"{float(row['predicted']):.1f}"
        for row in of(tables["prediction"], basis="held out", generator=name)
    }
    assert len(found) == 9 + 1 and found == held_out
    assert "it missed a set's PGR by " in text and "others' mean (%)" in text


def table_files(folder):
    """Options that name the files of results in a folder."""
    tables = f"{folder}/results/tables"
    return ["--table", f"{folder}/results/pgr_table.csv", "--intrinsic", f"{tables}/intrinsic.csv"]


def foreseen(text, generator):
    """{(method, domain): cells of its line} of what recommend.py printed of a generator."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    return {tuple(line[1:3]): line[3:] for line in lines if line and line[0] == generator}


def test_mixtures_are_foreseen_from_as_the_config_has_them(tmp_path, capsys, monkeypatch):
    results = mixed_results(tmp_path)
    for method in METHODS.values():
        measure(results, "new", method, "x", {"reward": 0.5, "perplexity": -0.5})
    rows = of(results.run(["ab"])["prediction"], basis="new")
    expected = {
        (row["method"], row["domain"]): [
            f"{float(row[name]):.1f}" for name in ("predicted", "others")
        ]
        for row in rows
    }
    monkeypatch.chdir(tmp_path)
    files = ["--table", "results/pgr_table.csv", "--intrinsic", "results/tables/intrinsic.csv"]

    def answer(*more):
        recommend.main(["expect", *files, *more])
        found = foreseen(capsys.readouterr().out, "new")
        del found[MEAN, MEAN]
        return found

    without = answer()
    assert len(expected) == 3 and without != expected
    mixture = {"backend": "mixture", "of": {"strong": 0.5, "noisy": 0.5}}
    (tmp_path / "more.json").write_text(json.dumps({"generators": {"ab": mixture}}))
    assert answer("--config", "more.json") == expected == answer("--mixtures", "ab")


def test_a_setting_without_another_generator_leaves_the_mean_of_what_is_foreseen(tmp_path, capsys):
    results = Results(tmp_path)
    random = np.random.default_rng(8)
    settings = [("instance", "x"), ("instance", "y"), ("response", "x")]
    cells = {(name, *setting): random.normal(20, 9) for name in "abc" for setting in settings}
    results.rows = complete(cells)
    for place in [*cells, ("new", "response", "x"), ("new", "response", "y")]:
        measure(results, *place, {"reward": random.normal(), "perplexity": random.normal()})
    results.run()
    files = table_files(tmp_path)
    recommend.main(["expect", *files])
    text = capsys.readouterr().out
    found = foreseen(text, "new")
    mean = np.mean([float(found["response", domain][0]) for domain in "xy"])
    assert float(found[MEAN, MEAN][0]) == pytest.approx(mean, abs=0.11)
    assert found["response", "x"][1] and found["response", "y"][1] == found[MEAN, MEAN][1] == ""
    alone = "new response y: no other generator to compare with.\n"
    assert alone in text and alone in results.text()
    # Of a set that was not measured nothing is foreseen, so there is no mean.
    measure(results, "new", "instance", "x", {"reward": 1.0})
    results.run()
    recommend.main(["expect", *files])
    text = capsys.readouterr().out
    assert (MEAN, MEAN) not in foreseen(text, "new")
    assert "new instance x: a metric is missing.\n" in text


def test_nothing_new_to_foresee_is_told(paper):
    results, _ = paper
    files = table_files(results.folder)
    with pytest.raises(UserError, match=r"intrinsic.csv has no set that is new to .*pgr_table.csv"):
        recommend.main(["expect", *files])


def test_without_a_table_there_is_a_word_on_how_to_get_one(tmp_path):
    path = tmp_path / "pgr_table.csv"
    with pytest.raises(UserError, match=f"no PGR table {path}: snakemake {path} makes it"):
        recommend.main(["expect", "--table", str(path)])


def test_what_cannot_be_foreseen_says_why(tmp_path, capsys):
    results = Results(tmp_path)
    places = [("a", method, "x") for method in METHODS.values()]
    results.rows = complete(dict.fromkeys(places, 20.0))
    for place in [*places, ("b", "instance", "x")]:
        measure(results, *place, {"reward": float(len(results.metrics))})
    results.run()
    files = table_files(tmp_path)
    recommend.main(["expect", *files])
    assert "Nothing can be predicted: PGR is the same in all 3 rows." in capsys.readouterr().out


@pytest.fixture
def market(tmp_path):
    """Two methods, two sizes of both, and a third size of one."""
    results = Results(tmp_path)
    for size in (100, 200, 400):
        cells = {
            (name, method, "x"): pgr + size / 100
            for name, pgr in (("dear", 50.0), ("cheap", 48.0), ("bad", 10.0))
            for method in ("instance", "response")[: 1 if size == 400 else 2]
        }
        results.rows += complete(cells, size=size)
        for name, method, _ in cells:
            each = {"dear": 0.1, "cheap": 0.01, "bad": 0.01}[name]
            charge(results, name, method, "x", each, size)
    table, cost = tmp_path / "pgr.csv", tmp_path / "cost.csv"
    table.write_text(to_csv(results.rows))
    pandas.DataFrame(results.costs).to_csv(cost, index=False)
    return ["--table", str(table), "--cost", str(cost)]


def test_dollars_buy_pairs_in_every_setting(market, capsys):
    recommend.main(["spend", "--dollars", "40", *market])
    text = capsys.readouterr().out
    # 200 pairs of two settings; the third size is of one setting only, and no answer to this.
    assert "| dear      |               200 | 40.00 |    52.0 | [48.0, 56.0] | measured |" in text
    assert "Take dear and 200 pairs in each of 2 settings: a PGR of 52.0 % for $40.00." in text
    assert "cheap costs $4.00, and their intervals overlap: 50.0 %." in text
    recommend.main(["spend", "--dollars", "5", *market])
    text = capsys.readouterr().out
    assert "Take cheap and 200 pairs" in text
    assert "pays for 25 pairs; the fewest that were tried are 100, for $20.00" in text


def test_small_amounts_are_not_nothing(tmp_path, capsys):
    results = Results(tmp_path)
    results.rows = complete({("dear", "response", "x"): 20.0, ("cheap", "response", "x"): 19.0})
    charge(results, "dear", "response", "x", 0.00004)
    charge(results, "cheap", "response", "x", 0.00001)
    costs = study.Costs(results.costs)
    whole = dict.fromkeys(("student", "prompt", "domain", "method"))
    text = recommend.recommend_generators(results.rows, costs, 0.005, whole)
    assert text.startswith("## $0.0050 for response x") and "| 0.0040 |" in text
    assert "Take dear and 100 pairs: a PGR of 20.0 % for $0.0040." in text
    assert "cheap costs $0.0010" in text
    assert text.endswith(
        " Dollars are left over, but more pairs than 100 were not tried: give an experiment "
        "several sizes.\n"
    )
    assert ", for $0.0040 |" in recommend.recommend_generators(results.rows, costs, 0.002, whole)


def test_dollars_for_one_setting(market, capsys):
    recommend.main(["spend", "--dollars", "40", "--method", "instance", *market])
    assert "Take dear and 400 pairs: a PGR of 54.0 % for $40.00." in capsys.readouterr().out
    recommend.main(["spend", "--dollars", "0.01", *market])
    assert "No generator can be recommended: see the reasons." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--dollars", "0"], "--dollars and --gain must be more than 0"),
        (["--dollars", "nan"], "--dollars and --gain must be more than 0"),
        (["--dollars", "1", "--domain", "y"], "no domain 'y' in the table; known: x"),
        (["--dollars", "1", "--prompt", "y"], "no prompt 'y' in the table; known: main"),
    ],
)
def test_an_impossible_question_is_told(market, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        recommend.main(["spend", *arguments, *market])


def test_a_metric_of_fewer_settings_is_not_the_one_that_would_have_chosen_best():
    few = {"predictor": "few", "settings": 3, "accuracy": 1.0, "regret": 0.0}
    good = {"predictor": "good", "settings": 9, "accuracy": 0.9, "regret": 2.0}
    bad = good | {"predictor": "bad", "regret": 3.0}
    (note,) = decisions.best_notes([few, bad, good], ["few", "good", "bad"])
    assert note.startswith("Of single metrics good would have chosen best here: it orders 0.90 of")
    assert decisions.best_notes([few], ["good"]) == []
