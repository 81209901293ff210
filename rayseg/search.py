"""What a config writes where a sweep is to choose: ``lr=loguniform(1e-5, 1e-2)``."""

from rayseg.config.search import choice, grid, loguniform, quniform, randint, uniform

__all__ = ["choice", "grid", "loguniform", "quniform", "randint", "uniform"]
