"""The W&B tracker's choices: its mode, what the server has, what a row and a config are."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import pytest

from rayseg.core.errors import ConfigError
from rayseg.tracking.pictures import Picture
from rayseg.tracking.wandb import WandB, config_tree, held_pictures, history_row, remove_others, server_cursor
from rayseg.tracking.wandb_sdk import environment_value, found_mode, untouched_process


@pytest.mark.parametrize(
    ("environ", "mode"),
    [
        ({}, "offline"),
        ({"WANDB_API_KEY": "k"}, "online"),
        ({"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}, "offline"),
        ({"WANDB_API_KEY": "k", "WANDB_MODE": "dryrun"}, "offline"),
        ({"WANDB_MODE": "disabled"}, "disabled"),
        ({"WANDB_MODE": "online"}, "online"),
        ({"WANDB_IDENTITY_TOKEN_FILE": "/token"}, "online"),
    ],
)
def test_the_mode_of_an_environment(environ: dict[str, str], mode: str, tmp_path: Path):
    assert found_mode({"NETRC": str(tmp_path / "none"), **environ}) == mode


def test_a_key_in_netrc_is_for_its_server(tmp_path: Path):
    path = tmp_path / "netrc"
    path.write_text("machine api.wandb.ai login user password secret\n")
    assert found_mode({"NETRC": str(path)}) == "online"
    assert found_mode({"NETRC": str(path), "WANDB_BASE_URL": "https://wandb.example.org"}) == "offline"
    path.write_text("machine wandb.example.org login user password secret\n")
    assert found_mode({"NETRC": str(path), "WANDB_BASE_URL": "https://wandb.example.org/"}) == "online"
    path.write_text("nonsense here")
    assert found_mode({"NETRC": str(path)}) == "offline"


def test_a_wrong_mode_is_refused():
    with pytest.raises(ConfigError, match="'online', 'offline' or 'disabled', not 'of'"):
        WandB(mode="of")  # type: ignore[arg-type]


def test_what_the_server_has_is_in_its_summary():
    summary = {"rayseg/train_iter": 120, "rayseg/val_iter": 100.0, "train/iter": 999, "rayseg/error": ""}
    assert server_cursor(summary) == {"train": 120, "val": 100}
    assert server_cursor({}) == {}
    assert server_cursor({"rayseg/train_iter": None}) == {}


def test_pictures_that_the_server_must_have():
    pictures = [Picture(f"p{at}", Path(f"p{at}"), "val", at, "x.png") for at in (10, 20, 30, 40)]
    assert held_pictures(pictures, {"p10", "p20", "p30"}, {"val": 30}) == {"p10", "p20"}
    assert held_pictures(pictures, {"p10"}, {"train": 99}) == set()


def test_a_row():
    line = {
        "mode": "val",
        "iter": 3,
        "epoch": 1,
        "time": 12.5,
        "mIoU": 0.5,
        "IoU.x": math.inf,
        "list": [1],
        "word": "a",
    }
    assert history_row(line) == {
        "val/mIoU": 0.5, "val/IoU.x": math.inf, "val/word": "a",
        "val/iter": 3, "val/time": 12.5, "epoch": 1, "_timestamp": 12.5,
    }  # fmt: skip


def test_a_config_is_json_and_keeps_its_secrets(tmp_path: Path):
    assert config_tree(tmp_path) == {}
    (tmp_path / "config.py").write_text("model = dict(type='X', password='hunter22222', size=(1, 2), none=None)\n")
    assert config_tree(tmp_path)["model"] == {"type": "X", "password": "***", "size": [1, 2], "none": None}
    (tmp_path / "config.py").write_text("this is no Python")
    assert config_tree(tmp_path) == {}


def test_only_the_same_runs_directories_are_removed(tmp_path: Path):
    kept = tmp_path / "offline-run-20260101_000000-ab-1"
    others = ["offline-run-20260101_000000-ab", "offline-run-20250101_000000-ab-12"]
    strangers = ["offline-run-20260101_000000-abc", "run-20260101_000000-ab", "offline-run-20260101_000000-x-ab"]
    for name in (kept.name, *others, *strangers):
        (tmp_path / name).mkdir()
    remove_others(kept, "ab")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([kept.name, *strangers])


def test_the_process_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WANDB_SERVICE", raising=False)
    before = sys.exit, sys.excepthook
    with untouched_process():
        os.environ["WANDB_SERVICE"] = "socket"
        sys.exit = sys.excepthook = lambda *_: None  # type: ignore[assignment]
    assert (sys.exit, sys.excepthook) == before
    assert "WANDB_SERVICE" not in os.environ
    monkeypatch.setenv("WANDB_SERVICE", "another's")
    with untouched_process():
        os.environ["WANDB_SERVICE"] = "socket"
    assert os.environ["WANDB_SERVICE"] == "another's"


def test_a_variable_for_a_while(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOME_NAME", "before")
    with environment_value("SOME_NAME", "inside"):
        assert os.environ["SOME_NAME"] == "inside"
    assert os.environ["SOME_NAME"] == "before"
    with environment_value("SOME_NAME", None):
        assert os.environ["SOME_NAME"] == "before"
