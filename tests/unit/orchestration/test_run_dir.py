"""The run directory: which one, what is refused, what is written, and what a resume finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rayseg.config import Config, load_config
from rayseg.core.errors import ConfigError
from rayseg.orchestration import run_dir as module
from rayseg.orchestration.run_dir import RunDir, based, choose, prepare
from rayseg.orchestration.source import read_source, resolved
from tests.toys import toy_config
from tests.unit.engine.training import iterations, train

SECTIONS: dict[str, Any] = {"train_cfg": iterations(3), "param_scheduler": None, "val_dataloader": None}


def config_of(**sections: Any) -> Config:
    return resolved(read_source(toy_config(**{**SECTIONS, **sections}))[0])[0]


def chosen(named: Path | str | None, resume: bool = False, auto_resume: bool = False, **sections: Any) -> RunDir:
    return choose(config_of(**sections), named, resume=resume, auto_resume=auto_resume)


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A run directory with a checkpoint."""
    path = tmp_path / "used"
    prepare(config_of(), RunDir(path, named=True))
    train(path, **SECTIONS)
    return path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, outside of a Ray job."""
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nobody_names_one(here: Path) -> None:
    found = chosen(None, experiment_name="fields")
    assert found.path.parent == here / "work_dirs" / "fields"
    assert (found.named, found.start_from) == (False, None)
    assert not found.path.exists(), "it is looked at and not yet touched"


def test_two_runs_of_one_second_have_their_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Still(module.datetime):  # type: ignore[misc]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(module, "datetime", Still)
    names = []
    for _ in range(3):
        found = chosen(None)
        prepare(config_of(), found)
        names.append(found.path.name)
    assert names == ["20260102_030405", "20260102_030405_2", "20260102_030405_3"]
    assert (here / "work_dirs/run/latest").resolve().name == names[-1]


def test_one_is_named(here: Path) -> None:
    assert chosen("mine") == RunDir(here / "mine", named=True)
    assert chosen(None, work_dir="configured").path == here / "configured"
    assert chosen("mine", work_dir="configured").path == here / "mine"


def test_an_empty_name_is_refused(here: Path) -> None:
    for names in ({"work_dir": ""}, {}):
        with pytest.raises(ConfigError, match=r"--work-dir .*: empty"):
            chosen(None if names else "", **names)


def test_an_empty_directory_may_be_there(here: Path) -> None:
    (here / "mine").mkdir()
    assert chosen("mine").start_from is None


def test_a_used_one_is_refused(used: Path) -> None:
    with pytest.raises(ConfigError, match="already holds checkpoint iter_3: go on with --resume, or name another"):
        chosen(used)


def test_one_with_numbers_alone_is_used_too(here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine/metrics.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match="already holds a run's numbers"):
        chosen("mine")
    assert chosen("mine", auto_resume=True).start_from is None


@pytest.mark.parametrize("how", ["resume", "auto_resume"])
def test_a_used_one_is_gone_on_with(used: Path, how: str) -> None:
    found = chosen(used, **{how: True})  # type: ignore[arg-type]
    assert found.start_from is not None
    assert found.start_from.name == "iter_3"


@pytest.mark.parametrize("how", ["resume", "auto_resume"])
def test_a_run_that_trackers_would_not_know_again_is_refused(used: Path, how: str) -> None:
    (used / "run.json").write_text('{"uid": "a3')
    with pytest.raises(ConfigError, match=r"run\.json: damaged; trackers know the run by it"):
        chosen(used, **{how: True})  # type: ignore[arg-type]
    (used / "run.json").unlink()
    assert chosen(used, **{how: True}).start_from is not None  # type: ignore[arg-type]


def test_a_resume_of_nothing_is_refused(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"mine holds no run to resume; .* or say --auto-resume"):
        chosen("mine", resume=True)
    assert chosen("mine", auto_resume=True).start_from is None


def test_a_run_that_died_before_its_first_checkpoint_may_be_resumed(here: Path) -> None:
    prepare(config_of(), RunDir(here / "mine", named=True))
    assert chosen("mine", resume=True).start_from is None


def test_a_resume_without_a_name_takes_the_latest(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing to resume: .*latest is not there"):
        chosen(None, resume=True)
    first = chosen(None)
    prepare(config_of(), first)
    train(first.path, **SECTIONS)
    found = chosen(None, resume=True)
    assert found.path == first.path
    assert found.start_from is not None


def test_retries_need_a_name() -> None:
    with pytest.raises(ConfigError, match="--auto-resume needs a --work-dir"):
        chosen(None, auto_resume=True)


def test_a_file_in_the_way(here: Path) -> None:
    (here / "mine").write_text("x")
    with pytest.raises(ConfigError, match="mine: a file is in the way"):
        chosen("mine")


def test_a_changed_config_is_refused_with_both_values(used: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        chosen(used, resume=True, randomness={"seed": 4, "threads": 1})
    (problem,) = caught.value.problems
    assert problem.key == "randomness.seed"
    assert problem.message == "a resume may not change it: the run has 3, now 4"


def test_what_may_change_may_change(used: Path) -> None:
    assert chosen(used, resume=True, train_cfg=iterations(9), scaling={"num_workers": 2}).start_from is not None


def test_a_store_elsewhere_counts(here: Path) -> None:
    store = {"checkpoint_store": {"url": str(here / "store")}}
    train(here / "a", **SECTIONS, **store)
    with pytest.raises(ConfigError, match="already holds checkpoint iter_3"):
        chosen("b", **store)


def test_what_is_written(here: Path) -> None:
    config = config_of()
    ready = prepare(config, RunDir(here / "mine", named=True))
    assert load_config(here / "mine/config.py")["train_cfg"] == config["train_cfg"]
    assert not [path for path in (here / "mine").iterdir() if path.name.startswith(".")]
    assert ready.provenance.import_path[0] == str(here / "mine" / "code")
    assert dict(ready) == dict(config)


def test_a_config_that_changed_is_kept_beside_the_new_one(here: Path) -> None:
    for iters in (3, 3, 5, 7):
        prepare(config_of(train_cfg=iterations(iters)), RunDir(here / "mine", named=True))
    kept = {path.name: load_config(path)["train_cfg"]["max_iters"] for path in (here / "mine").glob("config*.py")}
    assert kept == {"config.1.py": 3, "config.2.py": 5, "config.py": 7}


def test_what_cannot_be_written_is_bad_input(here: Path) -> None:
    (here / "file").write_text("x")
    with pytest.raises(ConfigError, match=r"--work-dir .*cannot be written: Not a directory"):
        prepare(config_of(), RunDir(here / "file" / "run", named=True))


HOOK = "from rayseg import Hook\n\n\nclass Mine(Hook):\n    pass\n"


def test_local_modules_that_the_config_names_are_kept(here: Path) -> None:
    project = here / "project"
    (project / "kept_package/inner").mkdir(parents=True)
    (project / "kept_package/__init__.py").write_text("")
    (project / "kept_package/inner/__init__.py").write_text(
        "from rayseg import Hook\n\n\nclass Deep(Hook):\n    pass\n"
    )
    (project / "kept_package/notes.txt").write_text("x" * 100)
    (project / "kept_package/__pycache__").mkdir()
    (project / "kept_module.py").write_text(HOOK)
    (project / "unused_module.py").write_text("")
    hooks = "[dict(type='kept_module.Mine'), dict(type='kept_package.inner.Deep')]"
    (project / "config.py").write_text(f"custom_hooks = {hooks}\n")
    config, _ = read_source(project / "config.py")
    prepare(config, RunDir(here / "run", named=True))
    kept = {path.relative_to(here / "run/code").as_posix() for path in (here / "run/code").rglob("*") if path.is_file()}
    assert kept == {"kept_module.py", "kept_package/__init__.py", "kept_package/inner/__init__.py"}

    (project / "kept_module.py").write_text("changed = True\n")
    prepare(config, RunDir(here / "run", named=True))
    assert "class Mine" in (here / "run/code/kept_module.py").read_text(), "a run keeps the code that it began with"


def test_in_a_ray_job_a_relative_path_is_below_the_home(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert based("mine") == here / "mine"
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    monkeypatch.setenv("RAYSEG_HOME", str(here / "home"))
    assert based("mine") == here / "home" / "mine"
    assert based(here / "absolute") == here / "absolute"


def test_a_run_with_live_classes_may_be_resumed(used: Path) -> None:
    """The saved config names by its path what the notebook gave as a class."""
    assert chosen(used, resume=True).start_from is not None
