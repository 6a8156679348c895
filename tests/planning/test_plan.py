"""The plan says what a run then does, and asks nobody."""

import csv
import shutil
import subprocess
import sys
from collections import Counter

import pytest
import servers
import yaml
from agorabench.config import check_config
from agorabench.files import read_jsonl, write_jsonl
from agorabench.llm import connect
from agorabench.llm.budget import usage_cost
from agorabench.llm.silent import SilentBackend
from agorabench.planning import estimates
from agorabench.planning.forecast import count_items
from agorabench.planning.summary import shorten_reason
from helpers.asking import KEY, config, generator
from helpers.workflow import Folder, count

NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens
CONFIG = "config/plan.yaml"
PRICES = {"gpt": {"input": 2.5, "output": 10.0}, "claude": {"input": 3.0, "output": 15.0}}
# USD of gpt: so much that its two jobs, side by side, do not wait for what the other holds.
LIMIT = 0.9
SIZE = 150
CELLS = {"response", "instance"}


def settings(address=NOBODY, size=SIZE, **more):
    """Two API generators, two methods of one domain, one student."""
    gpt = generator(address, "openai", price=PRICES["gpt"], mode="online", max_usd=LIMIT)
    claude = generator(address, "anthropic", price=PRICES["claude"])
    for entry in (gpt, claude):
        entry["base_url"] = getattr(address, entry["backend"], f"{address}/v1")
    whole = config({"gpt": gpt, "claude": claude}, warm=False, max_usd=100, **more)
    whole["generation"] = {
        "attempts": 3,
        "demonstrations": {"seed": 1, "generated": 1},
        "validators": {"math": ["length"]},
    }
    whole["experiments"]["main"] |= {"domains": ["math"], "methods": sorted(CELLS), "sizes": [size]}
    whole["seeds"] = {"math": {"instance": {"source": "mini"}, "response": {"source": "mini"}}}
    whole["benchmarks"] = {"mini-sums": whole["benchmarks"]["mini-sums"]}
    return whole


class Plans:
    """A folder, and the plans that are made in it."""

    def __init__(self, path, made_from=None):
        self.folder = Folder(path, made_from)
        self.path = self.folder.path
        self.set()

    def set(self, *arguments, **options):
        text = yaml.safe_dump(settings(*arguments, **options))
        (self.path / CONFIG).write_text(text)

    def snakemake(self, *arguments):
        return self.folder.snakemake(*arguments, "-c2", "--configfile", CONFIG)

    def plan(self, *arguments):
        """(Markdown, rows) of the program that rule `plan` runs."""
        status, text = run(self, *arguments)
        assert status == 0, text
        return self.told()

    def told(self):
        """(Markdown, rows) of the plan that was made last."""
        with open(self.path / "results/plan.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return (self.path / "results/plan.md").read_text(), rows

    def sets(self):
        """(generator, method) -> row of a set that is to be generated."""
        rows = self.plan()[1]
        found = [row for row in rows if row["rule"] == "generate"]
        sets = {(row["generator"], row["method"]): row for row in found}
        assert len(sets) == len(found)
        return sets

    def journal(self, name, method):
        return self.path / f"journal/math/{method}/{name}/mini/seed1.jsonl"

    def generate(self, monkeypatch, target="data", **options):
        """Really run it, at a server; returns its books."""
        with servers.start(write="instance", invalid=0.25) as server:
            monkeypatch.setenv(KEY, server.key)
            self.set(server, **options)
            self.snakemake(target)
            books = server.books()
        monkeypatch.delenv(KEY)
        self.set(**options)
        return books


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which all sets have been generated; and the books of that."""
    patch = pytest.MonkeyPatch()
    patch.delenv(KEY, raising=False)
    plans = Plans(tmp_path_factory.mktemp("plan") / "made")
    books = plans.generate(patch)
    patch.undo()
    return plans.path, books


@pytest.fixture
def plans(made, tmp_path):
    return Plans(tmp_path / "folder", made[0])


def forget(plans, name, method, keep):
    """Leave the first `keep` rows of a journal, and no set made of it."""
    path = plans.journal(name, method)
    rows = read_jsonl(path)[:keep]
    write_jsonl(path, rows)
    for stage in ("raw", "data"):
        shutil.rmtree(plans.path / f"results/{stage}/math/{method}/{name}")
    return rows


def files(path):
    return {
        str(file.relative_to(path)): file.stat().st_mtime_ns
        for file in path.rglob("*")
        if file.is_file() and ".snakemake" not in file.parts and "__pycache__" not in file.parts
    }


def test_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    plans = Plans(tmp_path / "clone")
    before = files(plans.path)
    printed = plans.snakemake("plan")
    text, rows = plans.told()
    assert text in printed
    assert files(plans.path).keys() - before.keys() == {
        "results/plan.md",
        "results/plan.csv",
        "logs/plan.log",
    }
    jobs = Counter(row["rule"] for row in rows)
    assert jobs == count(plans.folder.stale("--configfile", CONFIG))
    for row in rows:
        assert row["reason"], row
    for row in (row for row in rows if row["rule"] == "generate"):
        assert row["requests_at_least"] == str(SIZE)
        assert int(row["requests"]) == estimates.count_requests(SIZE, estimates.ACCEPTED)
        tokens = {"input": int(row["prompt_tokens"]), "output": int(row["completion_tokens"])}
        completion = estimates.RESPONSE + estimates.INSTRUCTION * (row["method"] == "instance")
        assert tokens["output"] == int(row["requests"]) * min(completion, 500)
        price = PRICES[row["generator"]] | {"batch": 0.5}
        assert float(row["usd_online"]) == pytest.approx(usage_cost(tokens, price), rel=1e-3)
        assert float(row["usd_batch"]) == pytest.approx(float(row["usd_online"]) / 2)
        assert "assumed" in row["source"]
    solving = [row for row in rows if row["rule"] == "predict_generator_math"]
    assert {row["generator"] for row in solving} == set(PRICES)
    assert all(int(row["requests"]) > 0 and float(row["usd_online"]) > 0 for row in solving)
    assert all(row["gpu_hours"] == "" for row in rows)  # of the miniature's models
    assert f"max_usd of generator gpt leaves {LIMIT:.4f} USD" in text
    assert "leaves 100" not in text


def test_nothing_to_do_for_what_is_made(made, plans, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    assert plans.sets() == {}
    text, rows = plans.plan()
    assert "generate" not in text and "Students" in text  # the students are still to be trained
    assert {row["rule"] for row in rows} >= {"train", "predict_math", "score", "aggregate_pgr"}
    trained = [row for row in rows if row["rule"] == "train"]
    assert all(int(row["trained_tokens"]) > 0 for row in trained)


@pytest.mark.parametrize("keep", [0, 20, 100])
def test_what_half_a_journal_lacks_is_what_is_then_asked(plans, monkeypatch, keep):
    """Response replies are all valid, so the count is exact; of instances it is the least."""
    monkeypatch.delenv(KEY, raising=False)
    rows = forget(plans, "gpt", "response", keep)
    instances = forget(plans, "claude", "instance", keep)
    valid = sum("INPUT:" in row["reply"] for row in instances)
    sets = plans.sets()
    assert sets.keys() == {("gpt", "response"), ("claude", "instance")}
    found = sets["gpt", "response"]
    assert "Missing output files" in found["reason"]
    assert int(found["requests_at_least"]) == SIZE - keep
    assert int(found["valid"]) == keep
    if keep >= estimates.ENOUGH:
        assert int(found["requests"]) == SIZE - keep
        mean = sum(row["usage"]["output"] for row in rows) / keep
        tokens = int(found["completion_tokens"])
        assert tokens == pytest.approx(mean * (SIZE - keep), abs=1)
        assert f"{keep} replies of this journal" in found["source"]
    other = sets["claude", "instance"]
    assert int(other["requests_at_least"]) == SIZE - valid
    if keep >= estimates.ENOUGH:
        assert int(other["requests"]) == estimates.count_requests(SIZE - valid, valid / keep)

    books = plans.generate(monkeypatch)
    asked = books["kinds"]
    assert asked["openai complete"]["ok"] == SIZE - keep
    assert asked["anthropic complete"]["ok"] >= SIZE - valid
    assert plans.sets() == {}


def test_a_raised_size_asks_for_the_difference_only(plans, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    plans.set(size=400)
    sets = plans.sets()
    assert len(sets) == 4
    assert {int(row["requests_at_least"]) for row in sets.values()} == {400 - SIZE}
    for (_, method), row in sets.items():
        replies = int(row["requests"]) / (400 - SIZE)
        assert replies == 1 if method == "response" else 1.1 < replies < 1.7


def test_sets_of_several_sizes_share_their_requests(plans):
    whole = settings()
    whole["experiments"]["main"]["sizes"] = [SIZE, 200, 300]
    (plans.path / CONFIG).write_text(yaml.safe_dump(whole))
    rows = [row for row in plans.plan()[1] if row["rule"] == "generate"]
    least = Counter()
    for row in rows:
        least[row["size"]] += int(row["requests_at_least"])
    assert least == {"200": 4 * (200 - SIZE), "300": 4 * 100}


def test_an_edited_prompt_makes_its_own_sets_stale(plans):
    plans.folder.edit("config/prompts/mini/response/math.md", lambda text: f"Please.\n{text}")
    sets = plans.sets()
    assert sets.keys() == {("gpt", "response"), ("claude", "response")}
    for row in sets.values():
        assert row["reason"] == "Updated input files: config/prompts/mini/response/math.md"
        assert int(row["requests_at_least"]) == SIZE and row["valid"] == "0"
        assert "replies of this journal" in row["source"]  # as long as those to the former prompt
    assert "updated input files config/prompts/mini/response/math.md" in plans.plan()[0]


def test_a_changed_parameter_is_named_with_both_values(plans):
    whole = settings()
    whole["generation"] |= {"validators": {"math": ["no_markers"]}, "attempts": 4}
    (plans.path / CONFIG).write_text(yaml.safe_dump(whole))
    words = "generation.attempts: 4, not 3"
    words += ", generation.validators.math: without 'length' and with 'no_markers'"
    text, rows = plans.plan()
    reasons = {row["reason"] for row in rows if row["rule"] == "generate"}
    assert reasons == {f"Params have changed since last execution: {words}"}
    assert f"params have changed since last execution: {words}" in text


def test_items_of_a_local_file_are_counted_before_they_are_fetched(tmp_path):
    path = tmp_path / "own.jsonl"
    write_jsonl(path, [{"question": f"{n} + 1?"} for n in range(30)])
    for source, limit, known in (
        (path, None, (30, "items counted")),
        (path, 7, (7, "items counted")),
        (tmp_path, None, (30, "items counted")),
        (tmp_path / "gone.jsonl", None, (estimates.ITEMS, "items assumed")),
    ):
        entry = {"protocol": "match", "source": {"path": str(source)}, "limit": limit}
        assert count_items("own", entry) == known


def test_what_was_spent_is_taken_from_the_limits(made, plans):
    forget(plans, "claude", "response", 0)
    text, _ = plans.plan()
    spent = Counter()
    for name in PRICES:
        for method in CELLS:
            for row in read_jsonl(plans.journal(name, method)):
                spent[name] += usage_cost(row["usage"], PRICES[name])
    line = next(line for line in text.splitlines() if line.startswith("| gpt "))
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[8] == f"{spent['gpt']:.4f}"
    assert cells[9] == f"{LIMIT - spent['gpt']:.4f}"
    assert f"{100 - spent.total():,.2f}" in text


def test_requests_in_open_batches_are_told_apart(plans):
    """They are answered without being asked again, but are still to be billed."""
    whole = read_jsonl(plans.journal("gpt", "response"))
    forget(plans, "gpt", "response", 100)
    state = plans.journal("gpt", "response").with_suffix(".batches")
    gone = [row["fingerprint"] for row in whole[100:130]]
    planned = {"event": "planned", "name": "b", "fingerprints": gone, "at": 0.0, "tokens": 1.0}
    planned["model"] = "gpt-4o-mini"
    write_jsonl(state, [planned, {"event": "submitted", "name": "b", "id": "batch_1"}])
    row = plans.sets()["gpt", "response"]
    assert (row["in_batches"], row["requests_at_least"]) == ("30", str(SIZE - 100))


def test_a_set_that_would_give_up_asks_nothing(plans):
    """Its journal holds bad replies enough: generate.py would stop before its first request."""
    rows = read_jsonl(plans.journal("gpt", "response"))
    forget(plans, "gpt", "response", 0)
    whole = settings()
    whole["generation"]["attempts"] = 1
    (plans.path / CONFIG).write_text(yaml.safe_dump(whole))
    bad = [{**row, "finish_reason": "length"} for row in rows]
    write_jsonl(plans.journal("gpt", "response"), bad)
    row = plans.sets()["gpt", "response"]
    assert row["requests"] == "0" and "would stop without asking" in row["source"]


def test_seeds_that_the_run_makes_anew_are_not_counted(plans):
    """They can be another config's: the plan is that of a fresh clone."""
    whole = settings()
    whole["sample_seed"] = 8
    (plans.path / CONFIG).write_text(yaml.safe_dump(whole))
    for row in plans.sets().values():
        assert row["requests_at_least"] == "0" and int(row["requests"]) >= SIZE
        assert "seeds are made anew" in row["source"]


def test_a_judge_is_asked_what_the_journal_has_no_reply_to(plans, monkeypatch):
    metric = {"measure": "judged", "judge": "claude", "sample": 12}
    metric["rubrics"] = "config/rubrics/mini/difficulty"
    target = f"results/assessments/claude/math/response/gpt/mini/n{SIZE}-seed1.jsonl"
    plans.generate(monkeypatch, target, intrinsic={"difficulty": metric})
    path = plans.path / "journal/assess/math/claude/response--gpt--mini/seed1.jsonl"
    journal = read_jsonl(path)
    assert len(journal) == 3 * 12  # the server's replies have no score, so each is asked thrice

    def requests(**changes):
        plans.set(intrinsic={"difficulty": metric | changes})
        rows = plans.plan("--target", target)[1]
        return [int(row["requests"]) for row in rows if row["rule"] == "judge_set"]

    assert requests() == []
    assert requests(sample=20) == [8]
    rubric = plans.path / metric["rubrics"] / "math.md"
    text = rubric.read_text()
    rubric.write_text(f"{text} in words")
    assert requests() == [12]
    rubric.write_text(text)
    write_jsonl(path, journal[:5])
    (plans.path / target).unlink()
    assert requests() == [7]


def test_a_generator_solves_what_the_journal_has_no_reply_to(plans, monkeypatch):
    target = "results/predictions/generators/claude/mini-sums.jsonl"
    plans.generate(monkeypatch, target)
    path = plans.path / "journal/ability/math/claude/benchmarks/seed1.jsonl"
    journal = read_jsonl(path)

    def requests():
        rows = plans.plan("--target", target)[1]
        return [int(row["requests"]) for row in rows if row["rule"] == "predict_generator_math"]

    assert requests() == []
    write_jsonl(path, journal[:7])
    (plans.path / target).unlink()
    assert requests() == [len(journal) - 7]
    whole = settings()
    whole["generators"]["claude"]["model"] += "-next"
    (plans.path / CONFIG).write_text(yaml.safe_dump(whole))
    assert requests() == [len(journal)]


def test_gpu_hours_are_those_of_the_formula(plans):
    whole = settings()
    whole["students"]["mini"] |= {
        "base": {"model": "some/hub-model", "chat": False},
        "parameters": 8,
    }
    whole["generators"]["local"] = {"backend": "vllm", "model": "some/model", "parameters": 70}
    whole["generators"]["experts"] = whole["generators"]["local"] | {"active": 13}
    whole["generators"]["unsized"] = {"backend": "vllm", "model": "some/other"}
    whole["experiments"]["main"]["generators"] = ["local", "experts", "unsized"]
    measured = {"model": "some/measure", "parameters": 8, "gpus": 1, "sample": 100}
    whole["intrinsic"] = {
        "reward": {"measure": "reward", **measured},
        "similarity": {"measure": "similarity", "of": "instruction", **measured, "sample": None},
        "on-cpu": {"measure": "reward", **measured, "gpus": 0},
    }
    (plans.path / CONFIG).write_text(yaml.safe_dump(whole))
    text, rows = plans.plan()
    for row in rows:
        if row["rule"] == "generate" and row["generator"] != "unsized":
            read, written = int(row["prompt_tokens"]), int(row["completion_tokens"])
            active = {"local": 70e9, "experts": 13e9}[row["generator"]]
            expected = 2 * active * (read / 0.5 + written / 0.33) / 989e12 / 3600
            assert float(row["gpu_hours"]) == pytest.approx(expected, rel=1e-3)
        elif row["rule"] == "generate":
            assert row["gpu_hours"] == "unknown"
        elif row["rule"] == "train":
            expected = 6 * 8e9 * int(row["trained_tokens"]) / (989e12 * 0.25) / 3600
            assert float(row["gpu_hours"]) == pytest.approx(expected)
        elif row["rule"] == "measure":
            tokens = {"reward": 100 * (150 + 450), "similarity": SIZE * 150, "on-cpu": 100 * 600}
            assert int(row["prompt_tokens"]) == tokens[row["metric"]]
            expected = 2 * 8e9 * tokens[row["metric"]] / (989e12 * 0.5) / 3600
            if row["metric"] == "on-cpu":
                assert row["gpu_hours"] == ""
            else:
                assert float(row["gpu_hours"]) == pytest.approx(expected)
    assert Counter(row["metric"] for row in rows if row["rule"] == "measure") == {
        "reward": 6, "similarity": 6, "on-cpu": 6,
    }  # fmt: skip
    assert "unknown" in text and "| similarity |    6 |" in text


def test_a_model_is_named_as_its_backend_names_it():
    """The plan looks replies up without loading what a backend would load."""
    whole = check_config(settings(), files_too=False)
    for entry in whole["generators"].values():
        assert connect(entry).identity == SilentBackend(entry).identity == entry["model"]


def test_the_plan_of_another_target(made, plans):
    rows = plans.plan("--target", "models")[1]
    assert Counter(row["rule"] for row in rows)["train"] == 4
    assert not {row["rule"] for row in rows} & {"score", "aggregate_pgr", "generate"}
    status, text = run(plans, "--target", "results/of/nothing")
    assert status == 1 and text.startswith("error: Snakemake cannot plan a run: "), text
    assert "results/of/nothing" in text and text.count("\n") == 1


def run(plans, *arguments):
    """(Exit status, what it said) of scripts/plan.py."""
    command = [sys.executable, "scripts/plan.py", "--config", CONFIG, *arguments]
    ended = subprocess.run(
        command, cwd=plans.path, env=plans.folder.environment, capture_output=True, text=True
    )
    return ended.returncode, ended.stderr


def test_the_plan_is_always_made_anew(plans):
    assert "| generate" not in plans.snakemake("plan")
    plans.set(size=400)
    assert "| generate" in plans.snakemake("plan")
    plans.set()
    assert "| generate" not in plans.snakemake("plan")


def test_a_run_that_only_plans_starts_no_server(plans):
    whole = settings(size=400) | {"warm": True}
    (plans.path / CONFIG).write_text(yaml.safe_dump(whole))
    plans.folder.edit(
        "scripts/agorabench/cluster/warm.py",
        lambda _: "raise SystemExit('the server was started')\n",
    )
    assert "150 of 400" in plans.snakemake("plan")
    with pytest.raises(AssertionError, match="the server was started"):
        plans.snakemake("resources/models/tokenizer/tokenizer.json")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            "Missing output files: a, b; Input files updated by another job: c",
            "missing output files",
        ),
        ("Updated input files: c, a, b", "updated input files a, b and 1 more"),
        ("Input files updated by another job: c", "input files updated by another job"),
        (
            "Updated input files: a; Params have changed since last execution: limit: 7, not 5",
            "updated input files a, params have changed since last execution: limit: 7, not 5",
        ),
        (
            "Params have changed since last execution: Union of exclusive params now: 'x; y'",
            "params have changed since last execution",
        ),
    ],
)
def test_reasons_in_a_few_words(reason, words):
    assert shorten_reason(reason) == words
