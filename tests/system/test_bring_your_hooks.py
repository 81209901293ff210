"""The hook of docs/bring-your-hooks.md, run as it is printed, and the tests that docs/coming-from-mmseg.md names."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayseg.core.registries import HOOKS
from tests.processes import REPOSITORY

from tests.system.conftest import Rayseg  # isort: skip

DOCS = REPOSITORY / "docs"


@pytest.fixture
def blocks() -> list[str]:
    """The Python blocks of the page."""
    return re.findall(r"```python\n(.*?)```", (DOCS / "bring-your-hooks.md").read_text(), re.DOTALL)


@pytest.fixture
def registered_for_this_test() -> Iterator[None]:
    assert "my_hooks" not in sys.modules, "another test has left its own behind"
    yield
    sys.modules.pop("my_hooks", None)
    HOOKS._names.pop("HeadFirstHook", None)


@pytest.mark.usefixtures("registered_for_this_test")
@pytest.mark.parametrize("by_path", [False, True], ids=["custom_imports", "dotted path"])
def test_the_page(blocks: list[str], rayseg: Rayseg, config: Path, tmp_path: Path, by_path: bool) -> None:
    hook, in_config = blocks
    (tmp_path / "my_hooks.py").write_text(hook)
    (tmp_path / "two_layers.py").write_text(
        "from torch import nn\n\n\ndef net(num_classes):\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, num_classes, 1))\n"
    )
    if by_path:
        (in_config,) = re.findall(
            r"`(custom_hooks = \[dict\(type=\"my_hooks\..*?)`", (DOCS / "bring-your-hooks.md").read_text()
        )
    config.write_text(config.read_text() + in_config)
    run = tmp_path / "run"
    overrides = ("model.net=dict(_delete_=True, type='two_layers.net')", "default_hooks.logger.interval=2")
    answer = rayseg("train", config, *overrides, "--local", "--work-dir", run)
    assert (answer.code, answer.err) == (0, "")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    head, everything = 4 * 2 + 2, 4 * 2 + 2 + 3 * 4 + 4
    assert {line["iter"]: line["trained_parameters"] for line in lines if line["mode"] == "train"} == {
        2: head,
        4: everything,
    }
    assert " - INFO - all of 2 iterations train everything\n" in (run / "log.txt").read_text()
    assert (run / "code/my_hooks.py").is_file()


def test_cfg_options_as_mm_users_write_them(rayseg: Rayseg, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several after one ``--cfg-options``, lists and tuples without inner quotes, and a scope before a name."""
    monkeypatch.setenv("RAYSEG_ITERS", "6")
    config.write_text(config.read_text() + "train_cfg.update(max_iters={{'$RAYSEG_ITERS:80'}}, _scope_='mmseg')\n")
    answer = rayseg(
        "config", config, "--cfg-options", "model.data_preprocessor.mean=[1,2,3]",
        "custom_hooks=[dict(type=mmengine.EMAHook)]",
        "train_dataloader.dataset.pipeline=[dict(type=RandomCrop, crop_size=(8, 8))]", "work_dir='a b'",
    )  # fmt: skip
    assert (answer.code, answer.err) == (0, "")
    for line in ("mean=[1, 2, 3]", 'type="mmengine.EMAHook"', "crop_size=(8, 8)", 'work_dir = "a b"', "max_iters=6"):
        assert line in answer.out
    assert "_scope_" not in answer.out
    wrong = rayseg("config", config, "--cfg-options", "custom_hooks=[dict(type=mmseg.EMAHok)]")
    assert wrong.code == 2
    assert wrong.errors == [
        "command line: custom_hooks.0.type: unknown hook 'EMAHok'; did you mean 'EMAHook'? ('mmseg.' before a name is "
        "MM's scope, which changes nothing)"
    ]


def test_only_imports_differ_from_what_mmengine_runs(blocks: list[str]) -> None:
    others = [
        line for line in blocks[0].splitlines() if "mmengine" in line and not line.startswith("from rayseg.compat.")
    ]
    assert others == []


def test_every_test_that_the_page_names_is_there() -> None:
    text = (DOCS / "coming-from-mmseg.md").read_text()
    named = re.findall(r"`((?:\w+/)+test_\w+\.py)?(?:::(test_\w+))?`", text)
    file, count = Path(), 0
    for path, test in named:
        if not path and not test:
            continue
        if path:
            file = next(f for f in (REPOSITORY / "tests" / path, REPOSITORY / "tests/unit" / path) if f.is_file())
        assert f"def {test or 'test_'}" in file.read_text(), (file, test)
        count += 1
    assert count >= 20
