"""Delivery: what has arrived is known again, and a damaged note says that nothing has."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayseg.tracking.delivery import Delivery


def test_what_has_arrived_is_known_again(tmp_path: Path):
    first = Delivery(tmp_path, "mlflow", "http://a")
    first.run_id = "r1"
    first.arrived({"mode": "train", "iter": 20})
    first.arrived({"mode": "train", "iter": 10})
    first.pictures.add("visuals/val/iter_1/a.png")
    first.files["log.txt"] = [12, 34]
    first.checkpoints.add("iter_1")
    first.status = "failed"
    first.save()
    again = Delivery(tmp_path, "mlflow", "http://a")
    assert vars(again) == vars(first)
    assert again.cursor == {"train": 20}
    assert Delivery(tmp_path, "mlflow", "http://b").cursor == {}
    assert Delivery(tmp_path, "wandb", "http://a").run_id is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"run_id": null, "cursor": {"train": "x"}}', '{"cursor": 3}'])
def test_a_damaged_note_says_that_nothing_has(tmp_path: Path, text: str):
    delivery = Delivery(tmp_path, "mlflow", "http://a")
    delivery.run_id = "r1"
    delivery.save()
    delivery.path.write_text(text)
    again = Delivery(tmp_path, "mlflow", "http://a")
    assert (again.run_id, again.cursor, again.pictures) == (None, {}, set())


def test_a_note_from_before_there_were_statuses(tmp_path: Path):
    delivery = Delivery(tmp_path, "mlflow", "http://a")
    delivery.run_id = "r1"
    delivery.save()
    delivery.path.write_text(delivery.path.read_text().replace('"status": null', '"other": 1'))
    again = Delivery(tmp_path, "mlflow", "http://a")
    assert (again.run_id, again.status) == ("r1", None)
