"""``mmengine.config``: the config itself, which has MM's methods."""

from rayseg.config.config import Config
from rayseg.config.tree import ConfigDict

__all__ = ["Config", "ConfigDict"]
