"""Loaders with processes of their own: the same bytes, clean errors, nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from rayseg.config.settings import DataLoaderSettings
from rayseg.core.errors import DataError
from rayseg.data.loader import build_dataset, build_eval_dataloader, build_train_dataloader

AUGMENTATION = [
    {"type": "RandomResize", "scale": (48, 40), "ratio_range": (0.5, 2.0), "keep_ratio": True},
    {"type": "RandomCrop", "crop_size": (33, 35), "cat_max_ratio": 0.75},
    {"type": "RandomFlip", "prob": 0.5},
    {"type": "RandomRotate", "prob": 0.5, "degree": 20},
    {"type": "PhotoMetricDistortion"},
    {"type": "v2.GaussianBlur", "kernel_size": 5},
]


def speckle(image: Any, mask: Any) -> tuple[Any, Any]:
    """A user's transform that draws from numpy and from random."""
    image = image.clone()
    image[:, np.random.randint(image.shape[1])] = random.randrange(256)
    return image, mask


def say_signals(image: Any, mask: Any) -> tuple[Any, Any]:
    image = image.clone()
    image[0, 0, 0] = int(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
    return image, mask


def to_zero(image: Any, mask: Any) -> tuple[Any, Any]:
    return torch.zeros_like(image), mask


class ToValue:
    """Whose value a hook changes in place."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __call__(self, image: Any, mask: Any) -> tuple[Any, Any]:
        return torch.full_like(image, self.value), mask


def die(image: Any, mask: Any) -> tuple[Any, Any]:
    if multiprocessing.parent_process() is not None:
        os._exit(3)
    return image, mask


def train_loader(config: dict[str, Any], workers: int, **arguments: Any) -> Any:
    return build_train_dataloader(
        DataLoaderSettings(dataset=config, num_workers=workers),
        dataset=build_dataset(config),
        seed=1,
        global_batch_size=4,
        **arguments,
    )


def contents(batches: Any) -> list[bytes]:
    return [
        batch["inputs"].numpy().tobytes() + sample.gt_sem_seg.data.numpy().tobytes() + sample.img_path.encode()
        for batch in batches
        for sample in batch["data_samples"]
    ]


@pytest.fixture(autouse=True)
def no_process_left():
    yield
    assert multiprocessing.active_children() == []


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_loader_processes_change_no_byte(folder) -> None:
    config = folder(pipeline=[*AUGMENTATION, speckle])
    alone = contents(islice(train_loader(config, 0), 6))
    with_two = train_loader(config, 2)
    assert contents(islice(with_two, 6)) == alone
    with_two.seek(12)
    assert contents(islice(with_two, 3)) == alone[12:]
    with_two.close()
    assert len(set(alone)) == len(alone) == 24


def test_a_started_process_by_spawn_gives_the_same(folder) -> None:
    config = folder(pipeline=AUGMENTATION)
    loader = train_loader(config, 1, start_method="spawn")
    assert contents(islice(loader, 2)) == contents(islice(train_loader(config, 0), 2))
    loader.close()


def test_labels_of_a_batch_are_views_of_one_tensor(folder) -> None:
    loader = train_loader(folder(), 1)
    labels = [sample.gt_sem_seg.data for sample in next(iter(loader))["data_samples"]]
    assert {label.untyped_storage().data_ptr() for label in labels} == {labels[0].untyped_storage().data_ptr()}
    assert all(label.is_shared() for label in labels)
    loader.close()


def test_starting_processes_leaves_the_generators_alone(folder) -> None:
    torch.manual_seed(4)
    state = torch.get_rng_state()
    loader = train_loader(folder(pipeline=AUGMENTATION), 1)
    next(iter(loader))
    assert torch.equal(torch.get_rng_state(), state)
    loader.close()


def test_an_error_in_a_process_arrives_as_it_is(folder, tmp_path) -> None:
    loader = train_loader(folder(n=4), 2)
    bad = tmp_path / "annotations" / "train" / "002.png"
    Image.fromarray(np.full((40, 48), 9, np.uint8)).save(bad)
    with pytest.raises(DataError) as caught:
        next(iter(loader))
    assert str(caught.value).startswith(f"{bad}: mask values 9 are outside of the 3 classes")
    assert "\n" not in str(caught.value)
    loader.close()


def test_a_process_that_dies_is_an_error_and_no_hang(folder) -> None:
    loader = train_loader(folder(pipeline=[die]), 1)
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        next(iter(loader))
    loader.close()


def test_processes_leave_ctrl_c_to_the_training(folder) -> None:
    loader = train_loader(folder(pipeline=[say_signals]), 1)
    assert next(iter(loader))["inputs"][0, 0, 0, 0] == 1
    loader.close()


def test_evaluation_keeps_its_processes_and_can_be_broken_off(folder) -> None:
    config = folder(n=7, split="val")
    settings = DataLoaderSettings(dataset=config, num_workers=2, batch_size=2)
    loader = build_eval_dataloader(settings)
    first = contents(loader)
    children = {child.pid for child in multiprocessing.active_children()}
    next(iter(loader))
    assert contents(loader) == first
    assert contents(build_eval_dataloader(DataLoaderSettings(dataset=config, batch_size=2))) == first
    assert {child.pid for child in multiprocessing.active_children()} == children
    assert len(children) == 2
    loader.close()
    assert multiprocessing.active_children() == []
    assert contents(loader) == first
    loader.close()


def test_a_dropped_loader_ends_its_processes(folder) -> None:
    loader = train_loader(folder(), 2)
    stream = iter(loader)
    next(stream)
    assert len(multiprocessing.active_children()) == 2
    loader.close()
    assert next(stream, "ended") == "ended"


def test_torchvision_transforms_take_part(folder) -> None:
    live = v2.RandomHorizontalFlip(1.0)
    config = folder(pipeline=[live])
    dataset = build_dataset(config)
    image, mask = dataset.load(0)
    sample = dataset[0]
    assert torch.equal(sample["inputs"], image.flip(-1))
    assert torch.equal(sample["data_samples"].gt_sem_seg.data, mask.flip(-1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_for_a_gpu_are_pinned(folder, workers) -> None:
    loader = train_loader(folder(), workers, device=torch.device("cuda"))
    batch = next(iter(loader))
    labels = [sample.gt_sem_seg.data for sample in batch["data_samples"]]
    assert batch["inputs"].is_pinned()
    assert all(label.is_pinned() for label in labels)
    assert {label.untyped_storage().data_ptr() for label in labels} == {labels[0].untyped_storage().data_ptr()}
    loader.close()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("change", ["pipeline", "transforms", "refresh"])
def test_a_changed_pipeline_holds_from_the_next_batch_on(folder, workers: int, change: str) -> None:
    """Batches that are ready were made by the old one, and are made again: nothing is skipped or repeated."""
    config = folder(pipeline=[ToValue(7)])
    loader, plain = train_loader(config, workers), train_loader(config, 0)
    stream, expected = iter(loader), iter(plain)
    batches = [next(stream) for _ in range(2)]
    if change == "pipeline":
        loader.dataset.pipeline = type(loader.dataset.pipeline)([to_zero], 255, False)
    elif change == "transforms":
        loader.dataset.pipeline.transforms[:] = [to_zero]
    else:
        loader.dataset.pipeline.transforms[0].value = 0
        loader.refresh()
    batches += [next(stream) for _ in range(2)]
    values = [sorted({int(value) for image in batch["inputs"] for value in image.unique()}) for batch in batches]
    names = [[sample.metainfo["index"] for sample in batch["data_samples"]] for batch in batches]
    same = [[sample.metainfo["index"] for sample in next(expected)["data_samples"]] for _ in range(4)]
    loader.close()
    assert values == [[7], [7], [0], [0]]
    assert names == same
