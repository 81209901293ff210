"""From a checked config to a Runner: each part is built by its room's builder, in the order that seeds depend on."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Mapping
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rayseg.config import Config, check_config, complete_config, import_custom, load_config, resolve_env, settings
from rayseg.config.settings import DataLoaderSettings, EnvSettings, Randomness, Scaling
from rayseg.core import distributed
from rayseg.core.errors import ConfigError, RaysegError
from rayseg.core.randomness import derive_seed, seed_all
from rayseg.core.registries import HOOKS, LOOPS, METRICS, MODELS
from rayseg.data.loader import build_dataset, build_eval_dataloader, build_train_dataloader, resolve_batch_size
from rayseg.engine.checkpoint_store import CheckpointStore
from rayseg.engine.checkpointer import Checkpointer
from rayseg.engine.current import current
from rayseg.engine.host import Host
from rayseg.engine.runner import Runner
from rayseg.engine.train_step import TrainStep
from rayseg.models.pretrained import without_pretrained
from rayseg.models.switches import apply_env
from rayseg.models.weights import load_weights
from rayseg.optim.build import build_optim_wrapper
from rayseg.optim.schedulers import build_param_schedulers


def resolve_config(config: Any) -> Config:
    """A checked and completed Config from a path, a dict or a Config.

    Raises:
        ConfigError: with every problem of the config.
    """
    if isinstance(config, str | os.PathLike):
        config = load_config(config)
    elif not isinstance(config, Config):
        config = Config.from_dict(dict(config))
    completed = complete_config(config)
    check_config(completed)
    return completed


def store_of(config: Config, work_dir: Path) -> CheckpointStore:
    """The run's checkpoint store: ``checkpoint_store.url`` or ``<work_dir>/checkpoints``."""
    return CheckpointStore(settings(config, "checkpoint_store").url or work_dir / "checkpoints")


def run_name(config: Config) -> str:
    """What a run is called when nobody named it: the experiment, or the config file without its suffix."""
    name: str = config.get("experiment_name") or (config.filename.stem if config.filename else "run")
    return name


def build_training(config: Config, host: Host, work_dir: Path, global_batch_size: int | None = None) -> Runner:
    """A Runner that can train, of a checked and completed config; claims the next attempt of the run.

    A collective: every rank calls it.
    """
    runner = Runner(config, host, work_dir)
    store = store_of(config, work_dir)
    attempt = distributed.on_rank0(store.claim_attempt, runner.control.group)
    distributed.on_rank0(lambda: store.clean(attempt), runner.control.group)
    runner.checkpointer = Checkpointer(runner, store, attempt)
    runner.start_from = distributed.on_rank0(store.latest, runner.control.group)
    if runner.start_from is not None:
        runner.checkpointer.repin(runner.start_from)
    elif (outside := host.start_from()) is not None:
        runner.start_from = distributed.on_rank0(lambda: store.load(outside), runner.control.group)
    build_parts(runner, global_batch_size)
    for warning in store.warnings:
        runner.publish.warning(warning)
    store.warnings.clear()
    return runner


def build_parts(runner: Runner, global_batch_size: int | None = None) -> None:
    """Data, model, optimization and hooks of a runner that may have a checkpoint to start from."""
    runner.timestamp = distributed.broadcast_object(time.strftime("%Y%m%d_%H%M%S"), runner.control.group)
    with current(runner):
        for failed_import in import_custom(runner.cfg):
            runner.publish.warning(failed_import)
        _prepare_process(runner)
        _build_data(runner, global_batch_size)
        _build_model(runner)
        _build_optimization(runner)
        register_hooks(runner)


def build_testing(config: Config, host: Host, work_dir: Path) -> Runner:
    """A Runner that can test, of a checked and completed config: the test data, the model, the hooks."""
    runner = Runner(config, host, work_dir)
    runner.timestamp = distributed.broadcast_object(time.strftime("%Y%m%d_%H%M%S"), runner.control.group)
    with current(runner):
        import_custom(config)
        _prepare_process(runner)
        runner.test_loop = eval_loop(runner, "test")
        if runner.test_loop is None:
            raise ConfigError("test_dataloader: nothing to test on; give test_dataloader or val_dataloader")
        runner.metainfo = dict(runner.test_loop.dataloader.dataset.metainfo)
        runner.model = build_model(resolve_env(config), runner.metainfo, host.device)
        register_hooks(runner)
    return runner


def _prepare_process(runner: Runner) -> None:
    randomness: Randomness = settings(runner.cfg, "randomness")
    env: EnvSettings = settings(runner.cfg, "env_cfg")
    checkpoint = runner.start_from
    threads = checkpoint.facts["threads"] if checkpoint else randomness.threads
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = env.cudnn_benchmark and not randomness.deterministic
    if randomness.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    runner.seed = randomness.seed
    runner.control_interval = max(1, env.control_interval)


def _build_data(runner: Runner, global_batch_size: int | None) -> None:
    config, host = resolve_env(runner.cfg), runner.host
    loader: DataLoaderSettings = settings(config, "train_dataloader")
    scaling: Scaling = settings(config, "scaling")
    per_worker, from_config = resolve_batch_size(loader, scaling.num_workers)
    checkpoint = runner.start_from
    runner.global_batch_size = checkpoint.facts["global_batch_size"] if checkpoint else global_batch_size or from_config
    runner.micro_batches = pieces_of(share_of(runner.global_batch_size, host.world_size), per_worker)
    dataset = build_dataset(loader.dataset)
    runner.metainfo = dict(dataset.metainfo)
    dataloader = build_train_dataloader(
        loader,
        dataset=dataset,
        seed=runner.seed,
        rank=host.rank,
        world_size=host.world_size,
        global_batch_size=runner.global_batch_size,
        epoch_based=LOOPS.resolve(config["train_cfg"]["type"]).by_epoch,  # type: ignore[attr-defined]
        device=host.device,
        start_method=_start_method(config),
    )
    runner.train_loop = LOOPS.build(config["train_cfg"], runner=runner, dataloader=dataloader)
    runner.val_loop = eval_loop(runner, "val")


def eval_loop(runner: Runner, mode: str) -> Any:
    """The validation or test loop over this rank's share of the images; None without such data."""
    config = resolve_env(runner.cfg)
    if not config.get(f"{mode}_dataloader"):
        return None
    loader: DataLoaderSettings = settings(config, f"{mode}_dataloader")
    dataloader = build_eval_dataloader(
        loader,
        rank=runner.rank,
        world_size=runner.world_size,
        device=runner.host.device,
        start_method=_start_method(config),
        dataset=_eval_dataset(loader, mode),
    )
    device = "cpu" if runner.host.device.type == "meta" else runner.host.device
    evaluators = config[f"{mode}_evaluator"]
    metrics = [
        METRICS.build(evaluator, metainfo=dataloader.dataset.metainfo, device=device)
        for evaluator in (evaluators if isinstance(evaluators, list) else [evaluators])
    ]
    return LOOPS.build(config[f"{mode}_cfg"], runner=runner, dataloader=dataloader, evaluator=metrics)


def _eval_dataset(loader: DataLoaderSettings, mode: str) -> Any:
    try:
        return build_dataset(loader.dataset, test_mode=True)
    except ConfigError as error:
        problems = [problem.below(f"{mode}_dataloader.dataset") for problem in error.problems]
        raise ConfigError(problems) from error.__cause__


def _start_method(config: Mapping[str, Any]) -> str | None:
    env: EnvSettings = settings(config, "env_cfg")
    return (env.mp_cfg or {}).get("mp_start_method")


def share_of(global_batch_size: int, world_size: int) -> int:
    """Images of one rank in one iteration.

    Raises:
        ConfigError: the ranks do not divide the global batch; names the world sizes that do.
    """
    if global_batch_size % world_size:
        divisors = [n for n in range(1, global_batch_size + 1) if global_batch_size % n == 0]
        raise ConfigError(
            f"scaling.num_workers: {world_size} workers do not divide the run's global batch of {global_batch_size}; "
            f"possible are {', '.join(map(str, divisors))}"
        )
    return global_batch_size // world_size


def pieces_of(share: int, per_worker: int) -> int:
    """Into how many equal micro-batches a rank splits its share so that none is larger than ``per_worker``."""
    return next(n for n in range(1, share + 1) if share % n == 0 and share // n <= per_worker)


def build_model(
    config: Mapping[str, Any], metainfo: dict[str, Any], device: torch.device, *, fresh: bool = False
) -> nn.Module:
    """The segmentor on its device, with the switches of ``env_cfg``; the same weights on every rank.

    On the ``meta`` device it has names and shapes and no values. Pretrained weights are fetched for a ``fresh`` model
    only; the others are about to get their own.
    """
    seed_all(derive_seed(settings(config, "randomness").seed, "weights"))
    described = config["model"] if fresh and device.type != "meta" else without_pretrained(config["model"])
    if device.type == "meta":  # a live network keeps its values
        described = deepcopy(described)
    with device if device.type == "meta" else nullcontext():
        model: nn.Module = MODELS.build(described, metainfo=metainfo)
    return apply_env(model.to(device), settings(config, "env_cfg"))


def _build_model(runner: Runner) -> None:
    config = resolve_env(runner.cfg)
    fresh = runner.start_from is None
    runner.model = build_model(config, runner.metainfo, runner.host.device, fresh=fresh)
    if config.get("load_from") and fresh:
        try:
            report = load_weights(runner.model, config["load_from"])
        except ConfigError as error:
            raise ConfigError(f"load_from: {error}") from None
        for line in report.lines():
            runner.publish.log(line)
    seed_all(derive_seed(runner.seed, "rank", runner.rank))


def _build_optimization(runner: Runner) -> None:
    config = runner.cfg
    runner.optim_wrapper = build_optim_wrapper(runner.model, config["optim_wrapper"])
    runner.param_schedulers = build_param_schedulers(
        config.get("param_scheduler"),
        runner.optim_wrapper,
        epoch_length=runner.epoch_length,
        max_iters=runner.max_iters,
        by_epoch_loop=runner.loop.by_epoch,
    )
    _refuse_static_graph(runner)
    if runner.world_size > 1:
        runner.model = _wrap_ddp(runner.model, settings(config, "env_cfg"), runner.host.device)
    runner.train_step = TrainStep(runner.model, runner.optim_wrapper, runner.micro_batches, runner.stopwatch)


def _refuse_static_graph(runner: Runner) -> None:
    """DDP's static graph asserts in an iteration without a reduction of gradients (pytorch#143580)."""
    env: EnvSettings = settings(runner.cfg, "env_cfg")
    counts = int(getattr(runner.optim_wrapper, "accumulative_counts", 1))
    if env.static_graph and counts > 1:
        raise ConfigError(
            f"env_cfg.static_graph: True beside optim_wrapper.accumulative_counts={counts}: DDP cannot leave out a "
            "reduction of gradients then; take one of them out"
        )
    if env.static_graph and runner.micro_batches > 1:
        raise ConfigError(
            f"env_cfg.static_graph: True, but each worker splits its share into {runner.micro_batches} parts to keep "
            "the global batch, and DDP cannot leave out a reduction of gradients; use as many workers as before"
        )


def _wrap_ddp(model: nn.Module, env: EnvSettings, device: torch.device) -> nn.Module:
    ddp = nn.parallel.DistributedDataParallel
    renamed = "forward_sync_buffers" in inspect.signature(ddp).parameters  # from torch 2.14 on
    own_buffers: dict[str, Any] = {"forward_sync_buffers" if renamed else "broadcast_buffers": False}
    wrapped = ddp(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=env.find_unused_parameters,
        gradient_as_bucket_view=env.gradient_as_bucket_view,
        bucket_cap_mb=env.bucket_cap_mb,
        static_graph=env.static_graph,
        **own_buffers,
    )
    if frozen := {name: value for name, value in model.named_parameters() if not value.requires_grad}:
        wrapped.register_forward_pre_hook(lambda *_: _refuse_unfrozen(frozen))
    return wrapped


def _refuse_unfrozen(frozen: dict[str, nn.Parameter]) -> None:
    """DDP reduces no gradient of a parameter that was frozen when it was made: every rank would train its own."""
    if unfrozen := [name for name, value in frozen.items() if value.requires_grad]:
        raise RaysegError(
            f"{unfrozen[0]} was frozen when the model was built and is to be trained now, which the other workers "
            "would not learn of; leave it trainable in the config, freeze it in a hook's before_train, and set "
            "env_cfg.find_unused_parameters=True"
        )


def register_hooks(runner: Runner) -> None:
    """RuntimeInfoHook, the default hooks by name, then the custom ones."""
    register_hook(runner, {"type": "RuntimeInfoHook"}, name="runtime_info")
    for name, hook in runner.cfg["default_hooks"].items():
        if hook is not None:
            register_hook(runner, hook, name=name)
    for index, hook in enumerate(runner.cfg.get("custom_hooks") or []):
        try:
            register_hook(runner, hook)
        except ConfigError as error:
            raise ConfigError(f"custom_hooks.{index}: {error}") from None
    _warn_of_moved_hooks(runner)


def _warn_of_moved_hooks(runner: Runner) -> None:
    defaults = runner.cfg["default_hooks"].items()
    moved = [name for name, hook in defaults if isinstance(hook, dict) and hook.get("priority") is not None]
    usual, now = runner.hooks.names(usual=moved), runner.hooks.names()
    if now != usual:
        runner.publish.warning(
            f"default_hooks: {', '.join(moved)} with another priority than usual: "
            f"hooks run in the order {', '.join(now)} instead of {', '.join(usual)}"
        )


def register_hook(runner: Runner, hook: Any, *, name: str | None = None) -> None:
    """Build a hook from its config (or take a live one) and register it under its ``priority``."""
    priority = None
    if isinstance(hook, dict):
        hook = dict(hook)
        priority = hook.pop("priority", None)
    runner.hooks.register(HOOKS.build(hook), name=name, priority=priority)
