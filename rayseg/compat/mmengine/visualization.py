"""``mmengine.visualization``: where numbers and pictures of the run go."""

from rayseg.engine.visualizer import Visualizer

__all__ = ["Visualizer"]
