"""The filter of system calls that a program in the sandbox runs under, as a BPF program.

seccomp(2); the instructions are those of linux/filter.h, 8 bytes each.
"""

import os
import struct

from agorabench.errors import UserError

# System calls a solution has no use for: memory that no limit counts, new namespaces (whose owner
# could mount), other processes' memory, slowing the watcher, and what breaks most in kernels.
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
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH_*
AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET


def build_filter(isolated: bool) -> bytes:
    """Assemble the filter for this machine: DENIED fails with EPERM.

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
    load, equal, more, bits, end = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, absent, kill = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
    code = [(load, 0, 0, 4), (equal, 1, 0, architecture), (end, 0, 0, kill), (load, 0, 0, 0)]
    code += [(more, 0, 1, 0x40000000), (end, 0, 0, refuse)]  # the x32 interface of x86_64
    for numbers in DENIED.values():
        code += [(equal, 0, 1, numbers[column]), (end, 0, 0, refuse)]
    code += [(equal, 0, 1, CLONE3[column]), (end, 0, 0, absent)]
    code += [(equal, 0, 4, CLONE[column]), (load, 0, 0, 16)]
    code += [(bits, 0, 1, NEW_NAMESPACES), (end, 0, 0, refuse), (end, 0, 0, allow)]
    code += [(equal, 0, 4, PRLIMIT[column]), (load, 0, 0, 16)]
    code += [(equal, 1, 0, 0), (end, 0, 0, refuse), (end, 0, 0, allow)]  # only one's own limits
    code += [(equal, 0, 2 + 2 * len(families), SOCKET[column]), (load, 0, 0, 16)]
    for number in families:
        code += [(equal, 0, 1, number), (end, 0, 0, allow)]
    code += [(end, 0, 0, refuse), (end, 0, 0, allow)]
    return b"".join(struct.pack("HBBI", *line) for line in code)
