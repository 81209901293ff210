"""HyperparameterScheduleHook: numbers of the optimizer that change in mid-run, as population based training does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from rayseg.config.overrides import apply_overrides
from rayseg.core.errors import ConfigError
from rayseg.engine.hook import DataBatch, Hook
from rayseg.optim.changing import GroupChange, change_groups, group_changes, parameter_options

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner

SECTIONS = ("optim_wrapper.optimizer.", "optim_wrapper.paramwise_cfg.")


class HyperparameterChange(TypedDict):
    """One change: ``iter``, the completed iterations before it, and key path → value of the config from then on."""

    iter: int
    values: dict[str, Any]


class HyperparameterScheduleHook(Hook):
    """Gives parameter groups the numbers that the config would give them if it said other values.

    A change acts before the iteration in which so many are complete; a checkpoint of that iteration is from before it.
    Groups and the optimizer's state stay, and schedules act on from the new values: a learning rate that becomes twice
    as high is twice as high in every later iteration too.

    Args:
        changes: in the order of their iterations; each acts on top of the earlier ones. Keys begin with
            ``optim_wrapper.optimizer.`` or ``optim_wrapper.paramwise_cfg.``.
    """

    priority = "HIGHEST"

    def __init__(self, changes: list[HyperparameterChange]) -> None:
        where = "HyperparameterScheduleHook.changes"
        for index, change in enumerate(changes):
            if change["iter"] < 0 or (index and change["iter"] <= changes[index - 1]["iter"]):
                raise ConfigError(f"{where}.{index}.iter: expected rising numbers from 0 on, found {change['iter']}")
            for key in change["values"]:
                if not key.startswith(SECTIONS):
                    raise ConfigError(f"{where}.{index}.values: {key!r} does not begin with {' or '.join(SECTIONS)}")
        self.changes = {change["iter"]: dict(change["values"]) for change in changes}

    def check(self, runner: Runner) -> None:
        """Refuse changes that the optimizer cannot be given."""
        for at in self.changes:
            try:
                self._changes_at(runner, at)
            except ConfigError as error:
                raise ConfigError(f"HyperparameterScheduleHook: the change at iteration {at}: {error}") from None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: DataBatch = None) -> None:
        """Make the change that belongs here."""
        if runner.iter not in self.changes:
            return
        changes = self._changes_at(runner, runner.iter)
        change_groups(runner.optim_wrapper.optimizer, runner.param_schedulers, changes)
        values = ", ".join(f"{key}={value:.6g}" for key, value in self.changes[runner.iter].items())
        runner.publish.log(f"after iteration {runner.iter}: {values}, in {len(changes)} places of parameter groups")

    def _changes_at(self, runner: Runner, at: int) -> list[GroupChange]:
        before = parameter_options(runner.model, self._section(runner, at - 1))
        after = parameter_options(runner.model, self._section(runner, at))
        return group_changes(runner.optim_wrapper.optimizer, before, after)

    def _section(self, runner: Runner, at: int) -> Mapping[str, Any]:
        """The ``optim_wrapper`` section with every change up to an iteration."""
        tree = {"optim_wrapper": runner.cfg["optim_wrapper"]}
        for begin, values in self.changes.items():
            if begin <= at:
                tree = apply_overrides(tree, values, {})
        section: Mapping[str, Any] = tree["optim_wrapper"]
        return section
