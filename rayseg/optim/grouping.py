"""Parameter groups: one for each different set of options, named, with a table that people can read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rayseg.core.distributed import unwrap
from rayseg.core.errors import edit_distance

DEFAULT_GROUP = "default"
MAX_LABELS_IN_NAME = 3
# Wrappers that torch.compile and activation checkpointing put around modules inside the model.
_WRAPPER_PARTS = ("_orig_mod", "_checkpoint_wrapped_module")


@dataclass(frozen=True)
class NamedParameter:
    """A parameter with what rules look at.

    Attributes:
        name: canonical dotted name, ``net.encoder.conv1.weight``.
        parameter: the tensor.
        module: the module that holds it.
        parent: the module that holds ``module``; None for the model itself.
    """

    name: str
    parameter: nn.Parameter
    module: nn.Module
    parent: nn.Module | None


@dataclass(frozen=True)
class Assignment:
    """The options of one parameter: group entries besides ``params``, and the rule that chose them ('' for none)."""

    named: NamedParameter
    options: Mapping[str, Any]
    label: str = ""


@dataclass(frozen=True)
class GroupRow:
    """A row of the group table.

    Attributes:
        name: the group's, or a custom key's that stands for no group.
        lr: base learning rate, before any schedule; None for an optimizer without one.
        weight_decay: None for an optimizer without one.
        tensors: parameters in the group.
        values: numbers in them, all together.
        note: what is worth saying, such as ``matches no parameter``.
    """

    name: str
    lr: float | None
    weight_decay: float | None
    tensors: int
    values: int
    note: str = ""


def walk(model: nn.Module) -> Iterator[NamedParameter]:
    """Every parameter under its canonical names, in the order of ``model.named_parameters()``; tied ones repeatedly."""
    yield from _walk(unwrap(model), None, "")


def _walk(module: nn.Module, parent: nn.Module | None, prefix: str) -> Iterator[NamedParameter]:
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield NamedParameter(prefix + name, parameter, module, parent)
    for name, child in module.named_children():
        yield from _walk(child, module, prefix if name in _WRAPPER_PARTS else f"{prefix}{name}.")


def merge_groups(
    assignments: Iterable[Assignment], base: Mapping[str, Any], base_name: str | None = DEFAULT_GROUP
) -> list[dict[str, Any]]:
    """Groups for an optimizer, one for each different set of options; the one that equals ``base`` comes first.

    Args:
        assignments: one for each parameter; the order inside a group is theirs.
        base: the options of a parameter that no rule touches.
        base_name: what that group is called; None to name it after its labels, as the others.
    """
    base_key = _key(base)
    groups: dict[Any, dict[str, Any]] = {}
    labels: dict[Any, dict[str, None]] = {}
    for assignment in assignments:
        key = _key(assignment.options)
        group = groups.setdefault(key, {"params": [], **assignment.options})
        group["params"].append(assignment.named.parameter)
        labels.setdefault(key, {})[assignment.label] = None
    taken: set[str] = set()
    for key, group in groups.items():
        group["name"] = _unique(base_name if base_name and key == base_key else _joined(labels[key]), taken)
    return [groups[key] for key in sorted(groups, key=lambda key: key != base_key)]


def _key(options: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in options.items()))


def _joined(labels: Iterable[str]) -> str:
    """A name that every tracker takes as part of a metric's: letters, digits, ``_``, ``-`` and ``.``."""
    words = [re.sub(r"[^\w.-]+", "_", label).strip("_.") or "group" for label in labels]
    if len(words) > MAX_LABELS_IN_NAME:
        words = [*words[: MAX_LABELS_IN_NAME - 1], f"and-{len(words) - MAX_LABELS_IN_NAME + 1}-more"]
    return "-".join(words)


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}-{number}", number + 1
    taken.add(candidate)
    return candidate


def name_groups(groups: Sequence[dict[str, Any]]) -> None:
    """Give a name to each group that has none, in place."""
    taken = {group["name"] for group in groups if "name" in group}
    for index, group in enumerate(groups):
        if "name" not in group:
            group["name"] = _unique(DEFAULT_GROUP if len(groups) == 1 else f"group_{index}", taken)


def rows_of(groups: Iterable[Mapping[str, Any]]) -> list[GroupRow]:
    """A row for each group of an optimizer."""
    return [_row_of(group) for group in groups]


def _row_of(group: Mapping[str, Any]) -> GroupRow:
    parameters: list[torch.Tensor] = group["params"]
    frozen = sum(not parameter.requires_grad for parameter in parameters)
    return GroupRow(
        name=group["name"],
        lr=group.get("initial_lr", group.get("lr")),
        weight_decay=group.get("weight_decay"),
        tensors=len(parameters),
        values=sum(parameter.numel() for parameter in parameters),
        note=f"{frozen} frozen" if frozen else "",
    )


def table_lines(rows: Sequence[GroupRow]) -> list[str]:
    """The group table as aligned lines, the header first."""
    cells = [("group", "lr", "weight_decay", "tensors", "values", "")]
    cells += [(row.name, _shown(row.lr), _shown(row.weight_decay), *_sizes(row), row.note) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    return [
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(line[1:5], widths[1:], strict=True)),
                line[5],
            ]
        ).rstrip()
        for line in cells
    ]


def _sizes(row: GroupRow) -> tuple[str, str]:
    """Tensors and values; dashes in a row that stands for no group."""
    return (str(row.tensors), f"{row.values:,}") if row.tensors else ("-", "-")


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def close_name(key: str, names: Iterable[str]) -> str | None:
    """The part of a parameter's name that ``key`` is a slip of: at most two letters away (one, if it is short).

    A key of several parts, ``encoder.nrom``, is compared with runs of as many parts.
    """
    count = key.strip(".").count(".") + 1
    wanted = key.strip(".")
    best: tuple[int, str] | None = None
    seen: set[str] = set()
    for name in names:
        parts = name.split(".")
        for start in range(len(parts) - count + 1):
            candidate = ".".join(parts[start : start + count])
            if candidate in seen:
                continue
            seen.add(candidate)
            distance = edit_distance(wanted, candidate)
            allowed = min(2, max(len(wanted), len(candidate)) // 2)
            if distance <= allowed and (best is None or (distance, candidate) < best):
                best = (distance, candidate)
    return best[1] if best else None
