"""What can only be known once the parts are built is found before the start too: exit code 2, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import rayseg as package
from rayseg import Hook

from tests.system.conftest import Rayseg  # isort: skip

OWN = """
import torch
from torch import nn

class NoHook:
    pass

class PlainLoss(nn.Module):
    def forward(self, logits, labels):
        return nn.functional.cross_entropy(logits, labels)
"""


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("model.net.out_channels=3", "{config}: model.net: gives 3 channels, the data has 2 classes"),
        ("load_from=none.pth", "command line: load_from: no such file of weights: none.pth"),
        ("custom_hooks=[dict(type='EMAHook', momentum=5.0)]", "command line: custom_hooks.0: EMAHook.momentum: "),
        ("custom_hooks=[dict(type='own.NoHook')]", "command line: custom_hooks.0: NoHook is not a hook"),
        ("train_dataloader.dataset.pipeline.0.cat_max_ratio=75", "{config}: train_dataloader.dataset: RandomCrop.cat"),
        ("trackers.m=dict(type='MLflo')", "command line: trackers.m.type: unknown tracker 'MLflo'; did you mean"),
        ("optim_wrapper.optimizer.lr=-1", "{config}: optim_wrapper.optimizer: SGD: Invalid learning rate: -1"),
        (
            "model.net=dict(_delete_=True, type='smp.Unet', encoder_name='resnet18', encoder_weights='imagenett')",
            "model.net: building smp.Unet failed: KeyError: Wrong pretrained weights",
        ),
    ],
)  # fmt: skip
def test_a_part_that_cannot_be_built(rayseg: Rayseg, config: Path, override: str, error: str) -> None:
    config.with_name("own.py").write_text(OWN)
    answer = rayseg("train", config, override, "--local")
    assert (answer.code, answer.out) == (2, "")
    assert len(answer.errors) == len(answer.err.splitlines()) == 1
    assert answer.errors[0].startswith(error.format(config=config))
    assert not Path("work_dirs").exists()


def test_a_loss_without_a_constructor_is_given_nothing(rayseg: Rayseg, config: Path) -> None:
    config.with_name("own.py").write_text(OWN)
    answer = rayseg("train", config, "model.loss=dict(_delete_=True, type='own.PlainLoss')", "--local", "-q")
    assert (answer.code, answer.err) == (0, "")


def test_a_file_that_is_not_there_has_a_neighbour(rayseg: Rayseg, config: Path) -> None:
    assert rayseg("train", config.with_name("tinny.py")).errors == [
        f"{config.with_name('tinny.py')}: no such file; did you mean {str(config)!r}?"
    ]
    assert rayseg("test", "no_run").errors == ["no_run: no such file or directory"]
    assert rayseg("test", config).errors == [
        "no checkpoint: name a run directory instead of its config, or say --checkpoint PATH"
    ]
    assert rayseg("test", config, "--checkpoint", "none.pth").errors == ["--checkpoint none.pth: no such file"]


def test_fewer_iterations_than_are_done(rayseg: Rayseg, config: Path) -> None:
    assert rayseg("train", config, "--local", "-q", "--work-dir", "run").code == 0
    answer = rayseg("train", "run", "--resume", "--local", "train_cfg.max_iters=2")
    assert (answer.code, answer.errors) == (
        2,
        ["command line: train_cfg.max_iters: found 2, the run has done 4 iterations already"],
    )


def test_test_data_that_is_not_there(rayseg: Rayseg, config: Path) -> None:
    assert rayseg("train", config, "--local", "-q", "--work-dir", "run").code == 0
    answer = rayseg("test", "run", "test_dataloader.dataset.data_root=nowhere")
    assert (answer.code, len(answer.errors)) == (2, 1)
    assert answer.errors[0].startswith(
        "command line: test_dataloader.dataset.data_root: no such directory 'nowhere' (looked at "
    )
    (wrong,) = rayseg("test", "run", "--checkpoint", "iter_9").errors
    assert wrong.endswith("no checkpoint 'iter_9'; there are iter_4; did you mean 'iter_4'?")


def test_no_checkpoint_is_whole(rayseg: Rayseg, config: Path) -> None:
    assert rayseg("train", config, "--local", "-q", "--work-dir", "run").code == 0
    Path("run/checkpoints/iter_4/training_state.pt").write_bytes(b"")
    answer = rayseg("train", "run", "--resume", "--local", "train_cfg.max_iters=6")
    assert answer.code == 2
    assert len(answer.errors) == 1
    assert "no checkpoint is whole" in answer.errors[0]
    assert rayseg("train", "run", "--auto-resume", "--local", "train_cfg.max_iters=6", "-q").code == 0


class CountHook(Hook):
    """A live hook."""

    count = 0

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.count += 1


def test_live_parts_from_python(rayseg: Rayseg, config: Path, data: Path, tmp_path: Path) -> None:
    net, hook = nn.Conv2d(3, 2, 1), CountHook()
    before = net.weight.detach().clone()
    dataset = {"type": "FolderDataset", "data_root": str(data), "split": "train"}
    live = {
        "model": {"type": "Segmentor", "net": net},
        "train_dataloader": {"batch_size": 2, "dataset": dataset},
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 3},
        "optim_wrapper": {"optimizer": {"type": torch.optim.SGD, "lr": 0.1}},
        "custom_hooks": [hook],
    }
    result = package.train(live, local=True, work_dir=tmp_path / "run")
    assert (result.status, hook.count, result.error) == ("finished", 3, None)
    assert not torch.equal(net.weight, before)


def test_a_run_that_is_too_short_for_its_schedules_is_told(rayseg: Rayseg, config: Path) -> None:
    schedules = "param_scheduler=[dict(type='LinearLR', end=6), dict(type='PolyLR', begin=6)]"
    answer = rayseg("train", config, schedules, "--dry-run")
    assert [line.split(maxsplit=1)[1] for line in answer.out.splitlines() if "param_scheduler: " in line] == [
        "param_scheduler: LinearLR ends at iteration 6, so it is cut off: the run has 4",
        "param_scheduler: PolyLR begins at iteration 6, so it never acts: the run has 4",
    ]
    header, group = [line.split()[1:] for line in answer.out.splitlines() if line.startswith("group")]
    assert dict(zip(header, group, strict=True))["lr"] == "0.1"
