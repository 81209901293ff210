"""Run directories as a run leaves them, and pages taken apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

FACTS: dict[str, Any] = {
    "name": "run", "status": "finished", "seed": 1, "iter": 300, "best": {"mIoU": {"value": 0.75, "iter": 200}},
    "world_size": 2, "global_batch_size": 8, "device": "cpu", "max_iters": 300, "started": 1000.0, "launched": 1000.0,
    "updated": 1200.0, "finished": 1200.0, "versions": {"torch": "2.9"}, "command": ["rayseg", "train", "a b.py"],
}  # fmt: skip
CONFIG = "model = dict(type='Segmentor', net=dict(encoder='r18'))\noptim_wrapper = dict(optimizer=dict(lr=0.001))\n"


def train(at_iter: int, **data: Any) -> dict[str, Any]:
    return {"mode": "train", "iter": at_iter, "epoch": 0, "time": 1000.0 + at_iter, "loss": 1 / at_iter, **data}


def val(at_iter: int, **data: Any) -> dict[str, Any]:
    return {"mode": "val", "iter": at_iter, "epoch": 0, "time": 1000.5 + at_iter, **data}


LINES = [
    train(100, lr=0.1, samples_per_s=20.0),
    val(100, mIoU=0.5, **{"IoU.land": 0.6, "IoU.water": 0.4}),
    train(200, lr=0.05, samples_per_s=30.0),
    val(200, mIoU=0.75, **{"IoU.land": 0.7, "IoU.water": 0.8}),
    train(300, lr=0.0, samples_per_s=40.0),
    val(300, mIoU=0.7, **{"IoU.land": 0.65, "IoU.water": 0.75}),
]


def make_run(
    path: Path,
    lines: Sequence[Mapping[str, Any]] = LINES,
    config_text: str | None = CONFIG,
    **facts: Any,
) -> Path:
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps({**FACTS, "name": path.name, **facts}))
    if lines:
        (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if config_text is not None:
        (path / "config.py").write_text(config_text)
    return path


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def draw(path: Path, size: tuple[int, int] = (40, 20), color: str = "red", mode: str = "RGB") -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)


class Page(HTMLParser):
    """A page as a browser sees it.

    Attributes:
        tags: (name, attributes) of each start tag.
        text: what stands between tags, scripts and styles not included.
        scripts: (type, contents) of each script.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[str, str]] = []
        self.style = ""
        self._parts: list[str] = []
        self._inside = ""
        self._glued = False
        self.html = path.read_text()
        self.feed(self.html)
        self.close()
        self.text = " ".join(" ".join(self._parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        self._glued = tag == "wbr"
        if tag in ("script", "style"):
            self._inside = tag
        if tag == "script":
            self.scripts.append((attributes.get("type", ""), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            kind, before = self.scripts[-1]
            self.scripts[-1] = kind, before + data
        elif self._inside == "style":
            self.style += data
        elif self._glued:
            self._parts[-1] += data
        else:
            self._parts.append(data)

    def charts(self) -> dict[str, dict[str, Any]]:
        """Title → what the script draws."""
        (text,) = (text for kind, text in self.scripts if kind == "application/json")
        return {chart["title"]: chart for chart in json.loads(text)}

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]
