"""Loading weights that another training left: names are matched under other prefixes, and nothing is silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rayseg.core import distributed
from rayseg.core.errors import ConfigError
from rayseg.models.weight_files import read_weights

_DEEPEST_PREFIX = 4
_SHOWN = 10


@dataclass(frozen=True)
class Renaming:
    """How names of a file become names of the model: ``drop`` is taken off the front, ``add`` put there."""

    drop: str
    add: str

    def __call__(self, name: str) -> str | None:
        """The model's name, or None for a name that does not begin with ``drop``."""
        return self.add + name[len(self.drop) :] if name.startswith(self.drop) else None

    def __str__(self) -> str:
        return f"{self.drop}* as {self.add}*"


@dataclass(frozen=True)
class WeightsReport:
    """What became of the names of a file and of a model.

    Attributes:
        source: the file or URL.
        renaming: how the file's names were read.
        matched: names of the model that were loaded.
        missing: names of the model that the file does not have; they keep their values.
        unexpected: names of the file that the model does not have.
        wrong_shape: (name of the model, the file's shape, the model's shape); not loaded.
    """

    source: str
    renaming: Renaming
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong_shape: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def complete(self) -> bool:
        """Whether every name of the file and the model was matched."""
        return not (self.missing or self.unexpected or self.wrong_shape)

    def lines(self, limit: int = _SHOWN) -> list[str]:
        """A table for people: how many names of each kind, and the first ``limit`` of those that need a look."""
        of = len(self.matched) + len(self.missing) + len(self.wrong_shape)
        renamed = f", reading {self.renaming}" if self.renaming.drop or self.renaming.add else ""
        lines = [f"weights of {self.source}: {len(self.matched)} of the model's {of} tensors loaded{renamed}"]
        shapes = [f"{name}  file {_shape(a)}, model {_shape(b)}" for name, a, b in self.wrong_shape]
        lines += _rows("wrong shape", shapes, limit)
        lines += _rows("missing", self.missing, limit)
        lines += _rows("unexpected", self.unexpected, limit)
        return lines + _rows("matched", _grouped(self.matched), limit)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _rows(kind: str, names: Iterable[str], limit: int) -> list[str]:
    listed = list(names)
    rows = [f"  {kind:<11}  {name}" for name in listed[:limit]]
    return rows + ([f"  {kind:<11}  ... and {len(listed) - limit} more"] if len(listed) > limit else [])


def _grouped(names: Iterable[str]) -> list[str]:
    """``net.encoder.* (120)``: names by their first two parts."""
    counts: dict[str, int] = {}
    for name in names:
        parts = name.split(".")
        group = ".".join(parts[:2]) + (".*" if len(parts) > 2 else "")
        counts[group] = counts.get(group, 0) + 1
    return [f"{group} ({count})" for group, count in counts.items()]


def load_weights(model: nn.Module, source: str | Path, *, strict: bool = False, trust: bool = False) -> WeightsReport:
    """Load what fits of a file of weights into a model, in place; what does not fit is reported, never silent.

    The file's names are read under the one change of prefix that makes most of them names of the model, so that files
    of DDP (``module.``), torch.compile (``_orig_mod.``), Lightning (``model.``), MM (``backbone.``), torchvision and
    timm (no prefix) load into a network of another place.

    Args:
        model: perhaps wrapped by DDP, on any device.
        source: what ``read_weights`` takes.
        strict: every name of the file and the model must match.
        trust: unpickle the file whole, which runs code that it may hold.

    Raises:
        ConfigError: the file cannot be read, nothing in it matches, or with ``strict`` not everything does.
    """
    module = distributed.unwrap(model)
    own = module.state_dict()
    found = read_weights(source, trust=trust)
    renaming = best_renaming(found, own)
    report = _compared(str(source), found, own, renaming)
    if not report.matched:
        raise ConfigError(_nothing_matched(report, found, own))
    if strict and not report.complete:
        raise ConfigError("\n".join(["the weights do not fit the model", *report.lines()]))
    with torch.no_grad():
        for name in report.matched:
            own[name].copy_(found[renaming.drop + name[len(renaming.add) :]])
    return report


def best_renaming(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Renaming:
    """The change of prefix under which most tensors have a name and shape of the model, the smallest of equals."""
    places: dict[str, list[tuple[str, torch.Size]]] = {}
    for name, tensor in own.items():
        for add, rest in _splits(name):
            places.setdefault(rest, []).append((add, tensor.shape))
    same_name: Counter[Renaming] = Counter()
    same_shape: Counter[Renaming] = Counter()
    for name, tensor in found.items():
        for drop, rest in _splits(name):
            for add, shape in places.get(rest, ()):
                same_name[Renaming(drop, add)] += 1
                same_shape[Renaming(drop, add)] += shape == tensor.shape
    options = sorted({Renaming("", ""), *same_name}, key=lambda option: (len(option.drop + option.add), str(option)))
    return max(options, key=lambda option: (same_shape[option], same_name[option]))


def _splits(name: str) -> list[tuple[str, str]]:
    """A name as (prefix with its dot, rest) at each of its first dots."""
    parts = name.split(".")
    depth = min(_DEEPEST_PREFIX, len(parts) - 1)
    prefixes = ["".join(f"{part}." for part in parts[:count]) for count in range(depth + 1)]
    return [(prefix, name[len(prefix) :]) for prefix in prefixes]


def _compared(source: str, found: Mapping[str, Tensor], own: Mapping[str, Tensor], renaming: Renaming) -> WeightsReport:
    named = {name: renaming(name) for name in found}
    fits = {new: tuple(found[old].shape) for old, new in named.items() if new is not None and new in own}
    return WeightsReport(
        source,
        renaming,
        matched=tuple(name for name in own if fits.get(name) == tuple(own[name].shape)),
        missing=tuple(name for name in own if name not in fits),
        unexpected=tuple(old for old, new in named.items() if new not in own),
        wrong_shape=tuple(
            (name, fits[name], tuple(own[name].shape))
            for name in own
            if name in fits and fits[name] != tuple(own[name].shape)
        ),
    )


def _nothing_matched(report: WeightsReport, found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    def some(tensors: Mapping[str, Tensor]) -> str:
        return ", ".join(f"{name} {_shape(tuple(tensor.shape))}" for name, tensor in list(tensors.items())[:3])

    return (
        f"{report.source}: none of its {len(found)} tensors has a name and shape of the model; the file has "
        f"{some(found)} ...; the model has {some(own)} ..."
    )
