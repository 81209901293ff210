"""Hook: what runs beside the training loop, at the stages that ``engine/loops.py`` shows in place.

Stage names and signatures are MMEngine's, so a hook written for it ports by changing its import.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rayseg.core.errors import ConfigError, did_you_mean, edit_distance
from rayseg.core.periods import due

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner

DataBatch = Mapping[str, Any] | None
Outputs = Mapping[str, Any] | Sequence[Any] | None

PRIORITIES = {
    "HIGHEST": 0,
    "VERY_HIGH": 10,
    "HIGH": 30,
    "ABOVE_NORMAL": 40,
    "NORMAL": 50,
    "BELOW_NORMAL": 60,
    "LOW": 70,
    "VERY_LOW": 90,
    "LOWEST": 100,
}

FALLBACKS = {
    f"{when}_{mode}_{what}": f"_{when}_{what}"
    for mode in ("train", "val", "test")
    for what in ("epoch", "iter")
    for when in ("before", "after")
}
STAGES = (
    "before_run",
    "after_load_checkpoint",
    *(
        f"{when}_{mode}{what}"
        for mode in ("train", "val", "test")
        for when, what in (
            ("before", ""),
            ("before", "_epoch"),
            ("before", "_iter"),
            ("after", "_iter"),
            ("after", "_epoch"),
            ("after", ""),
        )
    ),
    "before_save_checkpoint",
    "after_run",
)


def priority_number(priority: int | str) -> int:
    """The number of a priority: 0 (first) to 100 (last).

    Raises:
        ConfigError: an unknown name, or a number outside 0–100.
    """
    if isinstance(priority, int) and not isinstance(priority, bool) and 0 <= priority <= 100:
        return priority
    if isinstance(priority, str) and priority.upper() in PRIORITIES:
        return PRIORITIES[priority.upper()]
    hint = did_you_mean(priority, PRIORITIES) if isinstance(priority, str) else ""
    raise ConfigError(f"priority {priority!r}: expected an int from 0 to 100 or one of {', '.join(PRIORITIES)}{hint}")


class Hook:
    """Base class of hooks: override the stages that you need; the others cost nothing.

    ``priority`` (a name or an int, lower runs first) is the default for the class; a config may override it.
    Within an iteration ``runner.iter`` is the number of *completed* iterations: 0 during the first.

    ``notes`` are lines for ``--dry-run``, such as of an argument that changes nothing here.

    A subclass with a method that looks like a stage and is none (``after_train_itr``) is refused when it is defined.
    """

    stages = STAGES
    priority: int | str = "NORMAL"
    notes: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__mro__:
            if base is not Hook and base is not object:
                _refuse_misspelt_stages(cls, vars(base))

    def check(self, runner: Runner) -> None:
        """Refuse a run that the hook does not suit, before anything is started; ``runner`` has its parts, no values.

        Raises:
            ConfigError: naming the key to change.
        """

    def before_run(self, runner: Runner) -> None:
        """Once, when the parts are built and before any state is loaded."""

    def after_run(self, runner: Runner) -> None:
        """Once at the end, also after a failure (then ``runner.failure`` is the exception)."""

    def before_train(self, runner: Runner) -> None:
        """Once, before the first iteration of this process."""

    def after_train(self, runner: Runner) -> None:
        """Once, after the last iteration, also after a failure (then ``runner.failure`` is the exception)."""

    def before_val(self, runner: Runner) -> None:
        """Before each validation."""

    def after_val(self, runner: Runner) -> None:
        """After each validation."""

    def before_test(self, runner: Runner) -> None:
        """Before the test."""

    def after_test(self, runner: Runner) -> None:
        """After the test."""

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """On every rank before a checkpoint is written.

        ``checkpoint['state_dict']`` becomes ``model.safetensors``: replace entries, never change tensors in place.
        """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """On every rank after the model, the optimizer and the counters were restored."""

    def before_train_epoch(self, runner: Runner) -> None:
        """Before each epoch; once a run in an iteration loop; again in a process that resumes inside an epoch."""
        self._before_epoch(runner, mode="train")

    def before_val_epoch(self, runner: Runner) -> None:
        """Before the first validation batch."""
        self._before_epoch(runner, mode="val")

    def before_test_epoch(self, runner: Runner) -> None:
        """Before the first test batch."""
        self._before_epoch(runner, mode="test")

    def after_train_epoch(self, runner: Runner) -> None:
        """After each epoch, ``runner.epoch`` not yet raised; once a run in an iteration loop."""
        self._after_epoch(runner, mode="train")

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """After the last validation batch; ``metrics`` is None when the validation was broken off."""
        self._after_epoch(runner, mode="val")

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """After the last test batch."""
        self._after_epoch(runner, mode="test")

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: DataBatch = None) -> None:
        """Before each training iteration; keep it cheap, or the timer lies."""
        self._before_iter(runner, batch_idx=batch_idx, data_batch=data_batch, mode="train")

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: DataBatch = None) -> None:
        """Before each validation batch."""
        self._before_iter(runner, batch_idx=batch_idx, data_batch=data_batch, mode="val")

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: DataBatch = None) -> None:
        """Before each test batch."""
        self._before_iter(runner, batch_idx=batch_idx, data_batch=data_batch, mode="test")

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """After each training iteration; ``outputs`` are the scalar losses (0-dim tensors) by name."""
        self._after_iter(runner, batch_idx=batch_idx, data_batch=data_batch, outputs=outputs, mode="train")

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """After each validation batch; ``outputs`` is a list of SegSample."""
        self._after_iter(runner, batch_idx=batch_idx, data_batch=data_batch, outputs=outputs, mode="val")

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """After each test batch; ``outputs`` is a list of SegSample."""
        self._after_iter(runner, batch_idx=batch_idx, data_batch=data_batch, outputs=outputs, mode="test")

    def _before_epoch(self, runner: Runner, mode: str = "train") -> None:
        """Shared fallback of the ``before_*_epoch`` stages."""

    def _after_epoch(self, runner: Runner, mode: str = "train") -> None:
        """Shared fallback of the ``after_*_epoch`` stages."""

    def _before_iter(self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, mode: str = "train") -> None:
        """Shared fallback of the ``before_*_iter`` stages."""

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None, mode: str = "train"
    ) -> None:
        """Shared fallback of the ``after_*_iter`` stages."""

    def state_dict(self) -> dict[str, Any]:
        """What must survive a restart, the same on every rank: numbers, strings, tensors, dicts and lists of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; called after ``before_run``."""

    def every_n_epochs(self, runner: Runner, n: int, start: int = 0) -> bool:
        """Whether the epoch that is ending is an ``n``-th one, counted from ``start``."""
        return due(runner.epoch + 1, n, begin=start)

    def every_n_inner_iters(self, batch_idx: int, n: int) -> bool:
        """Whether the iteration that is ending is an ``n``-th one of its epoch."""
        return due(batch_idx + 1, n)

    def every_n_train_iters(self, runner: Runner, n: int, start: int = 0) -> bool:
        """Whether the iteration that is ending is an ``n``-th one of the run, counted from ``start``."""
        return due(runner.iter + 1, n, begin=start)

    def every_n_iters(self, runner: Runner, n: int, start: int = 0) -> bool:
        """``every_n_train_iters`` under the name that it had before MMEngine."""
        return self.every_n_train_iters(runner, n, start)

    def end_of_epoch(self, dataloader: Any, batch_idx: int) -> bool:
        """Whether ``batch_idx`` is the last batch of ``dataloader``."""
        return batch_idx + 1 == len(dataloader)

    def is_last_train_epoch(self, runner: Runner) -> bool:
        """Whether the epoch that is ending is the run's last."""
        return runner.epoch + 1 == runner.max_epochs

    def is_last_train_iter(self, runner: Runner) -> bool:
        """Whether the iteration that is ending is the run's last."""
        return runner.iter + 1 == runner.max_iters

    def get_triggered_stages(self) -> list[str]:
        """The stages at which this hook does anything, in the order of ``STAGES``."""
        return [stage for stage in STAGES if overrides(self, stage)]


def overrides(hook: Hook, stage: str) -> bool:
    """Whether a hook does anything at a stage, itself or through the stage's shared fallback."""
    names = [stage, FALLBACKS[stage]] if stage in FALLBACKS else [stage]
    return any(getattr(type(hook), name, None) is not getattr(Hook, name) or name in vars(hook) for name in names)


def stage_arguments(stage: str) -> tuple[str, ...]:
    """The names of what a stage is called with besides the runner; each is given by its name."""
    if stage.endswith("_iter"):
        return ("batch_idx", "data_batch", "outputs") if stage.startswith("after") else ("batch_idx", "data_batch")
    if stage in ("after_val_epoch", "after_test_epoch"):
        return ("metrics",)
    return ("checkpoint",) if stage.endswith("_checkpoint") else ()


def check_signature(hook: Hook, stage: str) -> None:
    """See that a hook's method can be called at its stage.

    Raises:
        ConfigError: it cannot, with the signature that it should have.
    """
    arguments = stage_arguments(stage)
    method = getattr(hook, stage)
    try:
        inspect.signature(method).bind(None, **dict.fromkeys(arguments))
    except ValueError:  # nothing is known of the signature
        return
    except TypeError as error:
        expected = ", ".join(("runner", *arguments))
        raise ConfigError(
            f"{type(hook).__qualname__}.{stage} cannot be called ({error}): its arguments are ({expected})"
        ) from None


def _refuse_misspelt_stages(cls: type[Hook], names: Iterable[str]) -> None:
    known = {*STAGES, *FALLBACKS.values()}
    for name in names:
        if name in known or name in vars(Hook):
            continue
        begins_like_one = name.lstrip("_").startswith(("before_", "after_"))
        if begins_like_one or any(edit_distance(name, stage) <= 2 for stage in STAGES):
            raise ConfigError(f"{cls.__qualname__}.{name} is not a hook stage{did_you_mean(name, known)}")
