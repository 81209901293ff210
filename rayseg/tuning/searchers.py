"""Searchers that need no results: random draws, and every point of a finite space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random as Generator
from typing import Any, Protocol

from rayseg.core.errors import ConfigError
from rayseg.core.randomness import derive_seed
from rayseg.tuning.space import Dimension, Draw, Space, random_value
from rayseg.tuning.standing import TrialState


class Searcher(Protocol):
    """Proposes draws. It keeps no state: the same number and the same results give the same draw, after a restart too.

    Attributes:
        learns: whether a proposal depends on the results so far.
    """

    learns: bool

    def total(self, space: Space, num_samples: int) -> int:
        """How many trials there are in all.

        Raises:
            ConfigError: the space, or ``num_samples``, is not one for this searcher.
        """

    def propose(self, number: int, space: Space, trials: Sequence[TrialState]) -> Draw:
        """The draw of a trial.

        Args:
            number: of the trial, from 0.
            space: where to draw.
            trials: those with a lower number, in order, as they stand.
        """


class Random:
    """Draws at random; ``grid`` leaves are tried in every combination, ``num_samples`` times each.

    What trial ``n`` draws of a dimension is a function of the seed, ``n`` and the dimension's name alone.

    Args:
        seed: ``randomness.seed`` when not given.
    """

    learns = False

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def total(self, space: Space, num_samples: int) -> int:
        """``num_samples`` times the combinations of ``grid`` leaves."""
        return num_samples * len(self._combinations(space))

    def propose(self, number: int, space: Space, trials: Sequence[TrialState]) -> Draw:
        """See ``Searcher``."""
        combinations = self._combinations(space)
        fixed: Mapping[str, Any] = combinations[number % len(combinations)]

        def ask(dimension: Dimension) -> Any:
            if dimension.name in fixed:
                return fixed[dimension.name]
            return random_value(dimension, Generator(derive_seed(self.seed or 0, "trial", number, dimension.name)))

        return space.draw(ask)

    def _combinations(self, space: Space) -> list[Draw]:
        return list(space.points(grids_only=True))


class Grid:
    """Every point of a space that is finite, each once, in the order of the config, the last dimension fastest.

    ``choice`` counts as ``grid`` then, ``randint`` and ``quniform`` as the list of their values.
    """

    learns = False

    def __init__(self) -> None:
        self._points: list[Draw] | None = None

    def total(self, space: Space, num_samples: int) -> int:
        """The points of the space."""
        self._points = list(space.points())
        if num_samples not in (1, len(self._points)):
            raise ConfigError(
                f"tune.num_samples: the grid has {len(self._points)} points, each is tried once; leave it out"
            )
        return len(self._points)

    def propose(self, number: int, space: Space, trials: Sequence[TrialState]) -> Draw:
        """See ``Searcher``."""
        if self._points is None:
            self._points = list(space.points())
        return self._points[number]
