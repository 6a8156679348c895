"""What the workflow plans, and what it refuses, on the real Snakefile of a fresh clone."""

import json
import subprocess
import sys

import pytest
import yaml
from agorabench import matrix
from agorabench.files import write_jsonl
from helpers.tasks import DOMAINS
from helpers.workflow import Folder, count

CONFIG = "config/mini.yaml"


@pytest.fixture
def clone(tmp_path):
    return Folder(tmp_path / "clone")


def test_a_fresh_clone_plans_the_whole_miniature(clone):
    jobs = count(clone.stale("--forceall"))
    assert jobs["generate"] == jobs["curate"] == jobs["train"] == 27
    assert jobs["predict_math"] == jobs["predict_code"] == jobs["predict_instruction"] == 9
    assert jobs["predict_anchor"] == 2
    # Two benchmarks in math; base, reference and the three generators solve all of them.
    assert jobs["score"] == 9 * (2 + 1 + 1) + (2 + 3) * 4
    assert [jobs[f"predict_generator_{domain}"] for domain in DOMAINS] == [3, 3, 3]
    assert jobs["build_model"] == 4 + 3  # two judges and a reward model
    assert (jobs["judge_set"], jobs["measure"], jobs["aggregate_intrinsic"]) == (2 * 27, 4 * 27, 1)
    assert jobs["aggregate_pgr"] == jobs["plot"] == jobs["aggregate_cost"] == 1
    assert jobs["aggregate_paid"] == 1
    assert jobs["analyse"] == jobs["report"] == 1


def test_names_of_domains_and_methods_of_ones_own_are_free(clone):
    whole = yaml.safe_load((clone.path / CONFIG).read_text())
    whole |= {"methods": {"my_own.v-2": {"shows": "instruction"}}, "intrinsic": {}}
    names = ["a_b", "a", "a.b", "a-b", "1", "generator"]
    prompts = clone.path / "config/prompts/mini/my_own.v-2"
    prompts.mkdir()
    for number, name in enumerate(names):
        whole.setdefault("domains", {})[name] = {}
        whole["seeds"][name] = {"my_own.v-2": {"path": "rows.jsonl"}}
        entry = {"domain": name, "protocol": "match", "prompt": "{instruction}", "max_tokens": 9}
        entry |= {"answer": "response", "compare": "text", "source": {"path": "rows.jsonl"}}
        whole["benchmarks"][f"own{number}"] = entry
        (prompts / f"{name}.md").write_text("{instruction}\n")
    whole["experiments"]["main"] |= {"domains": names, "methods": ["my_own.v-2"]}
    write_jsonl(clone.path / "rows.jsonl", [{"instruction": "1 + 1?", "response": "2"}] * 9)
    (clone.path / CONFIG).write_text(yaml.safe_dump(whole))
    jobs = count(clone.stale())
    rules = ["generate", "curate", "train", *(f"predict_{name}" for name in names)]
    assert [jobs[rule] for rule in rules] == [3 * 6] * 3 + [3] * 6
    assert {jobs[f"predict_generator_{name}"] for name in names} == {3}


def test_generators_solve_the_benchmarks_of_the_experiments_domains_only(clone):
    clone.edit(CONFIG, lambda text: text.replace("[math, code, instruction]", "[code]", 1))
    jobs = clone.stale("abilities")
    scored = {output for rule, output in jobs if rule == "score"}
    generators = ("narrow", "noisy", "strong")
    assert scored == {f"results/scores/generators/{name}/mini-code.json" for name in generators}


def test_the_workflow_is_lint_clean(clone):
    assert "good condition" in clone.snakemake("--lint")


def test_stages_are_targets(clone):
    assert "train" not in count(clone.stale("data"))
    assert "score" not in count(clone.stale("models"))
    assert "aggregate_pgr" not in count(clone.stale("scores"))


def test_a_run_is_what_the_axes_say():
    axes = {"domains": ["math", "code"], "methods": ["response"], "generators": ["a", "human"]}
    axes |= {"prompts": ["p", "q"], "sizes": [10], "seeds": [1, 2], "students": ["s"]}
    generators = {"a": {"backend": "transformers"}, "human": {"backend": "dataset"}}
    runs = matrix.expand_runs({"experiments": {"x": axes, "again": axes}, "generators": generators})
    assert len(runs) == 2 * 2 * 2 + 2 * 2  # a data set is asked no prompt; nothing runs twice
    assert runs[0].model == "s/math/response/a/p/n10-seed1"
    assert {run.prompt for run in runs if run.generator == "human"} == {matrix.NO_PROMPT}


def change(old, new, path=CONFIG):
    return lambda clone: clone.edit(path, lambda text: text.replace(old, new, 1))


def seed_file(rows):
    """Point a setting's seeds at a local file with these rows."""

    def write(clone):
        (clone.path / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        source = "    response: {source: mini}"
        clone.edit(CONFIG, lambda text: text.replace(source, "    response: {path: seeds.jsonl}"))

    return write


def empty_benchmark(clone):
    (clone.path / "items.jsonl").write_text("")
    old, new = (
        "source: {source: mini}\n    max_tokens",
        "source: {path: items.jsonl}\n    max_tokens",
    )
    clone.edit(CONFIG, lambda text: text.replace(old, new, 1))


PROMPT = "config/prompts/mini/response/math.md"

FAULTS = {
    "unknown generator": (
        change("generators: [strong, noisy, narrow]", "generators: [strong, gpt4o]"),
        f"{CONFIG}: experiments.main.generators: unknown generator 'gpt4o'; "
        "known: strong, noisy, narrow",
    ),
    "misspelt key": (
        change("generation:\n", "generatoin:\n"),
        f"{CONFIG}: unknown key 'generatoin'; did you mean 'generation'?",
    ),
    "wrong type": (
        change("learning_rate: 0.002", "learning_rate: fast"),
        f"{CONFIG}: students.mini.recipe.learning_rate: must be a number, not 'fast'",
    ),
    "empty seed file": (
        seed_file([]),
        f"{CONFIG}: seeds.math.response.path: seeds.jsonl has no rows",
    ),
    "seed row without an instruction": (
        seed_file([{"instruction": "q"}, {"response": "a"}]),
        f"{CONFIG}: seeds.math.response.path: seeds.jsonl, line 2 has no 'instruction'",
    ),
    "prompt without its placeholder": (
        change("{instruction}", "the question", PROMPT),
        f"{PROMPT}: no placeholder {{instruction}}, which method response needs",
    ),
    "unknown placeholder": (
        change("{instruction}", "{instruction} {topic}", PROMPT),
        f"{PROMPT}: unknown placeholder {{topic}}",
    ),
    "duplicate names": (
        change("  noisy:\n    <<: *generator", "  strong:\n    <<: *generator"),
        f"{CONFIG}: generators: 'strong' is given twice, on lines",
    ),
    "size 0": (
        change("sizes: [", "sizes: [0, "),
        f"{CONFIG}: experiments.main.sizes: must be at least 1, not 0",
    ),
    "benchmark without items": (
        empty_benchmark,
        f"{CONFIG}: benchmarks.mini-sums.source.path: items.jsonl has no rows",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_gets_one_sentence_before_any_job(clone, fault):
    spoil, sentence = FAULTS[fault]
    spoil(clone)
    status, text = clone.snakemake(check=False)
    told = [line for line in text.splitlines() if line.startswith("error: ")]
    assert status == 1
    assert len(told) == 1 and sentence in told[0], text
    assert "Traceback" not in text and "rule " not in text
    assert not (clone.path / "results").exists()


@pytest.mark.parametrize(
    ("hold", "sentence"),
    [
        ("begin_run({'warm': False})", "another snakemake run is at work"),
        ("hold_job_lock()", "a job of an earlier, killed run is still at work"),
    ],
)
def test_a_run_waits_for_nobody_and_disturbs_nobody(clone, hold, sentence):
    """Another run in the folder, or an orphan of a killed one, is seen before a job starts."""
    (clone.path / ".snakemake").mkdir()
    program = "import sys; sys.path.insert(0, 'scripts'); from agorabench.cluster import locks\n"
    program += f"locks.{hold}; print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=clone.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    holder.stdout.readline()
    target = "resources/seeds/math/response.jsonl"
    status, text = clone.snakemake(target, check=False)
    assert status == 1 and sentence in text, text
    assert not (clone.path / target).exists()
    holder.kill()
    holder.wait()
    clone.snakemake(target)
    assert (clone.path / target).exists()
