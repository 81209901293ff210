"""What never leaves this machine with a job, and why: by name, by what a directory holds, by a file's ending."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

SECRET, ENVIRONMENT, CACHE, VERSION_CONTROL, RUNS, DATA = (
    "secret",
    "environment",
    "cache",
    "version control",
    "runs",
    "data",
)
_DIRECTORIES = {
    SECRET: (".aws", ".azure", ".docker", ".gcloud", ".gnupg", ".kube", ".ssh"),
    ENVIRONMENT: (".conda", ".nox", ".tox", ".venv", "node_modules", "site-packages", "venv"),
    CACHE: ("__pycache__", ".cache", ".eggs", ".hypothesis", ".ipynb_checkpoints", ".*_cache", "*.egg-info", "htmlcov"),
    VERSION_CONTROL: (".git", ".hg", ".jj", ".svn"),
    RUNS: ("work_dirs", "mlruns", "mlartifacts"),
    DATA: ("*.zarr", "*.lmdb"),
}
_NO_CODE = ("cfg", "conf", "csv", "enc", "env", "ini", "json", "properties", "toml", "txt", "xml", "yaml", "yml")
_FILES = {
    SECRET: (
        *(".env", ".env.*", ".envrc", ".git-credentials", ".htpasswd", ".netrc", "_netrc", ".npmrc", ".pypirc"),
        *("*.jks", "*.kdbx", "*.key", "*.keystore", "*.p12", "*.pem", "*.pfx", "*.ppk", "id_dsa*", "id_ecdsa*"),
        *("id_ed25519*", "id_rsa*", "auth_token", "client_secret*.json", "credentials", "secrets"),
        *(f"{name}.{ending}" for name in ("credentials", "secrets") for ending in _NO_CODE),
        *("kubeconfig", "*.kubeconfig", "service_account*.json", "service-account*.json"),
    ),
    VERSION_CONTROL: (".git",),  # a file in a worktree
    CACHE: ("*.pyc", "*.pyo", ".coverage", ".DS_Store"),
    RUNS: ("mlflow.db", "events.out.tfevents.*"),
    DATA: tuple(
        f"*.{ending}"
        for ending in (
            *("bmp", "gif", "jp2", "jpeg", "jpg", "png", "tif", "tiff", "webp"),
            *("avi", "mkv", "mov", "mp4", "dcm", "las", "laz", "nii"),
            *("arrow", "feather", "h5", "hdf5", "lmdb", "mat", "mdb", "nc", "npy", "npz", "parquet", "tfrecord*"),
            *("7z", "bz2", "gz", "rar", "tar", "tgz", "xz", "zip", "zst"),
        )
    ),
}
_HOLDS = (  # files that a directory has when it is such a one; all names of a line
    (ENVIRONMENT, ("pyvenv.cfg",)),
    (ENVIRONMENT, ("conda-meta",)),
    (RUNS, ("metrics.jsonl",)),
    (RUNS, ("run.json", "config.py")),
    (RUNS, ("sweep.json", "trials.csv")),
)


def why_not_file(name: str) -> str | None:
    """Why a file of this name stays here; None when it goes."""
    return _matching(name, _FILES)


def why_not_directory(path: Path) -> str | None:
    """Why a directory stays here whole; None when what is in it decides."""
    if why := _matching(path.name, _DIRECTORIES):
        return why
    for kind, names in _HOLDS:
        if all((path / name).exists() for name in names):
            return kind
    if path.name == "checkpoints" and not (path / "__init__.py").exists():
        return RUNS
    if path.name == "wandb" and any(path.glob("*run-*")):
        return RUNS
    return None


def _matching(name: str, table: dict[str, tuple[str, ...]]) -> str | None:
    lower = name.lower()
    return next((why for why, patterns in table.items() if any(fnmatch(lower, p.lower()) for p in patterns)), None)
