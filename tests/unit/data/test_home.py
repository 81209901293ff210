"""Where a relative data_root leads."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayseg.core.errors import ConfigError
from rayseg.data.home import rayseg_home, resolve_data_root


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RAYSEG_HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def test_the_current_directory_comes_before_the_home(home) -> None:
    (home / "data" / "x").mkdir(parents=True)
    assert resolve_data_root("data/x") == home / "data" / "x"
    here = Path("data/x")
    here.mkdir(parents=True)
    assert resolve_data_root("data/x") == here.absolute()
    assert resolve_data_root(home) == home


def test_what_is_missing_names_the_places_and_the_command(home) -> None:
    with pytest.raises(ConfigError, match=r"here/data/bluemarble and .*rayseg data prepare bluemarble") as error:
        resolve_data_root("data/bluemarble")
    assert error.value.problems[0].key == "data_root"
    Path("data").touch()
    with pytest.raises(ConfigError, match="is not a directory"):
        resolve_data_root("data")


def test_the_home_without_the_variable(monkeypatch) -> None:
    monkeypatch.delenv("RAYSEG_HOME", raising=False)
    assert rayseg_home() == Path("~/.cache/rayseg").expanduser()
