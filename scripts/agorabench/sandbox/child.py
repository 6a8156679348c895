"""The inside of the sandbox: builds the walls, runs one program, watches it, ends everything.

Not imported: `process.py` hands this text and that of child_*.py to a fresh interpreter
(`python -c`), so that they also run where no file of the project can be seen. Standard library
only, and little of it: it starts once per program. Up to three processes: `main` (makes namespaces,
waits), the watcher (process 1 of the sandbox: its death is the kernel's order to kill all the
others) and the program.
"""

import _signal
import ctypes
import marshal
import os
import resource
import select
import struct
import time

from child_program import execute_program
from child_walls import PR_SET_DUMPABLE, become_user, build_root, check_call, leave_namespaces, libc

# linux/prctl.h, linux/capability.h
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER = 1, 22, 36
PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 8, 38, 2
CAP_DAC_READ_SEARCH, SIGKILL, SIGXCPU = 2, 9, 24
SOCKET_BYTES, INODE_BYTES = 212992, 1024  # net.core.wmem_default; tmpfs's own reckoning


def main():
    """Read the order, build the walls, watch the program; say what came of it on `report`."""
    order = marshal.loads(read_order(0))
    report = order["report"]
    own_users = os.readlink("/proc/self/ns/user") != order["users"]
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # Python's handler would let it reach process 1
    try:
        if order["isolation"] == "namespaces":
            own_users = leave_namespaces(order["uid"])
            first = os.fork()
            if first:  # stays, so that whoever kills this process kills the sandbox
                os.close(report)
                os.waitpid(first, 0)
                os._exit(0)
            check_call(libc.prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl")
            build_root(order)
        elif order["isolation"] == "limits":
            check_call(libc.prctl(PR_SET_CHILD_SUBREAPER, 1), "prctl")
            os.chdir(order["scratch"])
        # Without this a program with the watcher's user could trace it.
        check_call(libc.prctl(PR_SET_DUMPABLE, 0), "prctl")
        status, code, seconds = watch_program(order, own_users)
        send_line(report, f"{status} {code} {seconds:.6f}")
    except Exception as error:
        send_line(report, f"broken {error}")
    os._exit(0)


def read_order(descriptor):
    """The bytes of one order: eight bytes of length, then the order; the pipe stays open."""

    def read_exactly(size):
        parts = []
        while size:
            part = os.read(descriptor, size)
            if not part:
                os._exit(1)  # whoever gave the order is gone
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    return read_exactly(struct.unpack("!Q", read_exactly(8))[0])


def send_line(report, line):
    os.write(report, (line.replace("\n", " ") + "\n").encode(errors="replace"))


# ---- the watcher


def watch_program(order, own_users):
    """Run the program to its end or to a limit; (status, exit code, seconds)."""
    proof, prove = os.pipe()
    token = os.urandom(16)
    secret = bytearray(token)  # wiped in the program's process, where frames can be looked at
    send_line(order["report"], "started")
    start = time.monotonic()
    first = os.fork()
    if first == 0:
        leave = os._exit
        try:
            os.close(proof)
            os.close(order["report"])
            del token
            restrict_process(order, own_users)
            os.write(prove, b"ready ")
            execute_program(order, secret, prove)
        except Exception as error:  # only before "ready": a fault of the machine, not the program's
            os.write(prove, str(error).encode())
        finally:
            leave(1)
    os.close(prove)
    os.set_blocking(proof, False)
    status, code, own = "error", None, {}
    poll = select.poll()
    poll.register(0, select.POLLHUP)
    tick = 10  # milliseconds
    try:
        poll.register(os.pidfd_open(first), select.POLLIN)
        tick = 50 if order["isolation"] == "limits" else 20  # there, all of the host is looked at
    except (AttributeError, OSError):  # Linux before 5.3
        pass
    while code is None:
        events = dict(poll.poll(tick))
        while True:
            try:
                pid, result = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == first:
                code = os.waitstatus_to_exitcode(result)
            if pid in (0, first):
                break
        seconds = time.monotonic() - start
        if code is not None:
            break
        try:
            tasks, memory, cpu = measure_usage(order["isolation"], own)
        except OSError:  # whoever blinds the watcher has lost
            status, code = "error", -SIGKILL
            break
        if events.get(0):  # nobody waits for the outcome any more
            status, code = "stopped", -SIGKILL
        elif seconds > order["wall_seconds"] or cpu > order["cpu_seconds"]:
            status, code = "timeout", -SIGKILL
        elif memory > order["memory_mb"] << 20:
            status, code = "memory", -SIGKILL
        elif tasks > order["processes"] + 1:
            status, code = "processes", -SIGKILL
    if order["isolation"] == "limits":
        kill_family()
    try:
        said = os.read(proof, 4096)
    except BlockingIOError:
        said = b""
    if status == "error":
        if not said.startswith(b"ready "):
            raise OSError(said.decode(errors="replace") or f"exit code {code} before the start")
        if code == 0 and token in said:
            status = "ok"
        elif said.endswith((b"memory", b"import")):
            status = said[-6:].decode()
        elif code == -SIGXCPU:
            status = "timeout"
    return status, code, seconds


def list_family(isolation):
    """{process id: fields of its /proc/<id>/stat from the third on} of all that is watched."""
    everyone = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    text = file.read()
            except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
                continue
            everyone[int(name)] = text[text.rindex(b")") + 2 :].split()
    self = os.getpid()
    everyone.pop(self, None)
    if isolation != "limits":
        return everyone
    found, size = {self}, 0
    while len(found) > size:
        size = len(found)
        found |= {pid for pid, fields in everyone.items() if int(fields[1]) in found}
    return {pid: everyone[pid] for pid in found - {self}}


def measure_usage(isolation, own):
    """Tasks alive, bytes held and seconds of CPU.

    CPU is what the kernel sums up (the living, and the dead whom somebody awaited), or what each
    process was last seen with, if that is more: `own` keeps it, for those whom nobody awaits.
    """
    tasks = pages = ticks = 0
    for pid, fields in list_family(isolation).items():  # proc(5): field n is fields[n - 3]
        tasks += int(fields[17])
        pages += int(fields[21])
        ticks += sum(map(int, fields[11:15]))
        own[pid, fields[19]] = int(fields[11]) + int(fields[12])
    dead = os.times()
    tick = os.sysconf("SC_CLK_TCK")
    cpu = ticks / tick + dead.children_user + dead.children_system
    held = pages * os.sysconf("SC_PAGE_SIZE")
    if isolation != "limits":  # what no process holds: the buffers of Unix sockets, and inodes
        with open("/proc/net/unix", "rb") as sockets:
            held += SOCKET_BYTES * (sockets.read().count(b"\n") - 1)
        scratch = os.statvfs("/tmp")
        held += INODE_BYTES * (scratch.f_files - scratch.f_ffree)
    return tasks, held, max(cpu, sum(own.values()) / tick)


def kill_family():
    """Kill all descendants; orphans come to us (a subreaper), so that nobody leaves the tree."""
    while alive := list_family("limits"):
        for signal in (19, SIGKILL):  # SIGSTOP first: who is stopped makes no more children
            for pid in alive:
                try:  # noqa: SIM105  # importing contextlib costs 4 ms per program
                    os.kill(pid, signal)
                except OSError:
                    pass
        time.sleep(0.001)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


# ---- the program


def restrict_process(order, own_users):
    """Limit, strip and filter the process that becomes the program."""
    os.setsid()
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    mb = 1 << 20
    limits = {
        resource.RLIMIT_AS: order["memory_mb"] * mb,
        resource.RLIMIT_FSIZE: order["file_mb"] * mb,
        resource.RLIMIT_CPU: -int(-order["cpu_seconds"] // 1),  # rounded up
        resource.RLIMIT_STACK: 8 * mb,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_SIGPENDING: 256,  # timers too, of which a user has one number
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    dropped = order["uid"] is not None and os.getuid() == 0
    if dropped:  # nobody else has this id: the count is the sandbox's own
        limits[resource.RLIMIT_NPROC] = order["processes"] + 1
    elif order["neighbours"] is not None:  # a backstop for the watcher, who counts exactly
        limits[resource.RLIMIT_NPROC] = order["neighbours"] + order["processes"] + 64
    elif own_users:
        ours = 2 if order["isolation"] == "namespaces" else 1  # main and the watcher
        limits[resource.RLIMIT_NPROC] = order["processes"] + 1 + ours
    for which, value in limits.items():
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        top = value + 1 if which == resource.RLIMIT_CPU and value != hard else value
        resource.setrlimit(which, (value, top))
    if dropped:
        if order["scratch"]:
            os.chown(order["scratch"], order["uid"], order["uid"])
        check_call(libc.prctl(PR_SET_KEEPCAPS, 1), "prctl")
        become_user(order["uid"])
    # Without walls the interpreter may lie where only root can read: keep that one right, if it is
    # ours; otherwise, and with walls, keep none.
    if not (
        dropped and order["isolation"] == "limits" and keep_capabilities(CAP_DAC_READ_SEARCH) == 0
    ):
        check_call(keep_capabilities(), "capset")
    check_call(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    if order["filter"]:
        install_filter(order["filter"])
    check_call(libc.prctl(PR_SET_DUMPABLE, 1), "prctl")


def keep_capabilities(*capabilities):
    """Give up all capabilities but these; the C library's result."""
    mask = sum(1 << number for number in capabilities)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(mask, mask)
    return libc.capset(header, data)


def install_filter(code):
    """Install a seccomp filter: the bytes of a BPF program, which seccomp.py assembles."""
    text = ctypes.create_string_buffer(code)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    program = Program(len(code) // 8, ctypes.addressof(text))
    result = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)
    check_call(result, "seccomp")


main()
