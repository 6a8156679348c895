"""Which isolation this machine gives, proved by a program that tries to break it."""

import functools
import json
import socket
import sys
import tempfile
from pathlib import Path

from agorabench.errors import UserError
from agorabench.sandbox.process import Limits, run_sandbox

KINDS = ("namespaces", "bubblewrap")  # as strong as each other; the first needs no program


@functools.cache
def prove_isolation(python: str = sys.executable) -> str:
    """Return the isolation, one of KINDS, that holds against a program that tries to break it.

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


def choose_isolation(setting: str, python: str = sys.executable) -> str:
    """Return the isolation for the config's `sandbox:` setting; "limits" with a warning.

    Raises UserError where the setting is unknown, or wants isolation and the machine has none.
    """
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
