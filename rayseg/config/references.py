"""References inside config files: ``{{ fileDirname }}`` and the like, ``{{_base_.x.y}}``, ``_base_.x`` in Python."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayseg.config.search import SEARCH_KEY, SearchLeaf, leaf_from_mapping
from rayseg.config.tree import as_tree, lookup
from rayseg.core.errors import ConfigError, did_you_mean

BASE_REFERENCE = re.compile(r"\{\{\s*_base_\.([^\s{}]+)\s*\}\}")
_PREDEFINED = re.compile(r"\{\{\s*(file\w+)\s*\}\}")
_ENVIRONMENT = re.compile(r"\{\{\s*(?P<quote>['\"]?)\s*\$(?P<name>\w+)\s*(?P<default>:[^{}'\"\n]*)?(?P=quote)\s*\}\}")


def fill_predefined(text: str, path: Path) -> str:
    """A file's text with MM's predefined variables filled in: ``fileDirname`` (absolute), ``fileBasename``,
    ``fileBasenameNoExtension``, ``fileExtname``, and ``{{$NAME:default}}`` by the environment's value.

    Both are replaced in the text, before it is parsed: inside a text literal, or bare, where the value is code.

    Raises:
        ConfigError: no such predefined variable; a variable of the environment that is neither set nor has a default.
    """
    values = {
        "fileDirname": path.parent.as_posix(),
        "fileBasename": path.name,
        "fileBasenameNoExtension": path.stem,
        "fileExtname": path.suffix,
    }

    def predefined(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise ConfigError(f"found {match[0]}; there are {', '.join(values)}{did_you_mean(match[1], values)}")
        return values[match[1]]

    return _ENVIRONMENT.sub(_from_environment, _PREDEFINED.sub(predefined, text))


def _from_environment(match: re.Match[str]) -> str:
    """The value of a variable; one that is set to nothing counts as not set."""
    name, default = match["name"], match["default"]
    if default is None:
        raise ConfigError(f"found {match[0]}; write {{{{${name}:default}}}}, or '${{env:{name}}}' for a secret")
    value = os.environ.get(name) or default.removeprefix(":").strip()
    if not value:
        raise ConfigError(f"found {match[0]}; the environment variable {name} is not set, and there is no default")
    return value


@dataclass(frozen=True)
class Ambiguous:
    """A helper variable that two bases set to different values; ``files`` says which."""

    name: str
    files: tuple[str, str]

    def __str__(self) -> str:
        first, second = self.files
        return f"_base_.{self.name}: two bases set it to different values, {first} and {second}"


class BaseView:
    """``_base_`` as a Python file sees it: every value that is read is a copy, so that no edit reaches the base."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> Any:
        if name not in self._values:
            raise AttributeError(f"_base_ has no {name!r}{did_you_mean(name, self._values)}")
        value = self._values[name]
        if isinstance(value, Ambiguous):
            raise ConfigError(str(value))
        return as_tree(value)

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError as error:
            raise KeyError(str(error)) from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"_base_ cannot be changed; write {name} = ... instead")


def substitute(text: str, base: Mapping[str, Any]) -> Any:
    """``text`` with its ``{{_base_.x.y}}`` replaced: by the value itself where it is all of the text, else as text.

    Raises:
        ConfigError: the base has no such key, or a dict or list would have to become part of a text.
    """
    if whole := BASE_REFERENCE.fullmatch(text.strip()):
        return as_tree(_find(base, whole[1]))
    return BASE_REFERENCE.sub(lambda match: _as_text(_find(base, match[1]), match[1]), text)


def substitute_tree(value: Any, base: Mapping[str, Any]) -> Any:
    """A tree read from YAML or JSON with its references replaced and its ``{$search: ...}`` made leaves.

    Raises:
        ConfigError: as ``substitute`` and the leaves do.
    """
    if isinstance(value, str):
        return substitute(value, base)
    if isinstance(value, list):
        return [substitute_tree(item, base) for item in value]
    if isinstance(value, Mapping):
        tree = {key: substitute_tree(item, base) for key, item in value.items()}
        return leaf_from_mapping(tree) if SEARCH_KEY in tree else tree
    return value


def _find(base: Mapping[str, Any], path: str) -> Any:
    if isinstance(helper := base.get(path.partition(".")[0]), Ambiguous):
        raise ConfigError(str(helper))
    try:
        return lookup(base, path)
    except KeyError as error:
        raise ConfigError(f"_base_.{path}: {error.args[0]}") from None


def _as_text(value: Any, path: str) -> str:
    if isinstance(value, SearchLeaf):
        raise ConfigError(f"_base_.{path} is drawn by a sweep and cannot stand inside a text")
    if isinstance(value, Mapping | list | tuple):
        kind = "dict" if isinstance(value, Mapping) else type(value).__name__
        raise ConfigError(f"_base_.{path} is a {kind} and cannot stand inside a text")
    return str(value)
