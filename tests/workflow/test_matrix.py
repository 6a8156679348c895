"""The paper's whole matrix on a cluster, by dry runs: how many jobs there are, what is stale."""

import re

import pytest
from helpers.workflow import Folder, count

CONFIG = "config/agorabench.yaml"
TARGETS = ("models", "results/pgr_table.csv", "--profile", "slurm")
PROMPT = "config/prompts/free-form/response/math.md"

# The paper's arithmetic: six generators in nine settings; three of them with two more families of
# prompts in six settings, and with more data in the three of instance generation.
STUDENTS = 6 * 9 + 3 * 6 * 2 + 3 * 3
IN_DOMAIN = STUDENTS // 3
# Called as `shell -c "… | tee LOG"`.
SHELL = """#!/bin/sh
log=${2##*tee }
log=${log#-i }
while read -r file; do
    case $file in
        results/judgements/*.jsonl) touch "$file" ;;
        results/judgements/*) mkdir -p "$file" ;;
        *) touch "$file" ;;
    esac
done < "outputs/${log%% *}"
"""
BENCHMARKS = 2  # of each domain
SOLVE = {"predict_generator_math", "predict_generator_code", "predict_generator_instruction"}
JUDGED = 2  # both of instruction following


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    return Folder(tmp_path_factory.mktemp("matrix") / "clone")


@pytest.fixture(scope="module")
def done(clone, tmp_path_factory):
    """A finished matrix, but for its content: a pretended shell makes empty outputs."""
    folder = Folder(tmp_path_factory.mktemp("matrix") / "done")
    text = clone.snakemake("-n", *TARGETS)
    for outputs, log in re.findall(r"^ +output: (.+)\n +log: (\S+)", text, re.M):
        path = folder.path / "outputs" / log
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(outputs.replace(", ", "\n") + "\n")
    shell = folder.path / "shell"
    shell.write_text(SHELL)
    shell.chmod(0o755)
    before = folder.edit("Snakefile", lambda text: text + f"\nshell.executable({str(shell)!r})\n")
    folder.snakemake("--no-hooks", "--cores=8", *TARGETS[:2], "--configfile", CONFIG)
    (folder.path / "Snakefile").write_text(before)
    return folder


@pytest.fixture
def copy(done, tmp_path):
    return Folder(tmp_path / "copy", made_from=done.path)


def test_the_jobs_are_those_of_the_papers_arithmetic(clone):
    jobs = count(clone.stale(*TARGETS))
    assert STUDENTS == 99
    assert jobs == {
        "fetch_seeds": 9,
        "fetch_benchmark": 3 * BENCHMARKS,
        "fetch_file": 4,  # of each of the judged: the judge's prompt, and what it compares with
        "generate": STUDENTS,
        "curate": STUDENTS,
        "train": STUDENTS,
        "predict_math": IN_DOMAIN,
        "predict_code": IN_DOMAIN,
        "predict_instruction": IN_DOMAIN,
        "predict_anchor": 2,  # base and reference answer all benchmarks
        "judge": JUDGED * (IN_DOMAIN + 2),
        "score": 3 * BENCHMARKS * (IN_DOMAIN + 2),
        "models": 1,
        "aggregate_pgr": 1,
    }


def test_jobs_ask_for_gpus_by_the_size_of_the_model(clone):
    text = clone.snakemake("-n", *TARGETS)
    asked = re.findall(r"^rule generate:\n(?:    .*\n)*?    wildcards: .*generator=([^,]+)"
                       r".*\n    resources: (.*)", text, re.M)  # fmt: skip
    gpus = {name: re.search(r" gpu=(\d+)", told)[1] for name, told in asked}
    assert gpus == {
        "llama-3.1-405b": "8", "llama-3.1-70b": "4", "llama-3.1-8b": "1",
        "gpt-4o": "0", "gpt-4o-mini": "0", "claude-3.5-sonnet": "0",
    }  # fmt: skip
    assert all(("api=1" in told) == (gpus[name] == "0") for name, told in asked)
    assert {"nodes=1" in told for name, told in asked if gpus[name] != "0"} == {True}


def test_intrinsic_metrics_are_two_judges_and_four_jobs_with_a_gpu_of_each_set(clone):
    text = clone.snakemake("-n", "intrinsic", *TARGETS[2:])
    jobs = re.findall(r"^rule (judge_set|measure):\n(?:    .*\n)*?    wildcards: (.*)\n"
                      r"    resources: (.*)", text, re.M)  # fmt: skip
    rules = [rule for rule, *_ in jobs]
    assert (rules.count("judge_set"), rules.count("measure")) == (2 * STUDENTS, 4 * STUDENTS)
    asked = {
        (rule, re.search("(?:judge|metric)=([^,]+)", wildcards)[1]):
        (re.search(r"\bgpu=(\d)", told)[1], re.search(r"\bapi=1", told) is not None)
        for rule, wildcards, told in jobs
    }  # fmt: skip
    assert asked == {
        ("judge_set", "gpt-4o-judge"): ("0", True),
        ("judge_set", "prometheus-2"): ("4", False),
        ("measure", "reward"): ("1", False),
        ("measure", "perplexity"): ("1", False),
        ("measure", "instruction-similarity"): ("1", False),
        ("measure", "response-similarity"): ("1", False),
    }
    memory = {re.search("metric=([^,]+)", wildcards)[1]: re.search(r"mem_mb=(\d+)", told)[1]
              for rule, wildcards, told in jobs if rule == "measure"}  # fmt: skip
    assert memory["reward"] == memory["perplexity"] == "38000"  # of 8 billion parameters
    assert memory["instruction-similarity"] == "7600"  # of 0.4


def test_providers_and_judges_can_be_asked_before_and_after_what_needs_gpus(clone):
    matrix = TARGETS[2:]
    hosted = {"gpt-4o", "gpt-4o-mini", "claude-3.5-sonnet"}
    first = clone.stale("providers", *matrix)
    assert {rule for rule, _ in first} == {
        "providers", "fetch_seeds", "fetch_benchmark", "generate", *SOLVE
    }  # fmt: skip
    asked = {output.split("/")[3] for rule, output in first if rule in SOLVE}
    assert asked == hosted
    jobs = clone.stale("judgements", *matrix)
    judgements = count(jobs)
    assert judgements["judge"] == JUDGED * (IN_DOMAIN + 2 + 6)
    # A judge of one's own wants a GPU.
    judges = {output.split("/")[2] for rule, output in jobs if rule == "judge_set"}
    assert judges == {"gpt-4o-judge"}
    # Whatever is judged is answered by then.
    before = count(clone.stale("predictions", *matrix))
    assert set(judgements) - set(before) == {"judgements", "judge", "judge_set", "fetch_file"}


def test_nothing_changed_nothing_to_do(copy):
    assert count(copy.stale(*TARGETS)) == {}


def test_an_edited_prompt_makes_its_own_cells_stale(copy):
    copy.edit(PROMPT, lambda text: "Please. " + text)
    jobs = copy.stale(*TARGETS)
    assert count(jobs) == {
        "generate": 6, "curate": 6, "train": 6, "predict_math": 6, "score": 12, "aggregate_pgr": 1,
        "models": 1,
    }  # fmt: skip
    cells = [output for rule, output in jobs if rule not in ("aggregate_pgr", "models")]
    assert all("math/response/" in output and "/free-form/" in output for output in cells)


def test_an_added_generator_makes_its_cells_only(copy):
    stanza = "  newcomer:\n    <<: *gpt\n    model: new\n"
    copy.edit(CONFIG, lambda text: text.replace("\ngeneration:", f"{stanza}\ngeneration:", 1))
    copy.edit(CONFIG, lambda text: text.replace("[gpt-4o, gpt", "[newcomer, gpt-4o, gpt", 1))
    jobs = copy.stale(*TARGETS)
    assert count(jobs) == {
        "generate": 9, "curate": 9, "train": 9, "predict_math": 3, "predict_code": 3,
        "predict_instruction": 3, "judge": 6, "score": 18, "aggregate_pgr": 1, "models": 1,
    }  # fmt: skip
    cells = [output for rule, output in jobs if rule not in ("aggregate_pgr", "models")]
    assert all("/newcomer/" in output for output in cells)


def test_a_changed_recipe_trains_anew_and_generates_nothing(copy):
    copy.edit(CONFIG, lambda text: text.replace("epochs: 5", "epochs: 4"))
    assert count(copy.stale(*TARGETS)) == {
        "train": STUDENTS, "predict_math": IN_DOMAIN, "predict_code": IN_DOMAIN,
        "predict_instruction": IN_DOMAIN, "judge": JUDGED * IN_DOMAIN,
        "score": 3 * BENCHMARKS * IN_DOMAIN, "aggregate_pgr": 1, "models": 1,
    }  # fmt: skip


def test_a_site_says_what_its_cluster_wants(copy):
    site = copy.path / "profiles/slurm/cluster.yaml"
    site.write_text("jobs: {slurm_account: mine}\ngpu_jobs: {slurm_partition: gpu, gpu_model: h}\n")
    copy.edit(PROMPT, lambda text: "Please. " + text)
    text = copy.snakemake("-n", *TARGETS)
    asked = re.findall(r"^rule generate:\n(?:    .*\n)*?    resources: (.*)", text, re.M)
    assert len(asked) == 6
    for told in asked:
        assert "slurm_account=mine" in told
        wanted = " gpu=0" not in told
        assert ("slurm_partition=gpu, gpu_model=h" in told) == wanted
    site.write_text("jobs: {}\ngpu_job: {}\n")
    _, text = copy.snakemake("-n", *TARGETS, check=False)
    assert "error: cluster.yaml: unknown key 'gpu_job'; known: jobs, gpu_jobs" in text
