"""Random state: the same seeds give the same numbers, saved states come back, forks leave no trace."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rayseg.core.randomness import derive_seed, forked_rng, get_rng_state, seed_all, set_rng_state


def draw() -> tuple[float, ...]:
    """Numbers from each generator, the cached second Gaussians of Python and numpy included."""
    return (
        random.random(),
        random.gauss(0, 1),
        float(np.random.rand()),
        float(np.random.randn()),
        float(torch.rand(())),
        float(torch.randn(())),
    )


def test_seeds_are_the_same_on_every_machine() -> None:
    assert derive_seed(0) == 4246866556266386882
    assert derive_seed(0, 1, "val") == 8734994108391956093


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_a_seed_fits_every_generator(parts: list[int]) -> None:
    assert 0 <= derive_seed(*parts) < 2**63
    assert derive_seed(*parts) == derive_seed(*parts)
    assert derive_seed(*parts) != derive_seed(*parts, 0)


def test_neighbouring_seeds_differ() -> None:
    assert len({derive_seed(seed, epoch, index) for seed in (0, 1) for epoch in (0, 1) for index in range(500)}) == 2000


def test_seed_all_reaches_every_generator() -> None:
    seed_all(7)
    first = draw()
    other = draw()
    seed_all(7)
    assert draw() == first
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_a_seed_above_32_bits_is_taken() -> None:
    seed_all(2**62)
    first = draw()
    seed_all(2**62)
    assert draw() == first


def test_a_state_comes_back_in_the_middle_of_a_pair_of_gaussians() -> None:
    seed_all(3)
    draw()
    state = get_rng_state()
    expected = [draw() for _ in range(3)]
    set_rng_state(state)
    assert [draw() for _ in range(3)] == expected


def test_a_state_is_loaded_without_pickled_code() -> None:
    seed_all(5)
    draw()
    file = io.BytesIO()
    torch.save(get_rng_state(), file)
    expected = draw()
    file.seek(0)
    set_rng_state(torch.load(file, weights_only=True))
    assert draw() == expected


def test_a_fork_leaves_every_generator_as_it_was() -> None:
    seed_all(1)
    expected = draw()
    seed_all(1)
    with forked_rng(99):
        inside = draw()
    assert draw() == expected
    assert inside != expected


def test_a_fork_that_fails_leaves_every_generator_as_it_was() -> None:
    seed_all(1)
    expected = draw()
    seed_all(1)
    with pytest.raises(ZeroDivisionError), forked_rng(99):
        draw()[0] / 0
    assert draw() == expected


def test_a_seeded_fork_does_not_depend_on_what_was_drawn_before() -> None:
    with forked_rng(4):
        first = draw()
    draw()
    with forked_rng(4):
        assert draw() == first


def test_an_unseeded_fork_goes_on_from_the_present_state() -> None:
    seed_all(1)
    with forked_rng():
        inside = draw()
    assert draw() == inside
