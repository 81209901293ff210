"""LoggerHook's means over ranks, also of numbers that only some ranks write."""

from __future__ import annotations

import pytest

from rayseg.core import distributed
from rayseg.hooks.log_processor import mean_over_ranks
from tests.distributed import run_ranks


def means() -> tuple[dict[str, float], dict[str, float]]:
    rank = float(distributed.get_rank())
    same = mean_over_ranks({"loss": rank, "a": 2 * rank})
    own = {"only_rank_0": 5.0} if rank == 0 else {}
    return same, mean_over_ranks({"loss": rank, **own})


@pytest.mark.world_size(2)
def test_a_number_of_one_rank_does_not_mix_with_those_of_the_others() -> None:
    for same, mixed in run_ranks(means, 2):
        assert same == {"a": 1.0, "loss": 0.5}
        assert mixed == {"loss": 0.5, "only_rank_0": 5.0}
