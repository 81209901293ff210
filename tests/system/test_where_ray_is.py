"""What can be known of Ray before it starts is said before it starts, on one line and in a short time."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.distributed import free_port  # isort: skip
from tests.processes import Command, rayseg  # isort: skip

SHORT_S = 60

CALL = """
import sys
from rayseg.cli.main import main
code = main(sys.argv[1:])
print(code, 'ray' in sys.modules and sys.modules['ray'].is_initialized())
"""


def test_too_many_workers_are_refused_before_ray_starts(config: Path, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", CALL, "train", str(config), "--workers", "1000"]
    with Command(arguments, tmp_path) as call:
        _, out, err = call.finish(SHORT_S)
    assert out == "2 False\n"
    assert err.startswith("error: scaling.num_workers: 1000 workers of 1 CPU each cannot be placed: this machine has")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "work_dirs").exists()


def test_an_address_that_names_nothing(config: Path, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with rayseg("train", config, cwd=tmp_path, environment={"RAY_ADDRESS": address}) as train:
        code, out, err = train.finish(SHORT_S)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: RAY_ADDRESS={address}: no Ray cluster answers there (")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "work_dirs").exists()
