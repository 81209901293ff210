"""The loops. This file is the training algorithm: every hook stage stands where it happens.

Between two iterations is the *boundary*: there, and only there, checkpoints are written, ranks agree on commits and
stops (control points), and validation runs. So a checkpoint always holds whole iterations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

from rayseg.core.errors import ConfigError
from rayseg.core.periods import due
from rayseg.core.randomness import forked_rng
from rayseg.engine.buffers import shared_buffers

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner


class TrainLoop:
    """What both training loops share: the iteration, the boundary after it, and when validation is due.

    Attributes:
        iter: completed iterations (global batches), also those before a resume.
        epoch: completed epochs.
        last_validated: the count (iterations or epochs) after which the last validation ran.
        end_reason: why the training ends before its time, None if it does not.
        end_agreed: all ranks know that it does.
    """

    by_epoch: bool
    max_iters: int
    max_epochs: int

    def __init__(self, runner: Runner, dataloader: Any, val_interval: int, val_begin: int) -> None:
        self.runner = runner
        self.dataloader = dataloader
        self.val_interval = val_interval
        self.val_begin = val_begin
        self.iter = 0
        self.epoch = 0
        self.last_validated = 0
        self.stop_agreed = False
        self.end_agreed = False
        self.end_reason: str | None = None
        self._batches: Iterator[Any] | None = None

    @property
    def stopping(self) -> bool:
        """Whether all ranks agreed to stop and the accumulation window is closed, so that the state can be saved."""
        return self.stop_agreed and self.runner.optim_wrapper.at_boundary

    @property
    def ended_early(self) -> bool:
        """Whether all ranks agreed that the training is over and the accumulation window is closed."""
        return self.end_agreed and self.runner.optim_wrapper.at_boundary

    @property
    def finished(self) -> bool:
        """Whether no iteration is left."""
        raise NotImplementedError

    def end_early(self, reason: str) -> None:
        """Ask that the training ends, as finished: at the next control point, in an epoch loop after its epoch."""
        self.end_reason = self.end_reason or reason

    @property
    def stop_training(self) -> bool:
        """Whether this rank asked for the training's end; MM's hooks set it."""
        return self.end_reason is not None

    @stop_training.setter
    def stop_training(self, wanted: bool) -> None:
        if not self.end_agreed:
            self.end_reason = (self.end_reason or "a hook set stop_training") if wanted else None

    @property
    def complete(self) -> bool:
        """Whether nothing is left, not even a validation that a stop skipped or broke off."""
        return self.finished and not self.validation_due

    def _validation_count(self) -> tuple[int, int]:
        """The counter that ``val_interval`` counts in, and its last value."""
        raise NotImplementedError

    @property
    def validation_due(self) -> bool:
        """Whether a validation belongs between the last completed iteration and the next."""
        count, last = self._validation_count()
        if self.runner.val_loop is None or count == self.last_validated or count < self.val_begin:
            return False
        return due(count, self.val_interval, last=last)

    def next_batch(self) -> Any:
        """The next batch of the endless stream."""
        if self._batches is None:
            self._batches = iter(self.dataloader)
        return next(self._batches)

    def peek_batch(self) -> Any:
        """The next batch, which stays the next one."""
        batch = self.next_batch()
        assert self._batches is not None
        self._batches = chain([batch], self._batches)
        return batch

    def run_iter(self, batch_idx: int) -> None:
        """One iteration: a global batch, one forward and backward of every rank."""
        runner, watch = self.runner, self.runner.stopwatch
        with watch.data:
            data_batch = self.next_batch()
        with watch.hooks:
            runner.call_hook("before_train_iter", batch_idx=batch_idx, data_batch=data_batch)
        outputs = runner.train_step(data_batch)
        with watch.hooks:
            runner.call_hook("after_train_iter", batch_idx=batch_idx, data_batch=data_batch, outputs=outputs)
        self.iter += 1

    def boundary(self, *, is_control_point: bool = False) -> None:
        """Between two iterations: write a requested checkpoint; at control points commit it and learn of a stop."""
        checkpointer = self.runner.checkpointer
        is_control_point |= due(self.iter, self.runner.control_interval) or self.validation_due or self.finished
        with self.runner.stopwatch.checkpoint:
            checkpointer.stage_if_requested()
            agreement = checkpointer.control_point() if is_control_point else None
        if agreement is not None and agreement.stop:
            self.agree_to_stop()
        if agreement is not None and agreement.end:
            self._agree_to_end()

    def agree_to_stop(self) -> None:
        """All ranks know that the run is to stop."""
        if not self.stop_agreed:
            self.stop_agreed = True
            self.runner.publish.event("stopping", reason=self.runner.host.stop_reason() or "asked of another worker")

    def _agree_to_end(self) -> None:
        if not self.end_agreed:
            self.end_agreed, self.end_reason = True, self.end_reason or "asked of another worker"
            self.runner.publish.log(f"training ends before its time, after iteration {self.iter}: {self.end_reason}")

    def validate_if_due(self) -> None:
        """Run the validation that is due here; one that was broken off by a stop stays due."""
        if self.stopping or not self.validation_due:
            return
        assert self.runner.val_loop is not None
        with self.runner.stopwatch.validation:
            metrics = self.runner.val_loop.run()
        self.runner.publish.times()
        if metrics is None:
            self.agree_to_stop()
            return
        self.last_validated, _ = self._validation_count()
        self.runner.model.train()
        self.boundary(is_control_point=True)

    def finish(self) -> None:
        """At the end: a run that ends before its time is saved where it stands, and what was staged is committed."""
        if self.stopping or (self.ended_early and self._batches is not None):
            self.runner.checkpointer.request()
        with self.runner.stopwatch.checkpoint:
            self.runner.checkpointer.stage_if_requested()
            self.runner.checkpointer.control_point()
        self.runner.publish.times()

    def run(self) -> None:
        """Train until the end or a stop."""
        runner = self.runner
        runner.call_hook("before_train")
        runner.model.train()
        self.validate_if_due()
        if not self.finished and not self.stopping:
            runner.warm_up(self.peek_batch())
        self.train()
        self.finish()

    def train(self) -> None:
        """The iterations and what surrounds them."""
        raise NotImplementedError


class IterBasedTrainLoop(TrainLoop):
    """Counts iterations; the data is an endless stream whose batches cross passes.

    Args:
        max_iters: iterations in all.
        val_interval: validate after each so many iterations, and after the last.
        val_begin: the first iteration after which validation may run.
    """

    by_epoch = False

    def __init__(
        self, runner: Runner, dataloader: Any, max_iters: int, val_interval: int = 1000, val_begin: int = 1
    ) -> None:
        super().__init__(runner, dataloader, val_interval, val_begin)
        if max_iters < 1:
            raise ConfigError(f"train_cfg.max_iters: expected at least 1, found {max_iters}")
        self.max_iters = max_iters
        self.max_epochs = 1

    @property
    def finished(self) -> bool:
        """Whether ``max_iters`` is reached, or the end was agreed on."""
        return self.iter >= self.max_iters or self.ended_early

    def _validation_count(self) -> tuple[int, int]:
        return self.iter, self.max_iters

    def train(self) -> None:
        """All iterations, as one epoch for the hooks' epoch stages."""
        runner = self.runner
        runner.call_hook("before_train_epoch")
        while not self.finished and not self.stopping:
            self.run_iter(batch_idx=self.iter)
            self.epoch = runner.passes
            self.boundary()
            self.validate_if_due()
        if self.complete:
            runner.call_hook("after_train_epoch")


class EpochBasedTrainLoop(TrainLoop):
    """Counts epochs: passes over the data, without the last incomplete batch unless the loader pads it.

    Args:
        max_epochs: epochs in all.
        val_interval: validate after each so many epochs, and after the last.
        val_begin: the first epoch after which validation may run.
    """

    by_epoch = True

    def __init__(
        self, runner: Runner, dataloader: Any, max_epochs: int, val_interval: int = 1, val_begin: int = 1
    ) -> None:
        super().__init__(runner, dataloader, val_interval, val_begin)
        if max_epochs < 1:
            raise ConfigError(f"train_cfg.max_epochs: expected at least 1, found {max_epochs}")
        self.max_epochs = max_epochs
        self.epoch_length = dataloader.pass_length // runner.global_batch_size
        self.max_iters = max_epochs * self.epoch_length

    @property
    def finished(self) -> bool:
        """Whether ``max_epochs`` is reached, or the end was agreed on."""
        return self.epoch >= self.max_epochs or self.ended_early

    def _validation_count(self) -> tuple[int, int]:
        return self.epoch, self.max_epochs

    def train(self) -> None:
        """The epochs that are left; the first one may begin in its middle."""
        while not self.finished and not self.stopping:
            self.run_epoch()
            self.validate_if_due()

    def run_epoch(self) -> None:
        """The rest of an epoch."""
        runner = self.runner
        runner.call_hook("before_train_epoch")
        while (batch_idx := self.iter - self.epoch * self.epoch_length) < self.epoch_length:
            self.run_iter(batch_idx)
            if batch_idx + 1 < self.epoch_length:
                self.boundary()
                if self.stopping:
                    return
        runner.call_hook("after_train_epoch")
        self.epoch += 1
        self.boundary(is_control_point=True)


class ValLoop:
    """One pass over the validation data, each image once over all ranks, then one all-reduce.

    Validation leaves no trace in training: random generators and per-rank buffers are as before.

    Args:
        dataloader: yields batches of this rank; a rank may have none.
        evaluator: the metrics.
    """

    mode = "val"

    def __init__(self, runner: Runner, dataloader: Any, evaluator: Sequence[Any]) -> None:
        self.runner = runner
        self.dataloader = dataloader
        self.evaluator = list(evaluator)

    def metric_names(self) -> set[str]:
        """The names of the numbers that a validation gives, known before any image was seen."""
        for metric in self.evaluator:
            metric.reset()
        return {"loss", *(name for metric in self.evaluator for name in metric.compute())}

    def run(self) -> dict[str, float] | None:
        """The metrics, or None when a stop broke the pass off on some rank (then every rank gets None)."""
        runner, mode = self.runner, self.mode
        with forked_rng(), shared_buffers(runner.model, runner.buffer_reduction):
            runner.call_hook(f"before_{mode}")
            runner.call_hook(f"before_{mode}_epoch")
            runner.model.eval()
            for metric in self.evaluator:
                metric.reset()
            broken = self.run_batches()
            metrics = self.evaluate(broken)
            runner.call_hook(f"after_{mode}_epoch", metrics=metrics)
            runner.call_hook(f"after_{mode}")
        return metrics

    @torch.no_grad()
    def run_batches(self) -> bool:
        """Predict and count every batch of this rank; True when a stop broke it off."""
        for batch_idx, data_batch in enumerate(self.dataloader):
            if self.runner.may_stop and self.runner.host.stop_reason():
                return True
            self.run_iter(batch_idx, data_batch)
        return False

    def run_iter(self, batch_idx: int, data_batch: Any) -> None:
        """One batch."""
        runner, mode = self.runner, self.mode
        runner.call_hook(f"before_{mode}_iter", batch_idx=batch_idx, data_batch=data_batch)
        outputs = runner.predict_step(data_batch)
        for metric in self.evaluator:
            metric.process(data_batch, outputs)
        runner.call_hook(f"after_{mode}_iter", batch_idx=batch_idx, data_batch=data_batch, outputs=outputs)

    def evaluate(self, broken: bool) -> dict[str, float] | None:
        """The metrics of all ranks together."""
        metrics: dict[str, float] = {}
        any_broken = [metric.reduce(broken=broken) for metric in self.evaluator]
        if any(any_broken):
            return None
        for metric in self.evaluator:
            metrics.update(metric.compute())
        return metrics


class TestLoop(ValLoop):
    """The validation loop over the test data, with the test stages."""

    __test__ = False
    mode = "test"
