"""HookList: the hooks of a run in the order of their priorities, and the calls of their stages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rayseg.core.errors import ConfigError, RaysegError, did_you_mean
from rayseg.engine.hook import STAGES, Hook, check_signature, overrides, priority_number

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner

END_STAGES = ("after_train", "after_run")


@dataclass(frozen=True)
class Registered:
    """A hook with its place: ``name`` is the key of its saved state, unique in the run, ``number`` when it came."""

    name: str
    hook: Hook
    priority: int
    number: int


class HookList:
    """Hooks sorted by priority (ties in the order of registration), with one call list for each stage.

    A stage's list holds only the hooks that override it and is made once, so a hook that does nothing at a stage
    costs nothing there.
    """

    def __init__(self) -> None:
        self._entries: list[Registered] = []
        self._calls: dict[str, list[tuple[Registered, Callable[..., Any]]]] = {stage: [] for stage in STAGES}

    def __iter__(self) -> Iterator[Hook]:
        return (entry.hook for entry in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def register(self, hook: Hook, *, name: str | None = None, priority: int | str | None = None) -> None:
        """Add a hook. ``priority`` wins over the hook's own; a second hook of one class gets ``#2`` to its name.

        Raises:
            ConfigError: not a Hook, no such priority, or a stage that cannot be called with what it is given.
        """
        if not isinstance(hook, Hook):
            raise ConfigError(f"{type(hook).__name__} is not a hook: derive it from rayseg.Hook")
        base = name or type(hook).__name__
        taken = {entry.name for entry in self._entries}
        unique, count = base, 1
        while unique in taken:
            count += 1
            unique = f"{base}#{count}"
        place = priority_number(hook.priority if priority is None else priority)
        for stage in hook.get_triggered_stages():
            check_signature(hook, stage)
        self._entries.append(Registered(unique, hook, place, len(self._entries)))
        self._entries.sort(key=lambda entry: entry.priority)
        # New lists: a hook may be registered by another one, while the old list is being gone through.
        for stage in self._calls:
            self._calls[stage] = [
                (entry, getattr(entry.hook, stage)) for entry in self._entries if overrides(entry.hook, stage)
            ]

    def call(self, stage: str, runner: Runner, **arguments: Any) -> None:
        """Call a stage on every hook that overrides it; what is no stage, on every hook that has such a method.

        An exception leaves with a note that says hook, stage and iteration. The end stages are called on every hook
        even if one fails; the first failure is raised then.

        Raises:
            RaysegError: it is no stage, and no hook has such a method.
        """
        failure: Exception | None = None
        for entry, method in self._calls[stage] if stage in self._calls else self._methods(stage):
            try:
                method(runner, **arguments)
            except Exception as error:
                error.add_note(f"in hook {entry.name}, stage {stage}, at iter {runner.iter}")
                if stage not in END_STAGES:
                    raise
                failure = failure or error
        if failure is not None:
            raise failure

    def _methods(self, name: str) -> list[tuple[Registered, Callable[..., Any]]]:
        methods = [(entry, getattr(entry.hook, name, None)) for entry in self._entries]
        found = [(entry, method) for entry, method in methods if callable(method)]
        if not found:
            raise RaysegError(f"call_hook({name!r}): no stage, and no hook has it{did_you_mean(name, STAGES)}")
        return found

    def names(self, usual: Collection[str] = ()) -> list[str]:
        """The hooks' names in order; as it would be if those named in ``usual`` had their class's own priority."""

        def place(entry: Registered) -> tuple[int, int]:
            return priority_number(entry.hook.priority) if entry.name in usual else entry.priority, entry.number

        return [entry.name for entry in sorted(self._entries, key=place)]

    def table(self) -> list[tuple[str, list[tuple[int, str]]]]:
        """For each stage with any hook: its name and the (priority, hook name) pairs in order."""
        return [
            (stage, [(entry.priority, entry.name) for entry, _ in calls])
            for stage, calls in self._calls.items()
            if calls
        ]

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """The state of each hook that has any, under the hook's unique name."""
        states = {entry.name: entry.hook.state_dict() for entry in self._entries}
        return {name: state for name, state in states.items() if state}

    def load_state_dict(self, states: dict[str, dict[str, Any]]) -> list[str]:
        """Restore each hook's state; returns the names of saved states that no hook answers to."""
        known = {entry.name: entry.hook for entry in self._entries}
        for name, state in states.items():
            if name in known:
                known[name].load_state_dict(state)
        return [name for name in states if name not in known]
