"""From what a user names to a config: files, run directories, dicts; overrides; what is still open."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayseg.config import Config
from rayseg.core.errors import ConfigError
from rayseg.orchestration.source import read_source, resolved, with_saved_code
from tests.toys import toy_config

TEXT = "train_cfg = dict(type='IterBasedTrainLoop', max_iters=7)\nrandomness = dict(seed=1)\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A config file."""
    path = tmp_path / "config.py"
    path.write_text(TEXT)
    return path


def test_a_file(file: Path) -> None:
    config, run_dir = read_source(file, ["randomness.seed=3"])
    assert config["train_cfg"]["max_iters"] == 7
    assert config["randomness"]["seed"] == 3
    assert run_dir is None


def test_a_file_by_its_text_path(file: Path) -> None:
    assert read_source(str(file))[0]["randomness"]["seed"] == 1


def test_a_run_directory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    config, run_dir = read_source(".", {"randomness.seed": 5})
    assert run_dir == file.parent
    assert run_dir.is_absolute()
    assert config["randomness"]["seed"] == 5
    assert config.provenance.import_path[0] == str(file.parent / "code")


def test_a_file_in_a_sweep_directory_finds_the_modules_that_are_kept_there(file: Path) -> None:
    best = file.with_name("best_config.py")
    best.write_text(TEXT)
    assert str(file.parent / "code") not in read_source(best)[0].provenance.import_path
    (file.parent / "code").mkdir()
    config, run_dir = read_source(best)
    assert run_dir is None
    assert config.provenance.import_path[0] == str(file.parent / "code")


def test_a_dict_is_left_as_it_is() -> None:
    given = toy_config()
    config, run_dir = read_source(given, {"train_cfg.max_iters": 3})
    assert run_dir is None
    assert config["train_cfg"]["max_iters"] == 3
    assert config["model"]["net"]["type"] is given["model"]["net"]["type"]
    assert given["train_cfg"]["max_iters"] == 12


def test_a_config_is_left_as_it_is() -> None:
    given = Config.from_dict(toy_config())
    config, _ = read_source(given, ["train_cfg.max_iters=3"])
    assert (config["train_cfg"]["max_iters"], given["train_cfg"]["max_iters"]) == (3, 12)


def test_a_directory_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run directory: it has no config\.py"):
        read_source(tmp_path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone.py"):
        read_source(tmp_path / "gone.py")


def test_an_override_of_nothing() -> None:
    config, _ = read_source(toy_config(), ["train_cgf.max_iters=3"])
    with pytest.raises(ConfigError, match=r"train_cgf.*did you mean 'train_cfg'"):
        resolved(config)


def test_saved_code_comes_first_and_once(file: Path) -> None:
    config = with_saved_code(with_saved_code(read_source(file)[0], file.parent), file.parent)
    paths = config.provenance.import_path
    assert paths[0] == str(file.parent / "code")
    assert paths.count(paths[0]) == 1


def test_a_resolved_config_is_complete() -> None:
    config, notes = resolved(read_source(toy_config())[0])
    assert notes == []
    assert set(config["default_hooks"]) == {
        "timer",
        "logger",
        "param_scheduler",
        "checkpoint",
        "sampler_seed",
        "visualization",
    }
    assert config["val_cfg"]["type"] == "ValLoop"
    assert resolved(config)[0] == config


def test_what_is_still_open_is_named() -> None:
    from rayseg import search

    config = toy_config(randomness={"seed": search.choice([1, 2])})
    config["optim_wrapper"]["optimizer"]["lr"] = search.loguniform(1e-4, 1e-2)
    with pytest.raises(ConfigError) as caught:
        resolved(read_source(config)[0])
    assert sorted(problem.key for problem in caught.value.problems) == ["optim_wrapper.optimizer.lr", "randomness.seed"]
    assert "still open: 'rayseg tune' draws it" in str(caught.value)


def test_an_environment_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE_TO_BE_FOUND", raising=False)
    config = toy_config(checkpoint_store={"url": "${env:NOWHERE_TO_BE_FOUND}/x"})
    with pytest.raises(ConfigError, match="NOWHERE_TO_BE_FOUND"):
        resolved(read_source(config)[0])


def test_everything_wrong_comes_at_once() -> None:
    config = toy_config(randomness={"sed": 1}, scaling={"num_workers": 0})
    with pytest.raises(ConfigError) as caught:
        resolved(read_source(config)[0])
    assert {problem.key for problem in caught.value.problems} == {"randomness.sed", "scaling.num_workers"}
