"""Run Python programs that a model wrote, so that they can harm nothing and fool nobody.

    outcome = check("def double(x):\n    return 2 * x", "assert double(4) == 8")
    outcome.status      # "ok" only if the last test was passed

A program sees the interpreter, the system's libraries and an empty scratch folder in memory: no
network, no environment, no other process, no file of yours. docs/sandbox.md says which mechanism
guarantees what. Where the machine cannot give that, `isolation` refuses.
"""

import contextlib
import functools
import itertools
import json
import marshal
import os
import re
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from agorabench.errors import UserError

KINDS = ("namespaces", "bubblewrap")  # as strong as each other; the first needs no program
CHILD = Path(__file__).with_name("child.py")
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "MALLOC_ARENA_MAX": "1",  # glibc reserves 64 MB of address space per thread otherwise
}
# No user's packages, no site, no folder on sys.path by itself, no bytecode. Not -I: it would also
# ignore PYTHONHASHSEED.
PYTHON_OPTIONS = ("-s", "-S", "-P", "-B")
PATIENCE = 10  # seconds beyond the wall limit before a sandbox that says nothing is killed


@dataclass(frozen=True)
class Limits:
    """What one program may use; `processes` counts children and threads beside the first."""

    wall_seconds: float = 10
    cpu_seconds: int = 10
    memory_mb: int = 1024
    processes: int = 16
    file_mb: int = 16
    output_kb: int = 64


@dataclass(frozen=True)
class Outcome:
    """What came of one program.

    status: "ok" (it reached its end, tests passed), "error" (anything else of its own doing, an
        early `os._exit(0)` included), or the limit that ended it: "timeout", "memory", "output",
        "processes".
    exit_code: as a shell would not say it: negative for a signal, -9 where a limit ended it.
    stdout, stderr: text, each cut at `Limits.output_kb`.
    seconds: wall time of the program, without the start of the sandbox.
    """

    status: str
    exit_code: int
    stdout: str
    stderr: str
    seconds: float


def run_code(code, limits=None, isolation=None, python=sys.executable):
    """Run one program as `__main__` and return its `Outcome`.

    isolation: one of `KINDS`, "limits" (no isolation, only limits: for a caller who was told to
        accept that), or None for what `isolation()` proves.
    Raises UserError where the machine cannot isolate, or a sandbox cannot be started.
    """
    return run_sandbox(code, None, limits or Limits(), isolation or _proved(python), python)


def check_code(code, tests, limits=None, isolation=None, python=sys.executable):
    """Run `code` as a module, then `tests` in the same names; "ok" only if both reached their end.

    `if __name__ == "__main__":` parts do not run. Success is a random token that the harness around
    both texts hands over after the last test: printing something, `sys.exit(0)` or `os._exit(0)`
    prove nothing. A program that looks for the harness in its own interpreter's frames could still
    find it; against that there is no help as long as tests share a process with what they test.
    """
    return run_sandbox(code, tests, limits or Limits(), isolation or _proved(python), python)


def run_many(programs, workers=1, limits=None, isolation=None, python=sys.executable):
    """Yield the outcomes of `programs` in their order, `workers` of them at a time.

    programs: each a program's text, or a pair (code, tests).
    """
    isolation = isolation or _proved(python)

    def run_pair(program):
        code, tests = (program, None) if isinstance(program, str) else program
        return run_sandbox(code, tests, limits or Limits(), isolation, python)

    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(run_pair, programs)
    finally:
        pool.shutdown(cancel_futures=True)


@functools.cache
def prove_isolation(python=sys.executable):
    """The isolation this machine gives, proved by a program that tries to break it.

    Raises UserError where nothing holds, saying what was tried and what can be done.
    """
    reasons = []
    for kind in KINDS:
        try:
            _probe_isolation(kind, python)
            return kind
        except UserError as error:
            reasons.append(f"{kind}: {error}")
    raise UserError(
        f"this machine cannot isolate model-written code ({'; '.join(reasons)}): allow unprivileged"
        " user namespaces (user.max_user_namespaces above 0), or install bubblewrap, or accept"
        " plain resource limits, without isolation, by `sandbox: limits` in the config"
    )


_proved = prove_isolation  # under another name, because `isolation` is also a parameter


def choose_isolation(setting, python=sys.executable):
    """The isolation for the config's `sandbox:` setting: "isolated", or "limits" with a warning."""
    if setting == "isolated":
        return prove_isolation(python)
    if setting != "limits":
        raise UserError(f"unknown sandbox {setting!r}; known: isolated, limits")
    print(
        "warning: `sandbox: limits` runs model-written code without isolation: it can read and"
        " change whatever you can",
        file=sys.stderr,
    )
    return "limits"


# ---- one sandbox

_numbers = itertools.count()


def run_sandbox(code, tests, limits, kind, python):
    """Start one sandbox, read it to its end, and kill whatever may be left."""
    layout = survey_layout(python)
    order = asdict(limits) | {
        "code": code,
        "tests": tests,
        "isolation": kind,
        "uid": (uid := _unprivileged_id()),
        "neighbours": _tasks_of_this_user() if uid is None and _counted_per_user(kind) else None,
        "users": os.readlink("/proc/self/ns/user"),
        **layout["walls"],
    }
    environment = ENVIRONMENT | layout["environment"]
    folder = contextlib.nullcontext()
    if kind == "limits":
        folder = tempfile.TemporaryDirectory(prefix="agora-", ignore_cleanup_errors=True)
    report, report_end = (
        os.fdopen(end, mode, 0) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)
    )
    with report, folder as order["scratch"]:
        if order["scratch"]:
            environment |= {"HOME": order["scratch"], "TMPDIR": order["scratch"]}
        with report_end:
            order["report"] = report_end.fileno()
            try:
                process = subprocess.Popen(
                    sandbox_command(kind, order, layout["executable"]),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    cwd="/",
                    env=environment,
                    pass_fds=(report_end.fileno(),),
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise UserError(f"{error.filename} is not installed") from None
        try:
            deadline = time.monotonic() + limits.wall_seconds + PATIENCE
            streams, ended = _read_streams(process, report, order, limits, deadline)
        finally:
            _end_process(process)
    return _parse_outcome(streams, ended, process)


def _read_streams(process, report, order, limits, deadline):
    """Hand over the order and read all streams; ({name: bytes}, why we stopped it, or None)."""
    message = marshal.dumps(order, 2)  # version 2 is read by every Python 3
    with contextlib.suppress(BrokenPipeError):
        view = memoryview(struct.pack("!Q", len(message)) + message)
        while view:
            view = view[process.stdin.write(view) :]
    read = {"report": b"", "out": b"", "err": b""}
    most = limits.output_kb * 1024
    with selectors.DefaultSelector() as selector:
        for source, name in zip((report, process.stdout, process.stderr), read, strict=True):
            selector.register(source, selectors.EVENT_READ, name)
        while selector.get_map():
            left = deadline - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                return read, "timeout"
            for key, _ in ready:
                part = os.read(key.fd, 65536)
                if not part:
                    selector.unregister(key.fileobj)
                read[key.data] += part
                if key.data != "report" and len(read[key.data]) > most:
                    read[key.data] = read[key.data][:most]
                    return read, "output"
    return read, None


def _end_process(process):
    """End the sandbox: closing its order pipe is the order to stop; then by force."""
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
    process.stderr.close()


def _parse_outcome(streams, ended, process):
    lines = streams["report"].decode(errors="replace").splitlines()
    out, err = (streams[name].decode(errors="replace") for name in ("out", "err"))
    last = lines[-1] if lines else ""
    if last.startswith("broken "):
        raise UserError(f"the sandbox could not start: {last.removeprefix('broken ')}")
    if not lines:
        what = err.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        raise UserError(f"the sandbox could not start: {what[0]}")
    if ended or last == "started":  # a watcher that is gone or silent: no success, whoever did that
        return Outcome(ended or "error", -9, out, err, 0.0)
    status, code, seconds = last.split()
    return Outcome(status, int(code), out, err, float(seconds))


def _unprivileged_id():
    """A user id for one program that nobody else has, if we are real root; else None.

    The kernel exempts root from process limits and lets it own /proc/sys. From 0x70000000 on no
    system hands out ids (systemd.io/UIDS-GIDS).
    """
    if os.geteuid() != 0:
        return None
    everyone = ["0", "0", "4294967295"]  # we are in the first user namespace, or as good as
    status = Path("/proc/self/status").read_text()
    capabilities = int(re.search(r"^CapEff:\s*(\w+)", status, re.MULTILINE)[1], 16)
    needed = 1 << 0 | 1 << 6 | 1 << 7  # CAP_CHOWN, CAP_SETGID, CAP_SETUID
    if Path("/proc/self/uid_map").read_text().split() != everyone or needed & ~capabilities:
        return None
    return 0x70000000 + os.getpid() * 64 + next(_numbers) % 64


def _counted_per_user(kind):
    """Whether the kernel counts a program's processes together with all others of this user."""
    version = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    return kind == "limits" or version < (5, 14)  # since then once per user namespace


def _tasks_of_this_user():
    """How many processes and threads this user has on the host."""
    tasks = 0
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and process.stat().st_uid == os.getuid():
                tasks += len(os.listdir(process / "task"))
    return tasks


# ---- what is visible inside


@functools.cache
def _child_text():
    return CHILD.read_text(encoding="utf-8")


_SURVEY = """
import json, os, sys, sysconfig
for name in ("bz2", "ctypes", "decimal", "hashlib", "lzma", "sqlite3", "ssl", "uuid", "zlib"):
    try:
        __import__(name)
    except ImportError:
        pass
with open("/proc/self/maps") as maps:
    libraries = {line.split(None, 5)[5].strip() for line in maps if ".so" in line}
paths = sysconfig.get_paths()
print(json.dumps([os.path.realpath(sys.executable), paths["stdlib"], paths["platstdlib"],
                  sorted(map(os.path.dirname, libraries))]))
"""


@functools.cache
def survey_layout(python):
    """What a sandbox for this interpreter shows, hides and links, asked of the interpreter itself.

    A virtual environment is left for the interpreter it was made from. Libraries outside the
    system's folders (conda, environment modules) are found by what the interpreter has mapped.
    """
    if sys.platform != "linux":
        raise UserError("model-written code can be run on Linux only")
    # A virtual environment knows its base only with `site`, so ask for that first.
    base = subprocess.run(
        [python, "-I", "-c", "import sys; print(getattr(sys, '_base_executable', sys.executable))"],
        capture_output=True,
        text=True,
    ).stdout.strip()
    base = os.path.realpath(base or python)
    loader = {key: os.environ[key] for key in ("LD_LIBRARY_PATH",) if key in os.environ}
    survey = subprocess.run(
        [base, *PYTHON_OPTIONS, "-c", _SURVEY], capture_output=True, text=True, env=loader
    )
    if survey.returncode:
        raise UserError(f"{python} does not start: {survey.stderr.strip()[-200:]}")
    executable, *folders, libraries = json.loads(survey.stdout)
    system = [f"/{name}" for name in sorted(os.listdir("/")) if _is_system(name)]
    links = [[path, os.readlink(path)] for path in system if os.path.islink(path)]
    visible = [path for path in system if not os.path.islink(path)]
    inside = tuple(f"{path}/" for path in system)
    extra = [path for path in libraries if not f"{path}/".startswith(inside)]
    for path in sorted({executable, *folders, *extra}, key=len):
        if not any(f"{path}/".startswith(f"{known}/") for known in visible):
            visible.append(path)
    private = {os.path.realpath(path) for path in (Path.home(), Path.cwd(), CHILD.parents[3])}
    hidden = [
        path
        for path in sorted(private)
        if any(path.startswith(f"{shown}/") for shown in visible)
        and not any(f"{shown}/".startswith(f"{path}/") for shown in (executable, *folders, *extra))
    ]
    for path in ("/etc/ld.so.cache", *(f"/dev/{name}" for name in _DEVICES)):
        if os.path.exists(path):
            visible.append(path)
    return {
        "executable": executable,
        "environment": {"LD_LIBRARY_PATH": ":".join(extra)} if loader and extra else {},
        "walls": {
            "visible": visible,
            "hidden": hidden,
            "links": [*links, ["/dev/shm", "/tmp"]],
        },
    }


_DEVICES = ("null", "zero", "full", "random", "urandom")


def _is_system(name):
    return name in ("bin", "sbin", "usr") or name.startswith("lib")


def sandbox_command(kind, order, executable):
    """The command line of a sandbox; bubblewrap's walls are made by its options."""
    inner = [executable, *PYTHON_OPTIONS, "-c", _child_text()]
    if kind != "bubblewrap":
        return inner
    options = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    options += ["--unshare-cgroup-try", "--hostname", "sandbox", "--as-pid-1", "--die-with-parent"]
    if order["uid"] is None:
        options += ["--unshare-user-try"]
    else:
        options += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    # Folders on the way to a mount are bubblewrap's own, and closed to others unless made first.
    for path in (*order["visible"], *(path for path, _ in order["links"])):
        for parent in reversed(Path(path).parents[:-1]):
            options += ["--perms", "0755", "--dir", str(parent)]
    for path in order["visible"]:
        options += ["--dev-bind" if path.startswith("/dev/") else "--ro-bind", path, path]
    for path in order["hidden"]:
        options += ["--tmpfs", path, "--remount-ro", path]
    for path, target in order["links"]:
        options += ["--symlink", target, path]
    options += ["--proc", "/proc", "--perms", "1777"]
    options += ["--size", str(order["file_mb"] << 20), "--tmpfs", "/tmp"]
    return ["bwrap", *options, "--remount-ro", "/", "--chdir", "/tmp", "--", *inner]


# ---- the proof

_PROBE = """
import json, os, socket
found = []
def possible(what, attempt):
    try:
        attempt()
    except OSError:
        return
    found.append(what)
def connect():
    socket.create_connection(("127.0.0.1", {port}), 1).close()
possible("reads files of the host", lambda: open({secret!r}).close())
possible("writes beside its scratch folder", lambda: open({secret!r} + "2", "w").close())
possible("writes to the interpreter", lambda: open(os.__file__ + ".x", "w").close())
possible("reaches the host's network", connect)
if len([name for name in os.listdir("/proc") if name.isdigit()]) > 2:
    found.append("sees other processes")
open("own", "w").write("x")
print("tried", json.dumps(found))
"""


def _probe_isolation(kind, python):
    """Raise UserError unless a program that tries to get out of a `kind` sandbox cannot."""
    with tempfile.TemporaryDirectory(prefix="agora-") as folder, socket.socket() as server:
        secret = Path(folder, "secret")
        secret.write_text("secret")
        server.bind(("127.0.0.1", 0))
        server.listen()
        probe = _PROBE.format(port=server.getsockname()[1], secret=str(secret))
        outcome = run_sandbox(probe, None, Limits(), kind, python)
    first, _, rest = outcome.stdout.partition(" ")
    if outcome.status != "ok" or first != "tried":
        raise UserError(f"a probe ended with {outcome.status}: {outcome.stderr.strip()[-200:]}")
    if json.loads(rest):
        raise UserError(f"a probe {', '.join(json.loads(rest))}")
