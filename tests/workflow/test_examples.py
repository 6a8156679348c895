"""The examples: a domain of one's own ends in an answer, and disturbs nothing of the miniature."""

import contextlib
import csv
import subprocess
import sys

import pytest
from helpers import ROOT, workflow

# What costs money or time; the rest are tables, figures and the report.
PAID = ("build", "fetch", "generate", "curate", "audit", "train", "predict", "judge", "score")


@contextlib.contextmanager
def teachers(folder, name):
    """The stand-ins at a free port, which the config of an example then names."""
    started = subprocess.Popen(
        [sys.executable, "-u", "examples/teachers.py", "0"],
        cwd=folder.path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with started:
        port = started.stdout.readline().split("/v1")[0].rpartition(":")[2]
        assert port.isdigit()
        config = f"examples/{name}/config.yaml"
        folder.edit(config, lambda text: text.replace(":8100/", f":{port}/"))
        yield config
        started.terminate()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "measure"), [("sql", "pgr"), ("german", "gain")])
def test_an_example_ends_in_an_answer(copy, name, measure):
    workflow.copy(ROOT / "examples", copy.path / "examples")
    assert copy.stale() == []
    with teachers(copy, name) as config:
        copy.snakemake("plan", "--configfile", config)
        assert "generate" in (copy.path / "results/plan.csv").read_text()
        copy.snakemake("--configfile", config)
        assert "Nothing to be done" in copy.snakemake("--configfile", config)
    with open(copy.path / "results/pgr_table.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["benchmark"] == "mean"]
    best = {row["generator"]: row for row in rows}  # the widest averages come last
    low, high = (float(best["careful"][f"{measure}_{end}"]) for end in ("low", "high"))
    assert float(best["hasty"][f"{measure}_high"]) < low < high
    assert (measure == "gain") == (best["careful"]["flag"] == "no reference")
    said = (copy.path / "results/tables/decision.md").read_text(encoding="utf-8")
    assert "careful is highest" in said and "established as better than hasty" in said
    assert "no PGR" in said if measure == "gain" else "no PGR" not in said
    page = (copy.path / "results/report.html").read_text(encoding="utf-8")
    assert ("gain, points" in page) == (measure == "gain")
    left = [job for job in copy.stale() if job[0].startswith(PAID)]
    assert left == []


def test_the_examples_data_are_what_their_programs_write(tmp_path):
    for name in ("sql", "german"):
        workflow.copy(ROOT / "examples" / name, tmp_path / name)
        subprocess.run([sys.executable, tmp_path / name / "tasks.py"], check=True)
        for file in (ROOT / "examples" / name).glob("*.jsonl"):
            assert (tmp_path / name / file.name).read_bytes() == file.read_bytes()
