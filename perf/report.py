"""How large is the report of the paper's main matrix, and how fast does a browser load it?

    python perf/report.py            # or make bench-report; two minutes and 2 GB of disk

Writes results of 54 cells with 10,000 pairs each and two benchmarks a domain, texts as long as real
ones; makes the page; and opens it in headless Chromium as on a desk, and as on a phone with a
quarter of this machine's speed. Medians of seconds: until the page has loaded (its load event), and
until the table of all PGRs is sorted, or filtered, anew. Goals: under 2 s and 20 MB.
"""

import argparse
import multiprocessing
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from agorabench import paths  # noqa: E402
from agorabench.analysis.pgr_table import list_views, read_table  # noqa: E402
from agorabench.files import atomic_file  # noqa: E402
from agorabench.report.exhibits import Exhibit  # noqa: E402
from agorabench.report.page import render_report  # noqa: E402

ROUNDS = 5
LENGTHS = {"instruction": 400, "response": 1500, "prompt": 400, "completion": 1500}  # characters
WORDS = "Natalia sold 48/2 = 24 clips in May, so <b>she</b> sold \u201c72\u201d altogether; "
READERS = {"desk": ((1280, 900), 1), "phone, a quarter of the speed": ((390, 844), 4)}
LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"
SORTED = """() => {
    const start = performance.now();
    const table = document.querySelector("table[data-filter~=generator]");
    table.querySelector("th.number button").click();
    table.offsetHeight;  // laid out again
    return (performance.now() - start) / 1000;
}"""
FILTERED = """() => {
    const start = performance.now();
    const field = document.querySelector("form.filter:has(select) input");
    field.value = "response";
    field.dispatchEvent(new Event("input", { bubbles: true }));
    document.body.offsetHeight;
    return (performance.now() - start) / 1000;
}"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--browser", default=shutil.which("chromium"), help="of Chromium's family")
    parser.add_argument("--size", type=int, default=10_000, help="pairs of a set")
    args = parser.parse_args()

    from helpers.study import Study

    with tempfile.TemporaryDirectory(prefix="agorabench-report-") as place:
        study = Study(
            place, text=text, generators=[f"generator-{number}" for number in range(6)],
            domains=("math", "code", "instruction"), tests=("one", "two"),
            methods=("instance", "response", "enhancement"), size=args.size, items=1000,
        )  # fmt: skip
        start = time.perf_counter()
        # In a process of its own, whose memory counts.
        arguments = (study.config, study.prices, place)
        job = multiprocessing.get_context("spawn").Process(target=write_page, args=arguments)
        job.start()
        job.join()
        took = time.perf_counter() - start
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        page = study.results / "report.html"
        size = page.stat().st_size / 1e6
        print(f"made in {took:.1f} s, with {most:.0f} MB of memory: {size:.2f} MB")
        for name, times in opened(page, args.browser).items():
            print(
                f"{name}: loaded {times[0]:.2f} s, sorted {times[1]:.3f}, filtered {times[2]:.3f}"
            )


def write_page(config, prices, folder):
    """Write the page of the study in a folder."""
    os.chdir(folder)
    exhibits = [Exhibit(name, table=paths.table(name)) for name in ("cost", "paid")]
    rows = read_table(paths.PGR_TABLE)
    with atomic_file(paths.REPORT) as file:
        file.writelines(render_report(config, rows, list_views(rows), exhibits, prices))


def text(kind, number):
    length = LENGTHS.get(kind, 200)
    return f"{number}: {WORDS * (length // len(WORDS) + 1)}"[:length]


def opened(page, browser):
    """Reader -> medians of seconds until the page has loaded, is sorted, is filtered."""
    from playwright.sync_api import sync_playwright

    found = {}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser)
        for name, ((width, height), slower) in READERS.items():
            rounds = []
            for _ in range(ROUNDS):
                tab = chromium.new_page(viewport={"width": width, "height": height})
                session = tab.context.new_cdp_session(tab)
                session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
                tab.goto(page.as_uri())
                rounds.append([tab.evaluate(what) for what in (LOADED, SORTED, FILTERED)])
                tab.close()
            found[name] = [statistics.median(times) for times in zip(*rounds, strict=True)]
        chromium.close()
    return found


if __name__ == "__main__":
    main()
