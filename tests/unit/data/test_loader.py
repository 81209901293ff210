"""Loaders in one process; those with loader processes are in tests/integration/data."""

from __future__ import annotations

from itertools import chain, islice
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rayseg.config.settings import DataLoaderSettings
from rayseg.core.errors import ConfigError, DataError
from rayseg.core.randomness import derive_seed, forked_rng
from rayseg.core.sample import PixelData, SegSample
from rayseg.data.batch import pack
from rayseg.data.loader import build_dataset, build_eval_dataloader, build_train_dataloader, resolve_batch_size

CROP = [{"type": "RandomCrop", "crop_size": (8, 8)}, {"type": "RandomFlip", "prob": 0.5}]


def train_loader(config: dict[str, Any], global_batch_size: int = 4, **arguments: Any) -> Any:
    keys = {"epoch_based", "position", "rank", "world_size", "seed", "dataset"}
    supplied = {"seed": 3, **{key: value for key, value in arguments.items() if key in keys}}
    section = {key: value for key, value in arguments.items() if key not in keys}
    dataset = supplied.pop("dataset", None) or build_dataset(config)
    settings = DataLoaderSettings(dataset=config, **section)
    return build_train_dataloader(settings, dataset=dataset, global_batch_size=global_batch_size, **supplied)


def fingerprint(batch: dict[str, Any]) -> bytes:
    labels = b"".join(sample.gt_sem_seg.data.numpy().tobytes() for sample in batch["data_samples"])
    return batch["inputs"].numpy().tobytes() + labels


def indices(batch: dict[str, Any]) -> list[int]:
    return [sample.metainfo["index"] for sample in batch["data_samples"]]


class Numbers:
    """Data without files: sample i is a 4×(4 + i % widths) image full of i, labelled 0."""

    def __init__(self, size: int, widths: int = 1) -> None:
        self.size = size
        self.widths = widths
        self.metainfo: dict[str, Any] = {"classes": ["a", "b"]}

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        shape = 4, 4 + index % self.widths
        label = PixelData(torch.zeros(1, *shape, dtype=torch.uint8))
        sample = SegSample(ori_shape=shape, img_shape=shape, metainfo={"index": index}, gt_sem_seg=label)
        return {"inputs": torch.full((3, *shape), index % 256, dtype=torch.uint8), "data_samples": sample}


def test_a_batch_is_what_loops_and_hooks_know(folder) -> None:
    loader = train_loader(folder(pipeline=CROP))
    batch = next(iter(loader))
    assert set(batch) == {"inputs", "data_samples"}
    assert batch["inputs"].shape == (4, 3, 8, 8)
    assert batch["inputs"].dtype == torch.uint8
    labels = [sample.gt_sem_seg.data for sample in batch["data_samples"]]
    assert [label.shape for label in labels] == [(1, 8, 8)] * 4
    assert {label.untyped_storage().data_ptr() for label in labels} == {labels[0].untyped_storage().data_ptr()}
    assert all(sample.metainfo["name"] == f"{sample.metainfo['index']:03}.png" for sample in batch["data_samples"])


@pytest.mark.parametrize("size", [(8, 8), lambda index: (8, 8 + index)])
def test_pinned_batches_keep_their_form(folder, monkeypatch, size) -> None:
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor.clone())
    dataset = build_dataset(folder(size=size))
    [packed] = pack([dataset[0], dataset[1]])
    batch = packed.pin_memory().unpacked()
    assert len(pinned) == (2 if isinstance(batch["inputs"], torch.Tensor) else 4)
    for index, (image, sample) in enumerate(zip(batch["inputs"], batch["data_samples"], strict=True)):
        assert torch.equal(image, dataset[index]["inputs"])
        assert torch.equal(sample.gt_sem_seg.data, dataset[index]["data_samples"].gt_sem_seg.data)


def test_images_of_several_sizes_come_as_a_list(folder) -> None:
    batch = next(iter(train_loader(folder(size=lambda index: (8, 8 + index)))))
    assert [tuple(image.shape) for image in batch["inputs"]] == [(3, 8, 8 + index) for index in indices(batch)]
    assert all(s.gt_sem_seg.shape == i.shape[-2:] for i, s in zip(batch["inputs"], batch["data_samples"], strict=True))


def test_seek_goes_on_with_the_same_bytes(folder) -> None:
    config = folder(pipeline=CROP)
    through = [fingerprint(batch) for batch in islice(train_loader(config), 7)]
    assert len(set(through)) == 7
    later = train_loader(config)
    later.seek(12)
    assert [fingerprint(batch) for batch in islice(later, 4)] == through[3:]
    assert [fingerprint(batch) for batch in islice(train_loader(config, position=20), 2)] == through[5:]


def test_a_second_iteration_goes_on_where_the_first_stopped(folder) -> None:
    config = folder(pipeline=CROP)
    through = [fingerprint(batch) for batch in islice(train_loader(config), 6)]
    loader = train_loader(config)
    in_parts = [fingerprint(batch) for _ in range(3) for batch in islice(loader, 2)]
    assert in_parts == through
    assert loader.position == 24


def test_a_sample_does_not_depend_on_the_batch_or_rank_that_it_comes_in(folder) -> None:
    config = folder(pipeline=CROP)
    whole = torch.cat([batch["inputs"] for batch in islice(train_loader(config, 4), 3)])
    ranks = [list(islice(train_loader(config, 6, rank=rank, world_size=3), 2)) for rank in range(3)]
    parts = torch.cat([ranks[rank][batch]["inputs"] for batch in range(2) for rank in range(3)])
    assert torch.equal(whole, parts)


def test_a_sample_is_seeded_by_seed_pass_and_index(folder) -> None:
    config = folder(pipeline=CROP)
    dataset = build_dataset(config)
    loader = train_loader(config, 6, dataset=dataset)
    for pass_, batch in enumerate(islice(loader, 2)):
        for image, index in zip(batch["inputs"], indices(batch), strict=True):
            with forked_rng(derive_seed(3, pass_, index)):
                assert torch.equal(image, dataset[index]["inputs"])


def test_loading_leaves_the_generators_and_threads_alone(folder) -> None:
    config = folder(pipeline=CROP)
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    list(islice(train_loader(config), 3))
    list(build_eval_dataloader(DataLoaderSettings(dataset={**config, "pipeline": []})))
    assert torch.equal(torch.rand(2), expected)
    assert torch.get_num_threads() == threads


def test_samples_are_made_with_one_thread_as_in_loader_processes(folder) -> None:
    seen = []

    def note(image: Any, mask: Any) -> tuple[Any, Any]:
        seen.append(torch.get_num_threads())
        return image, mask

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        next(iter(train_loader(folder(pipeline=[note]))))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def test_lengths_of_a_pass(folder) -> None:
    config = folder(n=6)
    crossing = train_loader(config, 4)
    dropping = train_loader(config, 4, epoch_based=True)
    padding = train_loader(config, 4, epoch_based=True, drop_last=False)
    assert [(loader.pass_length, len(loader)) for loader in (crossing, dropping, padding)] == [(6, 2), (4, 1), (8, 2)]
    assert sorted(i for batch in islice(padding, 2) for i in indices(batch))[-1] == 5


@hypothesis_settings(deadline=None)
@given(st.integers(1, 25), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_evaluation_counts_each_image_once_in_the_same_batches_at_every_world_size(size, world, batch, widths) -> None:
    settings = DataLoaderSettings(dataset={}, batch_size=batch)

    def groups(world_size: int) -> list[list[int]]:
        loaders = [
            build_eval_dataloader(settings, rank=rank, world_size=world_size, dataset=Numbers(size, widths))
            for rank in range(world_size)
        ]
        found = [batch for loader in loaders for batch in loader]
        assert all(len(found["data_samples"]) == len(found["inputs"]) for found in found)
        return [indices(batch) for batch in found]

    together = groups(world)
    assert sorted(chain(*together)) == list(range(size))
    assert sorted(together) == sorted(groups(1))


def test_evaluation_batches_hold_equal_sizes_only() -> None:
    settings = DataLoaderSettings(dataset={}, batch_size=4)
    same = build_eval_dataloader(settings, dataset=Numbers(8))
    assert [tuple(batch["inputs"].shape) for batch in same] == [(4, 3, 4, 4)] * 2
    mixed = build_eval_dataloader(settings, dataset=Numbers(4, widths=2))
    assert [tuple(batch["inputs"].shape) for batch in mixed] == [(1, 3, 4, 4), (1, 3, 4, 5)] * 2


def test_evaluation_can_be_repeated_broken_off_and_empty() -> None:
    settings = DataLoaderSettings(dataset={})
    loader = build_eval_dataloader(settings, dataset=Numbers(3))
    assert indices(next(iter(loader))) == [0]
    assert [indices(batch) for batch in loader] == [indices(batch) for batch in loader] == [[0], [1], [2]]
    empty = build_eval_dataloader(settings, rank=2, world_size=3, dataset=Numbers(2))
    assert (len(empty), list(empty)) == (0, [])


def test_a_broken_file_met_later_is_a_data_error_that_names_file_and_values(folder, save, tmp_path) -> None:
    loader = train_loader(folder(n=4))
    bad = save(tmp_path / "annotations" / "train" / "002.png", torch.full((20, 24), 77, dtype=torch.uint8).numpy())
    with pytest.raises(DataError, match=rf"{bad}: mask values 77 "):
        list(islice(loader, 2))


def test_mm_samplers_say_shuffle(folder) -> None:
    config = folder(n=4)
    ordered = train_loader(config, sampler={"type": "InfiniteSampler", "shuffle": False})
    assert [indices(batch) for batch in islice(ordered, 2)] == [[0, 1, 2, 3]] * 2
    assert ordered.sampler.shuffle is False
    assert train_loader(config, shuffle=False).sampler.shuffle is False
    assert train_loader(config, sampler={"type": "DefaultSampler", "seed": None}).sampler.seed == 3
    with pytest.raises(ConfigError, match=r"shuffle=True, but sampler\.shuffle=False"):
        train_loader(config, shuffle=True, sampler={"type": "DefaultSampler", "shuffle": False})


def test_a_sampler_of_the_users_own(folder) -> None:
    class OnlyFirst:
        pass_length, position = 2, 0

        def __init__(self, size: int, world_size: int) -> None:
            self.count = size // world_size

        def seek(self, position: int) -> None:
            self.position = position

        def __iter__(self):
            while True:
                yield [(0, 0)] * self.count

    config = folder(n=4)
    loader = train_loader(config, 4, world_size=2, sampler={"type": OnlyFirst})
    assert [indices(batch) for batch in islice(loader, 2)] == [[0, 0], [0, 0]]
    with pytest.raises(ConfigError, match="Plain has no pass_length and no position and no seek"):
        train_loader(config, sampler={"type": type("Plain", (), {"__iter__": None})})


def test_a_collate_function_of_the_users_own(folder) -> None:
    loader = train_loader(folder(), collate_fn="builtins.len")
    assert list(islice(loader, 3)) == [4, 4, 4]
    assert loader.position == 12


@pytest.mark.parametrize(
    ("section", "world", "expected"),
    [
        ({"batch_size": 4}, 2, (4, 8)),
        ({"global_batch_size": 12}, 3, (4, 12)),
        ({"batch_size": 4, "global_batch_size": 8}, 2, (4, 8)),
    ],
)
def test_batch_sizes(section, world, expected) -> None:
    assert resolve_batch_size(DataLoaderSettings(dataset={}, **section), world) == expected


@pytest.mark.parametrize(
    ("section", "world", "message"),
    [
        ({}, 2, "batch_size: expected"),
        ({"global_batch_size": 8}, 3, "8 images cannot be shared by 3 workers .* 1, 2, 4, 8"),
        ({"batch_size": 4, "global_batch_size": 12}, 2, "batch_size=4 × 2 workers is 8, but global_batch_size=12"),
    ],
)
def test_batch_sizes_that_do_not_fit(section, world, message) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_batch_size(DataLoaderSettings(dataset={}, **section), world)
