"""SegVisualizationHook: pictures of what the model predicts, beside what is right."""

from __future__ import annotations

import heapq
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from rayseg.config.markers import Rule
from rayseg.core import distributed
from rayseg.core.sample import PixelData, SegSample
from rayseg.data.decode import read_image
from rayseg.data.drawing import draw_overlay, side_by_side
from rayseg.engine.hook import DataBatch, Hook, Outputs
from rayseg.metrics.confusion_matrix import class_iou
from rayseg.tracking.files import replace_file
from rayseg.tracking.json_lines import encode

if TYPE_CHECKING:
    from PIL.Image import Image

    from rayseg.engine.loops import ValLoop
    from rayseg.engine.runner import Runner

WORST = "worst"


class SegVisualizationHook(Hook):
    """Draws overlays in validation and test: the labels at the left, the prediction at the right, with a legend.

    Pictures lie in ``visuals/<mode>/iter_<n>/`` under the image's relative path, in the size of the label. The same
    images are drawn each time, so that one can watch them change; those with the lowest mIoU of their own are drawn
    besides, and listed in ``worst.json`` there.

    Args:
        draw: draw at all.
        interval: of the images, each so many-th may be drawn.
        show: open each picture in a window too; needs a screen.
        wait_time: seconds that a window stays open.
        max_images: pictures of one pass, spread evenly over the data set.
        worst: the images with the lowest mIoU that are drawn too, of all ranks together.
        alpha: share of the class's colour in the overlay, 0 to 1.
        backend_args: MM's; images are read as the data set reads them here.
    """

    priority = "NORMAL"

    def __init__(
        self,
        draw: bool = True,
        interval: int = 1,
        show: bool = False,
        wait_time: float = 0.0,
        max_images: int = 8,
        worst: int = 4,
        alpha: Annotated[float, Rule(lambda share: 0 <= share <= 1, "from 0 to 1")] = 0.5,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        self.draw = draw
        self.interval = max(1, interval)
        self.show = show
        self.wait_time = wait_time
        self.max_images = max_images
        self.worst = worst if draw else 0
        self.alpha = alpha
        self._chosen: frozenset[int] = frozenset()
        self._lowest = LowestScores(self.worst)

    def before_val_epoch(self, runner: Runner) -> None:
        """Choose the images."""
        self._choose(runner.val_loop)

    def before_test_epoch(self, runner: Runner) -> None:
        """Choose the images."""
        self._choose(runner.test_loop)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """Draw the chosen ones of a validation batch."""
        self._look_at(runner, "val", outputs)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """Draw the chosen ones of a test batch."""
        self._look_at(runner, "test", outputs)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw the worst images of a validation."""
        self._draw_worst(runner, "val", metrics)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw the worst images of a test."""
        self._draw_worst(runner, "test", metrics)

    def _choose(self, loop: ValLoop | None) -> None:
        assert loop is not None
        size = len(loop.dataloader.dataset)
        self._chosen = frozenset(spread(size, self.interval, self.max_images) if self.draw else ())
        self._lowest = LowestScores(self.worst)

    def _look_at(self, runner: Runner, mode: str, outputs: Outputs) -> None:
        if not self.draw or outputs is None:
            return
        for sample in outputs:
            assert isinstance(sample, SegSample)
            if not sample.img_path:
                continue
            self._lowest.add(sample)
            if sample.metainfo.get("index") in self._chosen:
                self._draw(runner, mode, sample)

    def _draw_worst(self, runner: Runner, mode: str, metrics: dict[str, float] | None) -> None:
        if not self.worst or metrics is None:
            return
        found = []
        for score, index, name in self._lowest.over_ranks(runner.control.group):
            is_drawn = index in self._chosen
            found.append({"picture": name if is_drawn else f"{WORST}/{name}", "mIoU": score})
            if not is_drawn and (sample := self._lowest.samples.get(index)) is not None:
                self._draw(runner, mode, sample, WORST)
        if runner.rank == 0 and found:
            folder = runner.work_dir / _folder(runner, mode)
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(folder / f"{WORST}.json", encode(found, indent=1).encode() + b"\n")

    def _draw(self, runner: Runner, mode: str, sample: SegSample, below: str = "") -> None:
        tag = PurePath(below, picture_name(sample))
        relative = _folder(runner, mode) / tag
        path = runner.work_dir / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = picture_of(sample, runner.metainfo, self.alpha)
        partial = path.with_name(f".{path.name}.tmp")
        picture.save(partial, format="PNG")
        partial.replace(path)
        runner.publish.image(mode, str(relative), tag=str(tag))
        if self.show:
            _open_window(picture, str(tag), self.wait_time)


class LowestScores:
    """The images of this rank with the lowest mIoU of their own, over the classes that occur in label or prediction.

    Args:
        count: images that are kept.

    Attributes:
        samples: by index in the data set, with labels and predictions on the CPU.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.samples: dict[int, SegSample] = {}
        self._scores: list[tuple[float, int]] = []  # a heap of (-mIoU, -index): what is to be thrown out stands first

    def add(self, sample: SegSample) -> None:
        """Look at an image whose ``metainfo['confusion']`` a metric has noted."""
        confusion, index = sample.metainfo.get("confusion"), sample.metainfo.get("index")
        if not self.count or confusion is None or index is None:
            return
        score = float(class_iou(confusion).nanmean())
        if score != score:
            return
        entry = (-score, -index)
        if len(self._scores) == self.count and entry <= self._scores[0]:
            return
        self.samples[index] = _kept(sample)
        if len(self._scores) < self.count:
            heapq.heappush(self._scores, entry)
        else:
            _, thrown_out = heapq.heapreplace(self._scores, entry)
            del self.samples[-thrown_out]

    def over_ranks(self, group: Any = None) -> list[tuple[float, int, str]]:
        """mIoU, index and picture's name of the lowest of all ranks, lowest first. A collective."""
        mine = [(-score, -index, str(picture_name(self.samples[-index]))) for score, index in self._scores]
        everyone = [entry for of_rank in distributed.gather_objects(mine, group) for entry in of_rank]
        return sorted(everyone)[: self.count]


def _kept(sample: SegSample) -> SegSample:
    """A copy that holds no device memory and no logits."""

    def on_cpu(part: PixelData | None) -> PixelData | None:
        return None if part is None else PixelData(part.data.to("cpu", copy=True))

    return replace(
        sample,
        metainfo={key: sample.metainfo[key] for key in ("index", "name") if key in sample.metainfo},
        gt_sem_seg=on_cpu(sample.gt_sem_seg),
        pred_sem_seg=on_cpu(sample.pred_sem_seg),
        seg_logits=None,
    )


def picture_name(sample: SegSample) -> PurePath:
    """The image's relative path, ending in .png."""
    return PurePath(sample.metainfo.get("name") or Path(sample.img_path).name).with_suffix(".png")


def _folder(runner: Runner, mode: str) -> Path:
    return Path("visuals", mode, f"iter_{runner.iter}")


def spread(size: int, interval: int, count: int) -> list[int]:
    """At most ``count`` of the indices 0, interval, 2·interval ... below ``size``, evenly spread from first to last."""
    candidates = range(0, size, interval)
    if len(candidates) <= count:
        return list(candidates)
    if count < 2:
        return list(candidates[:count])
    return [candidates[round(k * (len(candidates) - 1) / (count - 1))] for k in range(count)]


def picture_of(sample: SegSample, metainfo: dict[str, Any], alpha: float = 0.5) -> Image:
    """The image with its prediction over it; with its labels at the left if it has any.

    The image is read from its file and must have the label's size, as stored images have.
    """
    assert sample.pred_sem_seg is not None, "nothing is predicted yet"
    maps = [sample.pred_sem_seg] if sample.gt_sem_seg is None else [sample.gt_sem_seg, sample.pred_sem_seg]
    image = np.asarray(read_image(sample.img_path))
    overlays = [
        draw_overlay(
            image,
            part.data.cpu().numpy(),
            metainfo["palette"],
            metainfo["classes"],
            alpha=alpha,
            ignore_index=metainfo["ignore_index"],
        )
        for part in maps
    ]
    return side_by_side(overlays)


def _open_window(picture: Image, title: str, seconds: float) -> None:
    import matplotlib.pyplot as plt

    figure = plt.figure(title, clear=True)
    figure.add_axes((0, 0, 1, 1)).imshow(np.asarray(picture))
    plt.pause(max(seconds, 1e-3))
    plt.close(figure)
