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
CHILD = Path(__file__).with_name("sandbox_child.py")
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


def run(code, limits=None, isolation=None, python=sys.executable):
    """Run one program as `__main__` and return its `Outcome`.

    isolation: one of `KINDS`, "limits" (no isolation, only limits: for a caller who was told to
        accept that), or None for what `isolation()` proves.
    Raises UserError where the machine cannot isolate, or a sandbox cannot be started.
    """
    return _run(code, None, limits or Limits(), isolation or _proved(python), python)


def check(code, tests, limits=None, isolation=None, python=sys.executable):
    """Run `code` as a module, then `tests` in the same names; "ok" only if both reached their end.

    `if __name__ == "__main__":` parts do not run. Success is a random token that the harness around
    both texts hands over after the last test: printing something, `sys.exit(0)` or `os._exit(0)`
    prove nothing. A program that looks for the harness in its own interpreter's frames could still
    find it; against that there is no help as long as tests share a process with what they test.
    """
    return _run(code, tests, limits or Limits(), isolation or _proved(python), python)


def run_many(programs, workers=1, limits=None, isolation=None, python=sys.executable):
    """Yield the outcomes of `programs` in their order, `workers` of them at a time.

    programs: each a program's text, or a pair (code, tests).
    """
    isolation = isolation or _proved(python)

    def one(program):
        code, tests = (program, None) if isinstance(program, str) else program
        return _run(code, tests, limits or Limits(), isolation, python)

    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(one, programs)
    finally:
        pool.shutdown(cancel_futures=True)


@functools.cache
def isolation(python=sys.executable):
    """The isolation this machine gives, proved by a program that tries to break it.

    Raises UserError where nothing holds, saying what was tried and what can be done.
    """
    reasons = []
    for kind in KINDS:
        try:
            _prove(kind, python)
            return kind
        except UserError as error:
            reasons.append(f"{kind}: {error}")
    raise UserError(
        f"this machine cannot isolate model-written code ({'; '.join(reasons)}): allow unprivileged"
        " user namespaces (user.max_user_namespaces above 0), or install bubblewrap, or accept"
        " plain resource limits, without isolation, by `sandbox: limits` in the config"
    )


_proved = isolation  # under another name, because `isolation` is also a parameter


def accept(setting, python=sys.executable):
    """The isolation for the config's `sandbox:` setting: "isolated", or "limits" with a warning."""
    if setting == "isolated":
        return isolation(python)
    if setting != "limits":
        raise UserError(f"unknown sandbox {setting!r}; known: isolated, limits")
    print(
        "warning: `sandbox: limits` runs model-written code without isolation: it can read and"
        " write whatever you can",
        file=sys.stderr,
    )
    return "limits"


# ---- one sandbox

_numbers = itertools.count()


def _run(code, tests, limits, kind, python):
    """Start one sandbox, read it to its end, and kill whatever may be left."""
    layout = _layout(python)
    report, report_end = os.pipe()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, report)
        with contextlib.closing(_Descriptor(report_end)):
            order = asdict(limits) | {
                "code": code,
                "tests": tests,
                "isolation": kind,
                "report": report_end,
                "uid": _unprivileged_id() if kind != "limits" else None,
                "users": os.readlink("/proc/self/ns/user"),
                **layout["walls"],
            }
            environment = ENVIRONMENT | layout["environment"]
            if kind == "limits":
                order["scratch"] = stack.enter_context(tempfile.TemporaryDirectory(prefix="agora-"))
                environment |= {"HOME": order["scratch"], "TMPDIR": order["scratch"]}
            try:
                process = subprocess.Popen(
                    _command(kind, order, layout["executable"]),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    cwd="/",
                    env=environment,
                    pass_fds=(report_end,),
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise UserError(f"{error.filename} is not installed") from None
        try:
            deadline = time.monotonic() + limits.wall_seconds + PATIENCE
            streams, overflow = _converse(process, report, order, limits, deadline)
        finally:
            _end(process)
    return _outcome(streams, overflow, process)


def _converse(process, report, order, limits, deadline):
    """Hand over the order and read all streams; ({name: bytes}, whether output overflowed)."""
    message = marshal.dumps(order, 2)  # version 2 is read by every Python 3
    with contextlib.suppress(BrokenPipeError):
        view = memoryview(struct.pack("!Q", len(message)) + message)
        while view:
            view = view[process.stdin.write(view) :]
    sources = {report: "report", process.stdout.fileno(): "out", process.stderr.fileno(): "err"}
    read = {name: b"" for name in sources.values()}
    most, overflow = limits.output_kb * 1024, False
    with selectors.DefaultSelector() as selector:
        for source in sources:
            selector.register(source, selectors.EVENT_READ)
        while selector.get_map() and not overflow:
            left = deadline - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                break
            for key, _ in ready:
                part = os.read(key.fd, 65536)
                if not part:
                    selector.unregister(key.fd)
                name = sources[key.fd]
                read[name] += part
                if name != "report" and len(read[name]) > most:
                    read[name], overflow = read[name][:most], True
    return read, overflow


def _end(process):
    """End the sandbox: closing its order pipe is the order to stop; then by force."""
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
    process.stderr.close()


def _outcome(streams, overflow, process):
    lines = streams["report"].decode(errors="replace").splitlines()
    out, err = (streams[name].decode(errors="replace") for name in ("out", "err"))
    last = lines[-1] if lines else ""
    if last.startswith("broken "):
        raise UserError(f"the sandbox could not start: {last.removeprefix('broken ')}")
    if not lines:
        what = err.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        raise UserError(f"the sandbox could not start: {what[0]}")
    if overflow:
        return Outcome("output", -9, out, err, 0.0)
    if last == "started":  # the watcher is gone or silent: whatever did that was no success
        return Outcome("error", -9, out, err, 0.0)
    status, code, seconds = last.split()
    return Outcome(status, int(code), out, err, float(seconds))


class _Descriptor(int):
    """A file descriptor that `contextlib.closing` can close."""

    def close(self):
        os.close(self)


def _unprivileged_id():
    """A user id for one program that nobody else has, if we are real root; else None.

    The kernel exempts root from process limits and lets it own /proc/sys. From 0x70000000 on no
    system hands out ids (systemd.io/UIDS-GIDS).
    """
    if os.geteuid() != 0 or Path("/proc/self/uid_map").read_text().split() != [
        "0",
        "0",
        "4294967295",
    ]:
        return None
    return 0x70000000 + os.getpid() * 64 + next(_numbers) % 64


# ---- what is visible inside


@functools.cache
def _child():
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
def _layout(python):
    """What a sandbox for this interpreter shows, hides and links, asked of the interpreter itself.

    A virtual environment is left for the interpreter it was made from. Libraries outside the
    system's folders (conda, environment modules) are found by what the interpreter has mapped.
    """
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
    private = {os.path.realpath(path) for path in (Path.home(), Path.cwd(), CHILD.parents[2])}
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


def _command(kind, order, executable):
    """The command line of a sandbox; bubblewrap's walls are made by its options."""
    inner = [executable, *PYTHON_OPTIONS, "-c", _child()]
    if kind != "bubblewrap":
        return inner
    options = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    options += ["--unshare-cgroup-try", "--hostname", "sandbox", "--as-pid-1", "--die-with-parent"]
    if order["uid"] is None:
        options += ["--unshare-user-try"]
    else:
        options += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
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


def _prove(kind, python):
    """Raise UserError unless a program that tries to get out of a `kind` sandbox cannot."""
    with tempfile.TemporaryDirectory(prefix="agora-") as folder, socket.socket() as server:
        secret = Path(folder, "secret")
        secret.write_text("secret")
        server.bind(("127.0.0.1", 0))
        server.listen()
        probe = _PROBE.format(port=server.getsockname()[1], secret=str(secret))
        outcome = _run(probe, None, Limits(), kind, python)
    first, _, rest = outcome.stdout.partition(" ")
    if outcome.status != "ok" or first != "tried":
        raise UserError(f"a probe ended with {outcome.status}: {outcome.stderr.strip()[-200:]}")
    if json.loads(rest):
        raise UserError(f"a probe {', '.join(json.loads(rest))}")
