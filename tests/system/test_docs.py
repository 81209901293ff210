"""The trackers of docs/own-tracker.md, run as they are printed."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.processes import REPOSITORY

from tests.system.conftest import Rayseg  # isort: skip

Blocks = Callable[[str], list[str]]


@pytest.fixture
def blocks() -> Blocks:
    """The Python blocks of a page of docs/."""

    def read(page: str) -> list[str]:
        return re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / page).read_text(), re.DOTALL)

    return read


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Callable[[str, str], Any]]:
    """Write a module beside the config and import it."""
    names: list[str] = []

    def make(name: str, text: str) -> Any:
        names.append(name)
        (tmp_path / f"{name}.py").write_text(text)
        sys.path.insert(0, str(tmp_path))
        return import_module(name)

    yield make
    for name in names:
        sys.modules.pop(name, None)


def test_the_smallest_tracker(blocks: Blocks, module: Any, rayseg: Rayseg, config: Path, tmp_path: Path) -> None:
    tracker, in_config, _, test = blocks("own-tracker.md")
    module("my_trackers", tracker)
    module("page_test", test).test_the_best_is_kept(tmp_path / "of_the_page")
    config.write_text(config.read_text() + in_config)
    answer = rayseg("train", config, "--local", "--work-dir", "run")
    assert (answer.code, answer.err) == (0, "")
    assert re.fullmatch(r"run: 0\.\d{4} at iteration [24]\nfinished\n", (tmp_path / "best.txt").read_text())
    assert (tmp_path / "run/code/my_trackers.py").is_file()
    wrong = rayseg("train", config, "trackers.best.pth=x", "--local")
    assert wrong.errors == [
        "command line: trackers.best.pth: my_trackers.BestOnly takes no 'pth' (found 'x'); did you mean 'path'?"
    ]


def test_the_tracker_of_a_server(blocks: Blocks, module: Any, rayseg: Rayseg, config: Path, tmp_path: Path) -> None:
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    module("my_webhook", blocks("own-tracker.md")[2])
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        hook = f"trackers.hook=dict(type='my_webhook.Webhook', url='{url}')"
        answer = rayseg("train", config, hook, "default_hooks.logger.interval=2", "--local", "--work-dir", "run")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (answer.code, answer.err) == (0, "")
    assert [(line.get("mode"), line.get("iter")) for line in received] == [
        *(("train", 2), ("val", 2), ("train", 4), ("val", 4)),
        (None, None),
    ]
    assert received[-1]["status"] == "finished"
    assert {line["run"] for line in received} == {json.loads((tmp_path / "run/run.json").read_text())["uid"]}
