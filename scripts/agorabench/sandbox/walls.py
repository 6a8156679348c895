"""What a program in the sandbox can see: the interpreter and the system's libraries."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

from agorabench.errors import UserError

# No user's packages, no site, no folder on sys.path by itself, no bytecode. Not -I: it would also
# ignore PYTHONHASHSEED.
PYTHON_OPTIONS = ("-s", "-S", "-P", "-B")
_DEVICES = ("null", "zero", "full", "random", "urandom")
PROJECT = Path(__file__).resolve().parents[3]

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
def survey_layout(python: str) -> dict:
    """Return what a sandbox for an interpreter shows, hides and links, as the interpreter says.

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
    private = {os.path.realpath(path) for path in (Path.home(), Path.cwd(), PROJECT)}
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


def _is_system(name):
    return name in ("bin", "sbin", "usr") or name.startswith("lib")


def bubblewrap_options(order: dict) -> list[str]:
    """Return the options by which bubblewrap makes the same walls as child.build_root."""
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
    return [*options, "--remount-ro", "/", "--chdir", "/tmp"]
