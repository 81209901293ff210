"""SegVisualizationHook: which images are drawn, where, and that a picture shows image, labels and prediction."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rayseg.core.distributed import get_rank
from rayseg.core.errors import ConfigError
from rayseg.core.sample import PixelData, SegSample
from rayseg.engine.build import resolve_config
from rayseg.hooks.visualization import LowestScores, SegVisualizationHook, picture_of, spread
from tests.distributed import run_ranks
from tests.toys import toy_config
from tests.unit.engine.training import Run, iterations, train

CLASSES = ["sky", "tree", "road"]
PALETTE = [[0, 0, 255], [0, 255, 0], [255, 0, 0]]
META = {"classes": CLASSES, "palette": PALETTE, "ignore_index": 255}


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(1, 9), st.integers(0, 12))
def test_indices_are_spread_evenly(size: int, interval: int, count: int) -> None:
    chosen = spread(size, interval, count)
    candidates = [*range(0, size, interval)]
    assert set(chosen) <= set(candidates)
    assert len(chosen) == len(set(chosen)) == min(count, len(candidates))
    if count >= 2 and candidates:
        assert (chosen[0], chosen[-1]) == (candidates[0], candidates[-1])
        gaps = {b - a for a, b in itertools.pairwise(chosen)}
        assert not gaps or max(gaps) - min(gaps) <= interval


def test_some_indices() -> None:
    assert spread(100, 1, 5) == [0, 25, 50, 74, 99]
    assert spread(3, 1, 8) == [0, 1, 2]
    assert spread(10, 4, 8) == [0, 4, 8]
    assert spread(10, 1, 1) == [0]
    assert spread(10, 1, 0) == []


def write(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images of several sizes in subfolders."""
    draw = np.random.default_rng(0)
    for index in range(5):
        name, shape = f"val/area_{index % 2}/{index}.png", (24 + 8 * index, 40)
        write(tmp_path / "data/images" / name, draw.integers(0, 255, (*shape, 3), dtype=np.uint8))
        write(tmp_path / "data/annotations" / name, draw.integers(0, 3, shape, dtype=np.uint8))
    return tmp_path / "data"


def drawn(work_dir: Path, folder: Path, worst: int = 0, **options: Any) -> Run:
    data = {"type": "FolderDataset", "data_root": str(folder), "split": "val", "classes": CLASSES, "palette": PALETTE}
    return train(
        work_dir,
        train_cfg=iterations(4, val_interval=2),
        default_hooks={"visualization": {"type": "SegVisualizationHook", "worst": worst, **options}},
        val_dataloader={"batch_size": 1, "dataset": {**data, "test_mode": True}},
        param_scheduler=None,
    )


def pictures(work_dir: Path) -> list[str]:
    return sorted(str(path.relative_to(work_dir / "visuals")) for path in work_dir.glob("visuals/**/*.png"))


def test_pictures_lie_under_the_images_relative_paths(tmp_path: Path, folder: Path) -> None:
    run = drawn(tmp_path / "run", folder, max_images=2)
    found = pictures(tmp_path / "run")
    assert len(found) == 4
    assert {Path(*Path(name).parts[:2]).as_posix() for name in found} == {"val/iter_2", "val/iter_4"}
    assert {"/".join(Path(name).parts[-2:]) for name in found} == {"area_0/0.png", "area_1/3.png"}

    told = [record for record in run.records if record.kind == "image"]
    assert sorted(record.data["path"].removeprefix("visuals/") for record in told) == found
    assert {(record.mode, record.iter) for record in told} == {("val", 2), ("val", 4)}
    assert {record.data["tag"].rpartition("/")[2] for record in told} == {"0.png", "3.png"}


@pytest.mark.parametrize(
    ("options", "count"),
    [({}, 5), ({"max_images": 3}, 3), ({"interval": 2}, 3), ({"draw": False}, 0), ({"interval": 9}, 1)],
)
def test_how_many(tmp_path: Path, folder: Path, options: dict[str, Any], count: int) -> None:
    drawn(tmp_path / "run", folder, **options)
    assert len(pictures(tmp_path / "run")) == 2 * count


def scored(index: int, right: int) -> SegSample:
    """An image of ten labelled pixels, so many of them right."""
    counts = torch.tensor([[right, 10 - right], [0, 0]])
    metainfo = {"index": index, "name": f"{index}.jpg", "confusion": counts}
    return SegSample(img_path=f"{index}.jpg", metainfo=metainfo)


@given(st.lists(st.integers(0, 10), max_size=12), st.integers(0, 5))
def test_the_lowest_scores_are_kept(rights: list[int], count: int) -> None:
    lowest = LowestScores(count)
    for index, right in enumerate(rights):
        lowest.add(scored(index, right))
    wanted = sorted((right / 10 / (1 + (right < 10)), index) for index, right in enumerate(rights))[:count]
    found = lowest.over_ranks()
    assert [index for _, index, _ in found] == [index for _, index in wanted]
    assert [score for score, _, _ in found] == pytest.approx([score for score, _ in wanted])
    assert set(lowest.samples) == {index for _, index in wanted}


def test_an_image_without_labelled_pixels_has_no_score() -> None:
    lowest = LowestScores(2)
    lowest.add(SegSample(img_path="a.png", metainfo={"index": 0, "confusion": torch.zeros(2, 2)}))
    assert lowest.over_ranks() == []


def _lowest_of_two_ranks() -> list[str]:
    lowest = LowestScores(3)
    for index, right in ((0, 9), (1, 2), (2, 5), (3, 8), (4, 1), (5, 7)):
        if index % 2 == get_rank():
            lowest.add(scored(index, right))
    return [name for _, _, name in lowest.over_ranks()]


@pytest.mark.world_size(2)
def test_the_lowest_of_all_ranks() -> None:
    assert run_ranks(_lowest_of_two_ranks, 2) == [["4.png", "1.png", "2.png"]] * 2


def test_the_worst_images_are_drawn_besides(tmp_path: Path, folder: Path) -> None:
    run = drawn(tmp_path / "run", folder, worst=3, max_images=1)
    for at_iter in (2, 4):
        visuals = tmp_path / "run/visuals/val" / f"iter_{at_iter}"
        listed = json.loads((visuals / "worst.json").read_text())
        assert len(listed) == 3
        assert [entry["mIoU"] for entry in listed] == sorted(entry["mIoU"] for entry in listed)
        assert all((visuals / entry["picture"]).is_file() for entry in listed)
        extra = [entry["picture"] for entry in listed if entry["picture"] != "area_0/0.png"]
        assert pictures(tmp_path / "run")[-1].startswith("val/iter_4/worst/")
        assert all(name.startswith("worst/area_") for name in extra)
    told = {record.data["tag"] for record in run.records if record.kind == "image" and record.iter == 4}
    assert told == {"area_0/0.png", *extra}


def test_a_picture_is_never_half_there(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trackers look for pictures while they are made."""

    def torn(self: Any, path: Path, **_: Any) -> None:
        Path(path).write_bytes(b"half a picture")
        raise OSError("the disk is full")

    monkeypatch.setattr(Image.Image, "save", torn)
    with pytest.raises(OSError, match="full"):
        drawn(tmp_path / "run", folder)
    assert pictures(tmp_path / "run") == [] or all("/." in name for name in pictures(tmp_path / "run"))


def test_training_draws_nothing(tmp_path: Path) -> None:
    train(tmp_path, train_cfg=iterations(3), val_dataloader=None)
    assert pictures(tmp_path) == []


def test_images_that_are_no_files_are_not_drawn(tmp_path: Path) -> None:
    """The toys have none."""
    train(tmp_path, train_cfg=iterations(3))
    assert pictures(tmp_path) == []


def sample(tmp_path: Path, labelled: bool = True) -> SegSample:
    """A grey image whose left half is predicted as sky and the right one as road; the labels say tree everywhere."""
    write(tmp_path / "grey.png", np.full((60, 80, 3), 100, dtype=np.uint8))
    predicted = torch.zeros(1, 60, 80, dtype=torch.int64)
    predicted[..., 40:] = 2
    return SegSample(
        img_path=str(tmp_path / "grey.png"),
        ori_shape=(60, 80),
        img_shape=(60, 80),
        gt_sem_seg=PixelData(torch.ones(1, 60, 80, dtype=torch.uint8)) if labelled else None,
        pred_sem_seg=PixelData(predicted),
    )


def test_a_picture_shows_labels_at_the_left_and_the_prediction_at_the_right(tmp_path: Path) -> None:
    picture = np.asarray(picture_of(sample(tmp_path), META, alpha=0.5)).astype(int)
    half = picture.shape[1] // 2
    assert picture.shape[0] >= 60
    assert half >= 80

    def strongest(row: int, column: int) -> str:
        return CLASSES[::-1][int(picture[row, column].argmax())]

    assert [strongest(30, column) for column in (5, 75)] == ["tree", "tree"]
    assert [strongest(30, half + column) for column in (5, 75)] == ["sky", "road"]
    np.testing.assert_allclose(picture[30, half + 5], [50, 50, 177], atol=1)


def test_without_labels_the_prediction_stands_alone(tmp_path: Path) -> None:
    alone = picture_of(sample(tmp_path, labelled=False), META)
    both = picture_of(sample(tmp_path), META)
    assert both.width == 2 * alone.width
    assert both.height == alone.height


def test_nothing_of_the_image_is_hidden_by_the_legend(tmp_path: Path) -> None:
    picture = np.asarray(picture_of(sample(tmp_path, labelled=False), META, alpha=0.0))
    assert (picture == 100).all(axis=2).sum() >= 60 * 80


def test_showing_opens_a_window(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "backend", "Agg")
    import matplotlib.pyplot as plt

    shown: list[float] = []
    monkeypatch.setattr(plt, "pause", shown.append)
    drawn(tmp_path / "run", folder, max_images=1, show=True, wait_time=0.5)
    assert shown == [0.5, 0.5]
    assert plt.get_fignums() == []


def test_an_interval_of_zero_draws_each() -> None:
    assert SegVisualizationHook(interval=0).interval == 1


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    hooks = {"visualization": {"type": "SegVisualizationHook", "alpha": share}}
    with pytest.raises(ConfigError, match=rf"visualization.alpha: expected float \(from 0 to 1\), found {share}"):
        resolve_config(toy_config(default_hooks=hooks))
