"""Components whose signatures the config tests check against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from rayseg.core.registries import DATASETS, LOSSES, NETS, TRANSFORMS

if TYPE_CHECKING:
    from nowhere import Runner


class Segmentor:
    def __init__(
        self,
        net: Annotated[Any, NETS],
        loss: Annotated[Any, LOSSES] | list[Annotated[Any, LOSSES]],
        data_preprocessor: Preprocessor | None = None,
        num_classes: int | None = None,
        metainfo: dict[str, Any] | None = None,
    ) -> None: ...


class Preprocessor(TypedDict, total=False):
    mean: Literal["imagenet"] | tuple[float, float, float]
    std: Literal["imagenet"] | tuple[float, float, float]


class Net:
    def __init__(
        self, depth: int, width: float = 1.0, channels: Sequence[int] = (8, 16), act: Callable[..., Any] = abs
    ):
        self.depth = depth


class OpenNet:
    def __init__(self, encoder_name: str, **kwargs: Any) -> None: ...


class Loss:
    def __init__(
        self, loss_weight: float = 1.0, ignore_index: int = 255, reduction: Literal["mean", "sum"] = "mean"
    ): ...


class Dataset:
    def __init__(
        self, data_root: str, split: str = "train", pipeline: list[Annotated[Any, TRANSFORMS]] | None = None
    ) -> None: ...


class Wrapped:
    def __init__(self, dataset: Annotated[Any, DATASETS], times: int = 1) -> None: ...


class RandomCrop:
    def __init__(self, crop_size: tuple[int, int], cat_max_ratio: float = 1.0) -> None: ...


class Loop:
    def __init__(
        self,
        runner: Runner,
        dataloader: Any,
        max_iters: int,
        val_interval: int = 1000,
        begin: int = None,  # type: ignore[assignment]  # noqa: RUF013
    ) -> None: ...


class EpochLoop:
    def __init__(self, runner: Runner, dataloader: Any, max_epochs: int) -> None: ...


class EvalLoop:
    def __init__(self, runner: Runner, dataloader: Any, evaluator: Any) -> None: ...


class Metric:
    def __init__(self, metainfo: Any, ignore_index: int | None = None) -> None: ...


class Wrapper:
    def __init__(
        self, optimizer: Any, accumulative_counts: int = 1, clip_grad: dict[str, float | str] | None = None
    ) -> None: ...


class AmpWrapper:
    def __init__(
        self,
        optimizer: Any,
        accumulative_counts: int = 1,
        dtype: Literal["float16", "bfloat16"] = "float16",
        loss_scale: float | Literal["dynamic"] = "dynamic",
    ) -> None: ...


class SGD:
    def __init__(self, params: Any, lr: float, momentum: float = 0.0, betas: list[float] = (0.9, 0.99)): ...  # type: ignore[assignment]


class AdamW:
    def __init__(self, params: Any, lr: float, betas: tuple[float, float] = (0.9, 0.99)) -> None: ...


class ParamwiseCfg(TypedDict, total=False):
    norm_decay_mult: float
    custom_keys: dict[str, dict[str, float]]


class Constructor:
    def __init__(self, optim_wrapper_cfg: Any, paramwise_cfg: ParamwiseCfg | None = None) -> None: ...


class PolyLR:
    def __init__(self, optimizer: Any, power: float = 0.9, by_epoch: bool = True) -> None: ...


class Timer: ...


class Logger:
    def __init__(self, interval: int = 10, log_metric_by_epoch: bool = True) -> None: ...


class Scheduler: ...


class Checkpoint:
    def __init__(self, interval: int = -1, by_epoch: bool = True, save_best: str | list[str] | None = None) -> None: ...


class SamplerSeed: ...


class Visualization:
    def __init__(self, draw: bool = True) -> None: ...


class EMA:
    def __init__(self, momentum: float = 0.0002, start_iters: int = 0) -> None: ...


class Console:
    def __init__(self, width: int = 80) -> None: ...


class Report: ...


def Local() -> None: ...  # noqa: N802


def Board() -> tuple[str, dict[str, str]]:  # noqa: N802
    return "board", {"type": "Board"}


def Cloud(project: str) -> tuple[str, dict[str, str]]:  # noqa: N802
    return "cloud", {"type": "Cloud", "project": project}


class ExitingTracker:
    def __init__(self, api_key: str = "") -> None: ...
