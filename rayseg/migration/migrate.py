"""migrate: an MM config file as a rayseg config and the list of what did not come over as it was."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayseg.config.tree import as_tree
from rayseg.core.errors import ConfigError, Problem
from rayseg.migration.engine import migrate_engine
from rayseg.migration.lines import Line, Lines, dict_of, without_scope
from rayseg.migration.loaders import migrate_loaders, shortened
from rayseg.migration.models import Model, migrate_model
from rayseg.migration.read import OLD_SECTIONS, MMConfig, read_mm_config
from rayseg.migration.write import write_config

DICTS = (
    "model",
    *(f"{mode}_{part}" for mode in ("train", "val", "test") for part in ("dataloader", "cfg")),
    "optim_wrapper",
    "default_hooks",
)


@dataclass(frozen=True)
class Migration:
    """What came of an MM config.

    Attributes:
        source: the MM config's path, as it was given.
        sections: the rayseg config.
        text: the same as a Python file, with comments.
        lines: what did not come over as it was, what is missing first.
        family: of the model, such as ``PSPNet``, or its parts where nothing stands for it; empty without a model.
        path: the file that was written, or None.
    """

    source: str
    sections: dict[str, Any]
    text: str
    lines: tuple[Line, ...]
    family: str
    path: Path | None = None

    @property
    def missing(self) -> tuple[Line, ...]:
        """The lines that say what has to be done before the config runs."""
        return tuple(line for line in self.lines if line.kind == "missing")

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


def migrate(
    config: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, *, force: bool = False
) -> Migration:
    """Make a rayseg config of an MM config (MMSegmentation 1.x; Python files are executed).

    Args:
        config: the MM config.
        out: the file to write, ``.py``; None writes nothing.
        force: replace a file that is there.

    Raises:
        ConfigError: ``config`` cannot be read or is none; ``out`` is there already, cannot be written or does not end
            in ``.py``.
    """
    target = None if out is None else _target(Path(out), force)
    read = read_mm_config(config)
    lines = Lines()
    sections, family = _sections(read, lines)
    text = write_config(sections, lines.sorted(), Path(read.path).name)
    if target is not None:
        _write(target, text)
    return Migration(read.path, as_tree(sections), text, lines.sorted(), family, target)


def _target(path: Path, force: bool) -> Path:
    if path.suffix != ".py":
        raise ConfigError(Problem("the config is written in Python: name a file that ends in .py", file=str(path)))
    if path.exists() and not force:
        raise ConfigError(Problem("the file is there already; --force replaces it", file=str(path)))
    return path


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(Problem(f"cannot be written: {error.strerror or error}", file=str(path))) from None


def _sections(read: MMConfig, lines: Lines) -> tuple[dict[str, Any], str]:
    tree = read.tree
    _check_kinds(tree, lines)
    model = tree.get("model")
    made = migrate_model(model, tree.get("data_preprocessor"), lines) if isinstance(model, Mapping) else None
    loaders = migrate_loaders(tree, lines)
    engine = migrate_engine(tree, lines)
    _check_repeats(tree, lines)
    _outside(read, engine, lines)
    if made:
        if made.switches:
            engine["env_cfg"] = {**(engine.get("env_cfg") or {}), **made.switches}
        _rename_keys(engine.get("optim_wrapper"), made, lines)
        _check_classes(made, loaders.get("train_dataloader", {}).get("dataset") or {}, lines)
    sections = {**({"model": made.section} if made else {}), **shortened(loaders), **engine}
    _note_workers(read.path, loaders.get("train_dataloader"), lines)
    return sections, made.family if made else ""


def _check_kinds(tree: Mapping[str, Any], lines: Lines) -> None:
    """Sections that are no dicts, where MM has dicts."""
    for name in DICTS:
        if (value := tree.get(name)) is not None and not isinstance(value, Mapping):
            lines.missing(name, value, "expected a dict", f"say {name}=dict(...)")
    if not isinstance(value := tree.get("param_scheduler") or [], Mapping | list | tuple):
        do = "say param_scheduler=[dict(type=...), ...]"
        lines.missing("param_scheduler", value, "expected a dict or a list of dicts", do)


def _outside(read: MMConfig, engine: dict[str, Any], lines: Lines) -> None:
    """Names that are no sections here."""
    for name, value in read.mm_only.items():
        if name in OLD_SECTIONS and OLD_SECTIONS[name] in read.tree:
            lines.dropped(name, value, f"it is a section of MM 0.x; {OLD_SECTIONS[name]} stands for it already")
        elif name in OLD_SECTIONS:
            lines.missing(name, value, "it is a section of MM 0.x, and is not read", f"say {OLD_SECTIONS[name]}")
        elif name in ("find_unused_parameters", "compile") and value:
            engine["env_cfg"] = {**(engine.get("env_cfg") or {}), name: value}
        elif value:
            lines.missing(name, value, "there is no such section here", "env_cfg has the switches of DDP and compile")
    for slip in read.slips:
        lines.missing(slip.key, None, f"MM takes it for a helper variable ({slip.message})", "rename it if it is none")
    for name in read.environment:
        why = "its value of now, or its default, stands there"
        lines.differs(name, f"{{{{${name}}}}}", why, f"write '${{env:{name}}}' where it is to stay open")


def _rename_keys(wrapper: Any, model: Model, lines: Lines) -> None:
    """Keys of ``custom_keys`` are parts of parameter names, which are others in another network."""
    rules = wrapper.get("paramwise_cfg") if isinstance(wrapper, Mapping) else None
    keys = rules.get("custom_keys") if isinstance(rules, Mapping) else None
    if not keys or model.network is None:
        return
    renamed: dict[str, Any] = {}
    for key, rule in keys.items():
        first, dot, rest = key.partition(".")
        names = [name + dot + rest for name in model.network.names.get(first, (first,))]
        renamed |= dict.fromkeys(names, rule)
        if names != [key]:
            why = f"parameters are called otherwise in {model.network.net['type']}"
            lines.differs(f"optim_wrapper.paramwise_cfg.custom_keys.{key}", None, f"{why}: {', '.join(names)}")
    wrapper["paramwise_cfg"] = {**(rules or {}), "custom_keys": renamed}


def _check_classes(model: Model, dataset: Mapping[str, Any], lines: Lines) -> None:
    classes = (dataset.get("datasets") or [dataset])[0].get("classes")
    if isinstance(classes, list) and model.num_classes not in (None, 1, len(classes)):
        why = f"the data set has {len(classes)} classes, and the class count comes from it here"
        do = f"say classes=[...] with {model.num_classes} names on the data set if that is what is meant"
        lines.differs("model.decode_head.num_classes", model.num_classes, why, do)


def _check_repeats(tree: Mapping[str, Any], lines: Lines) -> None:
    """An epoch of MM's RepeatDataset is several passes over the data."""
    dataset = dict_of(dict_of(tree.get("train_dataloader")).get("dataset"))
    times, epochs = dataset.get("times"), dict_of(tree.get("train_cfg")).get("max_epochs")
    are_counts = isinstance(times, int) and isinstance(epochs, int)
    if are_counts and times and epochs and without_scope(dataset.get("type")) == "RepeatDataset":
        do = f"say max_epochs={epochs * times}, and multiply intervals and schedules alike"
        lines.differs("train_dataloader.dataset.times", times, "an epoch is one pass over the data here", do)


def _note_workers(path: str, loader: Any, lines: Lines) -> None:
    """MM says in a config's name on how many GPUs it trains: ``..._4xb2-80k_...``."""
    found = re.search(r"[_-](\d+)xb?(\d+)[-_.]", Path(path).name)
    batch = loader.get("batch_size") if isinstance(loader, Mapping) else None
    if found and isinstance(batch, int) and int(found[1]) > 1 and int(found[2]) == batch:
        workers = int(found[1])
        why = f"its name says {workers} GPUs, so a global batch of {workers * batch}; here it is one worker's {batch}"
        do = f"say scaling=dict(num_workers={workers}), or optim_wrapper.accumulative_counts={workers}"
        lines.differs("train_dataloader.batch_size", batch, why, do)
