"""What a cluster's user may say, and two faults of the SLURM executor that are mended."""

import asyncio
import types

import pytest
from agorabench.cluster.slurm import patch_executor, read_site
from agorabench.errors import UserError


def test_a_cluster_with_defaults_needs_no_file(tmp_path):
    assert read_site(tmp_path / "cluster.yaml") == {"jobs": {}, "gpu_jobs": {}, "most": {}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("jobs: {slurm_account: [a]}", "cluster.yaml: jobs.slurm_account must be a number or text"),
        ("job: {}", "cluster.yaml: unknown key 'job'; known: jobs, gpu_jobs"),
        ("jobs: cpu", "cluster.yaml: jobs must be a mapping, not 'cpu'"),
        ("- jobs", "cluster.yaml: must be a mapping of jobs, gpu_jobs, most"),
        ("jobs: {", "cluster.yaml: no YAML"),
        ("most: {gpu: 4}", "cluster.yaml: most takes whole numbers for mem_mb and runtime"),
        ("most: {runtime: 1 day}", "cluster.yaml: most takes whole numbers"),
    ],
)
def test_a_fault_gets_one_sentence(tmp_path, text, sentence):
    (tmp_path / "cluster.yaml").write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_site(tmp_path / "cluster.yaml")


def test_the_example_says_nothing_by_itself():
    from helpers import ROOT

    example = ROOT / "profiles/slurm/cluster.example.yaml"
    assert read_site(example) == {"jobs": {}, "gpu_jobs": {}, "most": {}}


def test_an_executor_of_another_version_is_left_alone():
    executor = types.SimpleNamespace(query_job_status=None)
    patch_executor(executor)
    assert vars(executor) == {"query_job_status": None}


def test_the_executor_is_mended():
    """As seen with version 2.8.0 on SLURM 22.05."""

    async def query_job_status(command):
        return ({"1": "CANCELLED by 0", "2": "RUNNING"}, 0.1) if command else (None, None)

    def get_submit_command(job, params, settings=None, failed_nodes=None):
        return sorted(failed_nodes or ())

    executor = types.SimpleNamespace(**locals())
    patch_executor(executor)
    told, _ = asyncio.run(executor.query_job_status("sacct"))
    assert told == {"1": "CANCELLED", "2": "RUNNING"}
    assert asyncio.run(executor.query_job_status("")) == (None, None)
    assert executor.get_submit_command(1, {}, failed_nodes={"None assigned", "n3"}) == ["n3"]
