"""A cut of the miniature on a real SLURM: the same table as without, GPUs, and a killed job.

Slow: models and seeds are those of the finished miniature in the project's own folder; all else
is made again, each job in an allocation of its own.
"""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import yaml
from helpers import MINIATURE
from helpers.lab import GPU_MODEL, wait
from helpers.runs import processes, rows, started, text_of
from helpers.workflow import Folder

pytestmark = pytest.mark.slow

TABLE = "results/pgr_table.csv"
CUT = {"domains": ["code"], "generators": ["strong", "narrow"]}  # by three methods
KILLED = "code/response/strong/mini"
# Of no experiment: needs GPUs, and fails for good.
BIG = {"backend": "vllm", "model": "resources/models/strong", "gpus": 2, "python": "./no-vllm"}
BIG |= {"sampling": {"max_tokens": 96}, "price": {"input": 1.0, "output": 1.0}}
NO_VLLM = '#!/bin/sh\necho "GPUs: $CUDA_VISIBLE_DEVICES"\necho "error: no vLLM here"\nexit 1\n'
HOPELESS = "results/raw/code/response/big/mini/n600-seed1.jsonl"


@pytest.fixture(scope="module")
def ran(disturbed, tmp_path_factory):
    """The folder of a run on the cluster, its exit status and text, and the table without SLURM."""
    folder = Folder(tmp_path_factory.mktemp("cut") / "folder", made_from=MINIATURE)
    (folder.path / "no-vllm").write_text(NO_VLLM)
    (folder.path / "no-vllm").chmod(0o755)
    (folder.path / "cut.yaml").write_text(
        json.dumps({"experiments": {"main": CUT}, "generators": {"big": BIG}})
    )
    (folder.path / "profiles/slurm/cluster.yaml").write_text(
        yaml.safe_dump({"gpu_jobs": {"slurm_partition": "gpu", "gpu_model": GPU_MODEL}})
    )
    config = ("--configfile", "config/mini.yaml", "cut.yaml")
    folder.snakemake(TABLE, *config)  # at most what is not done yet
    table = (folder.path / TABLE).read_bytes()
    for made in ("results", "journal"):
        shutil.rmtree(folder.path / made)
    with started(folder, TABLE, HOPELESS, *config) as run:
        journal = folder.path / f"journal/{KILLED}/seed1.jsonl"
        wait(lambda: journal.exists() and journal.stat().st_size, 120, "replies")
        for process in processes("scripts/generate.py"):
            if KILLED in Path(f"/proc/{process}/cmdline").read_text():
                os.kill(process, signal.SIGKILL)
        run.wait(500)
    return folder, run.returncode, (folder.path / "run.log").read_text(), table


def test_the_table_is_the_same_byte_for_byte(ran):
    folder, _, text, table = ran
    assert (folder.path / TABLE).exists(), text[-6000:]
    assert (folder.path / TABLE).read_bytes() == table


def test_every_stage_was_submitted_and_cheap_ones_were_not(ran, lab):
    told = [row["Comment"].split("_wildcards_")[0] for row in lab.jobs("Comment")]
    for rule in ("generate", "train", "predict_code", "predict_anchor", "score"):
        assert f"rule_{rule}" in told
    assert not {"rule_curate", "rule_tabulate_pgr"} & set(told)


def test_a_killed_generation_goes_on_from_its_journal(ran, lab):
    folder, _, _, _ = ran
    states = [row["State"] for row in rows(lab, "generate", *KILLED.split("/"), "600", "1")]
    assert states == ["FAILED", "COMPLETED"]
    journal = folder.path / f"journal/{KILLED}/seed1.jsonl"
    asked = [json.loads(line)["fingerprint"] for line in journal.read_text().splitlines()]
    assert len(asked) == len(set(asked))


def test_gpus_are_asked_for_as_the_profile_says(ran, lab):
    folder, _, _, _ = ran
    told = lab.jobs("Comment", "ReqTRES", "Partition")
    for row in (row for row in told if row["Comment"].startswith("rule_")):
        wants = "_big_" in row["Comment"]
        assert ("gres/gpu=2" in row["ReqTRES"]) == wants, row
        assert ("gres/gpu" in row["ReqTRES"]) == wants, row
        assert row["Partition"] == ("gpu" if wants else "cpu")
    log = folder.path / "logs/generate/code/response/big/mini/n600-seed1.log"
    assert "GPUs: 0,1" in log.read_text()


def test_what_fails_for_good_is_named(ran):
    _, status, text, _ = ran
    assert status == 1
    told = text_of(text, "Error in rule generate", HOPELESS)
    assert "logs/generate/code/response/big/mini/n600-seed1.log" in told
