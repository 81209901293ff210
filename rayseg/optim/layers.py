"""Which layer of its backbone each parameter of a model belongs to, by a user's table and by the families known."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rayseg.core.errors import ConfigError
from rayseg.optim.layer_families import NAMINGS, Naming
from rayseg.optim.layer_rules import HEAD, LAST, STAGE_SUMS, LayerRow, compiled, evaluate

LayerFunction = Callable[[str], int | str | None]
LayerTable = Sequence[LayerRow] | LayerFunction
MAX_NAMES_SHOWN = 4
MAX_ROWS_SHOWN = 3
_LEAF = re.compile(r"\.(weight|bias)$")
_BLOCKS = re.compile(r"(block|layer|stage)s?\w*\.", re.IGNORECASE)
_WHERE = "optim_wrapper.paramwise_cfg"


@dataclass(frozen=True)
class Backbone:
    """A backbone inside a model.

    Attributes:
        prefix: what its parameters' names begin with, the dot included.
        naming: its family and names; None for what only a user's table knows.
        count: layers between the first, 0, and the heads; of stages with ``by_stage``.
    """

    prefix: str
    naming: Naming | None
    count: int

    def __str__(self) -> str:
        return f"{self.prefix.rstrip('.') or 'the model'} ({self.naming or 'layer_table'})"


@dataclass(frozen=True)
class Layers:
    """The layers of a model's parameters.

    Attributes:
        ids: name to layer, from 0; a head's is ``top + 1``, and what was called 'last' is ``top``. Of several
            backbones the tops are the same.
        top: the last layer before the heads.
        backbones: what was found.
    """

    ids: Mapping[str, int]
    top: int
    backbones: tuple[Backbone, ...]


@dataclass
class _Found:
    """Layers as rows give them: numbers, 'last' and 'head'; which a user gave; and the backbone of each."""

    values: dict[str, int | str] = field(default_factory=dict)
    given: frozenset[str] = frozenset()
    owners: dict[str, str] = field(default_factory=dict)
    namings: dict[str, Naming] = field(default_factory=dict)


def find_layers(
    names: Sequence[str], table: LayerTable = (), num_layers: int | None = None, *, by_stage: bool = False
) -> Layers:
    """The layer of each parameter.

    Args:
        names: of all parameters.
        table: rows, or a function from a name to its layer, that are asked before the families known.
        num_layers: what 'last' is, at least as many as there are; counted when None.
        by_stage: stages in place of layers.

    Raises:
        ConfigError: a parameter of a backbone has no layer, no backbone is known, or ``num_layers`` is too small.
    """
    found = _find(names, table, by_stage)
    counts = _counts(found)
    most = max(counts.values())
    backbones = tuple(Backbone(prefix, found.namings.get(prefix), count) for prefix, count in counts.items())
    if num_layers is not None and num_layers < most:
        short = next(backbone for backbone in backbones if backbone.count > num_layers)
        raise ConfigError(
            f"{_WHERE}.num_layers: {num_layers} is too small, as {short} has {short.count} "
            f"{'stages' if by_stage else 'layers'}; 'auto' counts them"
        )
    top = most if num_layers is None else num_layers
    ids = {}
    for name, value in found.values.items():
        shift = 0 if num_layers is not None else most - counts.get(found.owners[name], most)
        ids[name] = top + 1 if value == HEAD else top if value == LAST else int(value) + shift
    return Layers(ids, top, backbones)


def _counts(found: _Found) -> dict[str, int]:
    """The number of each backbone's last layer."""
    numbers: dict[str, int] = defaultdict(int)
    has_last = {
        found.owners[name]
        for name, value in found.values.items()
        if value == LAST and not (name in found.given and found.owners[name] in found.namings)
    }
    for name, value in found.values.items():
        if isinstance(value, int):
            numbers[found.owners[name]] = max(numbers[found.owners[name]], value)
    counts = {owner: number + (owner in has_last) for owner, number in numbers.items()}
    if len(counts) > 1 and "" in counts and "" not in found.namings:  # rows of a user's table outside the backbones
        counts[""] = max(counts.values())
    return counts or dict.fromkeys(found.owners.values(), 1)


def _find(names: Sequence[str], table: LayerTable, by_stage: bool) -> _Found:
    found = _Found()
    given = _of_table(names, table, by_stage)
    found.values.update(given)
    found.given = frozenset(given)
    rest = [name for name in names if name not in given]
    for prefix in _prefixes(names):
        inside = [name for name in names if name.startswith(prefix)]
        if all(name in given for name in inside):
            continue
        naming, values = _of_family(prefix, inside, given, by_stage)
        found.namings[prefix] = naming
        found.values.update(values)
    if unknown := [name for name in rest if name not in found.values]:
        if not found.namings:
            raise ConfigError(_no_backbone(unknown, names, bool(given)))
        found.values.update(dict.fromkeys(unknown, HEAD))
    found.owners = {name: _owner(name, found.namings) for name in names}
    return found


def _owner(name: str, prefixes: Iterable[str]) -> str:
    return next((prefix for prefix in prefixes if name.startswith(prefix)), "")


def _of_table(names: Sequence[str], table: LayerTable, by_stage: bool) -> dict[str, int | str]:
    """What a user's table says."""
    if not callable(table):
        return _by_rows(names, table, by_stage, f"{_WHERE}.layer_table")
    values = {}
    for name in names:
        value = table(name)
        if value is None:
            continue
        if value not in (LAST, HEAD) and (type(value) is not int or value < 0):
            expected = f"a number from 0, '{LAST}', '{HEAD}' or None"
            raise ConfigError(f"{_WHERE}.layer_table: expected {expected} for {name}, found {value!r}")
        values[name] = value
    return values


def _by_rows(names: Sequence[str], rows: Sequence[LayerRow], by_stage: bool, where: str) -> dict[str, int | str]:
    matched: dict[str, tuple[LayerRow, dict[str, int]]] = {}
    for name in names:
        for row in rows:
            if (numbers := row.numbers(name)) is not None:
                matched[name] = (row, numbers)
                break
    depths = _depths(matched.values())
    values: dict[str, int | str] = {}
    for name, (row, numbers) in matched.items():
        value = row.stage if by_stage else row.layer
        if value is None:
            raise ConfigError(f"{where}: {row.pattern!r} has no stage, which decay_type='stage_wise' needs")
        if isinstance(value, str) and value not in (LAST, HEAD):
            value = evaluate(value, _with_sums(numbers, depths))
            if value < 0:
                raise ConfigError(f"{where}: {row.pattern!r} gives {name} the layer {value}")
        values[name] = value
    return values


def _depths(matched: Iterable[tuple[LayerRow, Mapping[str, int]]]) -> dict[int, int]:
    """Blocks of each stage."""
    depths: dict[int, int] = defaultdict(int)
    for _, numbers in matched:
        if "stage" in numbers and "block" in numbers:
            depths[numbers["stage"]] = max(depths[numbers["stage"]], numbers["block"] + 1)
    return depths


def _with_sums(numbers: Mapping[str, int], depths: Mapping[int, int]) -> dict[str, int]:
    if "stage" not in numbers:
        return dict(numbers)
    stage = numbers["stage"]
    before = sum(depth for other, depth in depths.items() if other < stage)
    return {**numbers, **dict(zip(STAGE_SUMS, (before, before + depths.get(stage, 0)), strict=True))}


def _prefixes(names: Iterable[str]) -> list[str]:
    """Where backbones may begin; one inside another is left out."""
    anchors = [re.compile(r"(|.*?\.)" + compiled(anchor).pattern) for anchor in {n.anchor: None for n in NAMINGS}]
    found = {match[1]: None for name in names for anchor in anchors if (match := anchor.match(name))}
    return [prefix for prefix in found if not any(prefix != other and prefix.startswith(other) for other in found)]


def _of_family(
    prefix: str, inside: Sequence[str], given: Mapping[str, object], by_stage: bool
) -> tuple[Naming, dict[str, int | str]]:
    """The naming that leaves the fewest names without a layer, and the layers.

    Raises:
        ConfigError: none fits, or it does not know all names.
    """
    local = [name.removeprefix(prefix) for name in inside]
    fitting = [naming for naming in NAMINGS if not _misfit(naming, local)]
    if not fitting:
        raise ConfigError(_no_backbone([name for name in inside if name not in given], inside, bool(given)))

    def unknown(naming: Naming) -> list[str]:
        regexes = [row.regex for row in naming.rows]
        return [name for name in local if prefix + name not in given and not any(r.match(name) for r in regexes)]

    naming = min(fitting, key=lambda candidate: len(unknown(candidate)))
    if missing := [prefix + name for name in unknown(naming)]:
        raise ConfigError(
            f"{_WHERE}: {_shown(missing)} in the backbone {prefix.rstrip('.') or 'net'!r} ({naming}) without a layer; "
            + _how_to(missing)
        )
    if by_stage and all(row.stage in (None, HEAD) for row in naming.rows):
        raise ConfigError(f"{_WHERE}.decay_type: {naming.family} has no stages; use 'layer_wise'")
    values = _by_rows([name for name in local if prefix + name not in given], naming.rows, by_stage, _WHERE)
    return naming, {prefix + name: value for name, value in values.items()}


def _misfit(naming: Naming, names: Sequence[str]) -> str:
    """What of a family's structure is missing in names after the prefix; empty when it is there."""
    anchor, block = compiled(naming.anchor), compiled(naming.block)
    held: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if match := block.match(name):
            held[match.group()].append(name[match.end() + 1 :])
    if not any(anchor.match(name) for name in names) or not held:
        return f"which has {naming.anchor} and {naming.block}"
    for found, inside in held.items():
        if naming.marks and not any(compiled(mark).match(name) for mark in naming.marks for name in inside):
            return f"but {found} holds no {' or '.join(naming.marks)}"
    if naming.needs and not any(compiled(naming.needs).match(name) for name in names):
        return f"which has {naming.needs}"
    if naming.lacks and any(compiled(naming.lacks).match(name) for name in names):
        return f"which has no {naming.lacks}"
    return ""


def _no_backbone(unknown: Sequence[str], names: Sequence[str], has_table: bool) -> str:
    libraries: dict[str, dict[str, None]] = defaultdict(dict)
    for naming in NAMINGS:
        libraries[naming.family][naming.library] = None
    known = ", ".join(f"{family} ({', '.join(found)})" for family, found in libraries.items())
    table = ", and layer_table has no row for it" if has_table else ""
    return (
        f"{_WHERE}: no backbone that layer decay knows{table}: {_shown(unknown)} without a layer. "
        f"Known are {known}{_nearest(names)}; {_how_to(unknown)}"
    )


def _nearest(names: Sequence[str]) -> str:
    """The family whose rows match the most names behind some prefix, and what it lacks."""
    sizes: dict[str, int] = defaultdict(int)
    for name in names:
        parts = name.split(".")
        for depth in range(min(len(parts), 5)):
            sizes["".join(f"{part}." for part in parts[:depth])] += 1
    best: tuple[int, str] = (0, "")
    for prefix in sorted(sizes, key=lambda prefix: -sizes[prefix])[:12]:
        local = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        for naming in NAMINGS:
            count = sum(any(row.regex.match(name) for row in naming.rows) for name in local)
            if count > best[0]:
                best = (count, f"; the nearest is {naming}, {_misfit(naming, local)}")
    return best[1].rstrip(", ")


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    return f"{', '.join(names[:MAX_NAMES_SHOWN])}{more} {'is' if len(names) == 1 else 'are'}"


def _how_to(names: Iterable[str]) -> str:
    """Rows that a user may begin a table with."""
    rows = list(dict.fromkeys(map(_likely_row, names)))[:MAX_ROWS_SHOWN]
    return (
        f"rows of your own say where they belong, such as paramwise_cfg.layer_table=[{', '.join(rows)}]; "
        f"layer={HEAD!r} has the full rate"
    )


def _likely_row(name: str) -> str:
    """A row for a name and those like it, by where its numbers stand."""
    numbers = list(re.finditer(r"(?<=\.)\d+(?=\.)", name))
    if not numbers or not _BLOCKS.search(name[: numbers[-1].start()]):
        return f"dict(pattern={_LEAF.sub('', name)!r}, layer=0)"
    if len(numbers) == 1 or not _BLOCKS.search(name[: numbers[0].start()]):
        return f"dict(pattern='{name[: numbers[0].start()]}{{block}}', layer='block + 1')"
    between = name[numbers[0].end() : numbers[1].start()]
    pattern = f"{name[: numbers[0].start()]}{{stage}}{between}{{block}}"
    return f"dict(pattern={pattern!r}, layer='before + block + 1')"
