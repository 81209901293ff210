"""Merging one file's values over another's, and keeping track of who set what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from rayseg.config.tree import DELETE, ConfigDict, join, parents, without_delete

T = TypeVar("T")
Origins = dict[str, str]


def nearest_entry(entries: Mapping[str, T], path: str) -> T | None:
    """The entry of the longest path among ``path`` and its parents."""
    return next((entries[parent] for parent in parents(path) if parent in entries), None)


def set_origin(origins: Origins, path: str, file: str) -> None:
    """Note that ``file`` set ``path`` and everything below it."""
    for known in [known for known in origins if known.startswith(f"{path}.")]:
        del origins[known]
    origins[path] = file


def merge(
    base: Mapping[str, object], child: Mapping[str, object], origins: Origins, child_origins: Origins, path: str = ""
) -> ConfigDict:
    """``child`` over ``base``: dicts merge key by key, everything else (lists too) replaces.

    A dict with ``_delete_=True`` replaces the base's. Neither tree is changed.

    Args:
        base: the values below.
        child: the values that win.
        origins: who set what in ``base``; updated to what holds for the result.
        child_origins: who set what in ``child``.
        path: where in the config both stand.
    """
    merged = ConfigDict(base)
    for key, value in child.items():
        if key == DELETE:
            continue
        where, old = join(path, key), merged.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping) and not value.get(DELETE, False):
            merged[key] = merge(old, value, origins, child_origins, where)
            continue
        merged[key] = without_delete(value)
        set_origin(origins, where, nearest_entry(child_origins, where) or "")
        origins.update({known: file for known, file in child_origins.items() if known.startswith(f"{where}.")})
    return merged
