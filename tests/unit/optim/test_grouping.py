"""The group table as text, and which name a custom key is a slip of."""

from __future__ import annotations

import pytest

from rayseg.optim.grouping import GroupRow, close_name, table_lines


def test_the_table_is_aligned() -> None:
    rows = [GroupRow("default", 0.01, None, 12, 12345), GroupRow("cls_token", None, None, 0, 0, "matches no parameter")]
    assert table_lines(rows) == [
        "group        lr  weight_decay  tensors  values",
        "default    0.01             -       12  12,345",
        "cls_token     -             -        -       -  matches no parameter",
    ]


@pytest.mark.parametrize(
    ("key", "expected"),
    [("ln", None), ("stage1", "stages"), ("layer5", None), ("fcc", "fc"), ("stages.0.nrom", "stages.0.norm")],
)
def test_close_names(key: str, expected: str | None) -> None:
    assert close_name(key, ["stages.0.norm.weight", "fc.bias", "gamma"]) == expected
