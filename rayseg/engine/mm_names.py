"""MMNames: what MM's users know on a runner besides its parts, so that their hooks need no change."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rayseg.core import distributed
from rayseg.core.errors import ConfigError, RaysegError
from rayseg.engine.run_logger import RunLogger
from rayseg.engine.visualizer import Visualizer
from rayseg.models.weights import WeightsReport, load_weights

if TYPE_CHECKING:
    from torch import nn

    from rayseg.config import Config
    from rayseg.engine.checkpointer import Checkpointer
    from rayseg.engine.host import Host
    from rayseg.engine.loops import TestLoop, ValLoop
    from rayseg.engine.publisher import Publisher
    from rayseg.engine.runner import Runner


class MMNames:
    """Base of Runner.

    Attributes:
        timestamp: when the run's processes were started, ``20260131_235959``, the same on every rank.
    """

    cfg: Config
    host: Host
    work_dir: Path
    model: nn.Module
    publish: Publisher
    checkpointer: Checkpointer
    val_loop: ValLoop | None
    test_loop: TestLoop | None
    timestamp = ""

    @cached_property
    def logger(self) -> RunLogger:
        """Lines for the log, of the config's ``log_level``."""
        return RunLogger(cast("Runner", self), self.cfg.get("log_level") or "INFO")

    @cached_property
    def visualizer(self) -> Visualizer:
        """Numbers and pictures for the trackers."""
        return Visualizer(cast("Runner", self))

    @property
    def experiment_name(self) -> str:
        """The config's ``experiment_name``, or the name of its file."""
        from rayseg.engine.build import run_name

        return run_name(self.cfg)

    @property
    def distributed(self) -> bool:
        """Whether several processes train together."""
        return self.host.world_size > 1

    @property
    def val_evaluator(self) -> list[Any]:
        """The metrics of validation."""
        return self.val_loop.evaluator if self.val_loop else []

    @property
    def test_evaluator(self) -> list[Any]:
        """The metrics of the test."""
        return self.test_loop.evaluator if self.test_loop else []

    @property
    def test_dataloader(self) -> Any:
        """The test loop's loader, or None."""
        return self.test_loop.dataloader if self.test_loop else None

    def register_hook(self, hook: Any, priority: int | str | None = None) -> None:
        """Add a hook, from its config or live; it takes part from the next stage on.

        Raises:
            ConfigError: it cannot be built, is no Hook, or has no such priority.
        """
        from rayseg.engine.build import register_hook

        register_hook(cast("Runner", self), hook if priority is None else _with_priority(hook, priority))

    def register_default_hooks(self, hooks: Mapping[str, Any] | None = None) -> None:
        """Add hooks by name; None leaves one out. The config's own are there already."""
        from rayseg.engine.build import register_hook

        for name, hook in (hooks or {}).items():
            if hook is not None:
                register_hook(cast("Runner", self), hook, name=name)

    def register_custom_hooks(self, hooks: Sequence[Any]) -> None:
        """Add several hooks."""
        for hook in hooks:
            self.register_hook(hook)

    def register_hooks(
        self, default_hooks: Mapping[str, Any] | None = None, custom_hooks: Sequence[Any] | None = None
    ) -> None:
        """Add hooks by name, then others."""
        self.register_default_hooks(default_hooks)
        self.register_custom_hooks(custom_hooks or ())

    def save_checkpoint(
        self,
        out_dir: str | Path | None = None,
        filename: str | None = None,
        file_client_args: Any = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: Mapping[str, Any] | None = None,
        by_epoch: bool = True,
        backend_args: Any = None,
        *,
        pin: str | None = None,
    ) -> None:
        """Ask for a checkpoint at the next boundary between two iterations. Call it on every rank.

        Args:
            out_dir: MM's; a checkpoint lies in the run's store.
            filename: MM's; its stem labels the checkpoint, as ``pin`` does (``kept_iter_8`` for ``iter_8.pth``).
            save_optimizer, save_param_scheduler, meta: MM's; a checkpoint holds the whole state, and ``meta`` is
                written by a hook's ``before_save_checkpoint``.
            file_client_args, by_epoch, backend_args: MM's, and change nothing.
            pin: a label that keeps it from being pruned and under which it can be loaded.

        Raises:
            RaysegError: called on one rank only, inside ``master_only``.
        """
        if distributed.inside_master_only() and self.host.world_size > 1:
            raise RaysegError(
                "save_checkpoint: every rank writes its part of a checkpoint, so rank 0 alone would wait for ever; "
                "call it outside master_only"
            )
        unkept = [
            *(
                [f"out_dir={str(out_dir)!r}"]
                if out_dir is not None and Path(out_dir).absolute() != self.work_dir
                else []
            ),
            *(["save_optimizer=False"] if not save_optimizer else []),
            *(["save_param_scheduler=False"] if not save_param_scheduler else []),
            *(["meta"] if meta else []),
        ]
        if unkept:
            self.publish.warn_once(
                f"save_checkpoint: {', '.join(unkept)} changes nothing: a checkpoint holds the whole state and lies in "
                "the run's store"
            )
        self.checkpointer.request(pin if filename is None else label_of(filename))

    def load_checkpoint(
        self, filename: str, map_location: Any = "cpu", strict: bool = False, revise_keys: Any = None
    ) -> WeightsReport:
        """Load what fits of a file of weights into the model; what does not fit is logged.

        Args:
            filename: a file, or a URL.
            map_location: MM's; tensors go where the model's are.
            strict: every name must match.
            revise_keys: MM's; names are matched under other prefixes without being told.

        Raises:
            ConfigError: the file cannot be read, nothing fits or, with ``strict``, not everything; ``revise_keys``.
        """
        if revise_keys is not None:
            raise ConfigError("load_checkpoint: revise_keys: names are matched under other prefixes by themselves here")
        report = load_weights(self.model, filename, strict=strict)
        for line in report.lines():
            self.publish.log(line)
        return report


def label_of(filename: str) -> str:
    """The label of a checkpoint that MM would have written as ``filename``."""
    stem = Path(filename).name.removesuffix(".pth")
    return f"kept_{stem}" if re.fullmatch(r"iter_\d+|last", stem) else stem


def _with_priority(hook: Any, priority: int | str) -> Any:
    if isinstance(hook, Mapping):
        return {**hook, "priority": priority}
    hook.priority = priority
    return hook
