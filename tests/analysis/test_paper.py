"""The paper's printed numbers, recomputed: what must come out, and the page that shows it."""

import html.parser
import shutil

import pandas
import paper as program
import pytest
from agorabench.analysis import paper
from agorabench.analysis.paper import Check
from agorabench.analysis.paper_page import render_page
from agorabench.errors import UserError
from helpers import ROOT

TABLES = ROOT / "config/paper"


@pytest.fixture(scope="module")
def tables():
    return paper.read_tables(TABLES)


@pytest.fixture(scope="module")
def analyses(tables):
    return paper.analyse_tables(tables, draws=300)


@pytest.fixture(scope="module")
def claims(tables):
    return {row.name: check for row, check in zip(
        tables["claims"].itertuples(), paper.check_claims(tables), strict=True
    )}  # fmt: skip


def test_problem_solving_and_pgr(claims, analyses):
    found = {name: check.recomputed for name, check in claims.items()}
    assert found["ability-generators-r2"] == pytest.approx(0.244, abs=0.0005)
    assert found["ability-generators-p"] == pytest.approx(0.3194, abs=0.0001)
    assert found["ability-cells-r2"] == pytest.approx(0.0970, abs=0.00005)
    assert found["ability-cells-p"] == pytest.approx(0.0219, abs=0.00005)
    for fit, name, n in (
        (analyses.of_generators, "generators", 6),
        (analyses.of_cells, "cells", 54),
    ):
        assert (fit.n, fit.generators) == (n, 6)
        assert fit.r2 == pytest.approx(found[f"ability-{name}-r2"])
        assert fit.p == pytest.approx(found[f"ability-{name}-p"])
        assert fit.r2_interval.low < fit.r2 < fit.r2_interval.high


def test_components_and_the_regression_on_them(claims, analyses):
    shares = [claims[f"component-{i}"].recomputed for i in range(1, 6)]
    assert shares == pytest.approx([40.6, 31.0, 12.7, 6.0, 5.8], abs=0.05)
    assert claims["component-sum"].recomputed == pytest.approx(96.0, abs=0.05)
    assert claims["regression-r2"].recomputed == pytest.approx(0.338, abs=0.0005)
    assert claims["regression-p"].recomputed == pytest.approx(0.0011, abs=0.00005)
    assert analyses.on_components.r2 == pytest.approx(claims["regression-r2"].recomputed)
    assert analyses.on_components.p == pytest.approx(claims["regression-p"].recomputed)
    # What the paper does not print: on generators that the fit has not seen, nothing is left of it.
    assert analyses.on_components.r2_held_out < 0


def test_the_prompt_differences(claims):
    assert claims["prompts-json"].recomputed == pytest.approx(4.456, abs=0.0005)
    assert claims["prompts-unoptimised"].recomputed == pytest.approx(4.00, abs=0.005)


def test_the_claims_that_rounding_does_not_explain(claims):
    differing = {name for name, check in claims.items() if check.verdict == "differs"}
    assert differing == {*(f"component-{i}" for i in range(1, 6)), "component-sum", "regression-r2"}
    assert claims["ability-cells-r2"].verdict == "agrees"
    # Whatever differs beyond its components is told why, in words.
    silent = {name for name in differing if not claims[name].remark}
    assert silent == {f"component-{i}" for i in range(2, 6)}


DECISIONS = {  # pairs right with interval, regret with interval, R2 pooled, R2 within settings
    "quality, Prometheus": (0.75, 0.67, 0.83, 2.4, 0.5, 4.5, 0.000, 0.201),
    "reward": (0.73, 0.63, 0.81, 5.4, None, 11.4, 0.255, 0.115),
    "problem solving": (0.70, 0.60, 0.81, 7.4, 0.2, 18.7, 0.097, 0.092),
    "quality, GPT-4o": (0.70, 0.58, 0.81, 8.7, 1.2, 20.4, None, None),
    paper.ADJUSTED: (0.70, 0.60, 0.80, 5.4, 0.0, 11.9, None, None),
    "perplexity": (0.48, 0.29, 0.66, 14.4, 6.9, 23.2, None, None),
}


@pytest.mark.parametrize("predictor", DECISIONS)
def test_decisions_within_settings(analyses, predictor):
    (row,) = [row for row in analyses.decisions if row["predictor"] == predictor]
    accuracy, low, high, regret, least, most, r2, within = DECISIONS[predictor]
    assert (row["settings"], row["generators"]) == (9, 6)
    assert (round(row["accuracy"], 2), round(row["regret"], 1)) == (accuracy, regret)
    # Ends of intervals have the noise of their resamples. That of the reward's regret is 0 in 2.6 %
    # of all resamples, so 0 or the next higher value.
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((low, high), abs=0.011)
    assert row["regret_low"] == pytest.approx(0.35 if least is None else least, abs=0.36)
    assert row["regret_high"] == pytest.approx(most, abs=0.6)
    if r2 is not None:
        assert (round(row["r2"], 3), round(row["r2_within"], 3)) == (r2, within)


def test_baselines_of_decisions(analyses):
    found = {row["predictor"]: row for row in analyses.decisions}
    numbers = {name: (row.get("accuracy"), row["regret"]) for name, row in found.items()}
    assert numbers["random"] == (0.5, pytest.approx(16.9, abs=0.05))
    assert numbers["always gpt-4o"][1] == pytest.approx(6.3, abs=0.05)
    assert numbers["always llama-3.1-405b"][1] == pytest.approx(24.6, abs=0.05)
    assert numbers["mean PGR in the other settings"] == pytest.approx((0.65, 6.3), abs=0.05)
    nested = found["most accurate in the other settings"]
    assert (nested["accuracy"], nested["regret"]) == pytest.approx((0.75, 2.4), abs=0.05)
    assert nested["reason"] == "it was always quality, Prometheus"


def test_averages_that_do_not_add_up_are_found(tables):
    found = list(paper.check_averages(tables))
    assert len(found) == 18 + 18 + 144 + 6 + 12 + 9
    wrong = {(one.where, one.quantity): one for one in found if one.verdict != "agrees"}
    by_table = pandas.Series([where for where, _ in wrong]).value_counts().to_dict()
    assert by_table == {
        "Table 2": 2, "Table 3": 2, "Table 4": 1, "Table 5": 1, "Table 7": 1, "Table 8": 20,
    }  # fmt: skip
    one = wrong["Table 2", "claude-3.5-sonnet, response generation"]
    assert (one.printed, one.recomputed) == ("28.8", pytest.approx(28.7333, abs=1e-4))
    (one,) = [one for one in wrong.values() if one.verdict == "differs"]
    assert one.quantity == "instruction similarity, llama-3.1-70b, quality enhancement"
    assert (one.printed, one.shown) == ("0.4022", "0.40020")  # as many digits as are printed
    assert paper.count_repeated(tables) == (24, 0)


def test_table_4_is_nearest_to_loadings_averaged_over_all_components(tables, analyses):
    found = paper.check_loadings(tables, analyses)
    assert max(abs(one.difference) for one in found) == pytest.approx(0.0197, abs=0.0005)
    assert len(found) == 9


@pytest.mark.parametrize(
    ("check", "difference", "verdict"),
    [
        (Check("", "", "0.24", 0.2449), 0.0049, "agrees"),
        (Check("", "", "0.24", 0.2451), 0.0051, "differs"),
        (Check("", "", "0.24", 0.2451, 0.001), 0.0051, "rounding"),
        (Check("", "", "<0.001", 0.0004), 0.0, "agrees"),
        (Check("", "", "<0.001", 0.0011), 0.0001, "differs"),
        (Check("", "", "-0.2", -0.2333), -0.0333, "agrees"),
    ],
)
def test_verdicts(check, difference, verdict):
    assert check.difference == pytest.approx(difference)
    assert check.verdict == verdict


def test_another_number_in_a_table_is_noticed(tables):
    changed = dict(tables)
    changed["table2_pgr"] = tables["table2_pgr"].copy()
    changed["table2_pgr"].loc[0, "pgr"] += 3
    one = next(one for one in paper.check_averages(changed) if one.where == "Table 2")
    assert (one.verdict, paper.count_repeated(changed)) == ("differs", (24, 0))
    changed["table2_pgr"].loc[changed["table2_pgr"]["generator"] == "gpt-4o-mini", "pgr"] += 3
    assert paper.count_repeated(changed) == (24, 8)


class Page(html.parser.HTMLParser):
    """What a page loads, the ids it has, and the numbers of rows of its tables."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.ids, self.open, self.headings = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag != "a":  # a link is followed by readers only
            names = ("src", "href", "srcset", "action")
            self.loads += [found[name] for name in names if name in found]
        self.ids += [found["id"]] if "id" in found else []
        self.headings.append(tag)
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_one_file_that_loads_nothing(tmp_path, monkeypatch):
    config = (ROOT / "config/mini.yaml").read_text() + "\nbootstrap: 100\n"
    (tmp_path / "config.yaml").write_text(config)
    monkeypatch.chdir(tmp_path)
    program.main(["--config", "config.yaml"])
    text = (tmp_path / "results/paper/comparison.html").read_text()
    page = Page(text)
    assert page.open == [] and len(page.ids) == len(set(page.ids))
    assert page.loads and all(one.startswith("data:image/svg+xml") for one in page.loads)
    assert len(text) < 1_500_000
    assert "-0.0000<" not in text
    assert "<script" not in text and "url(" not in text and "@import" not in text
    assert "width=device-width" in text
    assert "nan" not in text.partition("data:")[0].lower()
    for words in (
        "printed 0.245, recomputed 0.2440; differs by rounding",
        "variance of the nine metrics on components 1 to 5, %: printed 93.4, recomputed 95.96; ",
        "PGR, the performance gap recovered",
        "href='https://arxiv.org/abs/2412.03679v2'",
        "27 of 207 printed averages and shares do not add up",
        "Table 5 repeats 24 numbers of Table 2, 0 of them with another value.",
    ):
        assert words in text, words


def test_a_phone_shows_all_columns(tables, analyses, browser, tmp_path):
    path = tmp_path / "comparison.html"
    path.write_text(render_page(tables, analyses))
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    wider = "ones => ones.filter(one => one.scrollWidth > one.clientWidth).length"
    regions = page.locator("main > div, details > div")
    assert regions.count() > 8 and regions.evaluate_all(wider) == 0
    page.close()


def test_text_is_escaped(tables, analyses):
    changed = dict(tables)
    changed["claims"] = tables["claims"].copy()
    changed["claims"].loc[4, "remark"] = "<script>alert(1)</script>"
    text = render_page(changed, analyses)
    assert "<script" not in text and "&lt;script&gt;" in text


def test_a_table_that_is_another_is_told_by_name(tmp_path):
    folder = tmp_path / "paper"
    shutil.copytree(TABLES, folder)
    (folder / "table8_intrinsic.csv").write_text("generator,method,domain,metric\n")
    with pytest.raises(UserError, match=r"table8_intrinsic.csv lacks the column 'value'"):
        paper.read_tables(folder)
    (folder / "table8_intrinsic.csv").unlink()
    with pytest.raises(UserError, match=r"cannot read .*table8_intrinsic.csv"):
        paper.read_tables(folder)
