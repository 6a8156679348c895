"""The sandbox, attacked by real programs.

Each attack runs in every isolation this machine has, as this user and, where we are root, as an
unprivileged one; some run once more under plain limits, to show that the attack itself works.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import uuid
from pathlib import Path

import pytest
from agorabench import sandbox
from agorabench.errors import UserError
from helpers import ROOT
from helpers.attacks import DRIVER, attack, available


@pytest.fixture(
    scope="module",
    params=[(kind, user) for kind in sandbox.KINDS for user in ("self", "nobody")],
    ids=lambda param: "-".join(param),
)
def isolated(request):
    """The function `isolated(code, tests=None, **limits)` for one kind and user."""
    kind, user = request.param
    if reason := available(kind, user):
        pytest.skip(reason)
    return lambda code, tests=None, **limits: attack(kind, code, tests, user, **limits)


@pytest.fixture
def limited():
    return lambda code, tests=None, **limits: attack("limits", code, tests, **limits)


@pytest.fixture(params=["isolated", "limits"])
def either(request):
    """For what holds in plain limits mode too."""
    kind = sandbox.prove_isolation() if request.param == "isolated" else "limits"
    return lambda code, tests=None, **limits: attack(kind, code, tests, **limits)


@pytest.fixture(params=["self", "nobody"])
def limited_user(request):
    """Plain limits, for this user and for nobody: what counts processes differs."""
    if reason := available("limits", request.param):
        pytest.skip(reason)
    return lambda code, tests=None, **limits: attack("limits", code, tests, request.param, **limits)


@pytest.fixture
def open_folder():
    """A folder of the host that every user may read and write, so that only walls protect it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


@pytest.fixture
def mark():
    """A name that processes give themselves, by which the host finds them."""
    return "agora" + uuid.uuid4().hex[:8]


def alive(mark):
    """How many processes of this name the host has."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            count += path.read_text().strip() == mark
        except OSError:
            continue
    return count


def gone(mark):
    """Whether no process of this name is left, a moment given for the kernel to take them away."""
    deadline = time.monotonic() + 1
    while alive(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive(mark) == 0


def name_self(mark):
    return f"import ctypes, os, time\nctypes.CDLL(None).prctl(15, {mark.encode()!r}, 0, 0, 0)\n"


# ---- what works


def test_a_program_runs_and_is_heard(isolated):
    outcome = isolated("import sys, json\nprint(json.dumps([1]))\nprint('no', file=sys.stderr)")
    assert (outcome.status, outcome.exit_code) == ("ok", 0)
    assert (outcome.stdout, outcome.stderr) == ("[1]\n", "no\n")


def test_passed_and_failed_tests(isolated):
    code = "def double(x):\n    return 2 * x\nif __name__ == '__main__':\n    input()"
    assert isolated(code, "assert double(4) == 8").status == "ok"
    failed = isolated(code, "assert double(4) == 9")
    assert (failed.status, failed.exit_code) == ("error", 1)
    assert failed.stderr.endswith("AssertionError\n") and "<tests>" in failed.stderr


def test_usual_library_use_works(isolated):
    code = """
import dataclasses, pickle, random, re, sqlite3, subprocess, sys, tempfile, threading
from concurrent.futures import ThreadPoolExecutor

@dataclasses.dataclass
class Point:
    x: "int"

with tempfile.NamedTemporaryFile() as file:
    file.write(b"x")
with ThreadPoolExecutor(8) as pool:
    assert list(pool.map(abs, range(-3, 0))) == [3, 2, 1]
assert subprocess.run([sys.executable, "-c", "print(6)"], capture_output=True).stdout == b"6\\n"
"""
    tests = "assert pickle.loads(pickle.dumps(Point(3))) == Point(3)"
    outcome = isolated(code, tests)
    assert outcome.status == "ok", outcome.stderr


def test_same_hashes_and_no_packages_each_time(isolated):
    code = "import sys\nprint(hash('agora'), sys.path[1:])"
    first, second = isolated(code), isolated(code)
    assert first.stdout == second.stdout
    assert "site-packages" not in first.stdout


def test_many_programs_keep_their_order():
    programs = [f"import time\ntime.sleep({0.2 - n / 20})\nprint({n})" for n in range(4)]
    programs.append(("x = 1", "assert x == 2"))
    outcomes = list(sandbox.run_many(programs, workers=3))
    assert [outcome.stdout for outcome in outcomes] == ["0\n", "1\n", "2\n", "3\n", ""]
    assert [outcome.status for outcome in outcomes] == ["ok"] * 4 + ["error"]


# ---- limits


def test_endless_loop(either):
    outcome = either("while True: pass", wall_seconds=0.5)
    assert outcome.status == "timeout"
    assert 0.5 <= outcome.seconds < 3


def test_sleeping_is_no_way_around_the_wall_clock(isolated):
    assert isolated("import time\ntime.sleep(60)", wall_seconds=0.3).status == "timeout"


def test_processor_time_of_children_counts(isolated):
    code = "import os\nos.fork(), os.fork()\nwhile True: pass"
    outcome = isolated(code, cpu_seconds=1, wall_seconds=20)
    assert outcome.status == "timeout"
    assert outcome.seconds < 10


def test_fork_bomb_stays_small_and_leaves_nobody(isolated, mark):
    bomb = name_self(mark) + "while True:\n    try: os.fork()\n    except OSError: pass"
    peak, done = [0], threading.Event()

    def watch():
        while not done.is_set():
            peak.append(alive(mark))
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.monotonic()
    outcome = isolated(bomb, wall_seconds=1, processes=16)
    took = time.monotonic() - start
    done.set()
    watcher.join()
    assert outcome.status in ("timeout", "processes", "memory")
    assert 1 < max(peak) <= 17
    assert took < 6
    assert gone(mark)


def test_fork_bomb_under_plain_limits_is_ended(limited_user, mark):
    bomb = name_self(mark) + "while True:\n    try: os.fork()\n    except OSError: pass"
    assert limited_user(bomb, wall_seconds=1).status in ("timeout", "processes")
    assert gone(mark)


def test_ten_gigabytes(either):
    assert either("x = bytearray(10 << 30)").status == "memory"


def test_memory_shared_out_among_children(either):
    code = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        break
x = bytearray(b"x") * (100 << 20)
time.sleep(30)
"""
    assert either(code, memory_mb=400, wall_seconds=10).status == "memory"


def test_memory_that_no_limit_counts_is_refused(isolated):
    code = "import os\nos.memfd_create('x')"
    assert "PermissionError" in isolated(code).stderr


def test_endless_output(either):
    for stream in ("stdout", "stderr"):
        outcome = either(f"import sys\nwhile True: sys.{stream}.write('x' * 999)", output_kb=8)
        assert outcome.status == "output"
        assert len(getattr(outcome, stream)) == 8 * 1024


def test_filling_the_scratch_folder(isolated):
    code = """
written = 0
try:
    for number in range(99):
        with open(f"{number}", "wb", buffering=0) as file:
            written += file.write(b"x" * (1 << 20))
except OSError as error:
    print(written >> 20, error.errno)
"""
    assert isolated(code, file_mb=4).stdout in ("3 28\n", "4 28\n")


def test_one_large_file(either):
    code = (
        "with open('x', 'wb', buffering=0) as file:\n    for _ in range(9): file.write(b'x' << 20)"
    )
    outcome = either(code.replace("b'x' << 20", "b'x' * (1 << 20)"), file_mb=4)
    assert outcome.status == "error"
    assert "OSError" in outcome.stderr


def test_standard_input_is_at_its_end(either):
    outcome = either("input()")
    assert outcome.status == "error"
    assert "EOFError" in outcome.stderr


# ---- walls


def test_nothing_of_the_environment(isolated, monkeypatch):
    secret = uuid.uuid4().hex
    monkeypatch.setenv("AGORA_SECRET", secret)
    code = """
import glob, os
print(os.environ)
for path in glob.glob("/proc/*/environ"):
    try:
        print(open(path).read())
    except OSError:
        pass
"""
    outcome = isolated(code)
    assert "PYTHONHASHSEED" in outcome.stdout
    assert secret not in outcome.stdout


READ = """
import os
for path in {paths!r}:
    try:
        print(path, open(path).read() if not path.endswith("/") else os.listdir(path))
    except OSError as error:
        pass
"""


def test_no_file_of_ours_can_be_read(isolated, limited, open_folder):
    secret = open_folder / "secret.txt"
    secret.write_text("secret")
    paths = [str(secret), str(ROOT / "pyproject.toml"), f"{ROOT}/", f"{Path.home()}/.bashrc"]
    paths += ["/etc/passwd", "/etc/shadow", "/var/", "/opt/", "/sys/", "/mnt/", "/home/"]
    code = READ.format(paths=paths)
    assert isolated(code).stdout == ""
    assert "secret" in limited(code).stdout  # the attack works where there is no wall


def test_the_scratch_folder_starts_empty_and_is_private(isolated):
    code = "import os\nprint(os.listdir('.'))\nopen('mine', 'w').close()\nprint(os.listdir('.'))"
    for _ in range(2):
        assert isolated(code).stdout == "[]\n['mine']\n"


def test_folders_that_lie_under_a_visible_one_are_hidden():
    home = Path("/usr/share/doc")
    if not home.is_dir():
        pytest.skip("no folder under /usr to play the home folder")
    order = {"code": f"import os\nprint(os.listdir({str(home)!r}))", "tests": None, "limits": {}}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(order | {"kind": sandbox.prove_isolation()}),
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout)["stdout"] == "[]\n"


def test_nothing_can_be_written_outside(isolated, open_folder):
    name = f"agora-{uuid.uuid4().hex}"
    folders = [open_folder, Path.home(), ROOT, Path(sysconfig.get_path("stdlib")), Path("/tmp")]
    folders += [Path(p) for p in ("/", "/usr", "/usr/lib", "/etc", "/var/tmp", "/dev", "/dev/shm")]
    files = [str(folder / name) for folder in folders]
    code = f"""
for path in {files!r} + ["/proc/sys/kernel/core_pattern", "/proc/1/oom_score_adj"]:
    try:
        open(path, "w").write("1")
        print(path)
    except OSError:
        pass
"""
    own = {f"/tmp/{name}", f"/dev/shm/{name}"}  # both are the scratch folder, inside
    assert set(isolated(code).stdout.split()) == own
    assert not [path for path in files if os.path.exists(path)]


CONNECT = """
import socket
for family, address in {places!r}:
    try:
        with socket.socket(family) as client:
            client.settimeout(1)
            client.connect(address)
            print("reached", family, address)
    except OSError:
        pass
"""


def test_no_server_can_be_reached(isolated, limited, open_folder):
    name = "\0agora-" + uuid.uuid4().hex
    places = [(socket.AF_UNIX, name), (socket.AF_UNIX, str(open_folder / "socket"))]
    servers = []
    try:
        for family, address in [*places, (socket.AF_INET, ("127.0.0.1", 0))]:
            servers.append(server := socket.socket(family))
            server.bind(address)
            server.listen()
        (open_folder / "socket").chmod(0o777)
        places.append((socket.AF_INET, servers[-1].getsockname()))
        code = CONNECT.format(places=[(int(family), address) for family, address in places])
        assert isolated(code).stdout == ""
        assert limited(code).stdout.count("reached 1 ") == 2  # Unix sockets: the servers listen
        with socket.create_connection(places[-1][1], 1):
            pass
    finally:
        for server in servers:
            server.close()


def test_the_host_of_a_virtual_machine_cannot_be_called(isolated):
    code = "import socket\nsocket.socket(40)"  # AF_VSOCK, which knows no network namespaces
    assert "PermissionError" in isolated(code).stderr


def test_nobody_outside_can_be_killed(isolated):
    with subprocess.Popen(["sleep", "60"]) as neighbour:
        code = """
import os, signal
for pid in [os.getppid(), *range(1, 40_000), -1]:
    if pid != os.getpid():
        for number in (signal.SIGSTOP, signal.SIGKILL):
            try: os.kill(pid, number)
            except OSError: pass
print("still here")
"""
        outcome = isolated(code)
        assert neighbour.poll() is None
        neighbour.kill()
    assert outcome.stdout == "still here\n"


def test_the_watcher_can_be_neither_traced_nor_read(isolated):
    code = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.ptrace(16, 1, 0, 0), ctypes.get_errno())
for name in ("mem", "environ", "fd/0", "fd/5"):
    try:
        print(open(f"/proc/1/{name}", "rb").read(1))
    except OSError as error:
        print("no")
"""
    assert isolated(code).stdout.split() == ["-1", "1", "no", "no", "no", "no"]


def test_two_programs_do_not_see_each_other():
    code = """
import os, time
open("program-{0}", "w").close()
time.sleep(0.5)
print(os.listdir("/tmp"), sorted(int(name) for name in os.listdir("/proc") if name.isdigit()))
"""
    outcomes = sandbox.run_many([code.replace("{0}", str(n)) for n in range(2)], workers=2)
    heard = [outcome.stdout for outcome in outcomes]
    assert heard == ["['program-0'] [1, 2]\n", "['program-1'] [1, 2]\n"]


def test_the_watcher_cannot_be_blinded(isolated):
    code = """
import os, resource, time
attempts = (
    lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0)),
    lambda: os.sched_setaffinity(1, {0}),
    lambda: os.setpriority(os.PRIO_PROCESS, 1, 19),
)
for attempt in attempts:
    try:
        attempt()
        print("done")
    except OSError:
        pass
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
for _ in range(6):
    if os.fork() == 0:
        break
x = bytearray(b"x") * (100 << 20)
time.sleep(30)
"""
    outcome = isolated(code, memory_mb=400)
    assert (outcome.status, outcome.stdout) == ("memory", "")


def test_a_program_has_no_privileges(isolated):
    code = """
import os
lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(lines["CapPrm"].strip(), lines["CapEff"].strip(), lines["NoNewPrivs"].strip(), os.getuid())
try:
    ctypes = __import__("ctypes")
    print(ctypes.CDLL(None).unshare(0x10000000))
except OSError:
    print(-1)
"""
    words = isolated(code).stdout.split()
    assert words[:3] == ["0" * 16, "0" * 16, "1"] and words[4] == "-1"
    assert words[3] != "0"


# ---- ends


@pytest.mark.parametrize("end", ["", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_daemons_end_with_their_program(either, mark, end):
    daemon = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        time.sleep(60)
    os._exit(0)
time.sleep(0.1)
"""
    either(name_self(mark) + daemon + end)
    assert gone(mark)


def test_programs_end_with_whoever_started_them(mark):
    code = name_self(mark) + "os.fork()\ntime.sleep(60)"
    order = {"code": code, "tests": None, "limits": {"wall_seconds": 60}}
    starter = subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, text=True)
    starter.stdin.write(json.dumps(order | {"kind": sandbox.prove_isolation()}))
    starter.stdin.close()
    deadline = time.monotonic() + 10
    while alive(mark) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert alive(mark) == 2
    starter.kill()
    starter.wait()
    assert gone(mark)


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos._exit(0)",
        "import sys\nsys.exit(0)",
        "raise SystemExit",
        "exit()",
        "print('ok 0 0.1')\nimport os\nos._exit(0)",
        "import os\nf = lambda: os._exit(0)",
        "import sys\nf = lambda: sys.exit(0)",
        "import os\nos.write = lambda *_: 0\nsys = __import__('sys')\nsys.exit = print",
        "import os\nfor n in range(3, 128):\n    try: os.write(n, b'ok 0 0.1\\n')\n"
        "    except OSError: pass\nos._exit(0)",
        "import os\nif os.fork(): os._exit(0)\ndef f(): return 2",
        "import atexit, os\natexit.register(os._exit, 0)\nassert False",
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
        "def f(:",
        "f = '\0'",
    ],
)
def test_leaving_before_the_tests_ended_is_no_success(either, code):
    assert either(code, "assert f() == 1").status == "error"


@pytest.mark.parametrize(
    "code, status, exit_code",
    [
        ("import sys\nsys.exit(0)", "ok", 0),
        ("import sys\nsys.exit(3)", "error", 3),
        ("import sys\nsys.exit('why')", "error", 1),
        ("import os\nos._exit(0)", "error", 0),
        ("import os\nos.abort()", "error", -6),
        ("import atexit\natexit.register(print, 'bye')", "ok", 0),
        ("1 / 0", "error", 1),
    ],
)
def test_how_a_program_may_end(either, code, status, exit_code):
    outcome = either(code)
    assert (outcome.status, outcome.exit_code) == (status, exit_code)
    assert "why" not in code or outcome.stderr == "why\n"
    assert "bye" not in code or outcome.stdout == "bye\n"


# ---- what the machine gives


def test_refusal_where_nothing_isolates():
    """In a user namespace that may have no further ones, without privileges, without bubblewrap."""
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        pytest.skip("needs unshare and setpriv of util-linux")
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        "from agorabench import cli, sandbox\n"
        "cli.run_program(lambda: print(sandbox.prove_isolation()))"
    )
    shell = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "env", "PATH=/nonexistent"]
    done = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", shell, "-", *drop, sys.executable, "-c", program],
        capture_output=True,
        text=True,
    )
    if "unshare failed" in done.stderr:
        pytest.skip("no user namespaces here to forbid them in")
    assert done.returncode == 1
    assert done.stderr.startswith("error: this machine cannot isolate model-written code")
    for word in ("namespaces: the sandbox could not start: unshare", "bwrap", "sandbox: limits"):
        assert word in done.stderr
    assert done.stderr.count("\n") == 1


def test_plain_limits_are_taken_only_on_request(capsys):
    assert sandbox.choose_isolation("isolated") in sandbox.KINDS
    assert capsys.readouterr().err == ""
    assert sandbox.choose_isolation("limits") == "limits"
    assert "without isolation" in capsys.readouterr().err
    with pytest.raises(UserError, match="unknown sandbox 'none'"):
        sandbox.choose_isolation("none")


def test_plain_limits_leave_no_folder_and_open_no_connection(limited, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    outcome = limited("import os, socket\nprint(os.getcwd())\nsocket.socket()")
    assert Path(outcome.stdout.strip()).parent == tmp_path
    assert list(tmp_path.iterdir()) == []
    assert "PermissionError" in outcome.stderr


def test_an_interpreter_that_does_not_start(tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such luck >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(UserError, match="does not start: no such luck"):
        sandbox.run_code("1", python=str(broken))
