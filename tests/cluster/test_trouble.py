"""What becomes of jobs that are killed, by whatever, on a real SLURM under profiles/slurm."""

import pytest
from helpers.runs import rows, text_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def troubled(disturbed):
    """What `disturbed` came to: its folder, exit status and text, and the node that it lost."""
    folder, run, node = disturbed
    run.wait(300)
    return folder, run.returncode, (folder.path / "run.log").read_text(), node


@pytest.mark.parametrize(
    "trouble", ["memory", "signal", "kill", "node", "preempt", "time", "warning"]
)
def test_who_is_killed_comes_again(troubled, trouble):
    folder, _, text, _ = troubled
    assert (folder.path / f"done/{trouble}.txt").exists(), text[-6000:]


def test_time_is_raised_where_it_was_too_little(troubled, lab):
    told = [(row["State"], row["Timelimit"]) for row in rows(lab, "work", "time")]
    assert told == [("TIMEOUT", "00:01:00"), ("COMPLETED", "00:02:00")]


def test_memory_is_raised_where_it_was_too_little(troubled, lab):
    if not lab.limits_memory:
        pytest.skip("SLURM cannot limit memory here: no cgroup v1")
    attempts = rows(lab, "work", "memory")
    # The step is out of memory, and the job that waited for it has failed.
    told = [(row["State"], row["ReqMem"]) for row in attempts]
    assert told == [("FAILED", "1000M"), ("COMPLETED", "1500M")]
    assert "OUT_OF_MEMORY" in lab.steps(attempts[0]["JobID"])


def test_a_cancelled_job_is_submitted_again(troubled, lab):
    told = [row["State"] for row in rows(lab, "work", "signal")]
    assert told == ["CANCELLED by 0", "COMPLETED"]


def test_a_warned_job_saves_before_it_ends(troubled):
    """The signal reaches the script itself, and ends nothing that stands between."""
    folder, _, _, _ = troubled
    assert (folder.path / "saved").exists()
    log = (folder.path / "run.log").read_text()
    assert "logs/work/warning.log" in text_of(log, "Error in rule work", "done/warning.txt")


def test_a_job_of_a_lost_node_is_queued_again_by_slurm_itself(troubled, lab):
    _, _, _, lost = troubled
    first, *_, last = rows(lab, "work", "node")
    assert first["NodeList"] == lost and last["NodeList"] != lost
    assert first["JobID"] == last["JobID"]  # no new submission
    assert last["State"] == "COMPLETED"


def test_a_preempted_job_is_queued_again_by_slurm_itself(troubled, lab):
    first, *_, last = rows(lab, "work", "preempt")
    assert (first["State"], last["State"]) == ("PREEMPTED", "COMPLETED")
    assert first["JobID"] == last["JobID"]


def test_a_job_that_fails_for_good_stops_its_branch_only_and_is_named(troubled, lab):
    folder, status, text, _ = troubled
    assert status == 1
    assert len(rows(lab, "work", "hopeless")) == 2
    assert not (folder.path / "done/after-hopeless.txt").exists()
    told = text_of(text, "Error in rule work", "done/hopeless.txt")
    assert "logs/work/hopeless.log" in told
    assert "logs/slurm/rule_work/hopeless/" in told
    assert "cannot be done" in (folder.path / "logs/work/hopeless.log").read_text()
