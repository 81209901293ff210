"""SegVisualizationHook: pictures of what the model predicts, beside what is right."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from rayseg.core.sample import SegSample
from rayseg.data.decode import read_image
from rayseg.data.drawing import draw_overlay
from rayseg.engine.hook import DataBatch, Hook, Outputs

if TYPE_CHECKING:
    from PIL.Image import Image

    from rayseg.engine.runner import Runner


class SegVisualizationHook(Hook):
    """Draws overlays in validation and test: the labels at the left, the prediction at the right, with a legend.

    Pictures lie in ``visuals/<mode>/iter_<n>/`` under the image's relative path, in the size of the label. The same
    images are drawn each time, so that one can watch them change.

    Args:
        draw: draw at all.
        interval: of the images, each so many-th may be drawn.
        show: open each picture in a window too; needs a screen.
        wait_time: seconds that a window stays open.
        max_images: pictures of one pass, spread evenly over the data set.
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
        alpha: float = 0.5,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        self.draw = draw
        self.interval = max(1, interval)
        self.show = show
        self.wait_time = wait_time
        self.max_images = max_images
        self.alpha = alpha
        self._chosen: frozenset[int] = frozenset()

    def before_val_epoch(self, runner: Runner) -> None:
        """Choose the images."""
        assert runner.val_loop is not None
        self._choose(len(runner.val_loop.dataloader.dataset))

    def before_test_epoch(self, runner: Runner) -> None:
        """Choose the images."""
        assert runner.test_loop is not None
        self._choose(len(runner.test_loop.dataloader.dataset))

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """Draw the chosen ones of a validation batch."""
        self._draw_chosen(runner, "val", outputs)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """Draw the chosen ones of a test batch."""
        self._draw_chosen(runner, "test", outputs)

    def _choose(self, size: int) -> None:
        self._chosen = frozenset(spread(size, self.interval, self.max_images) if self.draw else ())

    def _draw_chosen(self, runner: Runner, mode: str, outputs: Outputs) -> None:
        if not self._chosen or outputs is None:
            return
        for sample in outputs:
            assert isinstance(sample, SegSample)
            if sample.metainfo.get("index") in self._chosen and sample.img_path:
                self._draw(runner, mode, sample)

    def _draw(self, runner: Runner, mode: str, sample: SegSample) -> None:
        name = PurePath(sample.metainfo.get("name") or Path(sample.img_path).name).with_suffix(".png")
        relative = Path("visuals", mode, f"iter_{runner.iter}", name)
        path = runner.work_dir / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = picture_of(sample, runner.metainfo, self.alpha)
        picture.save(path)
        runner.publish.image(mode, str(relative), tag=str(name))
        if self.show:
            _open_window(picture, str(name), self.wait_time)


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
    from PIL import Image

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
    sheet = Image.new("RGB", (sum(o.width for o in overlays), max(o.height for o in overlays)), "white")
    left = 0
    for overlay in overlays:
        sheet.paste(overlay, (left, 0))
        left += overlay.width
    return sheet


def _open_window(picture: Image, title: str, seconds: float) -> None:
    import matplotlib.pyplot as plt

    figure = plt.figure(title, clear=True)
    figure.add_axes((0, 0, 1, 1)).imshow(np.asarray(picture))
    plt.pause(max(seconds, 1e-3))
    plt.close(figure)
