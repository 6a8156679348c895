"""One sandbox: its child is started, read to its end, and nothing of it is left."""

import contextlib
import functools
import itertools
import marshal
import os
import re
import selectors
import struct
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from agorabench.errors import UserError
from agorabench.sandbox import seccomp, walls

CHILD = Path(__file__).with_name("child.py")
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "MALLOC_ARENA_MAX": "1",  # glibc reserves 64 MB of address space per thread otherwise
    "OMP_NUM_THREADS": "1",  # numpy would start as many as there are cores
    "OPENBLAS_NUM_THREADS": "1",
}
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
        early `os._exit(0)` included), "import" (a module that is not there), or the limit that
        ended it: "timeout", "memory", "output", "processes".
    exit_code: as a shell would not say it: negative for a signal, -9 where a limit ended it.
    stdout, stderr: text, each cut at `Limits.output_kb`.
    seconds: wall time of the program, without the start of the sandbox.
    """

    status: str
    exit_code: int
    stdout: str
    stderr: str
    seconds: float


_numbers = itertools.count()


def run_sandbox(
    code: str, tests: str | None, limits: Limits, kind: str, python: str,
    packages: tuple[str, ...] = (),
) -> Outcome:  # fmt: skip
    """Start one sandbox, read it to its end, and kill whatever may be left."""
    layout = walls.survey_layout(python, packages)
    order = asdict(limits) | {
        "packages": layout["packages"],
        "code": code,
        "tests": tests,
        "isolation": kind,
        "uid": (uid := _unprivileged_id()),
        "neighbours": _tasks_of_this_user() if uid is None and _counted_per_user(kind) else None,
        "users": os.readlink("/proc/self/ns/user"),
        "filter": seccomp.build_filter(isolated=kind != "limits"),
        **layout["walls"],
    }
    environment = ENVIRONMENT | layout["environment"]
    folder = contextlib.nullcontext()
    if kind == "limits":
        folder = _scratch_folder()
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


@contextlib.contextmanager
def _scratch_folder():
    """A folder that is gone afterwards, however deep or closed the program has made what is in it:
    the system's tools go down without recursion and long paths."""
    folder = tempfile.mkdtemp(prefix="agora-")
    try:
        yield folder
    finally:
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, "--", folder], stderr=subprocess.DEVNULL)


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


def sandbox_command(kind: str, order: dict, executable: str) -> list[str]:
    """Return the command line of a sandbox."""
    # Bytes: the child reads UTF-8, whatever the locale here would make of the text.
    inner = [executable, *walls.PYTHON_OPTIONS, "-c", _child_text().encode()]
    if kind != "bubblewrap":
        return inner
    return ["bwrap", *walls.bubblewrap_options(order), "--", *inner]


@functools.cache
def _child_text():
    """Return child.py with what makes its modules before it."""
    lines = ["import sys, types"]
    for name in ("child_walls", "child_program"):
        text = CHILD.with_name(f"{name}.py").read_text(encoding="utf-8")
        lines += [f'part = sys.modules["{name}"] = types.ModuleType("{name}")']
        lines += [f"exec({text!r}, vars(part))"]
    return "\n".join([*lines, CHILD.read_text(encoding="utf-8")])
