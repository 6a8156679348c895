"""Run a program in a process that has its heavy imports done already.

    python scripts/agorabench/cluster/warm.py scripts/train.py --help

Importing torch, transformers and TRL takes longer than training a miniature student. With `warm:
true` in the config the Snakefile starts one server for the length of a run: it imports them once
and forks itself for every program. Nothing else changes: same arguments, working folder,
environment, output and exit status, and a program's own code is read afresh. Where no server is
listening the program is simply run. Only the standard library is imported here.
"""

import array
import contextlib
import json
import os
import signal
import socket
import sys

ADDRESS = "AGORABENCH_WARM"  # environment variable: where the server of this run listens
PREFIX = "AGORABENCH_WARM_PREFIX"  # and which Python environment it belongs to
SERVE = "--serve"
HIDDEN = {"CUDA_VISIBLE_DEVICES": ""}  # forks of one process cannot share a GPU
HEAVY = ("torch", "transformers", "accelerate", "datasets", "pandas", "trl")
NAMES = (  # what the programs take from them; the libraries import these lazily
    "transformers.AutoModelForCausalLM",
    "transformers.AutoTokenizer",
    "transformers.LlamaForCausalLM",
    "transformers.LogitsProcessor",
    "trl.SFTConfig",
    "trl.SFTTrainer",
)
HEAD = 10  # bytes of a message that hold a number as text: a length, a process id, a status


def main(argv: list[str]) -> int:
    """Have the server run `argv` (a program and its arguments), or run it here."""
    if not argv:
        sys.exit(__doc__)
    try:
        if os.environ[PREFIX] != sys.prefix:
            raise OSError("the server belongs to another environment")
        connection, child = request_program(argv, os.environ[ADDRESS])
    except (KeyError, OSError):  # no server was started, or it is gone
        os.execv(sys.executable, [sys.executable, *argv])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        if signal.getsignal(number) != signal.SIG_IGN:  # as a run in the background has SIGINT
            signal.signal(number, lambda number, _: forward_signal(number, child))
    try:
        return int(receive_bytes(connection, HEAD))
    except ConnectionError:
        print(f"{argv[0]} was killed", file=sys.stderr)
        return 128 + signal.SIGKILL


def forward_signal(number: int, child: int) -> None:
    """Send a signal on to the worker, which may just have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


def request_program(argv: list[str], address: str) -> tuple[socket.socket, int]:
    """Ask the server at `address` to run `argv`; return the connection and the process id."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    request = {"argv": argv, "folder": os.getcwd(), "environment": dict(os.environ)}
    text = json.dumps(request).encode()
    descriptors = array.array("i", [0, 1, 2])
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
    connection.sendmsg([b"%10d" % len(text)], rights)
    connection.sendall(text)
    return connection, int(receive_bytes(connection, HEAD))


def receive_bytes(connection: socket.socket, size: int) -> bytes:
    """Return exactly `size` bytes; ConnectionError where the other side is gone."""
    data = b""
    while len(data) < size:
        block = connection.recv(size - len(data))
        if not block:
            raise ConnectionError("the other side is gone")
        data += block
    return data


def start_server(address: str):
    """Start a server that lives as long as this process and listens at `address`; return it."""
    import subprocess

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)  # programs that start during the server's imports wait here
    server = subprocess.Popen(
        [sys.executable, __file__, SERVE, str(listener.fileno())],
        # Threads that wait for others sleep: spinning ones take cores from them.
        env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **HIDDEN},
        stdin=subprocess.PIPE,  # closes with this process, which tells the server to leave
        pass_fds=[listener.fileno()],
    )
    listener.close()
    os.environ.update({ADDRESS: address, PREFIX: sys.prefix})
    return server


def serve_requests(listener: socket.socket) -> None:
    """Import what is heavy, then fork for each request until standard input closes."""
    from importlib import import_module
    from select import select

    for name in HEAVY:
        import_module(name)
    for name in NAMES:
        module, attribute = name.rsplit(".", 1)
        getattr(import_module(module), attribute)
    # Ctrl-C is for the programs and their parent, unless these ignore it (`nohup`, `&`).
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # a child tells its client itself how it ended
    while 0 not in (ready := select([listener, 0], [], [])[0]):
        connection, _ = ready[0].accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGINT, former)
            become_program(connection)
        connection.close()


def become_program(connection: socket.socket) -> None:
    """In the forked child: run the requested program, tell how it ended, and never return."""
    import traceback

    code = 1
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        run_request(connection)
        code = 0
    except SystemExit as leaving:
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
        else:
            code = leaving.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            with contextlib.suppress(OSError):
                connection.sendall(b"%10d" % code)
        finally:
            os._exit(code)


def run_request(connection: socket.socket) -> None:
    """Take over what the client has (streams, folder, environment) and run its program."""
    import runpy
    import threading

    head, descriptors, _, _ = socket.recv_fds(connection, HEAD, 3)
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    head += receive_bytes(connection, HEAD - len(head))
    request = json.loads(receive_bytes(connection, int(head)))
    connection.sendall(b"%10d" % os.getpid())
    threading.Thread(target=die_with_client, args=(connection,), daemon=True).start()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update({**request["environment"], **HIDDEN})
    sys.argv = request["argv"]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")


def die_with_client(connection: socket.socket) -> None:
    """Wait until the client is gone and kill this process: nobody wants the work."""
    try:
        connection.recv(1)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    # As for any program: a module beside this one must not stand in for one of the same name.
    sys.path[0] = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    if sys.argv[1:2] == [SERVE]:
        serve_requests(socket.socket(fileno=int(sys.argv[2])))
    else:
        sys.exit(main(sys.argv[1:]))
