"""docs/hooks.md names every hook with all its arguments, and its config is a good one."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from rayseg.core.registries import HOOKS
from rayseg.engine.hook import priority_number
from tests.unit.engine.training import build

PAGE = (Path(__file__).parents[3] / "docs" / "hooks.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("name", HOOKS.known())
def test_a_hook_has_a_row_with_its_arguments_and_priority(name: str) -> None:
    (row,) = [row for row in ROWS if f"`{name}`" in row.split("|")[1]]
    hook = HOOKS.resolve(name)
    arguments = set(inspect.signature(hook.__init__).parameters) - {"self", "args", "kwargs"}
    assert arguments <= set(re.findall(r"`(\w+)`", row.split("|")[3]))
    assert priority_number(row.split("|")[2].strip()) == priority_number(hook.priority)


def test_its_config_builds(tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    config: dict[str, list[dict[str, object]]] = {}
    exec(block, config)
    build(tmp_path, custom_hooks=config["custom_hooks"]).runner.check_hooks()
