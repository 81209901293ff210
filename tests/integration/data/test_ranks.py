"""Several ranks: files are listed once, and together they read the same data."""

from __future__ import annotations

import functools
from itertools import chain, islice
from typing import Any

import pytest

from rayseg.config.settings import DataLoaderSettings
from rayseg.core import distributed
from rayseg.core.errors import ConfigError
from rayseg.data.folder import FolderDataset
from rayseg.data.loader import build_dataset, build_eval_dataloader, build_train_dataloader
from tests.distributed import run_ranks


def read_share(config: dict[str, Any]) -> dict[str, Any]:
    rank, world_size = distributed.get_rank(), distributed.get_world_size()
    listed = []
    original = FolderDataset.list_files

    @functools.wraps(original)
    def counted(**arguments: Any) -> Any:
        listed.append(arguments)
        return original(**arguments)

    FolderDataset.list_files = counted  # type: ignore[method-assign, assignment]
    settings = DataLoaderSettings(dataset=config)
    dataset = build_dataset(config)
    train = build_train_dataloader(
        settings, dataset=dataset, seed=0, rank=rank, world_size=world_size, global_batch_size=6
    )
    names = [[s.metainfo["name"] for s in batch["data_samples"]] for batch in islice(train, 3)]
    evaluation = build_eval_dataloader(settings, rank=rank, world_size=world_size)
    seen = [sample.metainfo["index"] for batch in evaluation for sample in batch["data_samples"]]
    try:
        build_dataset({**config, "split": "lost"})
    except ConfigError as error:
        return {"listed": len(listed), "names": names, "seen": seen, "error": str(error)}
    raise AssertionError("a missing split was accepted")


@pytest.mark.world_size(3)
def test_three_ranks_read_each_image_once_and_rank_0_lists_for_all(folder) -> None:
    config = folder(n=10)
    [alone] = run_ranks(read_share, 1, config)
    results = run_ranks(read_share, 3, config)
    assert [result["listed"] for result in results] == [3, 0, 0]
    assert sorted(chain(*(result["seen"] for result in results))) == list(range(10))
    together = [list(chain(*parts)) for parts in zip(*(result["names"] for result in results), strict=True)]
    assert together == alone["names"]
    assert {result["error"] for result in results} == {alone["error"]}
