"""MM's visualization backends: with MM's arguments, each gives the tracker that does the same here.

A backend is a function that returns the name and the config of a tracker, or None where there is nothing to add.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

TrackerConfig = tuple[str, dict[str, Any]] | None


class WandbInit(TypedDict, total=False):
    """What ``init_kwargs`` may hold, as ``wandb.init``."""

    project: str
    entity: str
    group: str
    name: str
    tags: list[str]
    notes: str
    mode: Literal["online", "offline", "disabled"]
    dir: str


def LocalVisBackend(  # noqa: N802
    save_dir: str | None = None,
    img_save_dir: str = "vis_image",
    config_save_file: str = "config.py",
    scalar_save_file: str = "scalars.json",
) -> TrackerConfig:
    """Pictures, config and numbers as files: the run directory holds them always."""
    return None


def TensorboardVisBackend(save_dir: str | None = None) -> TrackerConfig:  # noqa: N802
    """TensorBoard; ``save_dir`` is the run directory here."""
    return "tensorboard", {"type": "TensorBoard"}


def WandbVisBackend(  # noqa: N802
    save_dir: str | None = None,
    init_kwargs: WandbInit | None = None,
    define_metric_cfg: dict[str, str] | Sequence[Any] | None = None,
    commit: bool = True,
    log_code_name: str | None = None,
    watch_kwargs: dict[str, Any] | None = None,
) -> TrackerConfig:
    """Weights & Biases; only ``init_kwargs`` says something here."""
    return "wandb", {"type": "WandB", **(init_kwargs or {})}


def MLflowVisBackend(  # noqa: N802
    save_dir: str | None = None,
    exp_name: str | None = None,
    run_name: str | None = None,
    tags: dict[str, str] | None = None,
    params: dict[str, Any] | None = None,
    tracking_uri: str | None = None,
    artifact_suffix: Any = None,
    tracked_config_keys: dict[str, Any] | None = None,
) -> TrackerConfig:
    """MLflow; the whole config is sent, so ``params`` and ``tracked_config_keys`` say nothing here."""
    said = {"experiment_name": exp_name, "run_name": run_name, "tags": tags, "tracking_uri": tracking_uri}
    return "mlflow", {"type": "MLflow", **{name: value for name, value in said.items() if value is not None}}
