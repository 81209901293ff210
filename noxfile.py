"""What one does with this repository: ``nox -s quickstart``, ``nox -s tests``, and the sessions that ``nox -l`` lists.

Every session uses the environment that nox itself runs in, which is installed once: an installation takes minutes and
gigabytes, so one for each session would cost more than the sessions themselves.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["tests"]

ROOT = Path(__file__).parent
BIN = Path(sys.executable).parent
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # of each process: tests start many, and compute little in each
QUICKSTART = "experiments/quickstart/bluemarble_unet.py"


def fingerprint() -> str:
    """A hash of everything that decides what is installed, and of where."""
    digest = hashlib.sha256(str(ROOT).encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def install(session: nox.Session) -> None:
    """Install rayseg with everything for its development into this environment, unless that has been done."""
    if sys.prefix == sys.base_prefix:
        session.error("nox runs outside a virtual environment; use: python3 -m venv .venv && .venv/bin/pip install nox")
    stamp = Path(sys.prefix) / ".rayseg-installed"
    if stamp.is_file() and stamp.read_text() == fingerprint():
        return
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar", "off"]
    session.run(*pip, "-e", f"{ROOT}[quickstart,s3,dev]", "-c", str(ROOT / "constraints.txt"))
    stamp.write_text(fingerprint())


def run(session: nox.Session, tool: str, *arguments: str, **environment: str) -> None:
    """Run a command of this environment."""
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    session.run(str(BIN / tool), *arguments, env={"PATH": path, **environment})


@nox.session
def quickstart(session: nox.Session) -> None:
    """Prepare the data, train on two Ray Train workers, test, predict; prints where everything is."""
    install(session)
    begin = time.monotonic()
    data = answer(session, "data", "prepare", "bluemarble")
    trained = answer(session, "train", QUICKSTART, *session.posargs)
    run_dir = Path(trained["run_dir"])
    tested = answer(session, "test", str(run_dir))
    images = sorted(Path(data["path"], "images", "val").iterdir())
    predicted = answer(
        session, "predict", str(run_dir), str(images[len(images) // 2]), "--out", str(run_dir / "predictions")
    )
    print(
        f"""
quickstart: {time.monotonic() - begin:.0f} s
  mIoU     {tested["metrics"]["mIoU"]:.2%} on the validation tiles
  run      {run_dir}
  report   {run_dir / "report.html"}
  metrics  {run_dir / "metrics.jsonl"}
           {tested["path"]}
  pictures {run_dir / "visuals"}
  overlay  {predicted["overlays"][0]}
rayseg is at hand: {BIN / "rayseg"} --help"""
    )


def answer(session: nox.Session, *arguments: str) -> dict[str, Any]:
    """What ``rayseg ... --json`` prints on stdout; its text for people goes to the terminal meanwhile."""
    command = [str(BIN / "rayseg"), *arguments]
    print("$", "rayseg", *arguments, flush=True)
    done = subprocess.run([*command, "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        session.error(f"rayseg {arguments[0]} ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@nox.session
def tests(session: nox.Session) -> None:
    """Unit, integration and system tests; more arguments after ``--`` go to pytest."""
    install(session)
    run(session, "pytest", "-m", "not slow and not gpu", *session.posargs, **ONE_THREAD)


@nox.session
def slow(session: nox.Session) -> None:
    """What takes minutes: several nodes, nested trials, full products of tables that ``tests`` has a cover of."""
    install(session)
    run(session, "pytest", "-m", "slow and not gpu", *session.posargs, **ONE_THREAD)


@nox.session
def gpu(session: nox.Session) -> None:
    """The tests that need a CUDA device."""
    install(session)
    run(session, "pytest", "-m", "gpu", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format, and the contracts between the rooms."""
    install(session)
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")
    run(session, "lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict in core, config, engine and optim."""
    install(session)
    run(session, "mypy", "rayseg")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, into build/site; the reference must be what the code says."""
    install(session)
    run(session, "python", "docs/make_reference.py", "--check")
    run(session, "mkdocs", "build", "--quiet")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Timings beside a bare loop; each script of tests/benchmarks prints its figures and checks its bounds."""
    install(session)
    scripts = session.posargs or sorted(str(path) for path in (ROOT / "tests/benchmarks").glob("[!_]*.py"))
    for script in scripts:
        run(session, "python", script)
