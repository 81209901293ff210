"""What the file of a test's scores is called."""

from __future__ import annotations

from typing import Any

import pytest

from rayseg.orchestration.evaluation import _data_name

AERIAL = {"type": "FolderDataset", "data_root": "data/aerial", "split": "val"}


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        (AERIAL, "aerial_val"),
        ({"type": "my_data.Discs"}, "data"),
        ({"type": "ConcatDataset", "datasets": [AERIAL, {"data_root": "b"}]}, "aerial_val+b"),
        ({"type": "ConcatDataset", "datasets": [{"datasets": [AERIAL]}, object()]}, "aerial_val+object"),
    ],
)
def test_another_data_set_has_another_file(dataset: Any, name: str) -> None:
    assert _data_name(dataset) == name
