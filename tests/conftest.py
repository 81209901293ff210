"""Fixtures that every test may use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))


@pytest.fixture(autouse=True, scope="module")
def modules_of_tests_end_with_them(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Modules that stand in temporary directories, and those directories on the import path, are not for others."""
    base, path = tmp_path_factory.getbasetemp(), list(sys.path)
    yield
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and base in Path(file).parents:
            del sys.modules[name]
    sys.path[:] = path
    sys.path_importer_cache.clear()
