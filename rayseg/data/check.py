"""``rayseg data check``: every file of every split is read, and what is wrong or odd is said."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from rayseg.config.settings import settings
from rayseg.core.errors import ConfigError, DataError
from rayseg.core.randomness import forked_rng
from rayseg.core.registries import DATASETS
from rayseg.data.build import SAME_IN_SPLITS, SPLITS, build_dataset, differences
from rayseg.data.concat import ConcatDataset
from rayseg.data.decode import opened, picture_size, read_rgb
from rayseg.data.files import name_some
from rayseg.data.folder import FolderDataset

_THREADS = 8
_LISTED = 10


@dataclass(frozen=True)
class Looked:
    """What one image and its mask are.

    Attributes:
        name: the image's path below its folder.
        size: (height, width) in pixels.
        modes: pillow's modes of (image, mask).
        counts: pixels of each class, then unlabelled ones.
        unknown: mask values that mean nothing.
        digest: a hash of size and pixels; the same for lossless copies in any format.
        problem: why the pair cannot be used.
    """

    name: str
    size: tuple[int, int] = (0, 0)
    modes: tuple[str, str] = ("", "")
    counts: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()
    digest: str = ""
    problem: str = ""


@dataclass
class SplitReport:
    """One split, or one data set of a split that is a ConcatDataset.

    Attributes:
        name: ``train``, ``val`` or ``test``; ``train.0``, ``train.1`` of a ConcatDataset.
        images: how many.
        sizes: "height×width" to number of images.
        image_modes, mask_modes: pillow's mode to number of files.
        mask_format: how masks are read, for folder data sets.
        classes: name to ``{"pixels", "share", "images"}``; the share is of the labelled pixels.
        unlabelled: share of pixels that count nowhere.
        problems: what a run would stop at.
        notes: what is odd and harmless.
    """

    name: str
    images: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    image_modes: dict[str, int] = field(default_factory=dict)
    mask_modes: dict[str, int] = field(default_factory=dict)
    mask_format: str = ""
    classes: dict[str, dict[str, Any]] = field(default_factory=dict)
    unlabelled: float = 0.0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{self.name}: {self.images} images"]
        if self.sizes:
            some = ", ".join(f"{size} ({count})" for size, count in list(self.sizes.items())[:4])
            more = f" and {len(self.sizes) - 4} more" if len(self.sizes) > 4 else ""
            lines.append(f"  sizes h×w: {some}{more}")
        for title, modes in (("images", self.image_modes), ("masks", self.mask_modes)):
            if modes:
                read_as = f", read as {self.mask_format}" if title == "masks" and self.mask_format else ""
                lines.append(f"  {title}: " + ", ".join(f"{mode} ({count})" for mode, count in modes.items()) + read_as)
        width = max(map(len, self.classes), default=0)
        for name, row in self.classes.items():
            lines.append(f"  {name:{width}}  {row['share']:7.2%} of labelled pixels, in {row['images']} images")
        if self.unlabelled:
            lines.append(f"  {self.unlabelled:.2%} of all pixels are unlabelled")
        return lines + [f"  PROBLEM {line}" for line in self.problems] + [f"  note: {line}" for line in self.notes]


@dataclass
class CheckReport:
    """All splits, and which images two different ones have in common.

    Attributes:
        splits: in the order train, val, test.
        duplicates: ``{"splits": [a, b], "images": [[name in a, name in b], ...]}`` for each pair that shares images;
            images that two data sets of one split share are a note of the later one.
    """

    splits: list[SplitReport]
    duplicates: list[dict[str, Any]]

    @property
    def ok(self) -> bool:
        """Whether a run with this data would neither stop nor be scored on images that it was trained on."""
        return not self.duplicates and not any(split.problems for split in self.splits)

    def lines(self) -> list[str]:
        """For people."""
        lines = [line for split in self.splits for line in split.lines()]
        for entry in self.duplicates:
            (first, second), pairs = entry["splits"], entry["images"]
            lines.append(f"PROBLEM {len(pairs)} images of {second} are in {first} too: {_named(pairs)}")
        return [*lines, "no problem found" if self.ok else "there are problems"]

    def as_dict(self) -> dict[str, Any]:
        """JSON values only."""
        return {"ok": self.ok, "splits": [asdict(split) for split in self.splits], "duplicates": self.duplicates}


def check_dataset(config: Mapping[str, Any]) -> CheckReport:
    """Read every file of the data that a config names.

    Args:
        config: a completed config with ``train_dataloader`` and others, or the config of one data set.

    Raises:
        ConfigError: it names no data at all. What is wrong with the data is in the report.
    """
    reports: dict[str, SplitReport] = {}
    digests: dict[str, dict[str, str]] = {}
    firsts: dict[str, tuple[Mapping[str, Any], str]] = {}
    for name, test_mode, data in _data_sets(config):
        reports[name], digests[name], metainfo = _check_split(name, data, test_mode)
        if metainfo:
            reports[name].problems += _differences(name, metainfo, firsts)
    duplicates = []
    for first, second, pairs in _shared(digests):
        if _split_of(first) == _split_of(second):
            reports[second].notes.append(f"{len(pairs)} images are in {first} too: {_named(pairs)}")
        else:
            duplicates.append({"splits": [first, second], "images": pairs})
    return CheckReport(list(reports.values()), duplicates)


def _data_sets(config: Mapping[str, Any]) -> list[tuple[str, bool, Any]]:
    """(name, test_mode, config) of each different data set."""
    sections = [split for split in SPLITS if config.get(f"{split}_dataloader")]
    if not sections:
        if "data_root" in config or "type" in config:
            return [(str(config.get("split") or "data"), True, {"type": "FolderDataset", **config})]
        raise ConfigError("train_dataloader: the config names no data")
    found: list[tuple[str, bool, Any]] = []
    for split in sections:
        data = settings(config, f"{split}_dataloader").dataset
        if not any(data == other for _, is_test, other in found if is_test):
            found.append((split, split != "train", data))
    return [(name, is_test, part) for split, is_test, data in found for name, part in _parts(split, data)]


def _parts(name: str, config: Any) -> Iterator[tuple[str, Any]]:
    """The data sets that a ConcatDataset names, ``train.0``, ``train.1``; another one itself."""
    datasets = config.get("datasets") if isinstance(config, Mapping) else None
    if not datasets or DATASETS.get(config.get("type", "")) is not ConcatDataset:
        yield name, config
        return
    for number, part in enumerate(datasets):
        yield from _parts(f"{name}.{number}", part)


def _split_of(name: str) -> str:
    return name.partition(".")[0]


def _differences(name: str, metainfo: Mapping[str, Any], firsts: dict[str, tuple[Mapping[str, Any], str]]) -> list[str]:
    """From the first data set of the same split or, of that one, of the first split; ``firsts`` gets those."""
    split = _split_of(name)
    if split in firsts:
        return differences(metainfo, *firsts[split])
    firsts[split] = metainfo, name
    return differences(metainfo, *next(iter(firsts.values())), SAME_IN_SPLITS)


def _check_split(
    name: str, config: Any, test_mode: bool
) -> tuple[SplitReport, dict[str, str], Mapping[str, Any] | None]:
    """The report, hash to image name, and the metainfo of a data set that can be built."""
    report = SplitReport(name)
    try:
        dataset = build_dataset(config, test_mode=test_mode)
    except ConfigError as error:
        report.problems += [str(problem) for problem in error.problems]
        return report, {}, None
    look = _look_at_files if isinstance(dataset, FolderDataset) else _look_at_sample
    with ThreadPoolExecutor(_THREADS) as pool:
        looked = list(pool.map(lambda index: look(dataset, index), range(len(dataset))))
    _summarise(report, looked, dataset)
    by_digest: dict[str, str] = {}
    twice = [one.name for one in looked if one.digest and by_digest.setdefault(one.digest, one.name) != one.name]
    if twice:
        report.notes.append(f"{len(twice)} images are there twice: {name_some(twice)}")
    return report, by_digest, dataset.metainfo


def _look_at_files(dataset: FolderDataset, index: int) -> Looked:
    name = dataset.files.images[index]
    image_path, mask_path = dataset.image_path(index), dataset.mask_path(index)
    try:
        size = picture_size(image_path)
        with opened(image_path) as image, opened(mask_path) as mask:
            modes = image.mode, mask.mode
        digest = _digest(read_rgb(image_path))
        stored = dataset.read_mask.stored(mask_path)
        labels = dataset.read_mask.lookup(stored, mask_path)
        unknown = dataset.read_mask.unknown_values(stored, labels)
    except DataError as error:
        return Looked(name, problem=str(error))
    differs = dataset.size_complaint(index, size, stored.shape) if size != stored.shape else ""
    return Looked(name, size, modes, _counts(labels, dataset.metainfo), tuple(unknown), digest, differs)


def _look_at_sample(dataset: Any, index: int) -> Looked:
    try:
        with forked_rng(index):
            sample = dataset[index]
    except DataError as error:
        return Looked(str(index), problem=str(error))
    data, label = sample["data_samples"], sample["data_samples"].gt_sem_seg
    name = data.metainfo.get("name") or data.img_path or str(index)
    counts = _counts(label.data.numpy(), dataset.metainfo) if label is not None else ()
    return Looked(name, data.ori_shape, counts=counts, digest=_digest(sample["inputs"].numpy()))


def _digest(pixels: np.ndarray) -> str:
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _counts(labels: np.ndarray, metainfo: Mapping[str, Any]) -> tuple[int, ...]:
    values, numbers = np.unique(labels, return_counts=True)
    found = dict(zip(values.tolist(), numbers.tolist(), strict=True))
    return *(found.get(index, 0) for index in range(len(metainfo["classes"]))), found.get(metainfo["ignore_index"], 0)


def _summarise(report: SplitReport, looked: list[Looked], dataset: Any) -> None:
    names = dataset.metainfo["classes"]
    report.images = len(looked)
    report.sizes = _frequent(f"{height}×{width}" for height, width in (one.size for one in looked) if height)
    report.image_modes = _frequent(one.modes[0] for one in looked)
    report.mask_modes = _frequent(one.modes[1] for one in looked)
    counts = np.array([one.counts for one in looked if one.counts], np.int64).reshape(-1, len(names) + 1)
    pixels, labelled = counts.sum(0), max(1, int(counts[:, :-1].sum()))
    for index, name in enumerate(names):
        total, images = int(pixels[index]), int((counts[:, index] > 0).sum())
        report.classes[name] = {"pixels": total, "share": total / labelled, "images": images}
    report.unlabelled = int(pixels[-1]) / max(1, int(pixels.sum()))
    report.problems += _some([one.problem for one in looked if one.problem])
    if absent := [name for name, row in report.classes.items() if not row["pixels"]]:
        report.notes.append(f"no pixel is labelled {', '.join(absent)}")
    if isinstance(dataset, FolderDataset):
        report.mask_format = dataset.files.mask_format
        unknown = sorted({value for one in looked for value in one.unknown})
        if unknown:
            where = [dataset.files.masks[index] for index, one in enumerate(looked) if one.unknown]
            report.problems.append(f"{name_some(where)}: {dataset.read_mask.complaint(unknown)}")
        if spare := dataset.files.spare_masks:
            report.notes.append(f"{len(spare)} masks belong to no image: {name_some(spare)}")


def _frequent(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(value for value in values if value).most_common())


def _some(problems: list[str]) -> list[str]:
    more = [f"and {len(problems) - _LISTED} more files"] if len(problems) > _LISTED else []
    return problems[:_LISTED] + more


def _shared(digests: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, list[list[str]]]]:
    """Each two data sets that share images, and the names of these in both."""
    for first, second in combinations(digests, 2):
        own, others = digests[first], digests[second]
        if pairs := [[name, others[digest]] for digest, name in own.items() if digest in others]:
            yield first, second, pairs


def _named(pairs: list[list[str]]) -> str:
    return name_some([a if a == b else f"{a} = {b}" for a, b in pairs])
