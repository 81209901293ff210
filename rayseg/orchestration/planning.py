"""plan: what a run would do, for ``rayseg train --dry-run``. Nothing is started and nothing is written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from rayseg.config import settings
from rayseg.config.settings import DataLoaderSettings, Scaling
from rayseg.core.periods import due
from rayseg.engine.runner import Runner
from rayseg.optim.grouping import GroupRow, table_lines
from rayseg.orchestration.cluster import asked, local_gpus, names_a_cluster, require_local
from rayseg.orchestration.rehearsal import rehearse
from rayseg.orchestration.source import Overrides, Source, resolved
from rayseg.orchestration.training import plan_run

SHOWN_TIMES = 6


@dataclass(frozen=True)
class Plan:
    """A run on paper; ``facts`` holds JSON values by topic."""

    facts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The facts."""
        return self.facts

    def lines(self) -> list[str]:
        """The facts for people."""
        return _lines(self.facts)


def plan(
    source: Source,
    *,
    overrides: Overrides = (),
    work_dir: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    resume: bool = False,
    auto_resume: bool = False,
    local: bool = False,
) -> Plan:
    """What ``train`` with the same arguments would do.

    Raises:
        ConfigError: what ``train`` would raise.
    """
    config, run_dir = plan_run(source, overrides, work_dir, workers, resume=resume, auto_resume=auto_resume)
    scaling: Scaling = settings(config, "scaling")
    if not local and not names_a_cluster():
        require_local(scaling)
    runner = rehearse(config, run_dir.path, run_dir.start_from, workers=1 if local else scaling.num_workers)
    start = run_dir.start_from
    return Plan(
        {
            "run_dir": str(run_dir.path),
            "start_from": {"checkpoint": start.name, "iter": start.iter} if start else None,
            "model": _model(runner),
            "parameter_groups": _groups(runner),
            "hooks": {stage: [f"{name} ({number})" for number, name in calls] for stage, calls in runner.hooks.table()},
            "data": _data(runner),
            "batch": _batch(runner, scaling),
            "workers": _workers(runner, scaling, local),
            "length": _length(runner),
            "validations": _validations(runner),
            "checkpoints": _checkpoints(runner),
            "notes": [
                *resolved(config)[1],
                *getattr(runner.model, "notes", ()),
                *(note for hook in runner.hooks for note in hook.notes),
                *_misfits(runner),
                *_inexact(runner),
            ],
        }
    )


def _model(runner: Runner) -> dict[str, Any]:
    parameters = list(runner.model.parameters())
    return {
        "type": runner.cfg["model"]["type"],
        "net": type(getattr(runner.model, "net", runner.model)).__name__,
        "parameters": sum(p.numel() for p in parameters),
        "trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "classes": list(runner.metainfo["classes"]),
    }


def _groups(runner: Runner) -> list[dict[str, Any]]:
    return [
        {
            "name": row.name,
            "tensors": row.tensors,
            "parameters": row.values,
            "lr": row.lr,
            "weight_decay": row.weight_decay,
            "note": row.note,
        }
        for row in runner.optim_wrapper.group_table
    ]


def _data(runner: Runner) -> dict[str, Any]:
    loaders = {"train": runner.train_dataloader, "val": runner.val_dataloader}
    return {split: len(loader.dataset) for split, loader in loaders.items() if loader is not None}


def _batch(runner: Runner, scaling: Scaling) -> dict[str, Any]:
    counts = int(getattr(runner.optim_wrapper, "accumulative_counts", 1))
    return {
        "per_worker": runner.global_batch_size // scaling.num_workers,
        "global": runner.global_batch_size,
        "accumulative_counts": counts,
        "per_optimizer_step": runner.global_batch_size * counts,
    }


def _workers(runner: Runner, scaling: Scaling, local: bool) -> dict[str, Any]:
    if local:
        return {"where": "this process", "num_workers": 1, "resources_per_worker": {}, "gradient_bytes": 0}
    gradients = sum(p.numel() * p.element_size() for p in runner.model.parameters() if p.requires_grad)
    return {
        "where": os.environ.get("RAY_ADDRESS", "the connected Ray") if names_a_cluster() else "a local Ray",
        "num_workers": scaling.num_workers,
        "resources_per_worker": asked(scaling, local_gpus()),
        "strategy": scaling.strategy,
        "gradient_bytes": gradients if scaling.num_workers > 1 else 0,
    }


def _length(runner: Runner) -> dict[str, Any]:
    loader: DataLoaderSettings = settings(runner.cfg, "train_dataloader")
    samples = runner.max_iters * runner.global_batch_size
    return {
        "loop": type(runner.loop).__name__,
        "max_iters": runner.max_iters,
        "max_epochs": runner.max_epochs if runner.loop.by_epoch else None,
        "passes": samples / len(runner.train_dataloader.dataset),
        "loader_processes_per_worker": loader.num_workers,
    }


def _validations(runner: Runner) -> dict[str, Any]:
    loop = runner.loop
    if runner.val_loop is None:
        return {"unit": "iter", "at": []}
    last = loop.max_epochs if loop.by_epoch else loop.max_iters
    at = [n for n in _steps(loop.val_interval, last) if n >= loop.val_begin and due(n, loop.val_interval, last=last)]
    return {"unit": "epoch" if loop.by_epoch else "iter", "at": at}


def _checkpoints(runner: Runner) -> dict[str, Any]:
    from rayseg.hooks.checkpoint import CheckpointHook

    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    if hook is None:
        return {"unit": "iter", "at": [], "bytes": 0}
    by_epoch = runner.loop.by_epoch if hook.by_epoch is None else hook.by_epoch
    end = runner.max_epochs if by_epoch else runner.max_iters
    last = end if hook.save_last else None
    at = [n for n in _steps(1, end) if due(n, hook.interval, begin=hook.save_begin, last=last)]
    return {
        "unit": "epoch" if by_epoch else "iter",
        "at": at,
        "kept": hook.max_keep_ckpts if hook.max_keep_ckpts > 0 else None,
        "best_by": hook.metrics,
        "bytes": _checkpoint_bytes(runner),
    }


def _steps(every: int, last: int) -> range | list[int]:
    return range(1, last + 1) if every == 1 else sorted({*range(every, last + 1, every), last})


def _checkpoint_bytes(runner: Runner) -> int | None:
    """Weights, optimizer state and an average's raw weights, from shapes alone; None when no step can be tried."""
    from rayseg.hooks.ema import EMAHook

    model = runner.model
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    raw = sum(p.numel() * p.element_size() for p in model.parameters())
    averaged = any(isinstance(hook, EMAHook) for hook in runner.hooks)
    optimizer = runner.optim_wrapper.optimizer
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    try:
        optimizer.step()
    except Exception:
        return None
    tensors = [v for state in optimizer.state.values() for v in state.values() if isinstance(v, torch.Tensor)]
    moments = sum(v.numel() * v.element_size() for v in tensors)
    return int(weights + (raw if averaged else 0) + moments)


def _misfits(runner: Runner) -> list[str]:
    """Schedules that do not fit the run."""
    return [
        f"param_scheduler: {type(schedule).__name__} {misfit}"
        for schedule in runner.param_schedulers
        if (misfit := schedule.misfit())
    ]


def _inexact(runner: Runner) -> list[str]:
    """Why the loss would depend on the number of workers, if it does."""
    kinds = {type(module).__name__ for module in runner.model.modules()}
    batch_norm = sorted(kind for kind in kinds if kind.startswith("BatchNorm"))
    if not batch_norm:
        return []
    return [f"{batch_norm[0]} sees one worker's images: the loss curve depends on the number of workers"]


def _lines(facts: dict[str, Any]) -> list[str]:
    model, batch, length, workers = facts["model"], facts["batch"], facts["length"], facts["workers"]
    lines = [f"run directory   {facts['run_dir']}"]
    if (start := facts["start_from"]) is not None:
        lines.append(f"goes on from    {start['checkpoint']}")
    lines += [
        f"model           {model['type']}({model['net']}): {model['parameters']:,} parameters, "
        f"{model['trainable']:,} of them trained; {len(model['classes'])} classes: {', '.join(model['classes'])}",
        *(f"group           {line}" for line in _group_lines(facts["parameter_groups"])),
        f"data            {', '.join(f'{split} {count:,} images' for split, count in facts['data'].items())}",
        f"batch           {batch['per_worker']} a worker, {batch['global']} in all"
        + (f", {batch['per_optimizer_step']} an optimizer step" if batch["accumulative_counts"] > 1 else ""),
        f"workers         {workers['num_workers']} in {workers['where']}"
        + "".join(f", {amount:g} {name} each" for name, amount in workers["resources_per_worker"].items())
        + f", {length['loader_processes_per_worker']} loader processes each",
        *_gradients(workers["gradient_bytes"]),
        f"length          {length['loop']}: {length['max_iters']:,} iterations, {length['passes']:.1f} passes",
        f"validations     {_times(facts['validations'])}",
        f"checkpoints     {_times(facts['checkpoints'])}{_size(facts['checkpoints'])}",
        *(f"hooks           {stage}: {', '.join(names)}" for stage, names in facts["hooks"].items()),
        *(f"note            {note}" for note in facts["notes"]),
    ]
    return lines


def _gradients(size: int) -> list[str]:
    return [f"gradients       {size / 2**20:.1f} MiB, summed over the workers in each optimizer step"] if size else []


def _group_lines(groups: list[dict[str, Any]]) -> list[str]:
    rows = [GroupRow(g["name"], g["lr"], g["weight_decay"], g["tensors"], g["parameters"], g["note"]) for g in groups]
    return table_lines(rows)


def _times(times: dict[str, Any]) -> str:
    at = times["at"]
    if not at:
        return "none"
    shown = [str(n) for n in at] if len(at) <= SHOWN_TIMES else [*map(str, at[: SHOWN_TIMES - 2]), "...", str(at[-1])]
    return f"{len(at)}, after {times['unit']} {', '.join(shown)}"


def _size(checkpoints: dict[str, Any]) -> str:
    size = checkpoints["bytes"]
    return f"; about {size / 2**20:.1f} MiB each" if size else ""
