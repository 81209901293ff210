"""The config as names and texts, read by several trackers at a time."""

from __future__ import annotations

from pathlib import Path

from rayseg.reporting.config_leaves import parse_leaves
from rayseg.tracking import params
from rayseg.tracking.wandb import config_tree


class Counting:
    """A lock that counts."""

    taken = 0

    def __enter__(self) -> None:
        self.taken += 1

    def __exit__(self, *error: object) -> None: ...


def test_one_thread_at_a_time_parses(tmp_path: Path, monkeypatch):
    """Python 3.11 counts the depth of all threads' syntax trees as one, and fails where they mix (SystemError)."""
    (tmp_path / "config.py").write_text("model = dict(b=1)\n")
    lock = Counting()
    for module in ("rayseg.tracking.params", "rayseg.reporting.config_leaves"):
        monkeypatch.setattr(f"{module}.PARSING", lock)
    assert params.config_params(tmp_path) == {"model.b": "1"}
    assert config_tree(tmp_path) == {"model": {"b": 1}}
    assert parse_leaves("model = dict(b=1)\n") == {"model.b": "1"}
    assert lock.taken == 3
