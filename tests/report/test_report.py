"""results/report.html: what it tells, what it escapes, and how it behaves in a browser."""

import contextlib
import json
import re
from fractions import Fraction
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import unquote

import pytest
from agorabench.analysis.comparisons import read_rows
from agorabench.analysis.pgr_table import from_csv, list_views, to_csv
from agorabench.analysis.study import read_costs
from agorabench.analysis.verdicts import decide_views
from agorabench.errors import UserError
from agorabench.files import read_jsonl, write_jsonl
from agorabench.report.exhibits import Exhibit
from agorabench.report.page import render_report, show_unseen
from agorabench.report.pgr_rows import select_overall
from agorabench.report.readable import count_decimals, format_value
from agorabench.report.sections import draw_curve, space_evenly, word_expected, word_verdict
from helpers.study import PRICES, Study

FIGURE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>'
PAPER = "https://arxiv.org/abs/2412.03679"
HOSTILE = (
    "<script>window.hacked = 1</script></script></pre></style>\"'><img src=x onerror=hacked=1>"
    "<svg/onload=hacked=1> &lt; {{ 7 * 7 }} {% raw %} ]]> -->"
)


class Page(HTMLParser):
    """What a reader of the page finds: the tags, their attributes, and all text."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag, attribute):
        return [found[attribute] for name, found in self.tags if name == tag and attribute in found]


def shown(study, exhibits=(), home="results"):
    """The page of a study, in its folder unless another is named."""
    with contextlib.chdir(study.results.parent):
        rows, tables = (
            from_csv((study.results / "pgr_table.csv").read_text()),
            study.results / "tables",
        )
        ranks, pairs = (read_rows(tables / f"{name}.csv") for name in ("ranks", "comparisons"))
        views = list_views(rows)
        verdicts = decide_views(views, ranks, pairs, read_costs(tables / "cost.csv"))
        pieces = render_report(study.config, rows, views, exhibits, study.prices, home, verdicts)
        text = "".join(pieces)
    (study.results.parent / home / "report.html").write_text(text, encoding="utf-8")
    return text


def costs(study, **more):
    """The table of costs as an exhibit."""
    return Exhibit("Costs", table="results/tables/cost.csv", **more)


def test_the_verdict_is_on_top(tmp_path):
    study = Study(tmp_path, domains=("math", "code"), items=200)
    page = Page(shown(study, [costs(study)]))
    top = page.text.index("Which generator?")
    assert top < page.text.index("Before you rely on it") < page.text.index("Every PGR")
    assert "is highest, with a PGR of" in page.text[top:] and "all cells:" in page.text[top:]


def test_every_set_and_model_has_a_section_and_every_link_a_target(tmp_path):
    study = Study(tmp_path, students=("mini", "other"), domains=("math", "code"), seeds=(1, 2))
    page = Page(shown(study, [costs(study)]))
    names = [found["id"] for _, found in page.tags if "id" in found]
    assert len(names) == len(set(names))
    assert {f"{domain}--response--{generator}--main--n20-seed{seed}"
            for domain in ("math", "code") for generator in ("strong", "weak")
            for seed in (1, 2)} <= set(names)  # fmt: skip
    assert {"mini--base", "mini--reference", "other--base", "other--reference"} <= set(names)
    links = page.all("a", "href")
    within = {link[1:] for link in links if link.startswith("#")}
    assert within <= set(names)
    outside = {link for link in links if not link.startswith(("#", PAPER))}
    assert PAPER in links and outside
    assert all((study.results / unquote(link)).is_file() for link in outside)


def test_links_lead_to_the_files_from_wherever_the_page_is(tmp_path):
    study = Study(tmp_path)
    home = tmp_path / "elsewhere" / "deep"
    home.mkdir(parents=True)
    links = Page(shown(study, home=home)).all("a", "href")
    assert "../../results/pgr_table.csv" in links
    files = [link for link in links if not link.startswith(("#", PAPER))]
    assert all((home / link).is_file() for link in files)


def test_numbers_of_the_page_are_those_of_the_files(tmp_path):
    study = Study(tmp_path)
    text = shown(study, [costs(study)])
    rows = from_csv((study.results / "pgr_table.csv").read_text())
    for row in rows:
        assert f">{row['pgr']:.1f}</a>" in text
        assert f"[{row['pgr_low']:.1f}, {row['pgr_high']:.1f}]" in text
    # 30 replies, 10 of them rejected; 100 tokens in and 10 out at 2 and 10 USD per million
    assert "5 (16.7 % of all replies)" in text
    assert "100 tokens in, 10 out, 0.0003 USD" in text
    assert (
        "slot 1, attempt 0</a>: valid; 100" in text and "slot 5, attempt 0</a>: valid</p>" in text
    )
    assert "12.5</a> ± 1.5" in text


def test_the_overall_table_is_the_widest_average(tmp_path):
    rows = from_csv(
        (Study(tmp_path, domains=("math", "code")).results / "pgr_table.csv").read_text()
    )
    found, lacking = select_overall(list_views(rows))
    assert [(row["generator"], row["domain"], row["method"]) for row in found] == [
        ("strong", "mean", "response"),
        ("weak", "mean", "response"),
    ]
    assert lacking == []


def test_a_generator_that_is_not_in_the_overall_table_is_named_there(tmp_path):
    study = Study(tmp_path, domains=("math", "code"))
    main = study.matrix["experiments"]["main"]
    part = main | {"generators": ["weak"], "domains": ["math"]}
    study.matrix["experiments"] = {"main": main | {"generators": ["strong"]}, "part": part}
    study.write_tables()
    told = " ".join(Page(shown(study)).text.split())
    assert "Not here, for want of some of what is averaged: weak." in told


def test_pgrs_are_told_with_their_items_and_what_their_intervals_are_over(tmp_path):
    source = shown(Study(tmp_path, domains=("math", "code"), items=12))
    told = " ".join(Page(source).text.split())
    assert told.count("The 95 % interval is over benchmark items") == 2
    assert source.count('<td class="number">24</td>') == 4 + 2  # the averages, in both tables


def test_same_inputs_same_bytes(tmp_path):
    study = Study(tmp_path)
    assert shown(study) == shown(study)


def test_text_of_models_is_escaped(tmp_path):
    study = Study(tmp_path, text=lambda kind, number: f"{HOSTILE} {kind} {number}")
    source = shown(study)
    page = Page(source)
    kinds = {tag for tag, _ in page.tags}
    assert source.count("<script") == source.count("</script") == 1
    assert "img" not in kinds
    assert not [name for _, found in page.tags for name in found if name.startswith("on")]
    assert f"{HOSTILE} instruction 1" in page.text and f"{HOSTILE} completion item-0" in page.text
    assert f"{HOSTILE} reply 0" in page.text and f"{HOSTILE} extracted item-0" in page.text


def test_tables_are_escaped(tmp_path):
    study = Study(tmp_path)
    table = tmp_path / "more.csv"
    table.write_text(f'name,"{HOSTILE.replace(chr(34), chr(34) * 2)}"\n<b>bold</b>,1\n')
    source = shown(study, [Exhibit(HOSTILE, table=str(table))])
    assert source.count("<script") == 1 and "<b>" not in source
    assert Page(source).text.count("onerror") >= 3


def test_huge_texts_are_cut_with_a_note(tmp_path):
    study = Study(tmp_path, text=lambda kind, number: "x" * 1_000_000)
    source = shown(study)
    assert "998,000 further characters are in <a" in source
    assert "x" * 2000 in source and "x" * 2001 not in source
    assert len(source) < 300_000


def test_bytes_that_are_no_text_are_shown_and_do_no_harm(tmp_path):
    odd = "a\x00b\x1b[31m\x7f\x85\u202eright\u2028\ud800\ufffe\r\n\tend"
    study = Study(tmp_path)
    raw = study.results / "raw/math/response/strong/main/n20-seed1.jsonl"
    rows = [row | {"instruction": odd} for row in read_jsonl(raw)]
    raw.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = Page(shown(study)).text
    assert "a␀b␛[31m\\x7f\\x85\\u202eright\\u2028\\ud800\\ufffe␍\n\tend" in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]", text)


def test_ordinary_characters_of_all_scripts_stay_as_they_are():
    text = "naïve “π ≈ 3”, 漢字, עברית, 🎉\n\t…"
    assert show_unseen(text) == text


def test_a_student_of_one_domain_is_measured_there_only(tmp_path):
    study = Study(tmp_path, students=("mini", "other"), domains=("math", "code"))
    main = study.matrix["experiments"]["main"]
    more = main | {"students": ["other"], "domains": ["math"]}
    study.matrix["experiments"] = {"main": main | {"students": ["mini"]}, "more": more}
    for path in study.results.glob("scores/other/*/code-test.*"):
        path.unlink()
    study.write_tables()
    names = [found["id"] for _, found in Page(shown(study)).tags if "id" in found]
    assert {"other--base", "other--reference"} <= set(names)


def test_the_pairs_of_a_mixture_cost_what_their_generators_take(tmp_path):
    study = Study(tmp_path, generators=("mixed",))
    (path,) = study.results.glob("raw/**/*.jsonl")
    write_jsonl(path, [row | {"generator": "strong"} for row in read_jsonl(path)])
    study.prices = {"mixed": PRICES, "strong": {"input": 20_000, "output": 0}}
    text = Page(shown(study)).text
    assert "100 tokens in, 10 out, 2 USD" in text


def test_what_is_not_there_has_no_section(tmp_path):
    study = Study(tmp_path)
    full = shown(study)
    assert "<polyline" in full and "Examples" in full
    for path in study.results.glob("models/**/train.json"):
        path.unlink()
    for path in study.results.glob("raw/**/*.jsonl"):
        write_jsonl(path, [row for row in read_jsonl(path) if row["verdict"] == "valid"])
    bare = shown(study)
    assert "<polyline" not in bare and "Recipe" not in bare
    assert "Examples" not in bare and "were valid." in bare
    assert "exhibit-" not in bare


def test_a_gap_within_noise_has_no_number(tmp_path):
    study = Study(tmp_path, domains=("math", "code"))
    table = study.results / "pgr_table.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(
        re.sub(r",[^,]*,[^,]*,[^,]*,$", ",,,,gap within noise", line) if ",code," in line else line
        for line in lines
    ) + "\n")  # fmt: skip
    text = shown(study)
    assert ">n/a</a>" in text and "gap within noise" in text and "None" not in text


def test_judged_answers_have_scores_and_a_link_to_the_judgements(tmp_path):
    text = shown(Study(tmp_path, judge="a-judge"))
    assert "judge a-judge" in text and "judgements/mini/base/math-test.jsonl" in text
    assert ": score 1.00" in text and ": right<" not in text
    assert word_verdict({"score": None}, "a-judge") == ("unknown", "no verdict")
    assert word_verdict({"score": 0.25}, None) == ("partly", "score 0.25")
    assert word_verdict({"score": 0.0}, None) == ("wrong", "wrong")


def test_answers_have_the_judges_words(tmp_path):
    study = Study(tmp_path, judge="a-judge")
    said = study.results / "judgements/mini/base/math-test.jsonl"
    write_jsonl(said, [{"id": "item-0", "reply": f"a <b>game</b> {n}"} for n in (1, 2)])
    text = shown(study)
    assert text.count(">the judge<") == 2 and "a &lt;b&gt;game&lt;/b&gt; 2" in text


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"answer": Fraction(7, 2)}, "7/2"),
        ({"answers": ["a", "b"]}, "a\nor\nb"),
        ({"answer": "B", "choices": {"A": "no", "B": "yes"}}, "B. yes"),
        ({"answer": 0}, "0"),
        ({"reference": "so", "tests": "assert f()"}, "so"),
        ({"tests": ["assert f()"]}, "assert f()"),
        ({"instructions": []}, None),
    ],
)
def test_what_was_expected_of_an_item(item, words):
    assert word_expected(item) == words


def test_exhibits_are_shown_in_order_with_caption_table_and_figure(tmp_path):
    study = Study(tmp_path)
    (tmp_path / "one.rst").write_text("PGR of ``all``:\n(student - base), **bold**")
    (tmp_path / "one.svg").write_text(FIGURE)
    figure = Exhibit("A figure", figure=str(tmp_path / "one.svg"))
    both = costs(study, caption=str(tmp_path / "one.rst"))
    source = shown(study, [figure, both])
    page = Page(source)
    assert page.all("img", "src")[0].startswith("data:image/svg+xml;base64,")
    assert 0 < source.index(">A figure</h2>") < source.index(">Costs</h2>")
    assert "<strong>bold</strong>" in source
    # the table of costs has a row for each set, which is told there too
    assert source.count('href="#exhibit-2"') == 1 + 2


def test_a_table_says_once_what_is_the_same_in_all_its_rows(tmp_path):
    study = Study(tmp_path)
    (tmp_path / "one.csv").write_text("size,name,reason,r\n20,a,,0.5\n20,b,,0.7\n")
    source = shown(study, [Exhibit("One", table=str(tmp_path / "one.csv"))])
    told = Page(source).text
    assert "In all rows: size 20. From one.csv." in told
    section = source[source.index(">One</h2>") :]
    assert re.findall(r'<th scope="col"[^>]*>(.*?)</th>', section)[:3] == ["name", "r", "generator"]


def test_a_table_with_several_rows_for_a_set_is_a_table_there(tmp_path):
    study = Study(tmp_path)
    table = tmp_path / "metrics.csv"
    head = "generator,method,domain,prompt,size,seed,metric,value\n"
    table.write_text(head + "".join(
        f"{name},response,math,main,20,1,{metric},0.123456789\n"
        for name in ("strong", "weak") for metric in ("reward", "perplexity")
    ))  # fmt: skip
    source = shown(study, [Exhibit("Metrics", table=str(table))])
    assert source.count("<td>perplexity</td>") == 2 + 2
    assert ">0.123</td>" in source


def regressions(path, rows):
    """A table of regressions with an error on left-out generators, and that of the others' mean."""
    head = "student,prompt,size,seed,analysis,p,rmse_held_out,rmse_others,reason\n"
    path.write_text(head + "".join(f"mini,main,20,1,{row}\n" for row in rows))
    return str(path)


def test_errors_on_generators_that_were_left_out_are_told_above_all(tmp_path):
    study = Study(tmp_path)
    rows = ["ability,0.1,,,too few", "components,0.01,19.41,36.97,", "intrinsic,0.1,52.3,36.97,"]
    table = regressions(tmp_path / "regressions.csv", rows)
    (tmp_path / "one.rst").write_text("A caption.")
    entry = Exhibit("One", str(tmp_path / "one.rst"), table, errors=table)
    told = " ".join(Page(shown(study, [entry])).text.split())
    better = told.index(
        "from all metrics, these scores among them: 19.4, better than the mean's 37.0"
    )
    worse = told.index(
        "from the intrinsic metrics of the sets alone: 52.3, no better than the mean's"
    )
    assert better < worse < told.index("A caption.")
    assert "own scores on the benchmarks:" not in told
    entry = entry._replace(errors=str(study.results / "tables/cost.csv"))
    with pytest.raises(UserError, match=r"cost.csv lacks the column 'analysis'"):
        shown(study, [entry])


def test_reasons_stand_below_the_table(tmp_path):
    rows = ["ability,0.1,1.5,2,too few rows", "components,,,,too few rows", "intrinsic,,,,none"]
    table = regressions(tmp_path / "regressions.csv", rows)
    source = shown(Study(tmp_path), [Exhibit("One", table=table)])
    section = source[source.index(">One</h2>") :]
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', section)
    assert heads[:5] == ["analysis", "p", "RMSE held out", "RMSE others", "generator"]
    assert "<li>ability; components: too few rows</li>" in section
    assert "<li>intrinsic: none</li>" in section


def test_a_table_of_nothing_but_a_reason_is_a_sentence(tmp_path):
    (tmp_path / "one.csv").write_text("student,top,reason\n,,no two sizes\n")
    source = shown(Study(tmp_path), [Exhibit("One", table=str(tmp_path / "one.csv"))])
    assert "<li>no two sizes</li>" in source and "Table of" not in source


def test_what_is_in_percent_says_so(tmp_path):
    study = Study(tmp_path)
    (tmp_path / "one.csv").write_text(
        "domain,method,generator,prompt,size,seed,exact_duplicate_pairs,rejected\n"
        "math,response,strong,main,20,1,1.0,10\nmath,response,weak,main,20,1,45.83,11\n"
    )
    source = shown(study, [Exhibit("One", table=str(tmp_path / "one.csv"))])
    assert source.count("exact duplicate pairs,\u00a0%") == 1 + 2  # the table, and both sets
    assert "<dt>rejected</dt>" in source and ">1.0</td>" in source and ">45.8</td>" in source


FAULTS = {
    "no such table": (Exhibit("T", table="absent.csv"), "cannot read absent.csv"),
    "no such figure": (Exhibit("T", figure="absent.svg"), "cannot read absent.svg"),
    "another kind of figure": (Exhibit("T", figure="f.pdf"), "f.pdf: a figure of the report"),
    "a ragged table": (Exhibit("T", table="ragged.csv"), "ragged.csv, row 2: not as many"),
    "bytes that are no table": (Exhibit("T", table="f.pdf"), "f.pdf is not UTF-8 text"),
    "an empty table": (Exhibit("T", table="empty.csv"), "empty.csv: no columns"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_exhibits_that_cannot_be_shown_are_refused(tmp_path, monkeypatch, fault):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n1\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "f.pdf").write_bytes(b"%PDF\xff")
    exhibit, message = FAULTS[fault]
    with pytest.raises(UserError, match=message):
        shown(Study(tmp_path), [exhibit])
    assert not (tmp_path / "results/report.html").exists()


def test_results_that_do_not_fit_are_refused(tmp_path):
    study = Study(tmp_path)
    predictions = study.results / "predictions/mini/base/math-test.jsonl"
    write_jsonl(predictions, read_jsonl(predictions)[1:])
    with pytest.raises(UserError, match=r"math-test.jsonl: no prediction of item-0"):
        shown(study)
    verdicts = study.results / "scores/mini/base/math-test.parquet"
    verdicts.write_bytes(b"no table")
    with pytest.raises(UserError, match=r"math-test.parquet: no readable verdicts"):
        shown(study)
    verdicts.unlink()
    with pytest.raises(UserError, match=r"math-test.parquet: no readable verdicts"):
        shown(study)
    table = study.results / "pgr_table.csv"
    table.write_text("".join(table.read_text().splitlines(True)[:2]))
    with pytest.raises(UserError, match="no row of mini/math/response/strong/main/n20-seed1 on"):
        shown(study)


@pytest.mark.parametrize(
    ("losses", "points"),
    [
        ([1.0], None),
        ([2.0, 2.0], None),
        ([0.0, 0.0], None),
        ([1.0, float("nan"), 0.1], "0.0,0.0 100.0,100.0"),
        ([100.0, 10.0, 1.0], "0.0,0.0 50.0,50.0 100.0,100.0"),
        ([1.0, 0.0], "0.0,0.0 100.0,100.0"),
    ],
)
def test_a_training_curve_is_a_line_within_its_square(losses, points):
    found = draw_curve([{"step": step, "loss": loss} for step, loss in enumerate(losses, 1)])
    assert (found and found["points"]) == points


def test_samples_are_spread_over_the_file():
    assert space_evenly(list(range(100)), 4) == [0, 25, 50, 75]
    assert space_evenly([1, 2], 4) == [1, 2]
    assert space_evenly([], 4) == []


COLUMNS = {  # name and numbers as they are written -> as they are read
    "one scale": ("predicted", "29.108, 2.94322, -62.9586", "29.1, 2.9, -63.0"),
    "hundreds": ("pgr", "104.23, 16.767", "104.2, 16.8"),
    "thousands": ("median", "5101.2507, 454.3", "5101, 454"),
    "below one": ("r", "0.257743, -0.0115995", "0.258, -0.012"),
    "whole numbers": ("replies", "1234567, 20", "1234567, 20"),
    "dollars": ("usd_per_pair", "6.584e-05, 8.832e-06", "0.00006584, 0.00000883"),
    "no more than is written": ("price_input", "0.35, 0.5", "0.35, 0.50"),
    "p": ("p", "5.907e-12, 0.194541", "< 0.0001, 0.1945"),
    "nothing left of a sign": ("error", "-0.001, 12.5", "0.0, 12.5"),
    "what is no finite number": ("r", "nan, -inf, 0.5", ", -inf, 0.5"),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_numbers_of_a_column_have_the_same_decimals(column):
    name, written, read = COLUMNS[column]
    texts = written.split(", ")
    shown = [format_value(name, one, count_decimals(name, texts)) for one in texts]
    assert ", ".join(shown) == read


def test_the_main_matrix_stays_under_20_mb_whatever_models_wrote(tmp_path):
    # Six generators in nine settings; wide characters, in texts longer than any is shown.
    study = Study(
        tmp_path, text=lambda kind, number: "漢" * 2100, generators=[f"g{i}" for i in range(6)],
        domains=("math", "code", "instruction"), methods=("instance", "response", "enhancement"),
        tests=("one", "two"), size=12, items=5,
    )  # fmt: skip
    shown(study)
    assert (study.results / "report.html").stat().st_size < 20e6


# In a browser


@pytest.fixture
def report(tmp_path):
    """The page of a study with hostile texts, and a figure."""
    study = Study(
        tmp_path, text=lambda kind, number: f"{HOSTILE} {kind} {'long' * 400} {number}",
        generators=("strong", "weak", "odd"), domains=("math", "code"),
    )  # fmt: skip
    (tmp_path / "one.svg").write_text(FIGURE)
    shown(study, [Exhibit("A figure", figure=str(tmp_path / "one.svg")), costs(study)])
    return (study.results / "report.html").as_uri()


@pytest.fixture
def page(browser, report):
    """The page, opened; a complaint of the browser or a request for another file is a failure."""
    heard = []
    found = browser.new_page(viewport={"width": 390, "height": 844})
    found.on("console", lambda message: heard.append(message.text))
    found.on("pageerror", lambda error: heard.append(str(error)))
    found.on("request", lambda asked: heard.append(asked.url))
    found.goto(report)
    yield found
    assert [one for one in heard if not one.startswith(("data:", report))] == []
    assert found.evaluate("window.hacked") is None
    found.close()


def test_a_phone_scrolls_down_and_not_sideways(page):
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    image = page.locator("img")
    assert image.evaluate("one => one.complete && one.naturalWidth > 0")


def test_tables_are_sorted_by_their_heads(page):
    head = page.get_by_role("button", name="PGR, %").last
    column = "rows => rows.map(row => row.querySelector('td.number').textContent)"
    rows = page.locator("table[data-name='Every PGR'] tbody tr")
    head.focus()
    page.keyboard.press("Enter")
    falling = [float(text) for text in rows.evaluate_all(column)]
    assert falling == sorted(falling, reverse=True) and len(set(falling)) > 3
    head.click()
    assert [float(text) for text in rows.evaluate_all(column)] == sorted(falling)
    assert page.locator("th[aria-sort=ascending]").count() == 1


def test_a_bound_is_sorted_as_a_number(browser, tmp_path):
    table = regressions(tmp_path / "one.csv", ["a,0.5,1,2,", "b,5e-12,1.5,3,", "c,,2,2,"])
    study = Study(tmp_path)
    shown(study, [Exhibit("One", table=table)])
    page = browser.new_page()
    page.goto((study.results / "report.html").as_uri())
    page.locator("table[data-name='One'] th button").nth(1).click(click_count=2)
    cells = page.locator("table[data-name='One'] tbody td:nth-child(2)")
    assert cells.all_inner_texts() == ["< 0.0001", "0.5000", ""]
    page.close()


def test_tables_and_sets_are_filtered(page):
    form = page.get_by_role("form", name="Filter: Every PGR")
    rows = page.locator("table[data-name='Every PGR'] tbody tr:visible")
    everything = rows.count()
    form.get_by_label("generator").select_option("weak")
    form.get_by_label("benchmark").select_option("math-test")
    assert (
        rows.count() == 1 and form.get_by_role("status").inner_text() == f"1 of {everything} shown"
    )
    sets = page.get_by_role("form", name="Filter: Sets")
    sets.get_by_label("domain").select_option("code")
    sets.get_by_label("contains").fill("ODD")
    assert page.locator("#sets ~ div > details:visible").count() == 1


def test_answers_to_an_item_stand_side_by_side(page):
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    answers = page.locator("main article[data-item]")
    item = answers.first.get_attribute("data-item")
    same = page.locator(f"main article[data-item='{item}']")
    assert same.count() > 2
    answers.first.get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    shown = dialog.locator("article")
    models = [one.get_attribute("data-model") for one in same.all()]
    assert shown.locator("h5").all_inner_texts() == models
    assert shown.locator("pre").count() >= same.count()
    assert dialog.locator(".asked").count() == 1
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 390
    dialog.get_by_role("button", name="Close").click()
    assert dialog.count() == 0


def test_right_answers_can_be_hidden(page):
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    right, wrong = (
        page.locator("article.right[data-item]"),
        page.locator("article.wrong[data-item]"),
    )
    assert right.first.is_visible() and wrong.first.is_visible()
    page.get_by_label("only answers that are not right").check()
    assert not right.first.is_visible() and wrong.first.is_visible()
    page.get_by_label("only answers that are not right").uncheck()
    assert right.first.is_visible()


def test_a_link_opens_its_set_even_where_it_is_filtered_away(page):
    name = "code--response--weak--main--n20-seed1"
    page.get_by_role("form", name="Filter: Sets").get_by_label("domain").select_option("math")
    assert not page.locator(f"[id='{name}']").is_visible()
    for _ in range(2):
        page.locator(f"a[href='#{name}']").first.click()
        page.wait_for_function("name => document.getElementById(name).open", arg=name)
        page.locator(f"[id='{name}'] > summary").click()
        assert not page.locator(f"[id='{name}']").get_attribute("open")


def test_all_can_be_reached_by_name_and_key(page):
    assert page.get_by_role("main").count() == page.get_by_role("navigation").count() == 1
    nameless = "ones => ones.filter(one => !one.labels.length).length"
    assert page.locator("select, input").evaluate_all(nameless) == 0
    levels = page.locator("h1, h2, h3, h4, h5").evaluate_all(
        "ones => ones.map(one => +one.tagName[1])"
    )
    assert levels[0] == 1 and all(b - a <= 1 for a, b in pairwise(levels))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the results"


def warned(study, exhibits=()):
    """The warnings that stand below the first sentence."""
    above = shown(study, exhibits).partition("<table")[0]
    found = re.search('<p class="warning">(.*?)</p>', above)
    return found[1] if found else ""


def test_one_seed_is_said_first_and_several_are_not(tmp_path):
    assert "One seed" in warned(Study(tmp_path / "one"))
    assert "One seed" not in warned(Study(tmp_path / "two", seeds=(1, 2)))


def test_overlap_and_answers_that_never_ended_are_said_first(tmp_path):
    study = Study(tmp_path)
    assert "never ended" not in warned(study) and "13 words" not in warned(study)
    (cell, *_) = {row["generator"]: row for row in from_csv(
        (study.results / "pgr_table.csv").read_text())}.values()  # fmt: skip
    head = "domain,method,generator,prompt,size,seed,in_benchmarks\n"
    (study.results / "tables").mkdir(exist_ok=True)
    (study.results / "tables/data.csv").write_text(
        f"{head}{cell['domain']},{cell['method']},strong,main,20,1,80.0\n"
        f"{cell['domain']},{cell['method']},weak,main,20,1,0.0\n"
    )
    text = warned(study, [Exhibit("Sets", table="results/tables/data.csv")])
    assert "In 1 of 2 sets at least 10 % of the pairs" in text and "80 % of" in text
    for path in (study.results / "scores").rglob("n20-seed1/*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"unfinished": 1.0}))
    assert "100 % of" in warned(study)


def test_a_table_without_a_gap_says_why_and_what_to_do(tmp_path):
    study = Study(tmp_path)
    path = study.results / "pgr_table.csv"
    rows = from_csv(path.read_text())
    assert "No PGR here" not in warned(study)
    path.write_text(to_csv([row | {"flag": "gap within noise"} for row in rows]))
    assert "Take a stronger reference" in warned(study)


def test_what_is_missing_is_said_first(tmp_path, monkeypatch):
    study = Study(tmp_path)
    config = study.config | {"missing": ["mini/math/response/gone/main/n20-seed1"]}
    monkeypatch.setattr(Study, "config", config)
    assert "go without mini/math/response/gone/main/n20-seed1" in warned(study)
