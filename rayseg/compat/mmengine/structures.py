"""``mmengine.structures`` and ``mmseg.structures``: what predictions and labels come in."""

from rayseg.core.sample import PixelData
from rayseg.core.sample import SegSample as SegDataSample

__all__ = ["PixelData", "SegDataSample"]
