"""The tutorial as it is printed, on small images: every config, and every command that needs no cluster."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.processes import REPOSITORY

from tests.system.conftest import Rayseg  # isort: skip

PAGE = (REPOSITORY / "docs" / "tutorial.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
# What a test has no time for; everything else is as printed.
SHORTER = {
    "train": ["train_cfg.max_iters=4", "train_cfg.val_interval=2", "default_hooks.checkpoint.interval=2"],
    "tune": ["train_cfg.max_iters=4", "train_cfg.val_interval=2", "tune.num_samples=2", "tune.scheduler.grace_iters=2"],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The tutorial's directory: images of 140×140 px, its configs."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for folder in ("images", "annotations"):
            (tmp_path / "my_data" / folder / split).mkdir(parents=True)
        for index in range(count):
            mask = np.kron(rng.integers(0, 2, (7, 7)), np.ones((20, 20))).astype(np.uint8)
            image = np.repeat((mask * 120 + 60)[..., None], 3, axis=-1)
            Image.fromarray(image).save(tmp_path / "my_data" / "images" / split / f"{index}.png")
            Image.fromarray(mask).save(tmp_path / "my_data" / "annotations" / split / f"{index}.png")
    (tmp_path / "my_data" / "classes.txt").write_text("dark\nbright\n")
    for name, text in re.findall(r"`(my\w*\.py)`:.*?```python\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_it_has_its_commands() -> None:
    assert [shlex.split(line)[1] for line in COMMANDS] == [
        "data", "data", "train", "train", "test", "predict", "tune", "tune", "train", "report",
    ]  # fmt: skip


def test_what_needs_no_ray(project: Path, rayseg: Rayseg) -> None:
    for line in [line for line in COMMANDS if line.startswith("rayseg data") or "--dry-run" in line]:
        answer = rayseg(*shlex.split(line)[1:])
        assert answer.code == 0, (line, answer.err)
    assert (project / "batch.png").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`use_.*` is deprecated:DeprecationWarning")
def test_as_printed(project: Path, rayseg: Rayseg) -> None:
    for line in COMMANDS:
        _, verb, *rest = shlex.split(line)
        shorter = SHORTER.get(verb, []) if "best_config" not in line else []
        answer = rayseg(verb, *rest, *shorter)
        assert answer.code == 0, (line, answer.err)
    assert (project / "compared.html").is_file()
    assert (project / "sweeps/optimizer/report.html").is_file()
    assert len(list((project / "predictions").rglob("*.png"))) >= 2
