"""The filter of system calls that a program in the sandbox runs under, as a BPF program.

seccomp(2); the instructions are those of linux/filter.h, 8 bytes each.
"""

import os
import struct

from agorabench.errors import UserError

# System calls a solution has no use for: memory that no limit counts (vmsplice keeps huge pages in
# pipes), new namespaces (whose owner could mount), other processes' memory, slowing the watcher,
# what users of the host share (inotify, io_setup, locks, the kernel's log), and what breaks most in
# kernels.
# Name: (x86_64, aarch64), from the kernel's unistd_64.h and asm-generic/unistd.h.
DENIED = {
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "unshare": (272, 97),
    "setns": (308, 268),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "vmsplice": (278, 75),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "io_setup": (206, 0),
    "flock": (73, 32),
    "syslog": (103, 116),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "setpriority": (141, 140),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
}
CLONE, CLONE3, SOCKET, PRLIMIT = (56, 220), (435, 435), (41, 198), (302, 261)
MMAP, FCNTL, SETSOCKOPT = (9, 222), (72, 25), (54, 208)
SHARED_ANONYMOUS = 0x21  # MAP_SHARED (and MAP_SHARED_VALIDATE), MAP_ANONYMOUS
# fcntl.h: locks on open files, leases, notices about folders, the size of a pipe
FCNTL_DENIED = (37, 38, 1024, 1026, 1031)
RECORD_LOCKS = (6, 7)  # F_SETLK, F_SETLKW
BUFFERS = (7, 8, 32, 33)  # SO_SNDBUF, SO_RCVBUF and the same by force
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH_*
AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET


def build_filter(isolated: bool) -> bytes:
    """Assemble the filter for this machine: DENIED fails with EPERM, and so do larger buffers of
    pipes and sockets and shared memory without a file, which stays when nobody maps it any more.

    Record locks seem to succeed and lock nothing: SQLite wants them, in a folder that nobody
    shares, and a read lock could be held on a file of the host.

    `socket` knows few families, which matters even without a network: AF_VSOCK reaches the host of
    a virtual machine. Without isolation only Unix sockets are left, the least that can be done.
    clone3 fails with ENOSYS, since a filter cannot see its flags; C libraries then use clone.

    Returns:
        The program, empty where there is neither isolation nor a filter for the architecture.

    Raises:
        UserError: isolation is wanted, and the architecture is unknown.
    """
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        if not isolated:
            return b""
        known = ", ".join(ARCHITECTURES)
        raise UserError(
            f"the sandbox could not start: no system call filter for {machine}; known: {known}"
        )
    families = (AF_UNIX, AF_INET, AF_INET6) if isolated else (AF_UNIX,)
    column, architecture = ARCHITECTURES[machine]
    load, mask, equal, more, bits, end = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
    allow, refuse, absent, kill = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
    pretend = 0x00050000  # no error, and nothing done
    code = [(load, 0, 0, 4), (equal, 1, 0, architecture), (end, 0, 0, kill), (load, 0, 0, 0)]
    code += [(more, 0, 1, 0x40000000), (end, 0, 0, refuse)]  # the x32 interface of x86_64

    def judge_argument(call, number, cases, otherwise):
        """After `call`: what its argument decides, {value: action}, or else `otherwise`."""
        nonlocal code
        code += [(equal, 0, 2 + 2 * len(cases), call[column]), (load, 0, 0, 16 + 8 * number)]
        for value, action in cases.items():
            code += [(equal, 0, 1, value), (end, 0, 0, action)]
        code += [(end, 0, 0, otherwise)]

    for numbers in DENIED.values():
        if numbers[column] is not None:
            code += [(equal, 0, 1, numbers[column]), (end, 0, 0, refuse)]
    code += [(equal, 0, 1, CLONE3[column]), (end, 0, 0, absent)]
    code += [(equal, 0, 4, CLONE[column]), (load, 0, 0, 16)]
    code += [(bits, 0, 1, NEW_NAMESPACES), (end, 0, 0, refuse), (end, 0, 0, allow)]
    code += [(equal, 0, 5, MMAP[column]), (load, 0, 0, 40), (mask, 0, 0, SHARED_ANONYMOUS)]
    code += [(equal, 0, 1, SHARED_ANONYMOUS), (end, 0, 0, refuse), (end, 0, 0, allow)]
    judge_argument(PRLIMIT, 0, {0: allow}, refuse)  # only one's own limits
    judge_argument(SOCKET, 0, dict.fromkeys(families, allow), refuse)
    commands = dict.fromkeys(FCNTL_DENIED, refuse) | dict.fromkeys(RECORD_LOCKS, pretend)
    judge_argument(FCNTL, 1, commands, allow)
    judge_argument(SETSOCKOPT, 2, dict.fromkeys(BUFFERS, refuse), allow)
    code += [(end, 0, 0, allow)]
    return b"".join(struct.pack("HBBI", *line) for line in code)
