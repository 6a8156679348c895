"""What jobs ask a cluster for, by the shipped table and by a user's."""

from types import SimpleNamespace as Job

import pytest
from agorabench.cluster.resources import job_needs, read_table, request_resources
from agorabench.errors import UserError
from helpers import ROOT

TABLE = read_table(ROOT / "config/resources.yaml")
NO_SITE = {"jobs": {}, "gpu_jobs": {}, "most": {}}
CONFIG = {
    "generators": {
        "online": {"backend": "openai", "mode": "online"},
        "batch": {"backend": "anthropic", "mode": "batch"},
        "local": {"backend": "vllm", "gpus": 4, "parameters": 70},
        "cpu": {"backend": "transformers"},
        "dataset": {"backend": "dataset"},
    },
    "students": {
        "eight": {
            "base": {"model": "8b", "parameters": None, "gpus": None},
            "reference": {"trained_on": "gold"},
            "references": {"large": {"model": "70b", "parameters": 70, "gpus": 4}},
            "parameters": 8,
            "hardware": {"gpus": 4, "predict_gpus": 1},
        },
        "tiny": {
            "references": {},
            "parameters": None,
            "hardware": {"gpus": 0, "predict_gpus": 0},
        },
    },
    "benchmarks": {"arena": {"judge": "batch"}, "alpaca": {"judge": "online"}},
    "intrinsic": {
        "reward": {"parameters": 8, "gpus": 1},
        "similarity": {"parameters": None, "gpus": 0},
    },
}


@pytest.mark.parametrize(
    ("stage", "job", "wanted"),
    [
        ("generate", Job(generator="online", size="10000"), (4, 1440, 0)),
        ("generate", Job(generator="batch", size="10000"), (4, 2880, 0)),
        ("generate", Job(generator="local", size="10000"), (4 + 32 + 70, 60 + 175, 4)),
        ("generate", Job(generator="local", size="2000"), (106, 60 + 35, 4)),
        ("generate", Job(generator="cpu", size="600"), (4, 60, 0)),
        ("generate", Job(generator="dataset", size="600"), (4, 60, 0)),
        ("predict_generator", Job(generator="local"), (106, 240, 4)),
        ("train", Job(student="eight", size="10000"), (4 + 24 + 8 * 32, 30 + 120, 4)),
        ("train", Job(student="tiny", size="600"), (10, 30, 0)),
        ("predict", Job(student="eight"), (36, 190, 1)),
        ("predict", Job(model="eight/math/response"), (36, 190, 1)),
        ("predict", Job(student="eight", anchor="base"), (36, 190, 1)),
        ("predict", Job(student="eight", anchor="reference"), (36, 190, 1)),
        ("predict", Job(student="eight", anchor="reference-large"), (284, 1430, 4)),
        ("judge", Job(benchmark="arena"), (4, 1440, 0)),
        ("judge", Job(benchmark="alpaca"), (4, 120, 0)),
        ("judge_set", Job(judge="local"), (106, 240, 4)),
        ("judge_set", Job(judge="batch"), (4, 1440, 0)),
        ("measure", Job(metric="reward"), (38, 110, 1)),
        ("measure", Job(metric="similarity"), (6, 30, 0)),
        ("audit", Job(), (4, 5, 0)),
        ("build", Job(), (4, 30, 0)),
    ],
)
def test_the_shipped_table(stage, job, wanted):
    needs = job_needs(TABLE[stage], CONFIG, job)
    assert (needs.memory_gb, needs.minutes, needs.gpus) == wanted


def test_a_score_needs_memory_for_each_of_its_programs():
    needs = [job_needs(TABLE["score"], CONFIG, Job(), threads) for threads in (1, 4)]
    assert [(one.memory_gb, one.minutes) for one in needs] == [(6, 10), (18, 10)]


def test_each_attempt_asks_for_half_as_much_again():
    asked = request_resources(TABLE["predict"], CONFIG, NO_SITE)
    job = Job(student="eight")
    assert [asked["mem_mb"](job, n, 1) for n in (1, 2, 3)] == [36000, 54000, 72000]
    assert [asked["runtime"](job, n, 1) for n in (1, 2, 3)] == [190, 285, 380]


def test_gpus_come_with_what_the_site_wants_of_such_jobs():
    site = NO_SITE | {
        "jobs": {"slurm_partition": "cpu"},
        "gpu_jobs": {"slurm_partition": "gpu"},
    }
    asked = request_resources(TABLE["train"], CONFIG, site, warning=300)

    def of(student):
        names = ("nodes", "cpus_per_gpu", "slurm_partition", "slurm_extra", "gpu")
        return [asked[name](Job(student=student, size="600")) for name in names]

    assert of("eight") == [1, 4, "gpu", "--signal=USR1@300", 4]
    assert of("tiny") == [None, None, "cpu", "--signal=USR1@300", 0]


def test_no_attempt_asks_for_more_than_the_site_has():
    site = NO_SITE | {"most": {"mem_mb": 50000, "runtime": 240}}
    asked = request_resources(TABLE["predict"], CONFIG, site)
    job = Job(student="eight")
    assert [asked["mem_mb"](job, n, 1) for n in (1, 2, 3)] == [36000, 50000, 50000]
    assert [asked["runtime"](job, n, 1) for n in (1, 2, 3)] == [190, 240, 240]


def test_a_site_that_asks_for_gpus_in_its_own_way():
    site = NO_SITE | {"gpu_jobs": {"slurm_extra": "--gres=gpu:h100:{gpus}", "gpu": 0}}
    asked = request_resources(TABLE["train"], CONFIG, site, warning=300)
    large, tiny = Job(student="eight"), Job(student="tiny")
    assert asked["slurm_extra"](large) == "--signal=USR1@300 --gres=gpu:h100:4"
    assert asked["gpu"](large) == 0 and not asked["gpu"](tiny)


def test_a_warning_leaves_what_the_site_adds_to_the_command():
    site = NO_SITE | {"jobs": {"slurm_extra": "--qos=low"}}
    asked = request_resources(TABLE["train"], CONFIG, site, warning=300)
    assert asked["slurm_extra"](Job(student="tiny")) == "--signal=USR1@300 --qos=low"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- train", "mine.yaml: must be a mapping of stages"),
        ("train: 4", "mine.yaml: train must be a mapping of model, gpus, memory_gb"),
        ("train: {gb: {}}", "mine.yaml: train: unknown key 'gb'; known: model, gpus, memory_gb"),
        ("train: {minutes: {fixed: 1}}", "mine.yaml: train.memory_gb must be a mapping of fixed"),
        (
            "train: {memory_gb: {per_b: 1}, minutes: {}}",
            "mine.yaml: train.memory_gb: unknown key 'per_b'; known: fixed, per_gpu",
        ),
        (
            "train: {memory_gb: {fixed: 4 GB}, minutes: {}}",
            "mine.yaml: train.memory_gb.fixed must be a number of at least 0, not '4 GB'",
        ),
        (
            "train: {model: base, memory_gb: {}, minutes: {}}",
            "mine.yaml: train.model: unknown 'base'; known: generator, judge, student, metric",
        ),
        ("train: {", "mine.yaml: cannot be read: "),
    ],
)
def test_a_fault_of_the_table_gets_one_sentence(tmp_path, text, sentence):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UserError) as fault:
        read_table(tmp_path / "mine.yaml")
    assert str(fault.value).startswith(sentence)
