"""A real Slurm of this test session's own: munge, slurmctld and two slurmd on loopback, with fake GPUs.

Everything is below one folder and ends with the session; no other Slurm of the machine is touched. Needs root (GPUs are
device nodes) and the Debian packages munge, slurmctld, slurmd and slurm-client.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

NODES, CPUS, MEMORY_MB, GPUS, GPU_MODEL = 2, 16, 64_000, 8, "h100"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
# The plugin's job step drops every SLURM_* variable, SLURM_CONF too, before its nested srun: these set it again.
CLIENTS = ("srun", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
CONFIG = """\
ClusterName=prunegrid
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# Else a requeued job waits two minutes for its old credential.
AuthInfo=socket={folder}/run/munge.sock,cred_expire=5
# Else a node that is set down leaves its processes behind.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# Else each job takes a node's whole memory.
DefMemPerCPU=100
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_min_interval=200000
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/jobs.txt
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
MinJobAge=3600
KillWait=5
OverTimeLimit=0
SlurmctldTimeout=30
SlurmdTimeout=30
# Lets a machine of two cores have nodes of sixteen.
SlurmdParameters=config_overrides
GresTypes=gpu
{nodes}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=10 PriorityTier=10 PreemptMode=REQUEUE State=UP
PartitionName=gpu Nodes=ALL MaxTime=INFINITE DefaultTime=10 PriorityTier=10 PreemptMode=REQUEUE State=UP
PartitionName=urgent Nodes=ALL MaxTime=INFINITE DefaultTime=10 PriorityTier=100 PreemptMode=OFF State=UP
"""


def missing_requirement() -> str:
    """What this machine lacks for a private Slurm; empty where nothing does."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    programs = [program for program in PROGRAMS if not shutil.which(program, path=path)]
    return f"no {', '.join(programs)}" if programs else "" if os.geteuid() == 0 else "not root"


class PrivateSlurm:
    """`start` it, run commands in its `environment`, `stop` it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": f"{folder}/bin:{os.environ['PATH']}:/usr/sbin:/sbin",
            "SLURM_CONF": f"{folder}/etc/slurm.conf",
        }

    def start(self) -> None:
        for name in ("etc", "run", "log", "state", "dev", "bin", *(f"spool/{node}" for node in self.nodes)):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        self._write_configuration()
        run = self.folder / "run"
        munge = [f"--socket={run}/munge.sock", f"--pid-file={run}/munged.pid", f"--seed-file={run}/munged.seed"]
        key, log = self.folder / "etc/munge.key", self.folder / "log/munged.log"
        self.call("munged", f"--key-file={key}", f"--log-file={log}", *munge)
        self.call("slurmctld", "-c")
        for node in self.nodes:
            self.call("slurmd", "-N", node)
        self.wait_for(lambda: self.states().count("idle") == NODES, "two idle nodes")

    def stop(self) -> None:
        """End all jobs, then the daemons by their process ids, then what jobs have left."""
        self.call("scancel", "--user", os.environ.get("USER", "root"), check=False)
        time.sleep(0.5)
        for wave in ("slurmd.*", "slurmctld", "munged"):
            pids = [int(file.read_text()) for file in (self.folder / "run").glob(f"{wave}.pid")]
            for pid in pids:
                _end(pid)
        for pid in self.job_processes():
            _kill(pid)

    @property
    def nodes(self) -> list[str]:
        return [f"n{number + 1}" for number in range(NODES)]

    def call(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=60)
        assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def states(self) -> list[str]:
        """Of the nodes, in their order."""
        listed = self.call("sinfo", "--noheader", "--Node", "--partition=cpu", "--format=%T", check=False)
        return [state.rstrip("*") for state in listed.split()]

    def jobs(self, *states: str) -> dict[int, str]:
        """The jobs in these states (of all states if none is given), by id: their rule and wildcards."""
        among = ",".join(states) or "all"
        listed = self.call("squeue", "--noheader", f"--states={among}", "--format=%i %k")
        return {int(number): comment for number, comment in (line.split(" ", 1) for line in listed.splitlines())}

    def detail(self, job: int, key: str) -> str:
        """A value of `scontrol show job`, such as `Restarts`."""
        shown = self.call("scontrol", "show", "job", str(job))
        return next(pair.split("=", 1)[1] for pair in shown.split() if pair.startswith(f"{key}="))

    def job_processes(self) -> list[int]:
        """Processes that a job of this Slurm has started."""
        actual = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                variables = environ.read_bytes().split(b"\0")
            except OSError:
                continue
            ours = f"SLURM_CONF={self.folder}/etc/slurm.conf".encode() in variables
            if ours and any(variable.startswith(b"SLURM_JOB_ID=") for variable in variables):
                actual.append(int(environ.parent.name))
        return actual

    def wait_for(self, condition, what: str, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"no {what} after {seconds} s; logs in {self.folder}/log"
            time.sleep(0.2)

    def _write_configuration(self) -> None:
        port, *ports = _free_ports(1 + NODES)
        etc, dev = self.folder / "etc", self.folder / "dev"
        (etc / "munge.key").write_bytes(os.urandom(128))
        (etc / "munge.key").chmod(0o600)
        for number in range(GPUS):
            os.mknod(dev / f"nvidia{number}", 0o666 | 0o020000, os.makedev(1, 3))  # character devices, as Slurm asks
        devices = f"{dev}/nvidia[0-{GPUS - 1}]"
        (etc / "gres.conf").write_text(f"NodeName=n[1-{NODES}] Name=gpu Type={GPU_MODEL} File={devices}\n")
        nodes = [
            f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={own} CPUs={CPUS} "
            f"RealMemory={MEMORY_MB} Gres=gpu:{GPU_MODEL}:{GPUS} State=UNKNOWN"
            for name, own in zip(self.nodes, ports, strict=True)
        ]
        text = CONFIG.format(port=port, user="root", folder=self.folder, nodes="\n".join(nodes))
        (etc / "slurm.conf").write_text(text)
        for client in CLIENTS:
            wrapper = self.folder / "bin" / client
            wrapper.write_text(f'#!/bin/sh\nexport SLURM_CONF={etc}/slurm.conf\nexec {shutil.which(client)} "$@"\n')
            wrapper.chmod(0o755)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _end(pid: int) -> None:
    _kill(pid, signal.SIGTERM)
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.05)
    _kill(pid)


def _kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
