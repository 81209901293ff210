"""FolderDataset: samples, facts, and what is found before a run begins."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from rayseg.core.errors import ConfigError, DataError
from rayseg.data.build import build_dataset
from rayseg.data.folder import FolderDataset


def build(config):
    return FolderDataset(**{key: value for key, value in config.items() if key != "type"})


def test_a_sample(folder, tmp_path) -> None:
    dataset = build(folder(n=3))
    sample = dataset[2]
    data = sample["data_samples"]
    assert len(dataset) == 3
    assert type(sample["inputs"]) is torch.Tensor
    assert (sample["inputs"].shape, sample["inputs"].dtype) == ((3, 20, 24), torch.uint8)
    assert (data.gt_sem_seg.data.shape, data.gt_sem_seg.data.dtype) == ((1, 20, 24), torch.uint8)
    assert torch.equal(sample["inputs"][:1], 40 * data.gt_sem_seg.data)
    assert (data.ori_shape, data.img_shape) == ((20, 24), (20, 24))
    assert data.img_path == str(tmp_path / "images" / "train" / "002.png")
    assert data.metainfo == {"index": 2, "name": "002.png"}


def test_facts_for_models_metrics_and_hooks(folder) -> None:
    facts = build(folder()).metainfo
    assert facts["classes"] == ["sky", "tree", "road"]
    assert facts["ignore_index"] == 255
    assert len(facts["palette"]) == 3
    assert build(folder(palette=[[1, 1, 1]] * 3, ignore_index=9)).metainfo["palette"] == [[1, 1, 1]] * 3


def test_shapes_before_and_after_the_pipeline(folder) -> None:
    data = build(folder(pipeline=[{"type": "Resize", "scale": (12, 10)}]))[0]["data_samples"]
    assert (data.ori_shape, data.img_shape, data.gt_sem_seg.shape) == ((20, 24), (10, 12), (10, 12))
    tested = build(folder(pipeline=[{"type": "Resize", "scale": (12, 10)}], test_mode=True))[0]["data_samples"]
    assert (tested.ori_shape, tested.img_shape, tested.gt_sem_seg.shape) == ((20, 24), (10, 12), (20, 24))


def test_binary_masks_are_seen(folder, save, tmp_path) -> None:
    config = folder(n=2, classes=["back", "front"])
    for name in ("000", "001"):
        save(tmp_path / "annotations" / "train" / f"{name}.png", np.full((20, 24), 255, np.uint8))
    dataset = build(config)
    assert dataset.files.mask_format == "binary"
    assert dataset[0]["data_samples"].gt_sem_seg.data.unique().tolist() == [1]


def test_reduce_zero_label_is_said_on_the_data_set(folder) -> None:
    config = folder(reduce_zero_label=True, classes=["tree", "road"])
    values = build(config)[0]["data_samples"].gt_sem_seg.data
    stored = np.array(Image.open(build(config).mask_path(0)))
    assert torch.equal(values[0], torch.from_numpy(np.where(stored == 0, 255, stored - 1).astype(np.uint8)))
    hidden = [{"type": "LoadAnnotations", "reduce_zero_label": True}]
    with pytest.raises(ConfigError, match="say reduce_zero_label=True on the data set"):
        build(folder(pipeline=hidden))


def test_mm_keys_say_the_same(folder, tmp_path) -> None:
    config = folder()
    prefix = {"img_path": "images/train", "seg_map_path": "annotations/train"}
    load = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}, {"type": "PackSegInputs"}]
    other = FolderDataset(
        str(tmp_path), data_prefix=prefix, metainfo={"classes": config["classes"]}, pipeline=load, img_suffix=".png"
    )
    assert torch.equal(other[1]["inputs"], build(config)[1]["inputs"])
    assert other.fingerprint() == build(config).fingerprint()


def test_the_fingerprint_follows_names_and_sizes(folder, tmp_path) -> None:
    config = folder()
    before = build(config).fingerprint()
    (tmp_path / "images" / "train" / "000.png").rename(tmp_path / "images" / "train" / "zzz.png")
    (tmp_path / "annotations" / "train" / "000.png").rename(tmp_path / "annotations" / "train" / "zzz.png")
    assert build(config).fingerprint() != before


def test_files_listed_elsewhere_are_not_listed_again(folder, tmp_path) -> None:
    config = folder(n=3)
    index = FolderDataset.list_files(str(tmp_path), split="train", classes=config["classes"])
    (tmp_path / "images" / "train" / "000.png").unlink()
    dataset = build({**config, "index": pickle.loads(pickle.dumps(index))})
    assert len(dataset) == 3
    with pytest.raises(DataError, match=r"000\.png: no such file"):
        dataset[0]


def test_it_travels_to_other_processes(folder) -> None:
    dataset = build(folder())
    again = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(again[3]["inputs"], dataset[3]["inputs"])


def test_preflight_reads_64_masks_spread_over_the_set(folder, monkeypatch) -> None:
    dataset = build(folder(n=70, size=(4, 4)))
    read = []
    stored = dataset.read_mask.stored
    monkeypatch.setattr(dataset.read_mask, "stored", lambda path: read.append(path) or stored(path))
    dataset._try_pipeline = lambda areas: None
    dataset.preflight()
    assert len(set(read)) == 64
    assert len(set(read[:7]) & {dataset.mask_path(index) for index in range(35)}) in (3, 4)


def test_preflight_names_values_and_files(folder, save, tmp_path) -> None:
    config = folder(n=8)
    for name in ("001", "005"):
        save(tmp_path / "annotations" / "train" / f"{name}.png", np.full((20, 24), 7, np.uint8))
    with pytest.raises(ConfigError, match=r"\(001\.png, 005\.png; 8 of 8 masks read\): mask values 7 are outside"):
        build(config).preflight()


def test_preflight_tells_all_problems_at_once(folder, save, tmp_path) -> None:
    config = folder(n=4)
    save(tmp_path / "annotations" / "train" / "001.png", np.zeros((24, 20), np.uint8))
    (tmp_path / "annotations" / "train" / "002.png").write_bytes(b"")
    (tmp_path / "images" / "train" / "003.png").write_bytes(b"")
    with pytest.raises(ConfigError) as caught:
        build(config).preflight()
    text = str(caught.value)
    assert len(caught.value.problems) == 3
    assert "001.png has 20×24 pixels (h×w) (upright, as its EXIF orientation says), but its mask" in text
    assert "002.png: not a picture" in text
    assert "003.png: not a picture" in text


def test_preflight_tries_the_pipeline_and_leaves_the_generators(folder) -> None:
    dataset = build(folder(pipeline=[{"type": "v2.ToDtype", "dtype": torch.float32}]))
    with pytest.raises(ConfigError, match=r"an image of torch\.float32"):
        dataset.preflight()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    build(folder(pipeline=[{"type": "RandomFlip"}])).preflight()
    assert torch.equal(torch.get_rng_state(), state)


def test_an_image_and_its_mask_of_different_sizes_met_later(folder, save, tmp_path) -> None:
    dataset = build(folder(n=2))
    save(tmp_path / "annotations" / "train" / "001.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(DataError, match=r"001\.png has 20×24 pixels \(h×w\), but its mask .* 5×5"):
        dataset[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "vall"}, "split: no such directory"),
        ({"data_root": "/nowhere"}, "data_root: no such directory '/nowhere'"),
        ({"classes": None}, "classes: not given"),
        ({"seg_map_suffix": ".tif"}, "6 of 6 images .* have no mask"),
        ({"pipeline": [{"type": "RandomCrp"}]}, "did you mean 'RandomCrop'"),
    ],
)
def test_bad_input(folder, change, message) -> None:
    with pytest.raises(ConfigError, match=message):
        build_dataset({**folder(), **change})
