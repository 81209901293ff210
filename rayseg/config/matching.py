"""Whether a value is what an annotation says: containers are walked, so that an error names the very key."""

from __future__ import annotations

import collections.abc
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self, get_args, get_origin, get_type_hints, is_typeddict

from rayseg.config.describe import UNIONS, hint, shown, type_name
from rayseg.config.markers import Advice, ComponentKeys, Named, Rule
from rayseg.config.search import Choice, Range
from rayseg.config.tree import join
from rayseg.core.errors import Problem, did_you_mean
from rayseg.core.registry import Registry

TRAILING_COMMA = ". Is there a trailing comma?"
_ALL_VALUES = 64
_SEQUENCES = (collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


@dataclass
class Matcher:
    """Collects what is wrong with values.

    Attributes:
        origin: gives the file of a key path.
        problems: what was found.
        notes: what is no error and yet worth a line in ``--dry-run``.
    """

    origin: Callable[[str], str]
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def component(self, value: Any, registry: Registry, keys: ComponentKeys, path: str) -> None:
        """Check a component's dict, or a live object."""
        raise NotImplementedError

    def named(self, value: Any, registry: Registry, path: str) -> None:
        """Check the name of a component, or a class."""
        raise NotImplementedError

    def arguments(self, component: Any, label: str, arguments: Mapping[str, Any], path: str) -> None:
        """Check keyword arguments against a signature."""
        raise NotImplementedError

    def problem(self, message: str, path: str, file: str | None = None) -> None:
        """Note a problem at a key path, in the file that set it."""
        self.problems.append(Problem(message, path, self.origin(path) if file is None else file))

    def mismatch(self, value: Any, annotation: Any, path: str) -> None:
        """Note that a value is not what is expected."""
        advice = hint(value, annotation)
        if type(value) is tuple and len(value) == 1 and not self.tried(value[0], annotation, path).problems:
            advice = TRAILING_COMMA
        key = path.rpartition(".")[2]
        self.problem(f"expected {type_name(annotation)}, found {shown(value, key)}{advice}", path)

    def tried(self, value: Any, annotation: Any, path: str) -> Self:
        """A matcher that has looked at nothing but this value."""
        trial = type(self)(self.origin)
        trial.value(value, annotation, path)
        return trial

    def absorb(self, trial: Matcher) -> None:
        """Take over what a trial found."""
        self.problems += trial.problems
        self.notes += trial.notes

    def value(self, value: Any, annotation: Any, path: str) -> None:
        """Check one value; of a search leaf, every value that it may have."""
        origin = get_origin(annotation)
        if isinstance(value, Choice):
            for label, option in value.branches():
                self.value(option, annotation, f"{path}[{label}]")
        elif isinstance(value, Range):
            self._range(value, annotation, path)
        elif origin is Annotated:
            self._annotated(value, annotation, path)
        elif origin in UNIONS:
            self._union(value, annotation, path)
        elif is_dataclass(annotation) and isinstance(annotation, type):
            self._settings(value, annotation, path)
        elif is_typeddict(annotation):
            self._typed_dict(value, annotation, path)
        elif (origin or annotation) in _MAPPINGS:
            self._mapping(value, annotation, path)
        elif (origin or annotation) in (list, tuple, set, frozenset, *_SEQUENCES):
            self._sequence(value, annotation, path)
        elif not _fits(value, annotation):
            self.mismatch(value, annotation, path)

    def _range(self, leaf: Range, annotation: Any, path: str) -> None:
        low, high = leaf.extremes()
        values = range(int(low), int(high) + 1) if leaf.kind == "randint" and high - low < _ALL_VALUES else (low, high)
        if any(self.tried(value, annotation, path).problems for value in values):
            self.mismatch(leaf, annotation, path)

    def _annotated(self, value: Any, annotation: Any, path: str) -> None:
        base, *metadata = get_args(annotation)
        registry = next((item for item in metadata if isinstance(item, Registry)), None)
        named = next((item for item in metadata if isinstance(item, Named)), None)
        before = len(self.problems)
        if registry is not None:
            keys = next((item for item in metadata if isinstance(item, ComponentKeys)), ComponentKeys())
            self.component(value, registry, keys, path)
        elif named is not None:
            self.named(value, named.registry, path)
        else:
            self.value(value, base, path)
            if len(self.problems) == before:
                self._rules(value, annotation, path)
        for advice in (item for item in metadata if isinstance(item, Advice)):
            self.amend(before, f"; {advice.text}")

    def _rules(self, value: Any, annotation: Any, path: str) -> None:
        """Check what an annotation demands of a value of the right type: our rules, and constraints of pydantic."""
        base, *metadata = get_args(annotation)
        if not all(item.test(value) for item in metadata if isinstance(item, Rule)):
            self.mismatch(value, annotation, path)
        elif any(not isinstance(item, Rule | Advice) for item in metadata) and (reason := _refusal(value, annotation)):
            rule = reason.removeprefix("Input should be ")
            self.problem(f"expected {type_name(base)} ({rule}), found {shown(value)}", path)

    def amend(self, first: int, text: str) -> None:
        """Add ``text`` to the problems from the ``first`` on."""
        self.problems[first:] = [Problem(p.message + text, p.key, p.file) for p in self.problems[first:]]

    def _union(self, value: Any, annotation: Any, path: str) -> None:
        arms = get_args(annotation)
        trials = [self.tried(value, arm, path) for arm in arms]
        fitting = [trial for trial in trials if not trial.problems]
        alike = [trial for trial, arm in zip(trials, arms, strict=True) if _shape(value) in _shapes_of(arm)]
        if fitting:
            self.absorb(fitting[0])
        elif len(alike) == 1:
            self.absorb(alike[0])
        else:
            self.mismatch(value, annotation, path)

    def _settings(self, value: Any, kind: type, path: str) -> None:
        if isinstance(value, Mapping):
            self.arguments(kind, path, value, path)
        elif not isinstance(value, kind):
            self.mismatch(value, kind, path)

    def _typed_dict(self, value: Any, annotation: Any, path: str) -> None:
        if not isinstance(value, Mapping):
            return self.mismatch(value, annotation, path)
        hints = get_type_hints(annotation, include_extras=True)
        for key, item in value.items():
            if key in hints:
                self.value(item, _without_required(hints[key]), join(path, key))
            else:
                suffix = did_you_mean(str(key), hints) or f"; it takes {', '.join(hints)}"
                self.problem(f"no such key (found {shown(item, str(key))}){suffix}", join(path, key))
        for key in sorted(annotation.__required_keys__ - set(value)):
            self.problem(f"{key!r} is missing", path)
        return None

    def _mapping(self, value: Any, annotation: Any, path: str) -> None:
        if not isinstance(value, Mapping):
            return self.mismatch(value, annotation, path)
        key_type, value_type = get_args(annotation) or (Any, Any)
        for key, item in value.items():
            before = len(self.problems)
            self.value(key, key_type, join(path, key))
            self.value(item, value_type, join(path, key))
            untyped = isinstance(item, Mapping) and "type" not in item
            if untyped and [problem.key for problem in self.problems[before:]] == [join(path, key)]:
                self.amend(before, did_you_mean(str(key), {str(name) for name in value} - {str(key)}))
        return None

    def _sequence(self, value: Any, annotation: Any, path: str) -> None:
        kind, args = get_origin(annotation) or annotation, get_args(annotation)
        if kind in _SEQUENCES and not isinstance(value, list | tuple | set | frozenset):
            if isinstance(value, str | bytes | Mapping) or not isinstance(value, kind):
                self.mismatch(value, annotation, path)
            return
        allowed: Any = {list: (list,), tuple: (list, tuple)}.get(kind, (list, tuple, set, frozenset))
        if not isinstance(value, allowed):
            self.mismatch(value, annotation, path)
            return
        fixed = kind is tuple and args and args[-1] is not ...
        if fixed and len(value) != len(args):
            self.mismatch(value, annotation, path)
            return
        types = args if fixed else (args[0] if args else Any,) * len(value)
        for index, (item, item_type) in enumerate(zip(value, types, strict=True)):
            self.value(item, item_type, join(path, index))


def _shape(value: Any) -> str | None:
    if isinstance(value, Mapping):
        return "mapping"
    return "sequence" if isinstance(value, list | tuple) else None


def _shapes_of(annotation: Any) -> set[str]:
    """Which kinds of containers an annotation may take."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return {"mapping"} if any(isinstance(item, Registry) for item in args) else _shapes_of(args[0])
    if (origin or annotation) in _MAPPINGS or is_typeddict(annotation) or is_dataclass(annotation):
        return {"mapping"}
    return {"sequence"} if (origin or annotation) in (list, tuple, set, frozenset, *_SEQUENCES) else set()


def _without_required(annotation: Any) -> Any:
    from typing import NotRequired, Required

    return get_args(annotation)[0] if get_origin(annotation) in (Required, NotRequired) else annotation


def _fits(value: Any, annotation: Any) -> bool:
    if annotation is Any or annotation is object:
        return True
    if get_origin(annotation) is Literal:
        return any(type(option) is type(value) and option == value for option in get_args(annotation))
    if collections.abc.Callable in (annotation, get_origin(annotation)):
        return callable(value)
    if isinstance(annotation, type) and issubclass(annotation, PurePath | os.PathLike) and isinstance(value, str):
        return True
    return _refusal(value, annotation) is None


def _refusal(value: Any, annotation: Any) -> str | None:
    """Why pydantic, asked strictly, refuses a value; what it cannot judge it does not refuse."""
    from pydantic import ValidationError

    try:
        adapter = _adapter(annotation)
        if adapter is not None:
            adapter.validate_python(value)
    except ValidationError as error:
        return error.errors()[0]["msg"]
    except TypeError:  # an annotation that cannot be hashed, or a protocol that isinstance cannot ask
        return None
    return None


@lru_cache(maxsize=512)
def _adapter(annotation: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    try:
        return TypeAdapter(annotation, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
    except Exception:  # no type that pydantic knows
        return None
