"""The values a config is made of: dicts with attribute access, lists, tuples, plain values, and walks over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from types import ModuleType
from typing import Any

from rayseg.core.errors import did_you_mean
from rayseg.core.registry import SCOPE

DELETE = "_delete_"
Keys = tuple[Any, ...]


class ConfigDict(dict[str, Any]):
    """A dict whose keys are attributes too; what is put into it becomes a tree of ConfigDicts."""

    __slots__ = ()

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.update(values or {})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no key {name!r}{did_you_mean(name, map(str, self))}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):  # it would be read as that again
            raise AttributeError(f"{name!r} is an attribute of every config; write [{name!r}] = ... for a key")
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(f"no key {name!r}{did_you_mean(name, map(str, self))}")
        del self[name]

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, as_tree(value))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value under ``key``, which is set to ``default`` if it is not there."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *others: Any, **values: Any) -> None:
        """Set every key of a mapping, or of an iterable of pairs."""
        for key, value in dict(*others, **values).items():
            if key != SCOPE:
                self[key] = value

    def copy(self) -> ConfigDict:
        """A copy that shares no container with this one."""
        return ConfigDict(self)


def as_tree(value: Any) -> Any:
    """A copy of every container inside; paths become text, numpy's numbers plain ones, MM's ``_scope_`` is dropped."""
    if isinstance(value, Mapping):
        tree = ConfigDict()
        for key, item in value.items():
            if key != SCOPE:
                dict.__setitem__(tree, key, as_tree(item))
        return tree
    if type(value) in (list, tuple):
        return type(value)(as_tree(item) for item in value)
    if isinstance(value, PurePath):
        return str(value)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return value.item()
    return value


def without_delete(value: Any) -> Any:
    """A copy without any ``_delete_`` key, for values that replace nothing."""
    if isinstance(value, Mapping):
        return as_tree({key: without_delete(item) for key, item in value.items() if key != DELETE})
    if type(value) in (list, tuple):
        return type(value)(without_delete(item) for item in value)
    return as_tree(value)


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no dict, list or tuple, with its dotted key path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from walk(item, join(path, key))
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):
            yield from walk(item, join(path, index))
    else:
        yield path, value


def join(path: str, key: Any) -> str:
    """The dotted path of ``key`` under ``path``."""
    return f"{path}.{key}" if path else str(key)


def parents(path: str) -> Iterator[str]:
    """``a.b.c``, then ``a.b``, then ``a``."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def lookup(tree: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of a base file's tree, list indices included.

    Raises:
        KeyError: there is none; the message names the part that is missing and the nearest right one.
    """
    value: Any = tree
    for position, part in enumerate(parts := path.split(".")):
        where = ".".join(parts[:position]) or "the base"
        if isinstance(value, Mapping):
            key = part if part in value else _number(part)
            if key not in value:
                raise KeyError(f"{where} has no {part!r}{did_you_mean(part, map(str, value))}")
            value = value[key]
        elif isinstance(value, list | tuple):
            index = _number(part)
            if not isinstance(index, int) or not -len(value) <= index < len(value):
                raise KeyError(f"{where} has {len(value)} items and no {part!r}")
            value = value[index]
        else:
            raise KeyError(f"{where} is {value!r} and has no {part!r}")
    return value


def _number(part: str) -> int | str:
    return int(part) if part.removeprefix("-").isdecimal() else part


def is_code(value: Any) -> bool:
    """Whether a name of a Python file is a module, function or class, which a config does not keep."""
    return isinstance(value, type | ModuleType) or (callable(value) and hasattr(value, "__qualname__"))
