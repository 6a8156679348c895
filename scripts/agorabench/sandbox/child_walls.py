"""The walls of the sandbox, made from within: namespaces, and a root with little in it.

The child's only module, which it gets as text together with its own (see child.py).
"""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)

# linux/sched.h, linux/mount.h, linux/prctl.h
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x02000000, 0x04000000, 0x08000000
CLONE_NEWNET = 0x40000000
NAMESPACES = (
    CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET
)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE, MS_RELATIME, MNT_DETACH = 16384, 1 << 18, 1 << 21, 2
PR_SET_DUMPABLE = 4


def check_call(result, what):
    """Raise OSError with the name of the call if the C library said it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(f"{what}: {os.strerror(number)}")


def leave_namespaces(uid):
    """Leave the host's namespaces; True if that took a user namespace of our own.

    Real root (`uid` is then the unprivileged id the program will get) needs none. Where root's
    capabilities are cut it becomes that id at once and goes the way of an ordinary user.
    """
    if uid is not None:
        if libc.unshare(NAMESPACES) == 0:
            return False
        become_user(uid)
        check_call(libc.prctl(PR_SET_DUMPABLE, 1), "prctl")  # or /proc/self/uid_map is not ours
    user, group = os.geteuid(), os.getegid()
    check_call(libc.unshare(NAMESPACES | CLONE_NEWUSER), "unshare")
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"1000 {user} 1"),
        ("gid_map", f"1000 {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)
    return True


def become_user(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def mount_at(source, target, kind=None, flags=0, options=None):
    def encode_text(value):
        return None if value is None else os.fsencode(value)

    result = libc.mount(
        encode_text(source),
        encode_text(target),
        encode_text(kind),
        ctypes.c_ulong(flags),
        encode_text(options),
    )
    check_call(result, f"mount {kind or source} on {target}")


def build_root(order):
    """Make an empty root, put in what Python needs, read-only, and forget the host's root."""
    root = "/tmp"  # exists everywhere; sources are opened first, in case they lie under it
    sources = [(os.open(path, os.O_PATH), path) for path in order["visible"]]
    mounts = os.open("/proc/self/mountinfo", os.O_RDONLY)
    mount_at(None, "/", None, MS_REC | MS_PRIVATE)
    mount_at("sandbox", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m,nr_inodes=4096")
    # First of all: an environment in /tmp is shown within what programs have there for themselves.
    os.makedirs(root + "/tmp")
    size = f"mode=1777,size={order['file_mb']}m,nr_inodes=8192"
    mount_at("scratch", root + "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, size)
    for descriptor, path in sources:
        target = root + path
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
        mount_at(f"/proc/self/fd/{descriptor}", target, None, MS_BIND | MS_REC)
        os.close(descriptor)
    for path in order["hidden"]:
        mount_at(
            "hidden", root + path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "mode=755,size=4k"
        )
    seal_mounts(mounts, tuple(f"{root}{path}/" for path in order["visible"]))
    for path, target in order["links"]:
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        os.symlink(target, root + path)
    os.makedirs(root + "/proc", exist_ok=True)
    mount_at("proc", root + "/proc", "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount_at(None, root, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.chdir(root)
    check_call(libc.pivot_root(b".", b"."), "pivot_root")
    check_call(libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/tmp")
    libc.sethostname(b"sandbox", 7)


def seal_mounts(mounts, targets):
    """Make every mount at or under `targets` read-only, but for devices: those stay usable.

    One at a time: a bind mount takes its submounts along, and a remount does not. Flags already set
    must be repeated, or the kernel takes it for an attempt to lift them.
    """
    text = b"".join(iter(lambda: os.read(mounts, 65536), b""))
    os.close(mounts)
    for line in text.splitlines():
        point = os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1"))
        if not f"{point}/".startswith(targets):
            continue
        try:
            has = os.statvfs(point).f_flag
        except FileNotFoundError:  # covered by what we hid: nobody can get there
            continue
        flags = has & (MS_NOSUID | MS_NODEV | MS_NOEXEC | 1024 | 2048) | MS_NOSUID | MS_RDONLY
        flags |= MS_RELATIME if has & 4096 else 0  # ST_RELATIME
        flags |= 0 if point.startswith("/tmp/dev/") else MS_NODEV
        mount_at(None, point, None, MS_REMOUNT | MS_BIND | flags)
