"""What a config writes where a sweep is to choose: ``lr=loguniform(1e-5, 1e-2)``, or a whole space ready-made."""

from rayseg.config.search import choice, grid, loguniform, quniform, randint, uniform
from rayseg.optim.layer_decay_space import layer_decay_keys, layer_decay_space
from rayseg.optim.spaces import optim_wrapper_space

__all__ = [
    "choice",
    "grid",
    "layer_decay_keys",
    "layer_decay_space",
    "loguniform",
    "optim_wrapper_space",
    "quniform",
    "randint",
    "uniform",
]
