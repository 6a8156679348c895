"""A real SLURM on this machine for as long as a test needs it: munge, accounting, some nodes.

    with Lab(folder) as lab: ...        # sbatch, sacct, scontrol and the like now speak to it

Everything lives in a folder of its own; only /etc/slurm/*.conf are links to it, because jobs lose
SLURM_CONF on their way. Needs root, Debian's slurm-wlm, slurm-client, munge, slurmdbd and
mariadb-server, and no other SLURM on the machine. GPUs are pretended: device files that are
/dev/null by another name.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = (
    "munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch",
    "sacctmgr", "setpriv",
)  # fmt: skip
ETC = Path("/etc/slurm")
FILES = ("slurm.conf", "slurmdbd.conf", "gres.conf", "cgroup.conf")
MEMORY = Path("/sys/fs/cgroup/memory")  # of cgroup v1, where SLURM can limit memory by itself
GPU_MODEL = "pretend"


def unfit():
    """Why no lab can be had here, in one sentence, or nothing."""
    if os.geteuid() != 0:
        return "a SLURM of the test's own needs root"
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        return f"a SLURM of the test's own needs {', '.join(missing)} (Debian: see .ci/run)"
    if any((ETC / name).exists() and not (ETC / name).is_symlink() for name in FILES):
        return f"{ETC} belongs to another SLURM"
    return None


class Lab:
    """A cluster of `nodes` nodes, each with so many pretended CPUs, MB of memory and GPUs."""

    def __init__(self, folder, nodes=8, cpus=32, memory=256_000, gpus=8):
        self.folder = Path(folder)
        self.nodes = [f"n{number + 1}" for number in range(nodes)]
        self.cpus, self.memory, self.gpus = cpus, memory, gpus
        self.limits_memory = MEMORY.is_dir()
        self._running = []

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """End every daemon, the last one first, and whatever jobs are left."""
        if len(self._running) > 2:  # past the database
            with contextlib.suppress(subprocess.SubprocessError):
                subprocess.run(["scancel", "--user", "root"], timeout=10, capture_output=True)
                wait(lambda: not said("squeue", "--noheader"), 10, "jobs left")
        while self._running:
            process = self._running.pop()
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in FILES:
            if (ETC / name).is_symlink():
                (ETC / name).unlink()

    def update(self, node, **settings):
        """`scontrol update` of a node: state="down", reason="…"."""
        changes = [f"{key}={value}" for key, value in settings.items()]
        subprocess.run(["scontrol", "update", f"nodename={node}", *changes], check=True)

    def jobs(self, *fields):
        """What accounting knows: a row for each attempt at each job, as text by field."""
        text = said(
            "sacct", "--allocations", "--duplicates", "--noheader", "--parsable2",
            "--starttime=now-1day", f"--format={','.join(fields)}",
        )  # fmt: skip
        return [dict(zip(fields, line.split("|"), strict=True)) for line in text.splitlines()]

    def steps(self, job):
        """How the steps of a job ended, as one text."""
        return said("sacct", "--noheader", "--parsable2", "--format=State", "--jobs", job)

    def _start(self):
        for name in ("etc", "run", "log", "state", "spool", "dev", "mysql"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self._configure(free_ports(2 + len(self.nodes)))
        ETC.mkdir(exist_ok=True)
        for name in FILES:
            (ETC / name).unlink(missing_ok=True)
            (ETC / name).symlink_to(self.folder / "etc" / name)
        key = self.folder / "etc" / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        munge = self.folder / "run" / "munge.socket"
        self._run(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={munge}",
            f"--pid-file={self.folder}/run/munged.pid", f"--log-file={self.folder}/log/munged.log",
            f"--seed-file={self.folder}/run/munged.seed",
        )  # fmt: skip
        wait(munge.exists, 10, "munged")
        self._start_database()
        self._run("slurmdbd", "-D", MYSQL_UNIX_PORT=str(self._database))
        wait(lambda: succeeds("sacctmgr", "--noheader", "show", "cluster"), 20, "slurmdbd")
        for entity in (
            ("cluster", "lab"),
            ("account", "project", "cluster=lab"),
            ("user", "root", "account=project", "adminlevel=admin"),
        ):
            subprocess.run(
                ["sacctmgr", "--immediate", "add", *entity], check=True, capture_output=True
            )
        self._run("slurmctld", "-D")
        wait(lambda: "is UP" in said("scontrol", "ping"), 20, "slurmctld")
        for node in self.nodes:
            (self.folder / "spool" / node).mkdir(exist_ok=True)
            self._run("slurmd", "-D", "-N", node)
        wait(
            lambda: (
                said("sinfo", "--noheader", "-N", "-p", "gpu", "-o", "%T").split()
                == ["idle"] * len(self.nodes)
            ),
            20,
            "nodes",
        )

    def _start_database(self):
        self._database = self.folder / "run" / "mysql.sock"
        data = f"--datadir={self.folder}/mysql"
        subprocess.run(
            ["mariadb-install-db", data, "--user=root", "--auth-root-authentication-method=normal"],
            check=True,
            capture_output=True,
        )
        self._run(
            "mariadbd", "--no-defaults", data, "--user=root", f"--socket={self._database}",
            "--skip-networking", "--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900",
        )  # fmt: skip
        ask = ("mariadb", "--no-defaults", "-S", str(self._database), "-uroot", "-e")
        wait(lambda: succeeds(*ask, "select 1"), 20, "mariadbd")
        grant = (
            "create database accounting; create user slurm@localhost identified by 'slurm';"
            "grant all on accounting.* to slurm@localhost"
        )
        subprocess.run([*ask, grant], check=True)

    def _run(self, *command, **environment):
        """Start a daemon that ends with this process, however it ends."""
        log = self.folder / "log" / f"{command[0]}-{len(self._running)}.out"
        with log.open("w") as file:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        self._running.append(process)

    def _configure(self, ports):
        folder, host = self.folder, socket.gethostname().split(".")[0]
        tracking = "cgroup" if self.limits_memory else "linuxproc"
        task = "cgroup" if self.limits_memory else "none"
        devices = folder / "dev"
        for number in range(self.gpus):
            subprocess.run(["mknod", str(devices / f"gpu{number}"), "c", "1", "3"], check=True)
        every = f"n[1-{len(self.nodes)}]"
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={self.cpus} "
            f"RealMemory={self.memory} Gres=gpu:{GPU_MODEL}:{self.gpus} State=UNKNOWN"
            for node, port in zip(self.nodes, ports[2:], strict=True)
        )
        texts = {
            "slurm.conf": f"""
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/{tracking}
TaskPlugin=task/{task}
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
MpiDefault=none
SwitchType=switch/none
ReturnToService=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
EnforcePartLimits=ALL
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
KillWait=2
InactiveLimit=0
Waittime=0
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports[1]}
AccountingStoragePass={folder}/run/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
AccountingStorageEnforce=associations,limits
{nodes}
PartitionName=cpu Nodes={every} Default=YES DefMemPerCPU=500 LLN=YES State=UP
PartitionName=gpu Nodes={every} DefMemPerCPU=500 State=UP
PartitionName=urgent Nodes={every} DefMemPerCPU=500 PriorityTier=2 State=UP
""",
            "slurmdbd.conf": f"""
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={ports[1]}
SlurmUser=root
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=accounting
""",
            "gres.conf": f"NodeName={every} Name=gpu Type={GPU_MODEL} "
            f"File={devices}/gpu[0-{self.gpus - 1}]\n",
            "cgroup.conf": "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\n"
            "ConstrainRAMSpace=yes\nConstrainSwapSpace=no\nConstrainCores=no\n"
            "ConstrainDevices=no\n",
        }
        for name, text in texts.items():
            path = folder / "etc" / name
            path.write_text(text.lstrip())
            path.chmod(0o600 if name == "slurmdbd.conf" else 0o644)


def free_ports(count):
    """So many ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def said(*command):
    """What a command printed, or nothing if it failed."""
    return subprocess.run(command, capture_output=True, text=True).stdout


def succeeds(*command):
    """Does a command end well?"""
    return subprocess.run(command, capture_output=True).returncode == 0


def wait(condition, seconds, what):
    """Wait until `condition()` holds.

    Raises:
        TimeoutError: it did not within so many seconds; the text says what was waited for.
    """
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.1)
