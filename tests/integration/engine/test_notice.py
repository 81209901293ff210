"""A host that says that its machine may go away: a checkpoint is written at once, and training goes on."""

from __future__ import annotations

from itertools import chain, repeat
from pathlib import Path

from rayseg.engine.checkpoint_store import CheckpointStore
from rayseg.engine.host import LocalHost
from rayseg.engine.runner import Runner
from tests.toys import toy_config


def test_a_notice_makes_a_checkpoint(tmp_path: Path) -> None:
    config = toy_config()
    config["env_cfg"] = {"control_interval": 3}
    config["default_hooks"] = {"checkpoint": {"interval": 100, "save_last": False}}
    config["train_cfg"]["val_interval"] = 100
    notices = chain([0], repeat(1))  # one since the first control point
    host = LocalHost(device="cpu", notices=lambda: next(notices))
    outcome = Runner.from_config(config, host=host, work_dir=tmp_path).train()
    assert outcome == {"status": "finished", "iter": 12}
    names = [checkpoint.name for checkpoint in CheckpointStore(tmp_path / "checkpoints").list()]
    assert names == ["iter_7"]  # asked for after 6, written at the next boundary, committed after 9
