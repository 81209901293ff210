"""What goes with a job and what stays; the same as Ray where only ignore files decide; no secret ever."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray._private.runtime_env.packaging import create_package

from rayseg.core.errors import ConfigError
from rayseg.submission.packing import Package, require_small, select, size, write_archive
from tests.processes import REPOSITORY

SECRETS = [
    *(".env", ".env.production", "sub/.netrc", "id_rsa", "id_ed25519.pub", "tls/server.pem", "server.KEY"),
    *("credentials", "credentials.json", "secrets.yaml", ".pypirc", "service_account_prod.json"),
]


def tree(root: Path, *names: str, text: str = "x") -> Path:
    """Files of these names below ``root``, which is made; a name that ends in ``/`` is a directory."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("names", "left_out"),
    [
        ([".git/config", ".hg/x"], {".git": "version control", ".hg": "version control"}),
        ([".git"], {".git": "version control"}),
        ([".venv/a.py", "venv/b.py"], {".venv": "environment", "venv": "environment"}),
        (["node_modules/c.js"], {"node_modules": "environment"}),
        (["py311/pyvenv.cfg", "py311/lib/a.py"], {"py311": "environment"}),
        (["conda/conda-meta/history", "conda/bin/python"], {"conda": "environment"}),
        (["a/__pycache__/b.pyc", ".mypy_cache/x"], {"a/__pycache__": "cache", ".mypy_cache": "cache"}),
        (["b.pyc", ".DS_Store"], {"b.pyc": "cache", ".DS_Store": "cache"}),
        (["work_dirs/a/latest/log.txt", "mlruns/0/x"], {"work_dirs": "runs", "mlruns": "runs"}),
        (["mlflow.db"], {"mlflow.db": "runs"}),
        (["out/first/metrics.jsonl", "out/first/log.txt"], {"out/first": "runs"}),
        (["out/second/run.json", "out/second/config.py"], {"out/second": "runs"}),
        (["out/sweep/sweep.json", "out/sweep/trials.csv"], {"out/sweep": "runs"}),
        (["checkpoints/iter_4/manifest.json", "wandb/offline-run-1/x"], {"checkpoints": "runs", "wandb": "runs"}),
        (["tiles/a.png", "tiles/b.JPG", "x.npy"], dict.fromkeys(["tiles/a.png", "tiles/b.JPG", "x.npy"], "data")),
        ([".aws/config", "home/.ssh/known_hosts"], {".aws": "secret", "home/.ssh": "secret"}),
        (SECRETS, dict.fromkeys(SECRETS, "secret")),
    ],
)
def test_what_stays(names: list[str], left_out: dict[str, str], tmp_path: Path) -> None:
    package = select(tree(tmp_path / "p", "keep.py", *names))
    assert package.left_out == left_out
    assert package.files == {"keep.py": 1}


def test_what_only_looks_so_goes(tmp_path: Path) -> None:
    names = ["environment.yaml", "data/transforms.py", "checkpoints/__init__.py", "wandb/tags.py", "configs/run.json"]
    names += [
        "weights.pth",
        "sweep.json",
        "tokens.txt",
        "my_keys.py",
        "secretsanta.py",
        "config/secrets.py",
        "credentials.py",
    ]
    assert sorted(select(tree(tmp_path / "p", *names)).files) == sorted(names)


def test_all_code_of_this_project_goes() -> None:
    package = select(REPOSITORY)
    code = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "rayseg").rglob("*.py")}
    assert code <= set(package.files)


def test_include_and_exclude_win_over_rules_and_not_over_secrets(tmp_path: Path) -> None:
    root = tree(
        tmp_path / "p", "a.py", "big/b.bin", "checkpoints/r18.pth", "checkpoints/r50.pth", "palette.png", "x.png"
    )
    tree(root, ".env", "checkpoints/id_rsa", ".aws/config", ".gitignore", text="*.bin\n")
    include = ["checkpoints/r18.pth", "checkpoints/id_rsa", "palette.png", ".env", ".aws/config", "big/b.bin"]
    package = select(root, include=include, exclude=["a.py"])
    assert sorted(package.files) == [".gitignore", "big/b.bin", "checkpoints/r18.pth", "palette.png"]
    assert package.why_not("a.py") == "excluded"
    assert package.why_not("checkpoints/r50.pth") == "runs"
    assert package.why_not(".aws/config") == "secret"
    assert package.why_not("nowhere.py") == "not there"
    assert package.why_not("palette.png") is None


def test_data_that_the_config_names_stays_whatever_it_is(tmp_path: Path) -> None:
    root = tree(tmp_path / "p", "a.py", "fields/classes.txt")
    assert select(root, data_roots=[root / "fields", root]).left_out == {"fields": "data"}


def test_links(tmp_path: Path) -> None:
    elsewhere = tree(tmp_path / "elsewhere", "d/a.txt", "id_rsa", "b.py")
    root = tree(tmp_path / "p", "a.py")
    for name, target in (
        ("d", "d"),
        ("harmless.txt", "id_rsa"),
        ("b.py", "b.py"),
        ("broken", "nothing"),
        ("loop", "../p"),
    ):
        (root / name).symlink_to(elsewhere / target)
    package = select(root)
    assert package.files == {"a.py": 1, "b.py": 1}
    assert package.left_out == {"d": "link to a directory", "loop": "link to a directory", "harmless.txt": "secret"}


NAMES = st.sampled_from(["a", "b", "c.py", "d.txt", "e"])
PATTERNS = st.sampled_from(
    ["a", "/a", "a/", "*.py", "!c.py", "b/*", "!b/d.txt", "**/e", "# note", "", "a/b", "!a/b/c.py"]
)
TREES = st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    files=TREES,
    ignores=st.dictionaries(st.sampled_from([".gitignore", ".rayignore", "a/.gitignore"]), st.lists(PATTERNS)),
)
def test_ignore_files_mean_what_they_mean_to_ray(files: list[str], ignores: dict[str, list[str]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "p")
        root.mkdir()
        for name, lines in [*((name, None) for name in files), *ignores.items()]:
            path = root / name
            if any(parent.is_file() for parent in path.parents) or path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x" if lines is None else "\n".join(lines))
        quiet = logging.getLogger("quiet")
        archive = Path(scratch, "rays.zip")
        create_package(str(root), archive, include_gitignore=True, logger=quiet)
        with ZipFile(archive) as rays:
            expected = sorted(name for name in rays.namelist() if not name.endswith("/"))
        assert sorted(select(root).files) == expected


@settings(max_examples=60, deadline=None)
@given(
    secret=st.sampled_from(SECRETS),
    folders=st.lists(st.sampled_from(["a", "b", "work_dirs"]), max_size=3),
    include=st.lists(
        st.sampled_from(["*", "**", "a", "a/", "a/**", "work_dirs/a", ".env", "id_rsa", "*.pem"]), max_size=4
    ),
)
def test_no_secret_ever_goes(secret: str, folders: list[str], include: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = tree(Path(scratch) / "p", "a.py", "/".join([*folders, secret]))
        assert Path(secret).name not in {Path(name).name for name in select(root, include=include).files}


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    for name in ("one", "two"):
        root = tree(tmp_path / name, "b/c.py", "a.py", text="print()\n")
        write_archive(select(root), tmp_path / f"{name}.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == ["a.py", "b/c.py"]
        assert archive.read("b/c.py") == b"print()\n"


def test_what_is_too_large_is_named(tmp_path: Path) -> None:
    package = Package(tmp_path, {"a.bin": 3 * 2**20, "b.bin": 2**20, **{f"{i}.py": i for i in range(9)}})
    require_small(package, 5)
    with pytest.raises(
        ConfigError,
        match=r"4\.0 MiB in 11 files, more than --max-size 2 \(MiB\); the largest: a\.bin \(3\.0 MiB\), b\.bin",
    ):
        require_small(package, 2)


def test_what_is_said(tmp_path: Path) -> None:
    package = Package(tmp_path, {"a.py": 2048}, {**{f"{i}.png": "data" for i in range(9)}, "deep/.env": "secret"})
    first, second = package.lines()
    assert first == f"{tmp_path}: 1 file, 2.0 KiB"
    assert second == (
        "left out: deep/.env (secret), 0.png (data), 1.png (data), 2.png (data), 3.png (data), 4.png (data), "
        "4 more (data)"
    )
    assert [size(count) for count in (0, 102399, 2**20, 5 * 2**30)] == ["0.0 KiB", "100.0 KiB", "1.0 MiB", "5.0 GiB"]


def test_a_home_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for root in (tmp_path, Path("/")):
        with pytest.raises(ConfigError, match="this is no project's directory"):
            select(root)
