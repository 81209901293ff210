"""The data sets that MM has a class for: their classes, colours, and how their files are named. Facts, as data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Known:
    """A data set as MM's class of that name describes it.

    Attributes:
        classes: name of the entry of ``known_classes.json``.
        img_suffix, seg_map_suffix: how names end.
        reduce_zero_label: whether label 0 is unlabelled.
    """

    classes: str
    img_suffix: str = ".jpg"
    seg_map_suffix: str = ".png"
    reduce_zero_label: bool = False


# MM's base class, for a data set of one's own.
PLAIN = Known("")
KNOWN: dict[str, Known] = {
    "ADE20KDataset": Known("ADE20KDataset", reduce_zero_label=True),
    "BDD100KDataset": Known("BDD100KDataset"),
    "COCOStuffDataset": Known("COCOStuffDataset", ".jpg", "_labelTrainIds.png"),
    "ChaseDB1Dataset": Known("ChaseDB1Dataset", ".png", "_1stHO.png"),
    "CityscapesDataset": Known("CityscapesDataset", "_leftImg8bit.png", "_gtFine_labelTrainIds.png"),
    "DRIVEDataset": Known("DRIVEDataset", ".png", "_manual1.png"),
    "DarkZurichDataset": Known("CityscapesDataset", "_rgb_anon.png", "_gt_labelTrainIds.png"),
    "HRFDataset": Known("HRFDataset", ".png", ".png"),
    "ISPRSDataset": Known("ISPRSDataset", ".png", ".png", reduce_zero_label=True),
    "LIPDataset": Known("LIPDataset"),
    "LoveDADataset": Known("LoveDADataset", ".png", ".png", reduce_zero_label=True),
    "MapillaryDataset_v1": Known("MapillaryDataset_v1"),
    "MapillaryDataset_v2": Known("MapillaryDataset_v2"),
    "NightDrivingDataset": Known("CityscapesDataset", "_leftImg8bit.png", "_gtCoarse_labelTrainIds.png"),
    "PascalContextDataset": Known("PascalContextDataset"),
    "PascalContextDataset59": Known("PascalContextDataset59", reduce_zero_label=True),
    "PascalVOCDataset": Known("PascalVOCDataset"),
    "PotsdamDataset": Known("PotsdamDataset", ".png", ".png", reduce_zero_label=True),
    "REFUGEDataset": Known("REFUGEDataset", ".png", ".png"),
    "STAREDataset": Known("STAREDataset", ".png", ".ah.png"),
    "SynapseDataset": Known("SynapseDataset"),
    "iSAIDDataset": Known("iSAIDDataset", ".png", "_instance_color_RGB.png"),
}


def classes_of(known: Known) -> tuple[list[str], list[list[int]]]:
    """Class names in the order of their indices, and a colour [r, g, b] of each."""
    entry = _table()[known.classes]
    palette = [list(bytes.fromhex(colour)) for colour in entry["palette"].split()]
    return list(entry["classes"]), palette


@cache
def _table() -> dict[str, Any]:
    text = (files("rayseg.migration") / "known_classes.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table
