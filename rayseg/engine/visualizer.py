"""Visualizer: ``runner.visualizer``, where MM's users put numbers and pictures. It hands them to the run's own ways."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from rayseg.core.errors import RaysegError, did_you_mean
from rayseg.data.drawing import draw_overlay, side_by_side
from rayseg.engine.current import current_runner

if TYPE_CHECKING:
    from PIL.Image import Image

    from rayseg.core.sample import SegSample
    from rayseg.engine.message_hub import Scalar
    from rayseg.engine.runner import Runner

MODES = ("train", "val", "test")


class Visualizer:
    """Numbers go into the next line of ``metrics.jsonl``, pictures into ``visuals/``; every tracker shows both.

    A name may begin with ``train/``, ``val/`` or ``test/``; else the mode is that of the loop which is running.

    Args:
        runner: whose numbers and pictures they are.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    @classmethod
    def get_current_instance(cls) -> Visualizer:
        """That of the run which is going on in this thread.

        Raises:
            RaysegError: there is none.
        """
        return current_runner().visualizer

    def __getattr__(self, name: str) -> Any:
        known = [known for known in dir(type(self)) if not known.startswith("_")]
        raise AttributeError(
            f"runner.visualizer has no {name!r}{did_you_mean(name, known)}; it has {', '.join(known)}; draw with PIL "
            "or matplotlib, and show the picture with add_image"
        )

    @property
    def dataset_meta(self) -> dict[str, Any]:
        """``classes``, ``palette`` and ``ignore_index`` of the data."""
        return self._runner.metainfo

    def add_scalar(self, name: str, value: Scalar, step: int | None = None) -> None:
        """A number for the next line that LoggerHook publishes: of several before it the last, a mean over ranks.

        Args:
            name: what it is called there.
            value: a number or a tensor with one element.
            step: MM's; the line holds iteration and epoch.
        """
        mode, name = self._of(name)
        self._runner.message_hub.note(f"{mode}/{name}", value)

    def add_scalars(self, scalar_dict: Mapping[str, Scalar], step: int | None = None, file_path: Any = None) -> None:
        """Several numbers.

        Args:
            scalar_dict: by name.
            step: as in ``add_scalar``.
            file_path: MM's; every number is in ``metrics.jsonl``.
        """
        for name, value in scalar_dict.items():
            self.add_scalar(name, value, step)

    def add_image(self, name: str, image: Any, step: int | None = None) -> None:
        """A picture; rank 0's is written, as ``visuals/<mode>/iter_<step>/<name>.png``.

        Args:
            name: may hold slashes.
            image: (H, W, 3) RGB or (H, W), uint8, array or tensor.
            step: for the folder's name; ``runner.iter`` when not given.
        """
        from PIL.Image import fromarray

        pixels = np.asarray(image)
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
            raise ValueError(
                f"add_image({name!r}): expected uint8 (H, W, 3) in RGB or (H, W), found {pixels.dtype} {pixels.shape}"
            )
        if self._runner.rank == 0:
            self._write(name, fromarray(np.ascontiguousarray(pixels)), step)

    def add_datasample(
        self,
        name: str,
        image: Any,
        data_sample: SegSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | Path | None = None,
        step: int | None = None,
        with_labels: bool = True,
    ) -> None:
        """An image with its labels at the left and its prediction at the right, as far as they are there; of rank 0.

        Args:
            name, step: as in ``add_image``.
            image: (H, W, 3) uint8 RGB, of the labels' size.
            data_sample: what is drawn; the image alone when None.
            draw_gt, draw_pred: leave one out.
            show, wait_time: MM's windows, which SegVisualizationHook opens here.
            out_file: write the picture there, and nowhere else.
            with_labels: MM's; the legend names the classes.

        Raises:
            RaysegError: ``show=True``.
        """
        if show:
            raise RaysegError(
                "visualizer.add_datasample(show=True): no window is opened here; out_file=... writes the picture, and "
                "SegVisualizationHook(show=True) opens windows"
            )
        if self._runner.rank != 0:
            return
        parts = [("gt_sem_seg", draw_gt), ("pred_sem_seg", draw_pred)]
        maps = [getattr(data_sample, part, None) for part, is_wanted in parts if is_wanted]
        labels = [part.data for part in maps if part is not None]
        if not labels and out_file is None:
            self.add_image(name, image, step)
            return
        picture = self._overlays(image, labels)
        if out_file is None:
            self._write(name, picture, step)
        else:
            Path(out_file).parent.mkdir(parents=True, exist_ok=True)
            picture.save(out_file)

    def add_config(self, config: Any, **kwargs: Any) -> None:
        """Nothing: ``config.py`` is in every run directory, and trackers have it."""

    def close(self) -> None:
        """Nothing: what was added is with the owner of the run already."""

    def _overlays(self, image: Any, labels: list[Any]) -> Image:
        from PIL.Image import fromarray

        pixels, meta = np.asarray(image), self.dataset_meta
        return side_by_side(
            [
                draw_overlay(
                    pixels.transpose(2, 0, 1),
                    label.cpu(),
                    meta["palette"],
                    meta["classes"],
                    ignore_index=meta["ignore_index"],
                )
                for label in labels
            ]
            or [fromarray(np.ascontiguousarray(pixels))]
        )

    def _of(self, name: str) -> tuple[str, str]:
        """Mode and name of a name."""
        mode, slash, rest = name.partition("/")
        if slash and mode in MODES:
            return mode, rest
        runner = self._runner
        if runner.train_loop is None:
            return "test", name
        return ("train" if runner.model.training else "val"), name

    def _write(self, name: str, picture: Image, step: int | None) -> None:
        runner = self._runner
        mode, tag = self._of(name)
        relative = PurePath("visuals", mode, f"iter_{runner.iter if step is None else step}", f"{tag}.png")
        if ".." in relative.parts or not tag or PurePath(tag).is_absolute():
            raise ValueError(f"add_image: {name!r} is no name of a picture inside the run directory")
        path = runner.work_dir / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.tmp")
        picture.save(partial, format="PNG")
        partial.replace(path)
        runner.publish.image(mode, str(relative), tag=f"{tag}.png")
