"""Packing: which files of the working directory go with a job, how large they are, and the archive of them."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from rayseg.core.errors import ConfigError
from rayseg.submission.pack_rules import DATA, SECRET, why_not_directory, why_not_file

MIB = 2**20
SHOWN_LARGEST = 5
SHOWN_LEFT_OUT = 6
IGNORED, EXCLUDED, LINK = "ignored", "excluded", "link to a directory"
_SAME_TIME = (1980, 1, 1, 0, 0, 0)  # so that equal files make an equal archive, which is not sent twice

Matcher = Callable[[Path], bool]


@dataclass(frozen=True)
class Package:
    """What goes with a job.

    Attributes:
        root: the working directory, absolute.
        files: path below ``root``, with slashes, to bytes.
        left_out: path below ``root`` to why it stays; of a directory that stays whole only its own path.
    """

    root: Path
    files: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(self.files.values())

    def lines(self) -> list[str]:
        """For people: the size, and what stays."""
        count = len(self.files)
        lines = [f"{self.root}: {count} file{'s' * (count != 1)}, {size(self.bytes)}"]
        if self.left_out:
            lines.append(f"left out: {_shown_left_out(self.left_out)}")
        return lines

    def why_not(self, path: str) -> str | None:
        """Why a path below ``root`` stays here; None when it goes."""
        if path in self.files:
            return None
        parts = path.split("/")
        above = ("/".join(parts[:count]) for count in range(len(parts), 0, -1))
        return next((self.left_out[each] for each in above if each in self.left_out), "not there")


def select(
    root: Path, *, include: Iterable[str] = (), exclude: Iterable[str] = (), data_roots: Iterable[Path] = ()
) -> Package:
    """Look through the working directory; nothing is read but ignore files.

    Args:
        root: an existing directory, absolute.
        include: patterns as in ``.gitignore`` of what goes whatever the rules say; secrets never do.
        exclude: patterns of what stays besides.
        data_roots: directories that hold data, by the config.

    Raises:
        ConfigError: the directory is the file system's root or the user's home; it cannot be read.
    """
    if root in (Path(root.anchor), Path.home()):
        raise ConfigError(f"--working-dir {root}: this is no project's directory; name the one that holds the config")
    walk = _Walk(Package(root), list(include), list(exclude), frozenset(data_roots) - {root})
    try:
        walk.directory(root, [], None)
    except OSError as error:
        raise ConfigError(f"--working-dir {root}: {error.filename}: cannot be read: {error.strerror}") from None
    return walk.package


def require_small(package: Package, limit_mib: float) -> None:
    """Refuse what is too large to be sent.

    Raises:
        ConfigError: the size, the limit, the largest files and what to do.
    """
    if package.bytes <= limit_mib * MIB:
        return
    largest = sorted(package.files.items(), key=lambda item: -item[1])[:SHOWN_LARGEST]
    shown = ", ".join(f"{path} ({size(count)})" for path, count in largest)
    raise ConfigError(
        f"--working-dir {package.root}: {size(package.bytes)} in {len(package.files)} files, more than "
        f"--max-size {limit_mib:g} (MiB); the largest: {shown}; leave out with --exclude or .rayignore what the job "
        "does not need"
    )


def write_archive(package: Package, target: Path) -> None:
    """Write the files as a zip archive; the same files give the same bytes.

    Raises:
        ConfigError: a file cannot be read.
    """
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for name in sorted(package.files):
            path = package.root / name
            info = ZipInfo(name, _SAME_TIME)
            info.compress_type = ZIP_DEFLATED
            try:
                info.external_attr = (stat.S_IFREG | path.stat().st_mode & 0o755) << 16
                archive.writestr(info, path.read_bytes())
            except OSError as error:
                raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def size(count: int) -> str:
    """Bytes for people, such as ``1.2 MiB``."""
    if count >= 1024 * MIB:
        return f"{count / MIB / 1024:.1f} GiB"
    return f"{count / MIB:.1f} MiB" if count >= MIB / 10 else f"{count / 1024:.1f} KiB"


class _Walk:
    """One look through a directory tree; fills ``package``."""

    def __init__(self, package: Package, include: list[str], exclude: list[str], data_roots: frozenset[Path]) -> None:
        self.package = package
        self._data_roots = data_roots
        self._entered = [pattern.strip("/") for pattern in include]
        self._included = _patterns(package.root, include)
        self._excluded = _patterns(package.root, exclude)

    def directory(self, path: Path, ignores: list[Matcher], why: str | None) -> None:
        """Sort what is in it; ``why`` is set where only what is included by name goes."""
        ignores = [*ignores, *_ignore_files(path)]
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            self._entry(entry, ignores, why)

    def _entry(self, entry: os.DirEntry[str], ignores: list[Matcher], above: str | None) -> None:
        path = Path(entry.path)
        where = path.relative_to(self.package.root).as_posix()
        why = self._why_not(entry, path, ignores, above)
        if entry.is_dir() and not entry.is_symlink():
            if why is None or (why != SECRET and any(p.startswith(f"{where}/") for p in self._entered)):
                self.directory(path, ignores, why)
            elif above is None:
                self.package.left_out[where] = why
        elif why is not None:
            self.package.left_out[where] = why
        elif entry.is_file():
            self.package.files[where] = entry.stat().st_size

    def _why_not(self, entry: os.DirEntry[str], path: Path, ignores: list[Matcher], above: str | None) -> str | None:
        is_directory = entry.is_dir()
        own = why_not_directory(path) if is_directory else why_not_file(entry.name)
        if own == SECRET or (entry.is_symlink() and why_not_file(path.resolve().name) == SECRET):
            return SECRET
        if is_directory and entry.is_symlink():
            return LINK
        if self._included(path):
            return None
        if above is not None:
            return above
        if self._excluded(path):
            return EXCLUDED
        if path in self._data_roots:
            return DATA
        return own or (IGNORED if any(ignored(path) for ignored in ignores) else None)


def _ignore_files(path: Path) -> list[Matcher]:
    """What ``.gitignore`` and ``.rayignore`` of a directory leave out, as Ray itself reads them."""
    from ray._private.runtime_env.packaging import get_excludes_from_ignore_files

    respected = os.environ.get("RAY_RUNTIME_ENV_IGNORE_GITIGNORE", "0") != "1"
    return get_excludes_from_ignore_files(path, include_gitignore=respected, logger=_Silent())  # type: ignore[arg-type]


def _patterns(root: Path, patterns: list[str]) -> Matcher:
    from ray._private.runtime_env.packaging import _get_excludes

    return _get_excludes(root, patterns)


class _Silent:
    """A logger for Ray, which tells of each ignore file."""

    def info(self, *_: Any) -> None:
        """Say nothing."""


def _shown_left_out(left_out: dict[str, str]) -> str:
    """The first few by name, the rest by their reasons; what is secret comes first."""
    order = sorted(left_out.items(), key=lambda item: (item[1] != SECRET, item[0].count("/"), item[0]))
    shown = [f"{path} ({why})" for path, why in order[:SHOWN_LEFT_OUT]]
    rest = Counter(why for _, why in order[SHOWN_LEFT_OUT:])
    shown += [f"{count} more ({why})" for why, count in rest.most_common()]
    return ", ".join(shown)
