"""A finished miniature: what makes it stale, and what a killed run loses.

Slow: the miniature is made first, in minutes, unless the environment variable AGORABENCH_MINIATURE
names a folder with a finished one (`make test-slow`). Every test works on a copy.
"""

import csv
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from helpers.workflow import Folder, count

pytestmark = pytest.mark.slow

CONFIG = "config/mini.yaml"
PROMPT = "config/prompts/mini/response/math.md"
SEEDLESS = "generation:\n  train_on_seeds: false\n"
TABLES = [f"aggregate_{name}" for name in ("pgr", "cost", "paid", "data")]
REPORT = {*TABLES, "aggregate_intrinsic", "plot", "analyse", "report"}
COSTLY = {"fetch_seeds", "fetch_benchmark", "build_tokenizer", "build_base", "build_model"}
COSTLY |= {"generate", "curate", "train", "predict_anchor"}
COSTLY |= {"predict_generator_math", "predict_generator_code", "predict_generator_instruction"}
COSTLY |= {"judge_set", "measure"}
COSTLY |= {"predict_math", "predict_code", "predict_instruction"}


def test_nothing_changed_nothing_to_do(copy):
    assert copy.stale() == []


def test_a_run_ends_with_what_was_found(copy):
    said = copy.snakemake("results/report.html", "--config", "bootstrap=300")
    decision = (copy.path / "results/tables/decision.md").read_text(encoding="utf-8")
    [found, last] = re.findall(r"^(?:all cells: .*|How sure, .*)$", said, re.M)
    assert found in decision.replace("**", "") and "strong is highest" in found
    assert "established as better than" in found and last.endswith("results/report.html")
    assert "How sure," not in copy.snakemake("results/report.html", "--config", "bootstrap=300")


def test_an_edited_prompt_makes_its_own_cells_stale(copy):
    copy.edit(PROMPT, lambda text: "Please. " + text)
    jobs = copy.stale()
    assert count(jobs) == {
        "generate": 3, "curate": 3, "audit": 3, "train": 3, "predict_math": 3, "score": 6,
        "judge_set": 6, "measure": 12, "aggregate_intrinsic": 1,
        **dict.fromkeys(TABLES, 1), "plot": 1, "analyse": 1, "report": 1,
    }  # fmt: skip
    cells = [output for rule, output in jobs if rule not in REPORT]
    assert all("math/response/" in output for output in cells)


def test_a_touched_or_restored_prompt_makes_nothing_stale(copy):
    before = copy.edit(PROMPT, lambda text: "Please. " + text)
    assert copy.stale()
    (copy.path / PROMPT).write_text(before)
    assert copy.stale() == []
    os.utime(copy.path / PROMPT)
    assert copy.stale() == []


def test_a_comment_costs_nothing(copy):
    for path in sorted([*copy.path.glob("scripts/**/*.py"), *copy.path.glob("rules/*.smk")]):
        copy.edit(path.relative_to(copy.path), lambda text: text + "\n# A remark.\n")
    jobs = count(copy.stale())
    assert not COSTLY & set(jobs), jobs
    assert jobs["score"]  # cheap stages follow their sources


def test_an_added_generator_makes_only_its_cells(copy):
    stanza = "  newcomer:\n    <<: *generator\n    model: resources/models/noisy\n"
    copy.edit(CONFIG, lambda text: text.replace("\ngeneration:", f"{stanza}\ngeneration:"))
    copy.edit(CONFIG, lambda text: text.replace("noisy, narrow]", "noisy, narrow, newcomer]"))
    jobs = copy.stale()
    assert count(jobs) == {
        "generate": 9, "curate": 9, "audit": 9, "train": 9, "predict_math": 3,
        "predict_code": 3, "predict_instruction": 3, "score": 16,
        "predict_generator_math": 1, "predict_generator_code": 1,
        "predict_generator_instruction": 1,
        "judge_set": 18, "measure": 36, "aggregate_intrinsic": 1,
        **dict.fromkeys(TABLES, 1), "plot": 1, "analyse": 1, "report": 1,
    }  # fmt: skip
    cells = [output for rule, output in jobs if rule not in REPORT]
    assert all("/newcomer/" in output for output in cells)


def test_settings_of_other_stages_and_domains_generate_nothing(copy):
    before = copy.edit(CONFIG, lambda text: text.replace("batch_size: 128", "batch_size: 64"))
    assert copy.stale() == []
    copy.edit(CONFIG, lambda text: before.replace("generation:\n", SEEDLESS))
    assert {rule for rule, output in copy.stale() if "/instance/" not in output} == REPORT
    assert "generate" not in count(copy.stale())
    copy.edit(CONFIG, lambda text: before.replace("code: [length, only_code, ", "code: [length, "))
    jobs = [job for job in copy.stale() if job[0] not in REPORT]
    assert count(jobs)["generate"] == 9
    assert all("/code/" in output for _, output in jobs)


def test_a_changed_metric_measures_itself_only(copy):
    before = copy.edit(
        CONFIG, lambda text: text.replace("reward, sample: 200", "reward, sample: 9")
    )
    jobs = copy.stale()
    assert count(jobs) == {"measure": 27, "aggregate_intrinsic": 1, "analyse": 1, "report": 1}
    measured = [output for rule, output in jobs if rule == "measure"]
    assert all(output.startswith("results/intrinsic/reward/") for output in measured)
    judged = before.replace("difficulty, sample: 200", "difficulty, sample: 9")
    copy.edit(CONFIG, lambda _: judged)
    jobs = count(copy.stale())
    assert (
        jobs["judge_set"] == 2 * 27 and jobs["aggregate_intrinsic"] == 1 and "measure" not in jobs
    )


def test_a_price_changes_the_costs_and_the_report_only(copy):
    copy.edit(CONFIG, lambda text: text.replace("input: 0.35", "input: 0.70"))
    assert count(copy.stale()) == {
        "aggregate_cost": 1,
        "aggregate_paid": 1,
        "analyse": 1,
        "report": 1,
    }


def test_a_larger_size_asks_for_what_is_missing(copy):
    size = int(re.search(r"sizes: \[(\d+)\]", (copy.path / CONFIG).read_text())[1])
    copy.edit(CONFIG, lambda text: text.replace(f"sizes: [{size}]", f"sizes: [{size + 30}]"))
    journal = copy.path / "journal/math/response/strong/mini/seed1.jsonl"
    before = journal.read_text().splitlines()
    copy.snakemake(f"results/raw/math/response/strong/mini/n{size + 30}-seed1.jsonl")
    after = journal.read_text().splitlines()
    raw = read(copy.path / f"results/raw/math/response/strong/mini/n{size + 30}-seed1.jsonl")
    rejected = sum(row["verdict"] != "valid" for row in raw if row["slot"] >= size)
    assert after[: len(before)] == before
    assert len(after) - len(before) == 30 + rejected


def test_weights_that_were_scored_go_and_come_back(copy):
    student = "mini/math/response/strong/mini/n600-seed1"
    folder = copy.path / "results/models" / student
    target = f"results/predictions/{student}/mini-sums.jsonl"
    copy.edit(CONFIG, lambda text: f"keep_models: scored\n{text}")
    assert copy.stale() == []

    before = (folder / "weights.sha256").read_text()
    copy.edit(CONFIG, lambda text: text.replace("max_tokens: 48", "max_tokens: 47"))
    assert count(copy.stale(target)) == {"predict_math": 1}
    copy.snakemake(target)
    assert not (folder / "present").exists() and not list(folder.glob("*.safetensors"))
    assert (folder / "weights.sha256").read_text() == before
    assert copy.stale(target) == []
    copy.edit(CONFIG, lambda text: text.replace("max_tokens: 47", "max_tokens: 46"))
    assert count(copy.stale(target)) == {"train": 1, "predict_math": 1}
    copy.snakemake(target)
    assert not list(folder.glob("*.safetensors"))
    assert (folder / "weights.sha256").read_text() == before  # trained again to the same weights


# A cut of the miniature, small enough to be run a dozen times: its models are taken as they are.
CUT = {
    "domains": ["math", "code"],
    "methods": ["instance", "response"],
    "generators": ["strong"],
    "sizes": [150],
}
# When to kill: as soon as a script of this name runs, and then so many seconds later.
INSTANTS = [
    ("generate", 0.5), ("generate", 1.0), ("generate", 1.5), ("generate", 0.2),
    ("train", 0.5), ("train", 2.0), ("predict", 0.5), ("score", 0.1), ("score", 0.3),
    ("aggregate", 0.2),
]  # fmt: skip


def test_kill_9_at_ten_instants_loses_nothing(finished, tmp_path):
    arguments = ["--configfile", "cut.yaml"]
    folders = []
    for name in ("undisturbed", "killed"):
        folder = Folder(tmp_path / name, made_from=finished.path)
        for made in ("results", "journal"):
            shutil.rmtree(folder.path / made)
        (folder.path / "cut.yaml").write_text(json.dumps({"experiments": {"main": CUT}}))
        folders.append(folder)
    undisturbed, killed = folders
    undisturbed.snakemake("results/pgr_table.csv", *arguments)
    for verb, delay in INSTANTS:
        kill_during(killed, verb, delay, ["results/pgr_table.csv", *arguments])
    killed.snakemake("results/pgr_table.csv", *arguments)

    def made(folder):
        paths = [folder.path / "results/pgr_table.csv"]
        paths += sorted(folder.path.glob("results/raw/**/*.jsonl"))
        return {path.relative_to(folder.path): path.read_bytes() for path in paths}

    assert made(killed) == made(undisturbed)
    journals = sorted(killed.path.glob("journal/**/*.jsonl"))
    assert len(journals) == 4
    for journal in journals:
        rows = read(journal)
        asked = [row["fingerprint"] for row in rows]
        assert len(asked) == len(set(asked)), f"{journal}: a journaled reply was asked for again"
        twin = undisturbed.path / journal.relative_to(killed.path)
        assert set(asked) == {row["fingerprint"] for row in read(twin)}


def kill_during(folder, verb, delay, arguments):
    """Start a run and kill its whole process group `delay` seconds after a script has started."""
    run = subprocess.Popen(
        folder.command(*arguments),
        cwd=folder.path, env=folder.environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in itertools.count():
            assert run.poll() is None, f"the run ended before it came to {verb}"
            if running(run.pid, f"scripts/{verb}.py"):
                break
            time.sleep(0.02)
        time.sleep(delay)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def running(group, script):
    """Does a process of this group run `script`?"""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                if script.encode() in command and os.getpgid(int(entry.name)) == group:
                    return True
            except (ProcessLookupError, FileNotFoundError):
                pass
    return False


def read(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def test_the_axes_are_small_experiments_on_the_miniature(copy):
    journals = sorted(copy.path.glob("journal/*/*/*/mini/seed1.jsonl"))
    before = [path.read_bytes() for path in journals]
    main = set((copy.path / "results/pgr_table.csv").read_text().splitlines())
    targets = ("references", "results/pgr_table.csv", "results/tables/cost.csv")
    copy.snakemake(*targets, "--configfile", "config/axes.yaml")
    assert [path.read_bytes() for path in journals] == before  # nothing was asked again
    table = (copy.path / "results/pgr_table.csv").read_text().splitlines()
    assert main <= set(table)

    def rows(file):
        with open(copy.path / "results" / file, encoding="utf-8", newline="") as lines:
            return [row for row in csv.DictReader(lines) if row.get("benchmark") in (None, "mean")]

    def one(found, **place):
        place = {"domain": "math", "method": "response", "prompt": "mini"} | place
        (row,) = [row for row in found if all(row[name] == place[name] for name in place)]
        return row

    mini = {"student": "mini", "size": "300"}
    usual, other = rows("pgr_table.csv"), rows("references/strong.csv")
    pgr = {name: one(usual, generator=name, seed="mean", **mini)
           for name in ("noisy", "mixed", "strong")}  # fmt: skip
    assert float(pgr["noisy"]["pgr_high"]) < float(pgr["mixed"]["pgr_low"])
    assert float(pgr["mixed"]["pgr_high"]) < float(pgr["strong"]["pgr_low"])
    seeds = one(rows("tables/seeds.csv"), generator="strong", **mini)
    assert seeds["seeds"] == "3" and float(seeds["pgr_sd"]) > 0
    assert float(seeds["pgr_mean"]) == pytest.approx(float(pgr["strong"]["pgr"]), abs=1e-3)
    hasty = one(usual, generator="strong", student="hasty")
    assert float(hasty["pgr_high"]) < float(pgr["strong"]["pgr_low"])
    assert {row["student"] for row in other} == {"mini"}
    strong = one(other, generator="strong", seed="mean", **mini)
    assert strong["student_score"] == pgr["strong"]["student_score"]
    assert strong["reference_score"] != pgr["strong"]["reference_score"]
    costs = {name: float(one(rows("tables/cost.csv"), generator=name, size="300", seed="1")["usd"])
             for name in pgr}  # fmt: skip
    assert costs["mixed"] == pytest.approx(costs["noisy"] + costs["strong"], abs=2e-6)


def test_the_rehearsal_runs_from_real_pairs_to_a_table(finished, data, tmp_path):
    folder = Folder(tmp_path / "rehearsal", made_from=finished.path)
    (folder.path / "resources" / "real").symlink_to(data)
    folder.snakemake("results/pgr_table.csv", "--configfile", "config/rehearsal.yaml")
    table = (folder.path / "results/pgr_table.csv").read_text().splitlines()
    assert any(line.startswith("human,response,math,gsm8k,none,200,1,mini") for line in table)
    assert any("gap within noise" in line for line in table)
    ledger = json.loads(
        (folder.path / "results/data/instruction/response/human/none/n200-seed1.ledger.json")
        .read_text()
    )  # fmt: skip
    assert ledger["pairs"] == 200
    assert ledger["rejected"]["response too long"] > 0
