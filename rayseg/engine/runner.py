"""Runner: holds the parts of a run and hands them on. Behaviour lives in the parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from rayseg.core import distributed
from rayseg.engine import state
from rayseg.engine.buffers import Reduction
from rayseg.engine.checkpoint_store import Checkpoint
from rayseg.engine.checkpointer import Checkpointer
from rayseg.engine.control import ControlGroup
from rayseg.engine.current import current
from rayseg.engine.hook_list import HookList
from rayseg.engine.host import Host, LocalHost
from rayseg.engine.message_hub import MessageHub
from rayseg.engine.mm_names import MMNames
from rayseg.engine.publisher import Publisher
from rayseg.engine.stopwatch import Stopwatch
from rayseg.engine.train_step import TrainStep, split_batch, warm_up

if TYPE_CHECKING:
    from rayseg.config import Config
    from rayseg.engine.loops import TestLoop, TrainLoop, ValLoop
    from rayseg.optim.schedulers import ParamScheduler
    from rayseg.optim.wrapper import OptimWrapper


class Runner(MMNames):
    """The parts of one run in one process.

    Make it with ``Runner.from_config``; then ``train()``, ``val()`` or ``test()``.

    Args:
        config: the checked and completed config.
        host: where it runs.
        work_dir: the run directory.

    Attributes:
        model: the network as it is called, perhaps wrapped by DDP.
        metainfo: ``classes``, ``palette`` and ``ignore_index`` of the data.
        buffer_reduction: how validation and saves make one set of buffers of all ranks'.
        global_batch_size: images of one iteration over all ranks.
        failure: the exception that is ending the run, for the end stages of hooks.
    """

    model: nn.Module
    metainfo: dict[str, Any]
    optim_wrapper: OptimWrapper
    param_schedulers: list[ParamScheduler]
    train_step: TrainStep
    checkpointer: Checkpointer

    def __init__(self, config: Config, host: Host, work_dir: Path) -> None:
        self.cfg = config
        self.host = host
        self.work_dir = work_dir
        self.control = ControlGroup()
        self.message_hub = MessageHub()
        self.publish = Publisher(self)
        self.stopwatch = Stopwatch()
        self.hooks = HookList()
        self.train_loop: TrainLoop | None = None
        self.val_loop: ValLoop | None = None
        self.test_loop: TestLoop | None = None
        self.start_from: Checkpoint | None = None
        self.buffer_reduction: Reduction = "rank0"
        self.failure: BaseException | None = None
        self.seed = 0
        self.control_interval = 10
        self.global_batch_size = 0
        self.micro_batches = 1

    @classmethod
    def from_config(
        cls,
        config: Any,
        *,
        host: Host | None = None,
        work_dir: str | Path | None = None,
        global_batch_size: int | None = None,
    ) -> Runner:
        """Build every part that the config names, ready to ``train()``.

        Args:
            config: a Config, a dict, or the path of a config file.
            host: where it runs; this process when not given.
            work_dir: the run directory; the config's, or ``work_dirs/<config name>``, when not given.
            global_batch_size: images of one iteration over all ranks; from the config when not given.

        Raises:
            ConfigError: the config is wrong, with every problem in it.
        """
        from rayseg.engine.build import build_training, resolve_config, run_name

        config = resolve_config(config)
        work_dir = Path(work_dir or config.get("work_dir") or Path("work_dirs", run_name(config))).absolute()
        return build_training(config, host or LocalHost(), work_dir, global_batch_size)

    @property
    def rank(self) -> int:
        """This process among the run's."""
        return self.host.rank

    @property
    def world_size(self) -> int:
        """Processes that train together."""
        return self.host.world_size

    @property
    def loop(self) -> TrainLoop:
        """The training loop, of a run that has one."""
        assert self.train_loop is not None, "this runner only tests"
        return self.train_loop

    @property
    def iter(self) -> int:
        """Completed iterations; the one that is running does not count yet. Without a loop, the checkpoint's."""
        if self.train_loop is not None:
            return self.train_loop.iter
        return self.start_from.iter if self.start_from is not None else 0

    @property
    def epoch(self) -> int:
        """Completed passes over the training data."""
        return self.train_loop.epoch if self.train_loop else 0

    @property
    def max_iters(self) -> int:
        """Iterations of the whole run."""
        return self.loop.max_iters

    @property
    def max_epochs(self) -> int:
        """Epochs of the whole run (1 in iteration loops)."""
        return self.loop.max_epochs

    @property
    def train_dataloader(self) -> Any:
        """The training loop's loader."""
        return self.loop.dataloader

    @property
    def val_dataloader(self) -> Any:
        """The validation loop's loader, or None."""
        return self.val_loop.dataloader if self.val_loop else None

    @property
    def epoch_length(self) -> int:
        """Iterations of one pass over the training data; the last one of an iteration loop's pass may be shared."""
        pass_length: int = self.train_dataloader.pass_length
        return -(-pass_length // self.global_batch_size)

    @property
    def passes(self) -> int:
        """Whole passes over the training data that lie behind ``position``."""
        pass_length: int = self.train_dataloader.pass_length
        return self.position // pass_length

    @property
    def position(self) -> int:
        """Training samples consumed by all ranks together: where the data stream goes on."""
        return self.iter * self.global_batch_size

    @property
    def may_stop(self) -> bool:
        """Whether the state could be saved now; a validation inside an accumulation window is not broken off."""
        return self.train_loop is None or self.optim_wrapper.at_boundary

    def call_hook(self, stage: str, **arguments: Any) -> None:
        """Call a stage on every hook that has it, in the order of priorities."""
        self.hooks.call(stage, self, **arguments)

    def predict_step(self, data_batch: Any) -> list[Any]:
        """Predictions for a batch of this rank, by the unwrapped model: a list of SegSample."""
        model = distributed.unwrap(self.model)
        samples: list[Any] = model(data_batch["inputs"], data_batch["data_samples"], mode="predict")
        return samples

    def warm_up(self, data_batch: Any) -> None:
        """Let DDP settle its buckets on a batch that is not trained on."""
        warm_up(self.model, next(split_batch(data_batch, self.micro_batches)))

    def check_hooks(self) -> None:
        """Let every hook refuse the run.

        Raises:
            ConfigError: from the first hook that does.
        """
        for hook in self.hooks:
            hook.check(self)

    def train(self) -> dict[str, Any]:
        """Train to the end or a stop; goes on from the newest checkpoint of the run, if it has any.

        Returns:
            ``{"status": "finished" | "interrupted", "iter": completed iterations}``.
        """
        self.check_hooks()
        with self._run_stages():
            self._begin()
            with self._end_stage("after_train"):
                self.loop.run()
        outcome = {"status": "finished" if self.loop.complete else "interrupted", "iter": self.iter}
        self.publish.event("ended", **outcome)
        return outcome

    def val(self) -> dict[str, float] | None:
        """Validate once; None when it was stopped."""
        assert self.val_loop is not None, "val() needs val_dataloader in the config"
        with self._run_stages():
            return self.val_loop.run()

    def test(self) -> dict[str, float] | None:
        """Test once; None when it was stopped."""
        assert self.test_loop is not None, "test() needs test_dataloader in the config"
        with self._run_stages():
            return self.test_loop.run()

    def close(self) -> None:
        """End the loaders' processes."""
        for loop in (self.train_loop, self.val_loop, self.test_loop):
            if loop is not None and hasattr(loop.dataloader, "close"):
                loop.dataloader.close()

    def _begin(self) -> None:
        from rayseg.optim.grouping import table_lines

        checkpoint = self.start_from
        self.publish.event("attempt", **self._attempt_facts())
        self.publish.event("hooks", table=self.hooks.table())
        self.publish.event("parameter_groups", lines=table_lines(self.optim_wrapper.group_table))
        if checkpoint is not None:
            state.restore(self, checkpoint)
        self.train_dataloader.seek(self.position)
        self.optim_wrapper.initialize_count_status(self.model, self.iter, self.max_iters)

    def _attempt_facts(self) -> dict[str, Any]:
        import torch

        from rayseg.engine.hardware import hardware

        checkpoint = self.start_from
        return {
            "attempt": self.checkpointer.attempt,
            "reason": self.host.reason,
            "start_from": checkpoint.name if checkpoint else None,
            "world_size": self.world_size,
            "global_batch_size": self.global_batch_size,
            "micro_batches": self.micro_batches,
            "device": str(self.host.device),
            "hardware": hardware(),
            "threads": torch.get_num_threads(),
            "seed": self.seed,
            "max_iters": self.max_iters,
            "max_epochs": self.max_epochs if self.loop.by_epoch else None,
        }

    @contextmanager
    def _run_stages(self) -> Iterator[None]:
        with current(self):
            try:
                with self._end_stage("after_run"):
                    self.call_hook("before_run")
                    yield
            finally:
                self.close()

    @contextmanager
    def _end_stage(self, stage: str) -> Iterator[None]:
        """Call an end stage in any case; a failure of its hooks never hides the failure that ended the run."""
        try:
            yield
        except BaseException as error:
            self.failure = error
            try:
                self.call_hook(stage)
            except Exception as second:
                error.add_note(f"and {stage} failed too: {second!r}")
            raise
        self.call_hook(stage)
