"""A real Slurm of two hosts on one machine: network namespaces with a name, processes and a /tmp of their own.

It takes root, iproute2 and Slurm (Debian: ``slurmctld slurmd slurm-client munge iproute2``).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.distributed import free_port
from tests.processes import REPOSITORY, Command, wait_until

PROGRAMS = ("ip", "nsenter", "unshare", "munged", "slurmctld", "slurmd", "sbatch")
NETWORK = "10.213.77"
BRIDGE = "rayseg-test"
HOSTS = {"host-a": f"{NETWORK}.2", "host-b": f"{NETWORK}.3"}
# The first process of a host stays a shell, which takes orphans in. What hosts share is put back over the private /tmp.
HOST = """
set -u
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
number=0
for path in $KEPT; do mkdir /mnt/$number; mount --bind "$path" /mnt/$number; number=$((number + 1)); done
mount --bind "$SITE/hosts" /etc/hosts
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /dev/shm
number=0
for path in $KEPT; do mkdir -p "$path"; mount --bind /mnt/$number "$path"; number=$((number + 1)); done
hostname "$1"
slurmd -D -N "$1" -f "$SITE/slurm.conf" &
while true; do wait; sleep 1; done
"""
CONFIG = """
ClusterName=rayseg
SlurmctldHost={here}({network}.1)
SlurmctldPort={controller_port}
SlurmdPort={daemon_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={site}/munge.socket
StateSaveLocation={site}/state
SlurmdSpoolDir={site}/spool-%n
SlurmdPidFile={site}/%n.pid
SlurmctldPidFile={site}/controller.pid
SlurmctldLogFile={site}/controller.log
SlurmdLogFile={site}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why there can be no such site here."""
    if os.getuid() != 0:
        return "not root"
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"no {', '.join(absent)}" if absent else None


@dataclass
class SlurmSite:
    """Two hosts of two CPUs with this environment, and a directory that both see.

    Attributes:
        path: the directory; short, since sockets lie in it.
    """

    path: Path

    def run(self, *command: str) -> str:
        """A program of Slurm's or the system's, in the shared directory; gives what it prints.

        Raises:
            subprocess.CalledProcessError: it fails.
        """
        variables = {**os.environ, "SLURM_CONF": str(self.path / "slurm.conf"), "RAYSEG_VENV": sys.prefix}
        variables |= {"PYTHONPATH": str(REPOSITORY), "RAYSEG_HOME": str(self.path / "home")}
        return subprocess.run(
            command, cwd=self.path, env=variables, check=True, capture_output=True, text=True
        ).stdout.strip()

    def state(self, job: str) -> str:
        """``PENDING``, ``RUNNING``, ``COMPLETED``, ``FAILED`` ..."""
        return self.run("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T")

    def is_idle(self) -> bool:
        """Whether all hosts are up and hold no job."""
        try:
            idle = self.run("sinfo", "--noheader", "--Node", "--states=idle", "--format=%N")
        except subprocess.CalledProcessError:
            return False
        return len(idle.splitlines()) == len(HOSTS)

    def processes(self, host: str, program: str) -> list[int]:
        """The processes on a host that run a program."""
        found = []
        for pid in self.run("ip", "netns", "pids", host).split():
            with suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == program:
                    found.append(int(pid))
        return found


@contextmanager
def slurm_site(path: Path) -> Iterator[SlurmSite]:
    """Bring it up in a directory, and take everything away again."""
    (path / "state").mkdir()
    (path / "hosts").write_text("".join(f"{address} {name}\n" for name, address in HOSTS.items()))
    (path / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    (path / "slurm.conf").write_text(
        CONFIG.format(
            here=socket.gethostname(),
            network=NETWORK,
            controller_port=free_port(),
            daemon_port=free_port(),
            site=path,
            nodes="\n".join(f"NodeName={name} NodeAddr={address} CPUs=2" for name, address in HOSTS.items()),
        )
    )
    with ExitStack() as stack:
        _network(stack)
        _munge(stack, path)
        controller = ["slurmctld", "-D", "-f", str(path / "slurm.conf")]
        stack.enter_context(Command(controller, path, output=path / "controller.txt"))
        for name in HOSTS:
            stack.enter_context(_host(path, name))
        site = SlurmSite(path)
        wait_until(site.is_idle, 60, "both hosts are idle")
        yield site


def _network(stack: ExitStack) -> None:
    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    ip("link", "add", BRIDGE, "type", "bridge")
    stack.callback(ip, "link", "delete", BRIDGE)
    ip("address", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")
    for name, address in HOSTS.items():
        ip("netns", "add", name)
        stack.callback(ip, "netns", "delete", name)
        ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        stack.callback(ip, "link", "delete", name)
        ip("link", "set", name, "master", BRIDGE, "up")
        ip("-netns", name, "address", "add", f"{address}/24", "dev", "eth0")
        ip("-netns", name, "link", "set", "eth0", "up")
        ip("-netns", name, "link", "set", "lo", "up")


def _munge(stack: ExitStack, path: Path) -> None:
    key = path / "munge.key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o400)
    files = {"key-file": key, "socket": path / "munge.socket", "pid-file": path / "munge.pid"}
    files |= {"log-file": path / "munge.log", "seed-file": path / "munge.seed"}
    options = [f"--{name}={file}" for name, file in files.items()]
    stack.enter_context(Command(["munged", "--foreground", "--force", *options], path, output=path / "munge.txt"))
    wait_until((path / "munge.socket").exists, 30, "munge listens")


def _host(path: Path, name: str) -> Command:
    kept = dict.fromkeys((str(REPOSITORY), sys.prefix, str(path)))
    unshare = ["unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
    command = ["nsenter", f"--net=/run/netns/{name}", *unshare, "bash", "-c", HOST, "host", name]
    return Command(command, path, {"KEPT": " ".join(kept), "SITE": str(path)}, output=path / f"{name}.txt")
