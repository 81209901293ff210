"""MessageHub: windows of scalars, infos, and their way through a checkpoint."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayseg.engine.message_hub import MessageHub, mean_windows

FINITE = st.floats(-1e6, 1e6)


def filled(values: list[float], window: int = 10) -> MessageHub:
    hub = MessageHub(window)
    for value in values:
        hub.update_scalar("train/x", value)
    return hub


@settings(deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=30), st.integers(1, 12), st.integers(1, 12))
def test_statistics_are_of_the_last_values_that_are_kept(values: list[float], window: int, count: int) -> None:
    history = filled(values, window).get_scalar("train/x")
    last = values[-window:][-count:]
    assert history.last(count) == last
    assert history.current() == values[-1]
    assert history.mean(count) == pytest.approx(sum(last) / len(last), abs=1e-6)
    assert history.min(count) == min(last)
    assert history.max(count) == max(last)
    assert history.last() == values[-window:]


def test_tensors_are_kept_without_their_graph_and_read_at_once() -> None:
    hub = MessageHub()
    weight = torch.ones((), requires_grad=True)
    for value in (1.0, 2.0):
        hub.update_scalar("train/x", weight * value)
    history = hub.get_scalar("train/x")
    assert all(isinstance(value, torch.Tensor) and not value.requires_grad for value in history.values)
    assert history.last() == [1.0, 2.0]


def test_tensors_of_one_element_and_numbers_mix() -> None:
    hub = MessageHub()
    hub.update_scalars({"train/x": torch.tensor([[3]]), "train/y": 1})
    hub.update_scalar("train/x", 5)
    hub.update_scalar("train/x", torch.tensor(7.0, dtype=torch.bfloat16))
    assert hub.get_scalar("train/x").last() == [3.0, 5.0, 7.0]
    assert hub.get_scalar("train/y").current() == 1.0


def test_tensors_of_several_dtypes_and_shapes() -> None:
    hub = MessageHub()
    for value in (torch.tensor([3]), torch.tensor(0.5), torch.tensor([[2.0]], dtype=torch.float64)):
        hub.update_scalar("train/x", value)
    assert hub.get_scalar("train/x").last() == [3.0, 0.5, 2.0]


def test_widening_keeps_what_there_is_and_never_narrows() -> None:
    hub = filled([1, 2, 3, 4], window=2)
    hub.widen(3)
    hub.widen(1)
    hub.update_scalar("train/x", 5)
    hub.update_scalar("train/x", 6)
    assert hub.get_scalar("train/x").last() == [4.0, 5.0, 6.0]
    assert hub.window == 3


def test_what_was_never_written() -> None:
    with pytest.raises(KeyError):
        MessageHub().get_scalar("train/x")
    assert MessageHub().get_info("eta") is None
    assert MessageHub().get_info("eta", 5) == 5


def test_infos_keep_the_latest() -> None:
    hub = MessageHub()
    hub.update_info("epoch", 1)
    hub.update_info("epoch", 2)
    assert hub.get_info("epoch") == 2


def test_clearing_by_prefix() -> None:
    hub = MessageHub()
    hub.update_scalars({"val/x": 1, "train/x": 2, "val/y": 3})
    hub.clear("val/")
    assert list(hub.log_scalars) == ["train/x"]


@settings(deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=9), st.integers(1, 6), st.integers(1, 6), st.lists(FINITE, max_size=5))
def test_windows_go_on_after_a_restore(before: list[float], saved: int, own: int, after: list[float]) -> None:
    never_killed = filled(before, saved)
    resumed = MessageHub(own)
    resumed.load_state_dict(never_killed.state_dict())
    never_killed.widen(own)
    for value in after:
        never_killed.update_scalar("train/x", value)
        resumed.update_scalar("train/x", value)
    assert resumed.state_dict() == never_killed.state_dict()


def test_a_restore_replaces_the_values() -> None:
    hub = filled([9, 9])
    hub.load_state_dict(filled([1, 2]).state_dict())
    assert hub.get_scalar("train/x").last() == [1.0, 2.0]


def test_windows_of_different_length_meet_at_their_newest_values() -> None:
    states = [
        {"window": 4, "scalars": {"train/loss": [9.0, 1.0, 2.0], "train/only_here": [1.0]}},
        {"window": 4, "scalars": {"train/loss": [3.0, 4.0]}},
    ]
    assert mean_windows(states) == {"window": 4, "scalars": {"train/loss": [2.0, 3.0]}}
