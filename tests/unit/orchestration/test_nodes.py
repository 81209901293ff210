"""What nodes are asked before a run begins on several of them, and what is said of those that differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from rayseg.config import Config
from rayseg.core.errors import ConfigError
from rayseg.data.concat import ConcatDataset
from rayseg.orchestration.nodes import (
    Answer,
    Question,
    complaints_of,
    gpu_complaints,
    look,
    nonce_beside,
    sampled_files,
)
from rayseg.tracking.facts import versions

HERE = {"python": "3.11.7", "rayseg": "1", "torch": "2.14.1", "ray": "2.60.0", "numpy": "2"}
FINE: dict[str, Any] = {"host": "b", "versions": HERE, "sees_nonce": True, "can_write": True}


@pytest.fixture(autouse=True)
def stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``look`` goes where the driver was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYSEG_HOME", str(tmp_path))


def question(tmp_path: Path, nonce: tuple[str, str] = ("/shared/.x", "y"), **changes: Any) -> Question:
    return Question(
        **{"nonce": nonce, "files": (), "config": None, "directory": str(tmp_path), "home": str(tmp_path), **changes}
    )


def test_a_node_that_sees_all_is_fine(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"abc")
    files = ((str(tmp_path / "a.png"), 3), (str(tmp_path), None))
    with nonce_beside(tmp_path / "runs" / "one") as nonce:
        asked = question(tmp_path, nonce, files=files)
        answer = look(asked)
    assert list(complaints_of(answer, versions(), asked)) == []
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_node_sees_neither_the_run_nor_the_data(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"abc")
    files = ((str(tmp_path / "a.png"), 3), (str(tmp_path / "c.png"), 3), (str(tmp_path / "b.png"), 4))
    asked = question(tmp_path, (str(tmp_path / ".gone"), "x"), files=files)
    assert list(complaints_of(look(asked), versions(), asked)) == [
        f"it does not see what is written to {tmp_path} here: --work-dir must be on storage that all nodes share",
        f"it has no {tmp_path}/a.png and 1 more: data must be at the same path on every node",
        f"its {tmp_path}/b.png is another file than here: data must be the same on every node",
    ]


def test_an_old_nonce_is_no_proof(tmp_path: Path) -> None:
    (tmp_path / ".x").write_text("of yesterday")
    assert not look(question(tmp_path, (str(tmp_path / ".x"), "of today"))).sees_nonce


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"versions": {**HERE, "torch": "2.13.0"}}, "torch 2.13.0 there, 2.14.1 here"),
        ({"versions": {k: v for k, v in HERE.items() if k != "rayseg"}}, "rayseg is not installed there, 1 here"),
        ({"versions": {**HERE, "python": "3.12.1"}}, "Python 3.12.1 there, 3.11.7 here"),
        ({"versions": {**HERE, "python": "3.11.9"}}, None),
        ({"can_write": False}, "it may not write to /shared, where the run directory is"),
        ({"weights": "model.net.encoder_weights: 'imagenet' ..."}, "model.net.encoder_weights: 'imagenet' ..."),
    ],
)
def test_what_differs(tmp_path: Path, changes: dict[str, Any], complaint: str | None) -> None:
    found = list(complaints_of(Answer(**{**FINE, **changes}), HERE, question(tmp_path)))
    assert found == ([complaint] if complaint else [])


def test_a_node_that_does_not_answer(tmp_path: Path) -> None:
    text = "it did not answer within 5 s"
    assert list(complaints_of(text, HERE, question(tmp_path))) == [text]


def test_gpus_of_several_models() -> None:
    nodes = {"a": {"GPU": 8, "accelerator_type:H100": 1}, "b": {"GPU": 8, "accelerator_type:A100": 1}, "c": {"CPU": 4}}
    (line,) = gpu_complaints(nodes, {"GPU": 1})
    assert line == (
        "GPUs of several models (H100 on a; A100 on b): choose one, such as "
        "scaling.resources_per_worker={'CPU': 1, 'GPU': 1, 'accelerator_type:H100': 0.001}"
    )
    assert gpu_complaints(nodes, {"CPU": 1}) == []
    assert gpu_complaints({"a": nodes["a"], "c": nodes["c"]}, {"GPU": 1}) == []


def test_weights_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(model: Any) -> bool:
        raise ConfigError("model.net.encoder_weights: not to be had")

    monkeypatch.setattr("rayseg.models.pretrained.fetch_pretrained", fetch)
    answer = look(question(tmp_path, config=Config({"model": {"net": {}}})))
    assert answer.weights == "model.net.encoder_weights: not to be had"


def test_files_that_nodes_are_asked_for(tmp_path: Path) -> None:
    class Files:
        metainfo: ClassVar = {"classes": ["a"]}

        def __len__(self) -> int:
            return 10

        def __getitem__(self, index: int) -> Any:
            raise AssertionError("nodes are asked for files, not for samples")

        def image_path(self, index: int) -> Path:
            path = tmp_path / f"{index}.png"
            path.write_bytes(b"x" * index)
            return path

        mask_path = image_path

    class Root:
        root = tmp_path

    found = list(sampled_files([ConcatDataset([Files()]), Root(), object()]))
    assert [(Path(name).name, size) for name, size in found] == [
        ("0.png", 0), ("0.png", 0), ("4.png", 4), ("4.png", 4), ("9.png", 9), ("9.png", 9), (tmp_path.name, None),
    ]  # fmt: skip


def test_a_run_directory_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(ConfigError, match="cannot be written: Read-only file system"), nonce_beside(tmp_path):
        pass
