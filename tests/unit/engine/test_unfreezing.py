"""What a hook unfreezes: fine in one process, an error where DDP does not know of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rayseg.core.distributed import unwrap
from rayseg.core.errors import RaysegError
from tests.distributed import run_ranks
from tests.toys import ToyNet, toy_config

from tests.unit.engine.training import At, iterations, train  # isort: skip


class FrozenNet(ToyNet):
    """Whose encoder is frozen when it is made."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__(num_classes)
        self.encoder.requires_grad_(False)


def unfreeze(runner: Any) -> None:
    unwrap(runner.model).net.encoder.requires_grad_(True)  # type: ignore[union-attr,operator]


def _train(folder: str) -> str:
    model = {**toy_config()["model"], "net": {"type": FrozenNet}}
    try:
        train(Path(folder), At("before_train_iter", 1, unfreeze), model=model, train_cfg=iterations(3))
    except RaysegError as error:
        return str(error)
    return "trained"


@pytest.mark.world_size(2)
def test_a_parameter_that_is_unfrozen_behind_ddps_back_is_refused(tmp_path: Path) -> None:
    """DDP would reduce none of its gradients, and each rank would train its own."""
    assert _train(str(tmp_path / "alone")) == "trained"
    for message in run_ranks(_train, 2, str(tmp_path / "two")):
        assert message.startswith("net.encoder.0.weight was frozen when the model was built and is to be trained now")
        assert "env_cfg.find_unused_parameters=True" in message
