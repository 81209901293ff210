"""Which storage a path or a URL means."""

from __future__ import annotations

import os
import re

from rayseg.core.errors import ConfigError
from rayseg.engine.storage import Storage
from rayseg.engine.storage_local import LocalStorage


def open_storage(url: str | os.PathLike[str]) -> Storage:
    """The storage for a local path, a ``file://`` URL, or any other URL that fsspec knows.

    Raises:
        ConfigError: no driver for the URL, or its package is not installed.
    """
    text = os.fspath(url)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if scheme is None:
        return LocalStorage(text)
    if scheme[1] in ("file", "local"):
        return LocalStorage(text[scheme.end() :])
    import fsspec

    from rayseg.engine.storage_fsspec import ObjectStorage

    try:
        fsspec.get_filesystem_class(scheme[1])
    except (ImportError, ValueError) as error:
        raise ConfigError(f"checkpoint_store.url: cannot use {scheme[1]}:// ({error})") from None
    return ObjectStorage(text)
