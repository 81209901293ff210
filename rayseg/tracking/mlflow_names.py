"""Names and places as MLflow takes them: of metrics, params, tags and pictures, and of a store that is a file."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import unquote

from rayseg.core.errors import ConfigError
from rayseg.tracking.sweeps import shared_dir

MAX_NAME = 250  # characters


def taken_name(name: str) -> str:
    """``name`` as MLflow takes it; one that had to be changed gets a mark that no other has."""
    parts = [part if part.strip(".") else f"_{part}" for part in re.sub(r"[^\w.\- /]", "_", name).split("/")]
    taken = "/".join(parts)
    if taken == name and len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{taken[: MAX_NAME - 9]}-{digest}"


def store_uri(uri: str, run_dir: Path) -> str:
    """A URI with the absolute path where it names a file or directory of this machine; any other as it is.

    Raises:
        ConfigError: no URI of SQLite's can hold the path.
    """
    path = store_path(uri, run_dir)
    if path is None:
        return uri
    if not uri.startswith("sqlite"):
        return path.as_uri()
    if "?" in str(path):
        raise ConfigError(
            f"MLflow: no SQLite URI can hold a path with a question mark: {path}; set tracking_uri to another place"
        )
    return f"sqlite:///{path}"


def store_path(uri: str, run_dir: Path) -> Path | None:
    """The file or directory that a URI names, from beside the run or sweep directory if it is relative."""
    path = None
    if match := re.match(r"sqlite(?:\+\w+)?:///([^?]+)", uri):
        path = match[1]
    elif uri.startswith("file:"):
        path = unquote(uri.removeprefix("file:").removeprefix("//"))
    elif ":" not in uri and uri != "databricks":
        path = uri
    return None if path is None else Path(os.path.normpath(shared_dir(run_dir) / path))
