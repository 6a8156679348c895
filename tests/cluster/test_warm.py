"""Scripts run by the warm server behave as if run by themselves."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from helpers import ROOT

WARM = str(ROOT / "scripts/agorabench/cluster/warm.py")

SCRIPT = """
    import os, sys, time
    if "sleep" in sys.argv:
        print(os.getpid(), flush=True)
        time.sleep(60)
    print("argv", sys.argv[1:], "folder", os.getcwd(), "variable", os.environ.get("COLOUR"))
    print("to stderr", file=sys.stderr)
    sys.exit({"three": 3, "text": "a sentence"}.get(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a real server, with a stand-in for the heavy imports."""
    folder = tmp_path_factory.mktemp("warm")
    (folder / "start.py").write_text(
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        "from agorabench.cluster import warm\n"
        f"warm.start_server({str(folder / 'address')!r}); print('up', flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(folder / "start.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    parent.stdout.readline()
    yield str(folder / "address")
    parent.stdin.close()
    parent.wait(timeout=30)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    return str(path)


def at(address):
    return {"AGORABENCH_WARM": address, "AGORABENCH_WARM_PREFIX": sys.prefix}


def run(script, *arguments, address, **options):
    environment = {**os.environ, "COLOUR": "green", **at(address)}
    return subprocess.run(
        [sys.executable, WARM, script, *arguments],
        env=environment, capture_output=True, text=True, timeout=120, **options,
    )  # fmt: skip


def test_same_arguments_folder_environment_output_and_status(server, script, tmp_path):
    for argument in ("none", "three", "text"):
        warm = run(script, argument, address=server, cwd=tmp_path)
        cold = run(script, argument, address="/nonexistent", cwd=tmp_path)
        assert (warm.returncode, warm.stdout, warm.stderr) == (
            cold.returncode,
            cold.stdout,
            cold.stderr,
        )
        assert "green" in warm.stdout and str(tmp_path) in warm.stdout


def test_a_script_ends_with_the_command_that_asked_for_it(server, script):
    environment = {**os.environ, **at(server)}
    client = subprocess.Popen(
        [sys.executable, WARM, script, "sleep"], env=environment, stdout=subprocess.PIPE, text=True
    )
    worker = int(client.stdout.readline())
    os.kill(client.pid, signal.SIGKILL)
    client.wait()
    assert gone(worker)


def test_a_killed_script_fails_its_command(server, script):
    environment = {**os.environ, **at(server)}
    client = subprocess.Popen(
        [sys.executable, WARM, script, "sleep"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.kill(int(client.stdout.readline()), signal.SIGKILL)
    _, errors = client.communicate(timeout=30)
    assert client.returncode == 137
    assert "was killed" in errors


def test_a_command_in_the_background_ignores_ctrl_c(server, script):
    command = [sys.executable, WARM, script, "sleep"]
    client = subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command],
        env={**os.environ, **at(server)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    worker = int(client.stdout.readline())
    client.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        client.wait(1)
    client.kill()
    client.wait()
    assert gone(worker)


def gone(pid):
    """Wait a little for a process to end."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
