"""What a program in the sandbox can see: the interpreter and the system's libraries."""

import functools
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from agorabench.errors import UserError

# No user's packages, no site, no folder on sys.path by itself, no bytecode. Not -I: it would also
# ignore PYTHONHASHSEED.
PYTHON_OPTIONS = ("-s", "-S", "-P", "-B")
# Not zero: a shared mapping of it is memory that no limit counts.
_DEVICES = ("null", "full", "random", "urandom")
_SYSTEM = ("bin", "sbin", "usr", "lib", "lib32", "lib64", "libx32")
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
def survey_layout(python: str, packages: tuple[str, ...] = ()) -> dict:
    """Return what a sandbox for an interpreter shows, hides and links, as the interpreter says.

    A virtual environment is left for the interpreter it was made from; of its packages those named
    are shown, and what they require. Libraries outside the system's folders (conda, environment
    modules) are found by what the interpreter has mapped.
    """
    modules, files = find_packages(packages)
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
    system = [f"/{name}" for name in sorted(_SYSTEM) if os.path.lexists(f"/{name}")]
    links = [[path, os.readlink(path)] for path in system if os.path.islink(path)]
    visible = [path for path in system if not os.path.islink(path)]
    inside = tuple(f"{path}/" for path in system)
    extra = [path for path in libraries if not f"{path}/".startswith(inside)]
    shown = {executable, *folders, *extra, *files}
    for path in sorted(shown, key=lambda path: (len(path), path)):
        if not any(f"{path}/".startswith(f"{known}/") for known in visible):
            visible.append(path)
    private = {os.path.realpath(path) for path in (os.path.expanduser("~"), Path.cwd(), PROJECT)}
    hidden = [
        path
        for path in sorted(private)
        if any(path.startswith(f"{known}/") for known in visible)
        and not any(f"{known}/".startswith(f"{path}/") for known in shown)
    ]
    for path in ("/etc/ld.so.cache", *(f"/dev/{name}" for name in _DEVICES)):
        if os.path.exists(path):
            visible.append(path)
    return {
        "executable": executable,
        "packages": modules,
        "environment": {"LD_LIBRARY_PATH": ":".join(extra)} if loader and extra else {},
        "walls": {
            "visible": visible,
            "hidden": hidden,
            "links": [*links, ["/dev/shm", "/tmp"]],
        },
    }


def find_packages(names: tuple[str, ...]) -> tuple[dict[str, str], set[str]]:
    """({importable name: folder it is found in}, all paths) of packages installed beside this
    interpreter, by the names pip knows, and of what they require.

    Raises:
        UserError: one is not installed.
    """
    if names:
        from packaging.requirements import Requirement
    modules, files, left, seen = {}, set(), list(names), set()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if name not in names:
                continue
            raise UserError(
                f"packages: {name} is not installed in {sys.prefix}; install it there or take it "
                "out of `packages`"
            ) from None
        tops = {file.parts[0] for file in package.files or ()} or {name.replace("-", "_")}
        for top in tops:
            path = Path(package.locate_file(top)).resolve()
            if top == "__pycache__" or top.endswith((".dist-info", ".egg-info", ".pth", "..")):
                continue
            if path.exists():
                modules[top.split(".")[0]] = str(path.parent)
                files.add(str(path))
        needs = [Requirement(text) for text in package.requires or ()]
        left += [one.name for one in needs if not one.marker or one.marker.evaluate({"extra": ""})]
    return modules, files


def bubblewrap_options(order: dict) -> list[str]:
    """Return the options by which bubblewrap makes the same walls as child.build_root."""
    options = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    options += ["--unshare-cgroup-try", "--hostname", "sandbox", "--as-pid-1", "--die-with-parent"]
    if order["uid"] is None:
        options += ["--unshare-user-try"]
    else:
        options += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    options += ["--perms", "1777", "--size", str(order["file_mb"] << 20), "--tmpfs", "/tmp"]
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
    return [*options, "--proc", "/proc", "--remount-ro", "/", "--chdir", "/tmp"]
