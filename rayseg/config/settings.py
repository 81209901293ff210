"""Sections that are settings rather than components: one dataclass each, whose fields are the keys a config may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from rayseg.config.durations import is_duration
from rayseg.config.markers import Rule, above, at_least
from rayseg.core.errors import ConfigError
from rayseg.core.registries import DATASETS, SAMPLERS, SEARCHERS, SWEEP_SCHEDULERS

Count = Annotated[int, at_least(1)]


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """``scaling``: how many Ray Train workers, and what each of them asks Ray for.

    Attributes:
        num_workers: training workers (processes that run the loop; not loader processes).
        use_gpu: one GPU for each worker; None means yes when the machine or cluster has any.
        resources_per_worker: Ray resources of one worker, such as ``{"CPU": 4, "GPU": 1}``; 1 CPU when not given.
        strategy: Ray's placement: ``PACK`` on few nodes, ``SPREAD`` over many.
        start_timeout_s: seconds to wait for the resources of all workers.
    """

    num_workers: Count = 1
    use_gpu: bool | None = None
    resources_per_worker: dict[str, float] | None = None
    strategy: Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] = "PACK"
    start_timeout_s: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """``failure``: what a run survives, and how long it may last.

    Attributes:
        max_failures: how often a worker group that died is started again from the last commit (-1: without end).
        time_limit: how long after its start the run is asked to save and end, to be resumed later: seconds, or a text
            such as ``'11h30m'``, ``'90s'``, ``'1d'``. Leave room for the save.
    """

    max_failures: Annotated[int, at_least(-1)] = 0
    time_limit: Annotated[float | str, Rule(is_duration, "seconds above 0, or a text such as '11h30m'")] | None = None


@dataclass(frozen=True, kw_only=True)
class Randomness:
    """``randomness``: the seed of everything drawn at random, and what keeps runs bitwise equal.

    Attributes:
        seed: seeds weights, data order, augmentation and dropout.
        deterministic: torch's deterministic algorithms; operations without one raise.
        threads: CPU threads of each worker; None means the node's cores divided by the workers on it.
        diff_rank_seed: MM's key; ranks always draw differently here, so it changes nothing.
    """

    seed: int = 0
    deterministic: bool = False
    threads: Count | None = None
    diff_rank_seed: bool = False


@dataclass(frozen=True, kw_only=True)
class CheckpointStoreSettings:
    """``checkpoint_store``: where checkpoints live; a path that all nodes see, or an fsspec URL (``s3://...``)."""

    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class EnvSettings:
    """``env_cfg``: switches of the machine.

    Attributes:
        control_interval: iterations between two control points, where ranks agree on commits and stops.
        compile: ``torch.compile``; a dict is passed on to it.
        channels_last: NHWC memory format for the network and its input.
        sync_batchnorm: convert BatchNorm to SyncBatchNorm (GPU only).
        activation_checkpointing: recompute the encoder's activations in backward.
        find_unused_parameters: DDP looks for parameters without a gradient in each iteration.
        gradient_as_bucket_view: DDP keeps gradients in its buckets and saves one copy of them.
        bucket_cap_mb: size of DDP's buckets in MiB.
        static_graph: DDP may rely on each iteration using the same parameters; not with accumulation.
        cudnn_benchmark: let cuDNN choose its algorithms by timing.
        mp_cfg: MM's key for multiprocessing; only ``mp_start_method`` is used, for the loader's workers.
        dist_cfg: MM's key for the process group, which Ray Train sets up here.
    """

    control_interval: Count = 10
    compile: bool | dict[str, Any] = False
    channels_last: bool = False
    sync_batchnorm: bool = False
    activation_checkpointing: bool = False
    find_unused_parameters: bool = False
    gradient_as_bucket_view: bool = False
    bucket_cap_mb: float | None = None
    static_graph: bool = False
    cudnn_benchmark: bool = False
    mp_cfg: dict[str, Any] | None = None
    dist_cfg: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class DataLoaderSettings:
    """``train_dataloader``, ``val_dataloader``, ``test_dataloader``.

    Attributes:
        dataset: the data set's config.
        batch_size: images of one worker in one iteration.
        global_batch_size: images of all workers in one iteration (without accumulation); derives ``batch_size``
            and must divide by the workers.
        num_workers: loader processes of each training worker.
        sampler: MM's samplers are accepted; ``shuffle`` is what they say here.
        shuffle: draw the training data in a new order each pass.
        drop_last: epoch loops drop the last incomplete global batch; False pads it with images of the same pass.
        persistent_workers: keep loader processes between validations.
        pin_memory: None means yes with a GPU.
        prefetch_factor: batches that each loader process holds ready.
        collate_fn: dotted path of a function that makes a batch from samples.
    """

    dataset: Annotated[dict[str, Any], DATASETS]
    batch_size: Count | None = None
    global_batch_size: Count | None = None
    num_workers: Annotated[int, at_least(0)] = 0
    sampler: Annotated[dict[str, Any], SAMPLERS] | None = None
    shuffle: bool | None = None
    drop_last: bool = True
    persistent_workers: bool = True
    pin_memory: bool | None = None
    prefetch_factor: Count | None = None
    collate_fn: str | Callable[..., Any] | None = None


@dataclass(frozen=True, kw_only=True)
class LogProcessorSettings:
    """``log_processor``: how logged numbers are smoothed, as MM's LogProcessor.

    Attributes:
        window_size: iterations that a smoothed number is the mean of.
        by_epoch: print epochs or iterations; what the training loop counts in when None.
        custom_cfg: MM's list of ``dict(data_src, method_name, window_size, log_name)``.
        num_digits: digits after the point on the terminal and in the log.
        log_with_hierarchy: MM's key; every line says its mode here, so it changes nothing.
        mean_pattern: regular expression of the numbers that are smoothed; of the others the last value is taken.
        type: MM's key; there is one log processor.
    """

    window_size: Count = 10
    by_epoch: bool | None = None
    custom_cfg: list[dict[str, Any]] = field(default_factory=list)
    num_digits: int = 4
    log_with_hierarchy: bool = False
    mean_pattern: str = r".*(loss|time|data_time|grad_norm).*"
    type: Literal["LogProcessor"] = "LogProcessor"


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """``tune``: what a sweep looks for and how.

    Attributes:
        metric: the number of a validation by which trials are compared; a trial counts with its best validation.
        mode: whether the larger (``max``) or the smaller value is better; guessed by the metric's name when None.
        num_samples: trials; with ``grid`` leaves, trials of each combination of them.
        max_concurrent: trials at the same time; None means as many as fit.
        scheduler: what stops trials early, ``dict(type='ASHA', ...)``.
        searcher: what proposes trials, ``dict(type='Optuna', ...)``; random when None.
        time_budget: seconds after which no trial is begun, and those that run save and end.
        max_failures: how often a trial that failed is started again, from its last checkpoint.
        seeds: seeds with which the best trials are run once more, each from its beginning, and ``baseline`` too.
        best_k: how many of the best trials are run with ``seeds``.
        baseline: what they are compared with: names of dimensions to values; what is not said is the first option of a
            choice, the middle of a range.
    """

    metric: str = "mIoU"
    mode: Literal["max", "min"] | None = None
    num_samples: Count = 1
    max_concurrent: Count | None = None
    scheduler: Annotated[dict[str, Any], SWEEP_SCHEDULERS] | None = None
    searcher: Annotated[dict[str, Any], SEARCHERS] | None = None
    time_budget: Annotated[float, above(0)] | None = None
    max_failures: Annotated[int, at_least(0)] = 0
    seeds: list[int] | None = None
    best_k: Count = 3
    baseline: dict[str, Any] | None = None


SETTINGS: dict[str, type] = {
    "train_dataloader": DataLoaderSettings,
    "val_dataloader": DataLoaderSettings,
    "test_dataloader": DataLoaderSettings,
    "scaling": Scaling,
    "checkpoint_store": CheckpointStoreSettings,
    "failure": Failure,
    "randomness": Randomness,
    "tune": TuneSettings,
    "log_processor": LogProcessorSettings,
    "env_cfg": EnvSettings,
}


def settings(config: Mapping[str, Any], section: str) -> Any:
    """A section as its dataclass: ``settings(config, "scaling").num_workers``; the defaults when it is not there.

    Raises:
        ConfigError: the section is needed and not there, or holds a key that its dataclass has not.
    """
    kind = SETTINGS[section]
    try:
        return kind(**(config.get(section) or {}))
    except TypeError as error:
        raise ConfigError(f"{section}: {error}") from None
