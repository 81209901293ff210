"""The order of training samples: what holds for every size, batch, world and position."""

from __future__ import annotations

from itertools import chain, islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayseg.core.errors import ConfigError
from rayseg.core.registries import SAMPLERS
from rayseg.data.sampler import ResumableSampler

WORLDS = (1, 2, 3, 4)
SIZES = st.integers(1, 60)
SEEDS = st.integers(0, 2**40)
TAILS = st.sampled_from(["cross", "drop", "pad"])
GLOBAL_BATCH = 12  # divided by every world size here


def batches(count: int, **arguments: Any) -> list[list[tuple[int, int]]]:
    return list(islice(ResumableSampler(**arguments), count))


def stream(samples: int, **arguments: Any) -> list[tuple[int, int]]:
    return [key for [key] in batches(samples, **arguments)]


@settings(deadline=None)
@given(SIZES, SEEDS, TAILS, st.integers(0, 20))
def test_ranks_together_read_the_same_global_batches_at_every_world_size(size, seed, tail, start) -> None:
    if tail == "drop" and size < GLOBAL_BATCH:
        size += GLOBAL_BATCH
    common = {"size": size, "seed": seed, "tail": tail, "global_batch_size": GLOBAL_BATCH}
    seen = []
    for world in WORLDS:
        ranks = [
            batches(6, rank=rank, world_size=world, position=start * GLOBAL_BATCH, **common) for rank in range(world)
        ]
        seen.append([list(chain(*parts)) for parts in zip(*ranks, strict=True)])
        assert {len(part) for rank in ranks for part in rank} == {GLOBAL_BATCH // world}
    assert all(other == seen[0] for other in seen)


@settings(deadline=None)
@given(SIZES, SEEDS, TAILS, st.integers(1, 8), st.integers(0, 30))
def test_seeking_a_position_is_going_on_from_it(size, seed, tail, batch, done) -> None:
    common = {"size": size + batch, "seed": seed, "tail": tail, "global_batch_size": batch}
    through = batches(done + 5, **common)
    assert batches(5, position=done * batch, **common) == through[done:]
    sampler = ResumableSampler(**common)
    next(iter(sampler))
    sampler.seek(done * batch)
    assert list(islice(sampler, 5)) == through[done:]


@settings(deadline=None)
@given(SIZES, SEEDS)
def test_each_pass_is_a_permutation_when_batches_cross_passes(size, seed) -> None:
    keys = stream(3 * size, size=size, seed=seed)
    for number in range(3):
        part = keys[number * size : (number + 1) * size]
        assert [pass_ for pass_, _ in part] == [number] * size
        assert sorted(index for _, index in part) == list(range(size))


@settings(deadline=None)
@given(SIZES, SEEDS, st.integers(1, 9))
def test_drop_leaves_out_less_than_a_batch_and_repeats_nothing(size, seed, batch) -> None:
    sampler = ResumableSampler(size + batch, seed, batch, tail="drop")
    count = sampler.pass_length // batch
    keys = list(chain(*islice(sampler, count)))
    assert len({index for _, index in keys}) == len(keys) == count * batch
    assert 0 <= size + batch - len(keys) < batch
    assert {pass_ for pass_, _ in keys} == {0}
    assert next(islice(sampler, count, None))[0][0] == 1


@settings(deadline=None)
@given(SIZES, SEEDS, st.integers(1, 9))
def test_pad_reads_all_and_fills_up_from_the_same_pass(size, seed, batch) -> None:
    sampler = ResumableSampler(size, seed, batch, tail="pad")
    keys = list(chain(*islice(sampler, sampler.pass_length // batch)))
    assert sorted(index for _, index in keys[:size]) == list(range(size))
    assert len(keys) - size < batch
    assert keys[size:] == [keys[place % size] for place in range(size, len(keys))]


def test_a_batch_larger_than_the_data_set_crosses_several_passes() -> None:
    [batch] = batches(1, size=3, global_batch_size=8)
    assert [pass_ for pass_, _ in batch] == [0, 0, 0, 1, 1, 1, 2, 2]


def test_passes_and_seeds_differ_and_the_order_is_fixed() -> None:
    first = stream(200, size=100, seed=1)
    assert [i for _, i in first[:100]] != [i for _, i in first[100:]]
    assert first != stream(200, size=100, seed=2)
    assert first == stream(200, size=100, seed=1)


def test_the_order_is_what_it_was_when_older_runs_were_saved() -> None:
    assert [index for _, index in stream(8, size=8, seed=0)] == [5, 0, 7, 2, 6, 4, 3, 1]


def test_without_shuffle_every_pass_is_in_order() -> None:
    assert [index for _, index in stream(7, size=3, shuffle=False)] == [0, 1, 2, 0, 1, 2, 0]


def test_set_epoch_changes_nothing() -> None:
    sampler = ResumableSampler(10, 3, 2)
    expected = list(islice(sampler, 4))
    sampler.set_epoch(5)
    assert list(islice(sampler, 4)) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "empty"),
        ({"size": 5, "global_batch_size": 4, "world_size": 3}, "3 workers do not divide the global batch of 4"),
        ({"size": 5, "global_batch_size": 8, "tail": "drop"}, "5 images are less than one global batch of 8"),
    ],
)
def test_impossible_settings_are_refused(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        ResumableSampler(**arguments)


def test_a_negative_position_is_refused() -> None:
    with pytest.raises(ValueError, match="position"):
        ResumableSampler(3).seek(-1)


@pytest.mark.parametrize(
    "config",
    [
        {"type": "DefaultSampler", "round_up": False},
        {"type": "InfiniteSampler"},
        {"type": "InfiniteSampler", "seed": 7},
    ],
)
def test_mm_names_build_the_same_sampler(config) -> None:
    supplied = {"size": 9, "seed": 7, "global_batch_size": 4, "rank": 1, "world_size": 2, "shuffle": True}
    built = SAMPLERS.build(config, tail="cross", position=8, **supplied)
    assert list(islice(built, 3)) == batches(3, tail="cross", position=8, **supplied)
