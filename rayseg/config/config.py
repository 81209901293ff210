"""Config: the tree of sections, and where each value came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayseg.config.merge import nearest_entry
from rayseg.config.tree import ConfigDict, parents
from rayseg.core.errors import ConfigError, Problem

COMMAND_LINE = "command line"
DEFAULT = "default"


@dataclass(frozen=True)
class Provenance:
    """What is known of a config besides its values.

    Attributes:
        filename: absolute path of the file it was loaded from.
        name: the same as people gave it.
        origins: key path to the file that set it and what is below it, unless a longer path says otherwise.
        inherited: key path to the key path that ``complete_config`` copied it from.
        problems: what the files hold that is no section and yet looks like one.
        import_path: directories, absolute, in which its dotted paths are looked up first.
    """

    filename: Path | None = None
    name: str = ""
    origins: dict[str, str] = field(default_factory=dict)
    inherited: dict[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    import_path: tuple[str, ...] = ()


class Config(ConfigDict):
    """A dict of sections whose keys are attributes (``config.model.net``), which knows the file of every value.

    Values are plain Python: dicts, lists, tuples, numbers, text, None, search leaves; in a notebook classes and live
    objects too. Two configs are equal when their values are.
    """

    __slots__ = ("_provenance",)
    _provenance: Provenance

    def __init__(self, values: Mapping[str, Any] | None = None, provenance: Provenance | None = None) -> None:
        object.__setattr__(self, "_provenance", provenance or Provenance())
        super().__init__(values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], filename: str | Path | None = None) -> Config:
        """A config made in Python; ``filename`` says whose directory dotted paths are looked up in first."""
        path = Path(filename).absolute() if filename is not None else None
        return cls(values, Provenance(path, str(filename or ""), import_path=directories_of(path)))

    @classmethod
    def fromfile(cls, filename: str | Path) -> Config:
        """MM's name for ``load_config``."""
        from rayseg.config.load import load_config

        return load_config(filename)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self), self._provenance)

    def copy(self) -> Config:
        """A copy that shares no container with this one and knows the same origins."""
        return type(self)(self, self._provenance)

    @property
    def filename(self) -> Path | None:
        """Absolute path of the file, or None for a config made in Python."""
        return self._provenance.filename

    @property
    def provenance(self) -> Provenance:
        """Files, inheritance and import path."""
        return self._provenance

    def origin(self, key_path: str) -> str:
        """The file that set ``a.b.c``; ``command line`` for an override, ``default`` for what ``complete_config``
        filled in, empty when it came from Python. In ``a[label].b`` the value is inside an option of a choice."""
        origins = self._provenance.origins
        inside = (origins[path] for path in parents(key_path) if "[" in path and path in origins)
        return next(inside, None) or nearest_entry(origins, key_path.partition("[")[0]) or self._provenance.name

    def merge_from_dict(self, options: Mapping[str, Any]) -> None:
        """Change the config in place: key paths such as ``model.net.depth`` or ``custom_hooks.0.x`` to values.

        As overrides do: a dict is merged into a dict, anything else replaces.

        Raises:
            ConfigError: a key path that leads nowhere.
        """
        from rayseg.config.overrides import apply_overrides

        merged = apply_overrides(self, options, {})
        self.clear()
        self.update(merged)

    def dump(self, file: str | Path | None = None) -> str:
        """Python text, sections in a fixed order, which loads to an equal config.

        A class or function is written as its dotted path. A live object cannot be written: its place holds a text
        that the checker refuses.

        Args:
            file: written too when given; its name ends in ``.py``.

        Raises:
            ConfigError: a section that does not exist, or another ending.
        """
        from rayseg.config.dump import dump_tree

        text = dump_tree(self)
        if file is not None:
            if Path(file).suffix != ".py":
                raise ConfigError(f"a config is written as Python; expected a name that ends in .py, found {file}")
            Path(file).write_text(text, encoding="utf-8")
        return text

    @property
    def pretty_text(self) -> str:
        """MM's name for ``dump()``."""
        return self.dump()


def directories_of(filename: Path | None) -> tuple[str, ...]:
    """The directories where dotted paths are looked up first: the config's and the current one."""
    directories = ([str(filename.parent)] if filename else []) + [str(Path.cwd())]
    return tuple(dict.fromkeys(directories))
