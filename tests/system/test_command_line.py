"""The command line: help, config, exit codes, JSON, and where text goes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rayseg.config import load_config

from tests.system.conftest import Rayseg  # isort: skip

HEAVY = {"torch", "ray", "mlflow", "wandb", "numpy", "yaml"}


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["data", "--help"], ["--version"], []])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom rayseg.cli.main import main\n"
        f"code = main({arguments!r})\nprint(code, sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    assert done.stderr == ""


def test_every_verb_is_named(rayseg: Rayseg) -> None:
    answer = rayseg("--help")
    for verb in (
        "train",
        "test",
        "predict",
        "config",
        "data",
        "tune",
        "submit",
        "status",
        "logs",
        "stop",
        "report",
        "sync",
        "migrate",
    ):
        assert f"\n  {verb} " in answer.out


def test_config_prints_what_loads_to_the_same_config(rayseg: Rayseg, config: Path, tmp_path: Path) -> None:
    first = rayseg("config", config, "train_cfg.max_iters=7", "--cfg-options", "optim_wrapper.optimizer.lr=1e-3")
    assert (first.code, first.err) == (0, "")
    printed = tmp_path / "printed.py"
    printed.write_text(first.out)
    loaded = load_config(printed)
    assert (loaded.train_cfg.max_iters, loaded.optim_wrapper.optimizer.lr) == (7, 1e-3)
    assert rayseg("config", printed).out == first.out


def test_config_as_json_with_leaves_and_notes(rayseg: Rayseg, config: Path) -> None:
    answer = rayseg(
        "config", config, "optim_wrapper.optimizer.lr=loguniform(1e-3, 1e-1)", "default_scope=mmseg", "--json"
    )
    found = json.loads(answer.out)
    assert answer.code == 0
    assert found["config"]["optim_wrapper"]["optimizer"]["lr"] == {"$search": "loguniform", "low": 1e-3, "high": 1e-1}
    assert found["config"]["train_dataloader"]["dataset"]["pipeline"][0]["crop_size"] == [16, 16]
    assert found["notes"] == ["default_scope: names have no scopes here"]
    assert answer.err == "note: default_scope: names have no scopes here\n"


def test_errors_are_lines_on_stderr_and_an_object_on_stdout(rayseg: Rayseg, config: Path) -> None:
    answer = rayseg("train", config, "num_workers=4", "train_cfg.max_iter=5", "--json")
    assert answer.code == 2
    assert answer.err.splitlines() == [f"error: {line}" for line in answer.errors]
    found = json.loads(answer.out)
    assert found["exit_code"] == 2
    assert {"num_workers", "train_cfg.max_iter"} <= {error["key"] for error in found["errors"]}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?; see 'rayseg --help'"),
        (["train"], "Missing argument 'CONFIG|RUN_DIR'; see 'rayseg train --help'"),
        (["train", "a.py", "--wrkers", "2"], "No such option: --wrkers"),
        (["train", "a.py", "--resume", "--auto-resume"], "--resume and --auto-resume: give one of them"),
        (["train", "a.py"], "a.py: no such file"),
        (["train", "a.txt"], "a.txt: expected a file that ends in .py, .yaml, .yml, .json"),
        (["train", "."], ".: no run directory: it has no config.py"),
        (["predict", ".", "a=b"], "no image: name images"),
        (["data", "prepare", "bluemarbel"], "'bluemarbel' cannot be prepared, only bluemarble; did you mean"),
    ],
)
def test_bad_command_lines(rayseg: Rayseg, arguments: list[str], error: str) -> None:
    answer = rayseg(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert len(answer.errors) == len(answer.err.splitlines()) == 1
    assert answer.errors[0].startswith(error)


def test_a_reader_that_has_gone_is_no_crash(config: Path) -> None:
    command = f"{sys.executable} -m rayseg.cli.main config {config} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
