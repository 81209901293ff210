"""MM's data sets as FolderDataset, alone or several in a row: folders, suffixes, classes, palette."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayseg.migration.known_datasets import KNOWN, PLAIN, Known, classes_of
from rayseg.migration.lines import Lines, dict_of, replace_me, without_scope
from rayseg.migration.transforms import migrate_pipeline, reduces_zero_label

# Arguments of MM's data sets that say nothing about the data.
_NOTHING = ("type", "test_mode", "lazy_init", "serialize_data", "max_refetch", "filter_cfg", "_scope_")
_TAKEN = ("data_root", "data_prefix", "ann_file", "img_suffix", "seg_map_suffix", "metainfo", "reduce_zero_label")
_PLAIN_NAMES = ("BaseSegDataset", "CustomDataset")
_OTHERS = ("ignore_index", "pipeline", "classes", "palette")


def migrate_dataset(config: Any, path: str, evaluates: bool, lines: Lines) -> dict[str, Any]:
    """A FolderDataset or a ConcatDataset of some; what wraps others is taken off, with a line."""
    if not isinstance(config, Mapping):
        do = "several data sets are dict(type='ConcatDataset', datasets=[...])"
        lines.missing(path, config, "expected dict(type=...)", do)
        return {"type": replace_me("Dataset")}
    config, path = _unwrapped(config, path, lines)
    name = str(without_scope(config.get("type")))
    if name == "ConcatDataset" and config.get("datasets"):
        return _concatenated(config["datasets"], f"{path}.datasets", evaluates, lines)
    _check_dicts(config, path, lines)
    prefix = dict_of(config.get("data_prefix"))
    pipeline = config.get("pipeline")
    unknown = sorted(set(config) - {*_NOTHING, *_TAKEN, *_OTHERS})
    foreign = sorted(set(prefix) - {"img_path", "seg_map_path"})
    if (
        foreign
        or "Dataset" not in name
        or name in ("DSDLSegDataset", "DecathlonDataset")
        or not isinstance(config.get("ann_file", ""), str)
    ):
        why = f"it is no data set of one image folder and one mask folder{f' ({foreign[0]})' if foreign else ''}"
        do = "write a data set of your own and name it by its dotted path"
        lines.missing(path, {"type": name}, why, do)
        return {"type": replace_me(name)}
    known = KNOWN.get(name)
    result = _folders(config, known or PLAIN)
    if config.get("reduce_zero_label", known.reduce_zero_label if known else False) or reduces_zero_label(pipeline):
        result["reduce_zero_label"] = True
    if config.get("ignore_index", 255) != 255:
        result["ignore_index"] = config["ignore_index"]
    result |= _classes(config, known, name, path, bool(result.get("reduce_zero_label")), lines)
    if "label_map" in result:
        result.pop("reduce_zero_label", None)
    for key in unknown:
        if config[key] not in (None, False, "", {}):
            do = "write what it does as a data set of your own, or leave it out"
            lines.missing(f"{path}.{key}", config[key], "FolderDataset has no such argument", do)
    transforms = migrate_pipeline(pipeline, f"{path}.pipeline", evaluates, lines)
    return {**result, **({"pipeline": transforms} if transforms else {})}


def _concatenated(parts: Any, path: str, evaluates: bool, lines: Lines) -> dict[str, Any]:
    if not isinstance(parts, list | tuple):
        lines.missing(path, parts, "expected a list", "say datasets=[dict(type=...), ...]")
        return {"type": replace_me("ConcatDataset")}
    datasets = [migrate_dataset(part, f"{path}.{index}", evaluates, lines) for index, part in enumerate(parts)]
    return {"type": "ConcatDataset", "datasets": datasets}


def _check_dicts(config: Mapping[str, Any], path: str, lines: Lines) -> None:
    for key, example in (("data_prefix", "img_path='...', seg_map_path='...'"), ("metainfo", "classes=[...]")):
        if config.get(key) and not isinstance(config[key], Mapping):
            lines.missing(f"{path}.{key}", config[key], "expected a dict", f"say {key}=dict({example})")


def _unwrapped(config: Mapping[str, Any], path: str, lines: Lines) -> tuple[Mapping[str, Any], str]:
    name = without_scope(config.get("type"))
    if name == "RepeatDataset" and isinstance(config.get("dataset"), Mapping):
        times = config.get("times")
        lines.dropped(f"{path}.times", times, "the data is read again and again until the loop's count is reached")
        return _unwrapped(config["dataset"], f"{path}.dataset", lines)
    if name == "MultiImageMixDataset" and isinstance(config.get("dataset"), Mapping):
        why = "transforms that mix several images are not there"
        lines.missing(path, config, why, "train without, or write a data set of your own")
        return _unwrapped(config["dataset"], f"{path}.dataset", lines)
    return config, path


def _folders(config: Mapping[str, Any], known: Known) -> dict[str, Any]:
    result: dict[str, Any] = {"type": "FolderDataset", "data_root": config.get("data_root") or "."}
    prefix = dict_of(config.get("data_prefix"))
    result["data_prefix"] = {key: prefix.get(key) or "" for key in ("img_path", "seg_map_path")}
    result["img_suffix"] = config.get("img_suffix", known.img_suffix)
    result["seg_map_suffix"] = config.get("seg_map_suffix", known.seg_map_suffix)
    if config.get("ann_file"):
        result["ann_file"] = config["ann_file"]
    return result


def _classes(
    config: Mapping[str, Any], known: Known | None, name: str, path: str, reduces: bool, lines: Lines
) -> dict[str, Any]:
    """Classes and palette; with classes of one's own for a known data set also what its labels become."""
    metainfo = {key: config[key] for key in ("classes", "palette") if config.get(key)}
    metainfo |= dict_of(config.get("metainfo"))
    given = metainfo.get("classes")
    names, palette = classes_of(known) if known else ([], None)
    if given is None and known is None:
        do = "say classes=[...] there, or put them into classes.txt in data_root, one a line"
        lines.missing(path, {"type": name}, "its class, which is not read, says the classes", do)
        return {}
    if known is None and name not in _PLAIN_NAMES:
        why = "a data set of your own, whose class is not read; FolderDataset stands there with its arguments"
        lines.differs(path, {"type": name}, why, "if it does more than say its classes, name it by its dotted path")
    if given is None or list(given) == names:
        return {"classes": names, "palette": metainfo.get("palette") or palette}
    wanted = given if isinstance(given, str) else [str(label).strip() for label in given]
    result: dict[str, Any] = {"classes": wanted}
    if metainfo.get("palette"):
        result["palette"] = [list(colour) for colour in metainfo["palette"]]
    elif palette and set(wanted) <= set(names):
        result["palette"] = [palette[names.index(label)] for label in wanted]
    if known and not isinstance(wanted, str) and set(wanted) <= set(names):
        result["label_map"] = _label_map(names, wanted, reduces, config.get("ignore_index", 255))
    return result


def _label_map(names: list[str], wanted: list[str], reduces: bool, ignore_index: int) -> dict[int, int]:
    """Mask value to class index; classes that are not wanted are ignored. ``reduces``: class k is stored as k + 1."""
    first = 1 if reduces else 0
    mapped = {first + index: wanted.index(name) if name in wanted else ignore_index for index, name in enumerate(names)}
    return {0: ignore_index, **mapped} if reduces else mapped
