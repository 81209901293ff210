"""load_config: a config file, the files it is based on, and overrides, as one Config."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayseg.config.bases import disagreements, mark_ambiguous
from rayseg.config.config import Config, Provenance, directories_of
from rayseg.config.data_file import parse_data
from rayseg.config.merge import Origins, merge
from rayseg.config.overrides import apply_overrides
from rayseg.config.python_file import base_list, parse_python, run_python
from rayseg.config.references import fill_predefined, substitute_tree
from rayseg.config.sections import SECTIONS, one_letter_from, unknown_section
from rayseg.config.tree import ConfigDict, as_tree
from rayseg.core.errors import ConfigError, Problem, nearest

SUFFIXES = (".py", ".yaml", ".yml", ".json")
# Sections of older MM and slips that would be lost as helper variables which nothing reads.
NEVER_HELPERS = ("num_workers", "lr_config", "checkpoint_config", "log_config", "evaluation", "runner")


@dataclass
class Source:
    """What a file and its bases amount to.

    Attributes:
        tree: sections; of YAML and JSON files also names that are none, for the checker.
        helpers: the other top-level names of Python files, for the files that are based on them.
        origins: who set what in ``tree``.
        problems: helpers whose name is a slip away from a section's.
        reads: names that the Python files read.
    """

    tree: ConfigDict = field(default_factory=ConfigDict)
    helpers: ConfigDict = field(default_factory=ConfigDict)
    origins: Origins = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    reads: set[str] = field(default_factory=set)

    def add(self, other: Source) -> None:
        """Merge what another source says over this one."""
        self.tree = merge(self.tree, other.tree, self.origins, other.origins)
        self.helpers = merge(self.helpers, other.helpers, {}, {})
        self.problems += other.problems
        self.reads |= other.reads

    def names(self) -> dict[str, Any]:
        """What ``_base_`` offers to the files above."""
        return {**self.helpers, **self.tree}


def load_config(path: str | os.PathLike[str], overrides: Iterable[str] | Mapping[str, Any] = ()) -> Config:
    """Read a config file (Python, YAML or JSON) with its bases, then apply overrides.

    Python files are executed. Nothing is checked but the grammar: see ``check_config``.

    Args:
        path: the file.
        overrides: ``key=value`` texts as on the command line, or a mapping from key path to value.

    Raises:
        ConfigError: a file is missing, is based on itself, has a syntax error or raises; two bases of one file set a
            key to different values; an override that cannot be applied. Names the file, and the line where there is
            one.
    """
    shown = os.fspath(path)
    source = read_source(Path(shown).absolute(), shown, ())
    file = Path(shown).absolute()
    unread = [name for name in NEVER_HELPERS if name in source.helpers and name not in source.reads]
    source.problems += [unknown_section(name, shown) for name in unread]
    tree = apply_overrides(source.tree, overrides, source.origins)
    return Config(tree, Provenance(file, shown, source.origins, {}, tuple(source.problems), directories_of(file)))


def read_source(path: Path, shown: str, above: tuple[Path, ...]) -> Source:
    """One file with its bases; ``above`` are the files that led here."""
    path = Path(os.path.normpath(path))
    if path in above:
        chain = " -> ".join(str(file) for file in (*above[above.index(path) :], path))
        raise ConfigError(Problem(f"the file is based on itself: {chain}", "_base_", shown))
    text = _read(path, shown)
    if path.suffix == ".py":
        return _read_python(text, path, shown, (*above, path))
    return _read_data(text, path, shown, (*above, path))


def _read(path: Path, shown: str) -> str:
    if not path.suffix and not path.exists():
        raise ConfigError(Problem("no such file or directory", file=shown))
    if path.suffix not in SUFFIXES:
        raise ConfigError(Problem(f"expected a file that ends in {', '.join(SUFFIXES)}", file=shown))
    try:
        return fill_predefined(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        close = nearest(path.stem, (file.stem for file in path.parent.glob(f"*{path.suffix}")))
        hint = f"; did you mean {os.fspath(Path(shown).with_name(close + path.suffix))!r}?" if close else ""
        raise ConfigError(Problem(f"no such file{hint}", file=shown)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(Problem(f"cannot be read: {error}", file=shown)) from None
    except ConfigError as error:
        raise ConfigError(Problem(str(error), file=shown)) from None


def _read_bases(names: list[str], path: Path, shown: str, above: tuple[Path, ...]) -> Source:
    source = Source()
    problems: list[Problem] = []
    helper_files: dict[str, str] = {}
    for name in names:
        if "::" in name:
            message = f"{name!r} names a file of an installed package, which is not read; copy it and name the copy"
            raise ConfigError(Problem(message, "_base_", shown))
        base_shown = os.path.normpath(Path(shown).parent / name)
        base_path = path.parent / name
        if not base_path.is_file():
            raise ConfigError(Problem(f"no such file: {base_shown}", "_base_", shown))
        base = read_source(base_path, base_shown, above)
        problems += disagreements(source.tree, source.origins, base.tree, base.origins, shown)
        mark_ambiguous(source.helpers, helper_files, base.helpers, base_shown)
        source.add(base)
    if problems:
        raise ConfigError(problems)
    return source


def _read_python(text: str, path: Path, shown: str, above: tuple[Path, ...]) -> Source:
    file = parse_python(text, path, shown)
    source = _read_bases(file.bases, path, shown, above)
    values = run_python(file, source.names())
    own = Source(reads=file.reads)
    for name, value in values.items():
        if name in SECTIONS:
            own.tree[name] = value
            own.origins[name] = shown
        else:
            own.helpers[name] = value
            if isinstance(value, Mapping | list) and (section := one_letter_from(name)):
                own.problems.append(Problem(f"no such section; did you mean {section!r}?", name, shown))
    source.add(own)
    return source


def _read_data(text: str, path: Path, shown: str, above: tuple[Path, ...]) -> Source:
    tree = parse_data(text, shown, path.suffix)
    try:
        bases = base_list(tree.pop("_base_", []))
    except ValueError as error:
        raise ConfigError(Problem(f"expected a file name or a list of them ({error})", "_base_", shown)) from None
    source = _read_bases(bases, path, shown, above)
    own = Source()
    for name, value in tree.items():
        try:
            own.tree[str(name)] = as_tree(substitute_tree(value, source.names()))
        except ConfigError as error:
            raise ConfigError(Problem(str(error), str(name), shown)) from None
        own.origins[str(name)] = shown
    source.add(own)
    return source
