"""A run that is asked to stop saves where it stands and ends with 130; ``--resume`` goes on; quiet is quiet."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.processes import facts, numbers, rayseg  # isort: skip

CONFIG = """
model = dict(type='Segmentor', net=dict(type='tests.toys.ToyNet'), loss=dict(type='CrossEntropyLoss'))
train_dataloader = dict(batch_size=2, num_workers={loader_workers}, dataset=dict(type='tests.toys.ToyDataset'))
val_dataloader = dict(dataset=dict(type='tests.toys.ToyDataset', size=3, test_mode=True))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1000000, val_interval=1000000)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.001))
default_hooks = dict(logger=dict(type='LoggerHook', interval=5), checkpoint=dict(type='CheckpointHook', interval=-1))
randomness = dict(seed=3, threads=1)
scaling = dict(num_workers=2)
"""


@pytest.mark.parametrize(
    ("number", "to_group", "where", "loader_workers"),
    [
        (signal.SIGINT, True, ["--local"], 2),
        (signal.SIGTERM, True, ["--local"], 2),
        (signal.SIGINT, True, [], 0),
    ],
    ids=["ctrl-c-local", "sigterm-local", "ctrl-c-ray"],
)
def test_stop_and_resume(tmp_path: Path, number: int, to_group: bool, where: list[str], loader_workers: int) -> None:
    (tmp_path / "tiny.py").write_text(CONFIG.format(loader_workers=loader_workers))
    run_dir = tmp_path / "run"
    with rayseg("train", "tiny.py", "--work-dir", run_dir, *where, cwd=tmp_path) as run:
        run.wait_for(lambda: numbers(run_dir), 120, "the first logged line")
        run.send(number, group=to_group)
        code, out, err = run.finish(60)
        assert (code, err) == (130, "")
        assert "Traceback" not in out
        run.all_gone()
    stopped = facts(run_dir)
    at = stopped["iter"]
    assert (stopped["status"], stopped["error"], stopped["last_checkpoint"]) == ("interrupted", None, f"iter_{at}")
    assert (run_dir / "checkpoints" / f"iter_{at}" / "manifest.json").is_file()
    assert signal.Signals(number).name in (run_dir / "log.txt").read_text()

    end = [f"train_cfg.max_iters={at + 10}", "default_hooks.logger.interval=1"]
    with rayseg("train", run_dir, "--resume", "-q", *end, *where, cwd=tmp_path) as resumed:
        assert resumed.finish(120) == (0, "", "")
        resumed.all_gone()
    assert (facts(run_dir)["status"], facts(run_dir)["iter"], facts(run_dir)["attempt"]) == ("finished", at + 10, 2)
    lines = [(line["mode"], line["iter"]) for line in numbers(run_dir)]
    assert len(lines) == len(set(lines))
    assert lines[-11:] == [*(("train", i) for i in range(at + 1, at + 11)), ("val", at + 10)]


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(CONFIG.format(loader_workers=0))
    (tmp_path / "stuck.py").write_text(STUCK)
    run_dir = tmp_path / "run"
    hook = "custom_hooks=[dict(type='stuck.Stuck')]"
    with rayseg("train", "tiny.py", hook, "--work-dir", run_dir, "--local", cwd=tmp_path) as run:
        run.wait_for((tmp_path / "stuck").exists, 60, "the hook is stuck")
        run.send(signal.SIGINT, group=True)
        run.wait_for((tmp_path / "asked").exists, 30, "the first signal has come")
        run.send(signal.SIGINT, group=True)
        code, out, err = run.finish(30)
        assert (code, err) == (130, "")
        assert "Traceback" not in out
    assert facts(run_dir)["status"] == "interrupted"


STUCK = """
import time
from pathlib import Path
from rayseg.engine.hook import Hook

class Stuck(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        Path('stuck').touch()
        while True:
            time.sleep(0.05)
            if runner.host.stop_reason():
                Path('asked').touch()
"""
