"""The report as one HTML page, which needs no network and no other file.

Whatever models wrote is escaped and cut, and figures are inside the page as images. Set after set
is read when the page comes to it: rows of one set are in memory at a time.
"""

import base64
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote

from agorabench import matrix, paths
from agorabench.errors import UserError
from agorabench.matrix import COORDINATES
from agorabench.report import readable
from agorabench.report.exhibits import Exhibit
from agorabench.report.pgr_rows import compare_rows, select_overall
from agorabench.report.sections import Sections
from agorabench.report.warnings import list_warnings
from agorabench.stats.pgr import MEAN

TEMPLATES = Path(__file__).resolve().parent / "templates"
IMAGES = {".svg": "image/svg+xml", ".png": "image/png"}
# Controls but tab and line feed, marks and overrides of direction (but the joiners of letters and
# emoji), separators of lines, halves of characters, and code points that are no character: UTF-8
# has no halves, and no text may turn the page around it.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufffe\uffff]"
)


def render_report(
    config: dict,
    rows: list[dict],
    views: list,
    exhibits: list[Exhibit],
    prices: dict,
    home: str | Path = paths.RESULTS,
    verdicts: Sequence = (),
    samples: int = 6,
    answers: int = 4,
    characters: int = 2000,
) -> Iterator[str]:
    """The page, piece by piece.

    Args:
        config: the checked config.
        rows: of the PGR table.
        views: the same as what readers compare (View), whose widest averages stand on top.
        exhibits: what is shown besides the PGR table and the sets.
        prices: generator -> USD per million tokens.
        home: the folder of the page, which links are relative to.
        verdicts: what to take from the run, a verdicts.Verdict of each view.
        samples: pairs to show of a set.
        answers: answers to show of a model on a benchmark.
        characters: after which a text of a model is cut.
    """
    runs = matrix.expand_runs(config)
    names = matrix.scored_benchmarks(config)
    benchmarks = {name: config["benchmarks"][name]["domain"] for name in names}
    loaded = [load_exhibit(number, each) for number, each in enumerate(exhibits, 1)]
    entries = {name: config["benchmarks"][name] for name in names}
    sections = Sections(rows, loaded, entries, prices, samples, answers)
    overall, lacking = select_overall(views)
    by_cell, domains = defaultdict(list), defaultdict(set)
    for run in runs:
        by_cell[run.cell].append(run)
        for model in matrix.anchor_models(config, run.student, run.domain).values():
            domains[model].add(run.domain)
    trained = {run.model for run in runs}
    return load_template("page.html", home).generate(
        characters=characters,
        style=inline_file("page.css"),
        script=inline_file("page.js"),
        title="report",
        table=paths.PGR_TABLE,
        overall=overall and compare_rows(overall, config),
        lacking=lacking,
        verdicts=verdicts,
        warnings=list_warnings(config, rows, loaded),
        all_rows=compare_rows(rows, config),
        exhibits=loaded,
        runs=runs,
        benchmarks=benchmarks,
        sets=map(sections.read_set, by_cell.values()),
        titles={name: entry["title"] for name, entry in config["methods"].items()},
        anchors=(
            sections.read_model(model, own)
            for model, own in domains.items()
            if model not in trained
        ),
    )


# ---- Exhibits


def load_exhibit(number: int, exhibit: Exhibit) -> dict:
    """An exhibit as the template shows it. Raises UserError for one that cannot be shown.

    `common`: column -> the value that all rows have there; `head`: the columns in which rows
    differ; `numbers`: those of numbers.
    """
    columns, rows = readable.read_table(exhibit.table) if exhibit.table else ([], [])
    numbers = readable.number_columns(columns, rows)
    rows = readable.format_rows(rows, numbers.difference(COORDINATES))
    common = readable.shared_values(columns, rows)
    named = [name for name in columns if name != "reason"]
    head = [name for name in named if name not in common]
    words = [name for name in head if name not in numbers.difference(COORDINATES)]
    return exhibit._asdict() | {
        "id": f"exhibit-{number}",
        "caption": render_caption(exhibit.caption) if exhibit.caption else "",
        "common": {name: common[name] for name in named if common.get(name)},
        "head": head,
        "rows": rows,
        "numbers": numbers,
        "reasons": readable.group_reasons(rows, words),
        "errors": readable.read_errors(exhibit.errors) if exhibit.errors else [],
        "image": embed_image(exhibit.figure) if exhibit.figure else None,
    }


def render_caption(path: str | Path) -> str:
    """HTML of a caption, of the markup that captions of `snakemake --report` are in."""
    from docutils.core import publish_parts
    from markupsafe import Markup

    settings = {"raw_enabled": False, "file_insertion_enabled": False}
    text = readable.read_text(path)
    return Markup(publish_parts(text, writer="html5", settings_overrides=settings)["fragment"])


def embed_image(path: str) -> str:
    """A figure as an address that holds it: as an image it can neither run nor load anything."""
    kind = IMAGES.get(Path(path).suffix)
    if not kind:
        raise UserError(f"{path}: a figure of the report can be {', '.join(IMAGES)}")
    return embed_bytes(readable.read_bytes(path), kind)


def embed_bytes(content: bytes, kind: str) -> str:
    """An address that holds what is of this media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


# ---- The template


def load_template(name: str, home: str | Path = paths.RESULTS):
    """A template of a page in the folder `home`, which its links are relative to."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=show_unseen,
    )
    environment.filters |= {
        "href": partial(link_file, home=home),
        "basename": os.path.basename,
        "one": "{:.1f}".format,
        "three": "{:.3g}".format,
        "usd": "{:.2g} USD".format,
        "words": readable.spell_column,
    }
    environment.globals |= {"MEAN": MEAN}
    return environment.get_template(name)


def link_file(path: str, home: str | Path) -> str:
    """A link to a file, relative to the folder `home`."""
    return quote(os.path.relpath(path, home).replace(os.sep, "/"))


def show_unseen(value):
    """What the page shows of a value of the template: characters that are not seen, or move others,
    in letters; HTML of this project's own stays as it is."""
    return UNSEEN.sub(_spell_character, value) if type(value) is str else value


def _spell_character(match):
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode's pictures of control characters
    return f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}"


def inline_file(name: str) -> dict:
    """A style or script within the page: its text, and the hash by which the page allows it."""
    from markupsafe import Markup

    text = (TEMPLATES / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {"text": Markup(text), "hash": f"sha256-{digest}"}
