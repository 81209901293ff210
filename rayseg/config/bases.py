"""Where two bases of one file disagree: neither is nearer to the file, so the choice is the user's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rayseg.config.describe import shown
from rayseg.config.merge import Origins, nearest_entry
from rayseg.config.references import Ambiguous
from rayseg.config.tree import join
from rayseg.core.errors import Problem


def disagreements(
    first: Mapping[str, Any], first_origins: Origins, second: Mapping[str, Any], second_origins: Origins, file: str
) -> list[Problem]:
    """A problem for each key that two bases of ``file`` set to different values.

    What both took over unchanged from a base that they share is the same value, and so is no problem.
    """
    problems = []
    for path, one, other in differing(first, second):
        one_file, other_file = nearest_entry(first_origins, path) or "", nearest_entry(second_origins, path) or ""
        message = (
            f"two bases set it, {one_file} to {shown(one)} and {other_file} to {shown(other)}; take it out of one of "
            "them, or let one be based on the other"
        )
        problems.append(Problem(message, path, file))
    return problems


def differing(first: Any, second: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Key paths that both trees have, with their values, where these differ; lists are compared whole."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in [key for key in first if key in second]:
            yield from differing(first[key], second[key], join(path, key))
    elif not same(first, second):
        yield path, first, second


def same(first: Any, second: Any) -> bool:
    """Whether two values are of one type and equal; what cannot be compared is not."""
    if first is second:
        return True
    try:
        return type(first) is type(second) and bool(first == second)
    except Exception:
        return False


def mark_ambiguous(helpers: Mapping[str, Any], files: dict[str, str], new: dict[str, Any], file: str) -> None:
    """Replace helpers of ``new`` that earlier bases set to another value; reading one is an error then.

    Args:
        helpers: the helper variables of the earlier bases.
        files: which base gave each; updated.
        new: the helper variables of the base ``file``.
    """
    for name in new:
        if name in helpers and not same(helpers[name], new[name]):
            new[name] = Ambiguous(name, (files[name], file))
        files[name] = file
