"""What trackers cost a training iteration: whole runs with and without them, taken in turn.

The runs are in this process, without Ray: the trackers' threads then share the interpreter with the training, which is
the hardest case. Compared is the time between the first and the last line of ``metrics.jsonl``; neither the start nor
the end, where a run waits for its trackers, is in it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _paired import Paired, Report, one_thread
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
from tests.integration.tracking.mlflow_server import Server

ITERATIONS, INTERVAL, REPETITIONS = 100, 10, 5
BOUND = 1.02
SIDE = 128


def data_set(root: Path) -> Path:
    """Sixteen pictures of noise with masks of two classes."""
    draw = np.random.default_rng(0)
    for folder, shape, values in (("images", (SIDE, SIDE, 3), 256), ("annotations", (SIDE, SIDE), 2)):
        path = root / folder / "train"
        path.mkdir(parents=True)
        for index in range(16):
            Image.fromarray(draw.integers(0, values, shape, dtype=np.uint8)).save(path / f"{index}.png")
    return root


def config(root: Path, trackers: dict[str, Any]) -> dict[str, Any]:
    """A small U-Net; a line every ten iterations, five times as many as usual."""
    dataset = {"type": "FolderDataset", "data_root": str(root), "split": "train", "classes": ["a", "b"]}
    net = {"type": "smp.Unet", "encoder_name": "resnet18", "encoder_weights": None}
    return {
        "model": {"type": "Segmentor", "net": net, "loss": {"type": "CrossEntropyLoss"}},
        "train_dataloader": {"batch_size": 1, "dataset": dataset},
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": ITERATIONS},
        "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.01}},
        "default_hooks": {
            "logger": {"type": "LoggerHook", "interval": INTERVAL},
            "checkpoint": {"type": "CheckpointHook", "save_last": False},
        },
        "trackers": {"report": None, **trackers},
        "randomness": {"threads": 1},
    }


def seconds_of(run_dir: Path) -> float:
    """From the first line to the last, by their times."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == ITERATIONS // INTERVAL
    per_iteration: float = (lines[-1]["time"] - lines[0]["time"]) / (lines[-1]["iter"] - lines[0]["iter"])
    return per_iteration


def compare(root: Path, folder: Path, trackers: dict[str, Any]) -> Paired:
    """Seconds an iteration with the trackers and without any, run after run; the first pair warms up."""
    from rayseg import train

    pairs = Paired([], [])
    for repetition in range(REPETITIONS + 1):
        sides = [(pairs.subject, "with", trackers), (pairs.baseline, "without", {})]
        for results, name, chosen in sides if repetition % 2 else reversed(sides):
            run_dir = folder / f"{name}_{repetition}"
            result = train(config(root, chosen), work_dir=run_dir, local=True)
            assert result.status == "finished", result.error
            results.append(seconds_of(run_dir))
    return pairs.without_first()


def main() -> int:
    """Both comparisons."""
    from rayseg.tracking import recorder

    recorder.FLUSH_TIMEOUT_S = 5.0
    report = Report("trackers", "torch", "mlflow", "wandb", "tensorboard")
    with tempfile.TemporaryDirectory() as name, one_thread():
        folder = Path(name)
        root = data_set(folder / "data")
        embedded = {
            "mlflow": {"type": "MLflow", "tracking_uri": f"sqlite:///{folder}/mlflow.db"},
            "tensorboard": {"type": "TensorBoard"},
            "wandb": {"type": "WandB", "mode": "offline"},
        }
        report.ratio("MLflow in SQLite, W&B offline, TensorBoard", compare(root, folder / "a", embedded), BOUND)
        with Server(folder / "server") as server:
            server.freeze()
            frozen = {"mlflow": {"type": "MLflow", "tracking_uri": server.uri}}
            report.ratio("an MLflow server that is frozen", compare(root, folder / "b", frozen), BOUND)
    return report.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
