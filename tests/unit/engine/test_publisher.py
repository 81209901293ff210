"""Publisher: which records of which rank reach the host, and which are remembered."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from rayseg.core.record import Record
from rayseg.engine.publisher import RECENT_RECORDS, Publisher


def publisher(rank: int = 0) -> tuple[Publisher, list[Record]]:
    sent: list[Record] = []
    host = SimpleNamespace(publish=sent.append)
    runner: Any = SimpleNamespace(rank=rank, host=host, iter=7, epoch=2)
    return Publisher(runner), sent


def test_what_records_look_like() -> None:
    publish, sent = publisher()
    publish.scalars("train", 8, {"loss": 0.5})
    publish.event("best", metric="mIoU")
    publish.image("val", "visuals/a.png", tag="a.png")
    publish.log("hello", level="WARNING")
    publish.warning("careful")
    assert [(r.kind, r.mode, r.name, r.iter, r.epoch, r.data) for r in sent] == [
        ("scalars", "train", "", 8, 2, {"loss": 0.5}),
        ("event", "", "best", 7, 2, {"metric": "mIoU"}),
        ("image", "val", "", 7, 2, {"path": "visuals/a.png", "tag": "a.png"}),
        ("log", "", "", 7, 2, {"level": "WARNING", "message": "hello"}),
        ("event", "", "warning", 7, 2, {"message": "careful"}),
    ]
    assert all(len(pickle.dumps(record)) < 64_000 for record in sent)


def test_an_event_may_have_a_field_called_name() -> None:
    publish, sent = publisher()
    publish.event("checkpoint", name="iter_4")
    assert (sent[0].name, sent[0].data) == ("checkpoint", {"name": "iter_4"})


@pytest.mark.parametrize("rank", [1, 3])
def test_other_ranks_send_their_pictures_only(rank: int) -> None:
    publish, sent = publisher(rank)
    publish.scalars("train", 8, {"loss": 0.5})
    publish.event("best", metric="mIoU")
    publish.log("hello")
    publish.image("val", "visuals/a.png", tag="a.png")
    assert [record.kind for record in sent] == ["image"]


def test_every_rank_remembers_the_last_lines() -> None:
    publish, _ = publisher(rank=1)
    for at in range(RECENT_RECORDS + 5):
        publish.scalars("train", at, {"loss": 0.5})
        publish.log("hello")
    assert [record.iter for record in publish.recent] == [*range(5, RECENT_RECORDS + 5)]
