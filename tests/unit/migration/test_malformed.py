"""Values of kinds that MM never has there: a line, not a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rayseg.migration import migrate

from tests.unit.migration.conftest import Write  # isort: skip

SECTIONS = ("train_dataloader", "val_dataloader", "optim_wrapper", "param_scheduler", "train_cfg", "default_hooks")
ODD = (3, 0.5, True, "x", [1], [{}], [[1]], None, {}, {"type": 3}, {"type": [1]}, {1: 2})


def with_value(write: Write, key: str, value: Any) -> Path:
    section, _, inner = key.partition(".")
    deleted = "_delete_=True, " if isinstance(value, dict) and all(isinstance(name, str) for name in value) else ""
    shown = f"dict({deleted}**{value!r})" if deleted else repr(value)
    return write(f"{section} = dict({inner}={shown})" if inner else f"{section} = {shown}")


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize(
    "key",
    [
        *SECTIONS,
        "model",
        "data_preprocessor",
        "vis_backends",
        *(f"model.{part}" for part in ("data_preprocessor", "backbone", "decode_head", "auxiliary_head")),
        *(f"train_dataloader.{part}" for part in ("dataset", "sampler")),
        "val_dataloader.dataset",
    ],
)
def test_odd_values_are_no_traceback(write: Write, key: str, value: Any) -> None:
    assert migrate(with_value(write, key, value)).text.startswith("# Made by `rayseg migrate` from mm.py.")


@pytest.mark.parametrize("value", [3, "x"])
@pytest.mark.parametrize("name", [*SECTIONS, "model"])
def test_a_section_that_is_no_dict_is_missing(write: Write, name: str, value: Any) -> None:
    missing = {line.key: line.text() for line in migrate(write(f"{name} = {value!r}")).missing}
    assert missing[name].startswith(f"{value!r}: expected a dict")


def test_repeats_that_are_no_count_are_not_multiplied(write: Write) -> None:
    text = """
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=5)
train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', times='x', dataset=dict(type='DRIVEDataset')))
"""
    assert not [line for line in migrate(write(text)).lines if line.kind == "differs" and "times" in line.key]
