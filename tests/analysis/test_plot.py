import xml.etree.ElementTree as ElementTree

import plot
import pytest
from agorabench.analysis.pgr_figure import draw_views, select_views
from agorabench.analysis.pgr_table import COLUMNS, from_csv, list_views, to_csv
from agorabench.errors import UserError
from agorabench.report import figures
from agorabench.stats.pgr import MEAN
from helpers import ROOT, tasks

METHODS, DOMAINS = ("instance", "response", "enhancement"), ("math", "code", "instruction")


def row(generator, method, domain, pgr, half=8, seed=1, prompt="main"):
    values = {
        "generator": generator,
        "method": method,
        "domain": domain,
        "benchmark": MEAN,
        "prompt": prompt,
        "size": 500,
        "seed": seed,
        "student": "mini",
        "student_score": 50.0,
        "base_score": 10.0,
        "reference_score": 90.0,
        "n_items": 300,
        "pgr": pgr,
        "pgr_low": pgr - half,
        "pgr_high": pgr + half,
        "flag": "",
    }
    return {name: values[name] for name in COLUMNS}


def rows(generators=3, seeds=(1,), prompt="main"):
    """A complete made-up table, averages included."""
    return [
        row(
            f"model-{g}",
            method,
            domain,
            90 - 70 * g / generators + 3 * j - 5 * i,
            seed=seed,
            prompt=prompt,
        )
        for g in range(generators)
        for seed in ((*seeds, MEAN) if len(seeds) > 1 else seeds)
        for i, method in enumerate((*METHODS, MEAN))
        for j, domain in enumerate((*DOMAINS, MEAN))
    ]


def drawn(table, width=figures.PAGE_WIDTH, **more):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with figures.style():
        titles = {name: entry["title"] for name, entry in tasks.METHODS.items()} | more
        figure = draw_views(list_views(table), width, titles)
        FigureCanvasAgg(figure).draw()
    return figure


def texts(figure):
    from matplotlib.text import Text

    found = (text.get_text() for text in figure.findobj(Text) if text.get_visible())
    return {text.replace("\n", " ") for text in found if text}


def caption():
    """What the figure's caption says, on one line."""
    return " ".join((ROOT / "docs/captions/pgr_figure.rst").read_text().split())


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A folder of results with a PGR table; the working directory."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results/pgr_table.csv").write_text(to_csv(rows()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_same_table_gives_the_same_bytes(table, tmp_path):
    for folder in ("a", "b"):
        outputs = [str(tmp_path / folder / f"pgr.{ending}") for ending in ("png", "svg", "pdf")]
        plot.plot_table(outputs)
    for ending in ("png", "svg", "pdf"):
        first = (tmp_path / "a" / f"pgr.{ending}").read_bytes()
        assert len(first) > 5000
        assert first == (tmp_path / "b" / f"pgr.{ending}").read_bytes()
        assert b"CreationDate" not in first and b"<dc:date>" not in first
    ElementTree.fromstring((tmp_path / "a/pgr.svg").read_text())
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "pgr.pdf",
        "pgr.png",
        "pgr.svg",
    ]


def test_a_panel_per_method_and_domain_with_the_tables_numbers():
    figure = drawn(rows())
    assert len(figure.axes) == 16
    panel = figure.axes[0]
    marks = [line for line in panel.lines if line.get_marker() in figures.MARKERS]
    assert [line.get_xdata()[0] for line in marks] == pytest.approx(
        [r["pgr"] for r in rows() if (r["method"], r["domain"]) == ("instance", "math")]
    )
    bars = [list(line.get_xdata()) for line in panel.lines if line.get_linewidth() == 1.1]
    assert bars[0] == pytest.approx([82, 98])
    limits = {axes.get_xlim() for axes in figure.axes}
    assert len(limits) == 1  # one scale for all panels
    assert {"instance generation", "math", "model-0", "base", "reference"} <= texts(figure)
    assert "performance gap recovered, PGR (%)" in texts(figure)


def test_a_title_is_no_formula():
    """matplotlib reads what is between two dollars as mathematics, and gives up at what is none."""
    figure = drawn(rows(), instance=r"US$ to R$ \frac_", response="<b>50 %</b> & {x}^2")
    assert {r"US$ to R$ \frac_", "<b>50 %</b> & {x}^2"} <= texts(figure)


@pytest.mark.parametrize("width", [3.3, 5.0, 7.0])
@pytest.mark.parametrize("generators", [1, 6, 20])
def test_everything_is_on_the_page_and_legible(width, generators):
    figure = drawn(rows(generators), width)
    renderer = figure.canvas.get_renderer()
    page = figure.bbox
    for axes in figure.axes:
        box = axes.get_tightbbox(renderer)
        assert box.x0 >= page.x0 and box.x1 <= page.x1 + 1 and box.y0 >= 0 and box.y1 <= page.y1
        assert axes.get_window_extent().width / figure.dpi >= 0.7
    from matplotlib.text import Text

    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7
    for text in figure.texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0 and box.x1 <= page.x1 + 1 and box.y0 >= 0 and box.y1 <= page.y1


@pytest.mark.parametrize("width", [3.3, 7.0])
def test_numbers_below_the_axes_do_not_run_into_one_another(width):
    for low in (-8, -60, -300):
        figure = drawn([*rows(), row("model-0", "instance", "math", low, seed=1)], width)
        renderer = figure.canvas.get_renderer()
        labels = [
            label.get_window_extent(renderer)
            for axes in figure.axes
            for label in axes.get_xticklabels()
            if label.get_visible() and axes.xaxis.get_tick_params()["labelbottom"]
        ]
        for i, a in enumerate(labels):
            assert not any(a.overlaps(b) for b in labels[i + 1 :])


def test_several_seeds_are_rings_around_their_mean():
    table = rows(generators=1, seeds=(1, 2, 3))
    panel = drawn(table).axes[0]
    rings = [line for line in panel.lines if line.get_markersize() == 2.6]
    assert len(rings[0].get_xdata()) == 3
    assert "rings for single seeds" in caption()
    panel = drawn(rows()).axes[0]
    assert not [line for line in panel.lines if line.get_markersize() == 2.6]


def test_seeds_without_a_mean_are_still_shown():
    table = [r for r in rows(generators=1, seeds=(1, 2)) if r["seed"] != MEAN]
    rings = [line for line in drawn(table).axes[0].lines if line.get_markersize() == 2.6]
    assert len(rings[0].get_xdata()) == 2


def test_flagged_cells_are_open_marks_and_undefined_ones_say_so():
    table = rows()
    table[0] |= {"pgr_low": None, "pgr_high": None, "flag": "gap within noise"}
    table[1] |= {"pgr": None, "pgr_low": None, "pgr_high": None, "flag": "gap within noise"}
    figure = drawn(table)
    first = next(line for line in figure.axes[0].lines if line.get_marker() == "o")
    assert first.get_markerfacecolor() == "white"
    assert "n/a" in {text.get_text() for axes in figure.axes for text in axes.texts}
    assert "no finite interval" in caption() and "n/a: no PGR" in caption()


def test_a_wild_cell_is_cut_and_told_in_figures():
    table = rows()
    table[0] |= {"pgr": -2420.0, "pgr_low": -9000.0, "pgr_high": -40.0}
    figure = drawn(table)
    low, high = figure.axes[0].get_xlim()
    assert -150 < low < 0 and 100 < high < 250
    assert "\u22122420" in texts(figure)
    assert "beyond the axis" in caption()


def test_a_place_without_a_run_stays_blank():
    table = [r for r in rows() if (r["generator"], r["domain"]) != ("model-1", "code")]
    panel = drawn(table).axes[4]
    marks = [line for line in panel.lines if line.get_marker() in figures.MARKERS]
    assert sorted(line.get_ydata()[0] for line in marks) == [0, 2]
    assert "Blank: not run" in caption()


def test_prompts_are_blocks_of_one_figure_and_can_be_chosen(tmp_path):
    both = rows() + rows(prompt="json")
    assert len(drawn(both).axes) == 32
    found = list_views(both)
    assert [view.prompt for view in select_views(found, prompt="json")] == ["json"]
    with pytest.raises(UserError, match="no prompt 'xml' in the table; known: main, json"):
        select_views(found, prompt="xml")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"output": ["figure.bmp"]}, "a figure can be .png, .svg, .pdf"),
        ({"width": 2}, "legible"),
        ({"size": 9}, "no size 9 in the table; known: 500"),
    ],
)
def test_bad_requests_are_refused(table, arguments, message):
    with pytest.raises(UserError, match=message):
        plot.plot_table(**{"output": ["figure.png"]} | arguments)
    assert [path.name for path in table.iterdir()] == ["results"]


def test_without_a_table_nothing_is_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no PGR table results/pgr_table.csv: snakemake results"):
        plot.plot_table(["figure.png"])
    assert not list(tmp_path.iterdir())


def test_ticks_are_round_and_hold_zero():
    assert figures.round_ticks(-12, 112) == [0, 50, 100]
    assert figures.round_ticks(-118, 218) == [-100, 0, 100, 200]
    assert all(0 in figures.round_ticks(-low, 3 * low) for low in (0.7, 13, 950))


def test_looks_differ_for_as_many_generators_as_there_may_be():
    assert len({figures.series_look(i) for i in range(42)}) == 42


def test_figures_leave_the_style_of_others_alone():
    import matplotlib

    before = matplotlib.rcParams["font.size"]
    drawn(rows())
    assert matplotlib.rcParams["font.size"] == before


def test_the_drawn_table_is_the_written_one():
    table = rows()
    assert from_csv(to_csv(table)) == [
        {k: pytest.approx(v, abs=1e-4) if isinstance(v, float) else v for k, v in r.items()}
        for r in table
    ]
