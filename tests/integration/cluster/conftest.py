"""A Slurm site of fakes: programs on PATH that write down what they were called with."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.processes import REPOSITORY, Command

SCRIPT = REPOSITORY / "cluster/slurm/rayseg.sbatch"
NOTE = """
import json, os, sys
def note(name, **more):
    path = os.path.join(os.environ["SITE"], name + ".json")
    with open(path + ".new", "w") as file:
        json.dump({"arguments": sys.argv[1:], "environment": dict(os.environ), **more}, file)
    os.replace(path + ".new", path)
"""
# srun runs its command once, as on the first node; on another node Ray may look for the first one's for long.
SRUN = (
    NOTE
    + """
import subprocess, time
note("srun")
command = sys.argv[sys.argv.index("ray"):]
if os.environ["OTHER_NODES"] == "end":
    os.execvp(command[0], command)
subprocess.run(command)
time.sleep(600)
"""
)
# symmetric-run as Ray 2.60 has it: no handler for signals, the command's exit code, and 0 where Ray cannot start.
RAY = (
    NOTE
    + """
import subprocess, time
note("ray")
if os.environ["RAY_IS"] == "broken":
    sys.exit(0)
while os.environ["RAY_IS"] == "starting":
    time.sleep(0.05)
sys.exit(subprocess.run(sys.argv[sys.argv.index("--") + 1:]).returncode)
"""
)
# Ray itself, except that it does not look for, and does not stop, what other tests have started.
SYMMETRIC_RUN = """
import os, signal, sys
from pathlib import Path
scratch = os.environ["RAY_SCRATCH"]
if sys.argv[1] == "symmetric-run":
    import ray.scripts.symmetric_run as symmetric
    symmetric.check_ray_already_started = lambda: False
    symmetric.symmetric_run()
elif sys.argv[1] == "start":
    start = [sys.executable, "-m", "ray.scripts.scripts", *sys.argv[1:], "--temp-dir=" + scratch]
    os.execv(sys.executable, start)
else:
    kept, ancestor = set(), os.getpid()
    while ancestor > 1:
        kept.add(ancestor)
        ancestor = int(Path(f"/proc/{ancestor}/stat").read_text().rpartition(")")[2].split()[1])
    for process in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            ours = f"RAY_SCRATCH={scratch}".encode() in Path(f"/proc/{process}/environ").read_bytes().split(b"\\0")
            if ours and process not in kept:
                os.kill(process, signal.SIGKILL)
        except OSError:
            continue
"""
# A trainer that ends as the file `end` says, and saves with 130 when it is asked to.
RAYSEG = (
    NOTE
    + """
import signal, time
def stop(number, frame):
    note("rayseg", signal=signal.Signals(number).name)
    sys.exit(int(os.environ["STOPS_WITH"]))
signal.signal(signal.SIGUSR1, stop)
signal.signal(signal.SIGTERM, stop)
note("rayseg")
end = os.path.join(os.environ["SITE"], "end")
while not os.path.exists(end):
    time.sleep(0.02)
sys.exit(int(open(end).read()))
"""
)
SCONTROL = NOTE + "\nnote('scontrol')\n"


@dataclass
class Site:
    """The fakes, and the variables that Slurm gives a batch script.

    Attributes:
        variables: of the job; a test changes them.
    """

    path: Path
    variables: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, program: str) -> None:
        """Put a Python program on PATH."""
        file = self.path / "bin" / name
        file.write_text(f"#!{sys.executable}\n{program}")
        file.chmod(0o755)

    def job(self, *arguments: str, more: Mapping[str, str] | None = None) -> Command:
        """The batch script, as slurmd starts it."""
        return Command(["bash", str(SCRIPT), *arguments], self.path, {**self.variables, **(more or {})})

    def end(self, code: int) -> None:
        """Let the trainer end."""
        (self.path / "end").write_text(str(code))

    def called(self, name: str) -> dict[str, Any] | None:
        """``arguments`` and ``environment`` of the last call of a program; None before it."""
        path = self.path / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Two nodes of four GPUs, and job 4711."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "tmp").mkdir()
    made = Site(tmp_path)
    for name, program in (("srun", SRUN), ("ray", RAY), ("rayseg", RAYSEG), ("scontrol", SCONTROL)):
        made.add(name, program)
    made.add("hostname", "import sys; assert sys.argv[1:] == ['-I']; print('10.0.0.7 192.168.1.7')")
    made.variables = {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "SITE": str(tmp_path),
        "TMPDIR": str(tmp_path / "tmp"),
        "RAY_IS": "well",
        "OTHER_NODES": "end",
        "STOPS_WITH": "130",
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "16",
        "SLURM_GPUS_ON_NODE": "4",
    }
    return made
