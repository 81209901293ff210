"""The tensors in a file of weights, whoever wrote it, without running any code that it may hold."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor

from rayseg.core.errors import ConfigError

# Where trainers put a model's weights in a saved dict: MM, Lightning, timm, torchvision, DINO.
_NESTED = ("state_dict", "model_state_dict", "model", "module", "network", "net", "teacher")
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".pkl", ".tar")
MODEL_FILE = "model.safetensors"


def read_weights(source: str | Path, *, trust: bool = False) -> dict[str, Tensor]:
    """Name to tensor, on the CPU.

    Args:
        source: a ``.safetensors`` file, one that ``torch.save`` wrote, a checkpoint directory of ours, or an
            ``http(s)://``, ``s3://``, ``gs://`` ... URL of a file. What http gave is kept in torch hub's cache.
        trust: unpickle the file whole, which runs code that it may hold.

    Raises:
        ConfigError: there is no such file, it cannot be fetched or read, or it holds no tensors.
    """
    try:
        with _local_file(str(source)) as path:
            if path.suffix == ".safetensors":
                tensors = _read_safetensors(path)
            else:
                tensors = _state_dict_in(_read_pickle(path, str(source), trust))
    except ConfigError:
        raise
    except Exception as error:  # whatever a damaged file makes its reader raise
        raise ConfigError(f"{source}: cannot be read as a file of weights ({_short(error)})") from error
    if not tensors:
        raise ConfigError(f"{source}: holds no tensors under names, so there are no weights in it")
    return tensors


@contextmanager
def _local_file(source: str) -> Iterator[Path]:
    """The file itself, fetched if it is elsewhere."""
    if source.startswith(("http://", "https://")):
        yield _fetched_over_http(source)
    elif "://" in source and not source.startswith("file://"):
        with TemporaryDirectory() as folder:
            yield _fetched_by_fsspec(source, Path(folder))
    else:
        path = Path(source.removeprefix("file://")).expanduser()
        if path.is_dir():
            path = _model_file_in(path)
        if not path.is_file():
            raise ConfigError(f"no such file of weights: {source}{_nearby(path)}")
        yield path


def _model_file_in(folder: Path) -> Path:
    if (folder / MODEL_FILE).is_file():
        return folder / MODEL_FILE
    checkpoints = sorted(folder.glob(f"checkpoints/*/{MODEL_FILE}")) or sorted(folder.glob(f"*/{MODEL_FILE}"))
    hint = f"; it has {', '.join(str(file.parent) for file in checkpoints[-3:])}" if checkpoints else ""
    raise ConfigError(f"{folder}: expected a file of weights or a checkpoint directory with {MODEL_FILE}{hint}")


def _nearby(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; there is no directory {path.parent}"
    files = sorted(file.name for file in path.parent.iterdir() if file.suffix in SUFFIXES)
    return f"; beside it are {', '.join(files[:5])}" if files else ""


def _fetched_over_http(url: str) -> Path:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    # Many files on the net have the same name.
    path = folder / f"{sha256(url.encode()).hexdigest()[:8]}-{PurePosixPath(urlsplit(url).path).name}"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), progress=False)
        except OSError as error:
            raise ConfigError(
                f"{url} could not be fetched ({_short(error)}) and is not in the cache as {path}; fetch it on a "
                "machine with a connection and put it there, or name a local file"
            ) from error
    return path


def _fetched_by_fsspec(url: str, folder: Path) -> Path:
    import fsspec

    if not PurePosixPath(url).suffix:
        url = f"{url.rstrip('/')}/{MODEL_FILE}"
    path = folder / PurePosixPath(url).name
    try:
        with fsspec.open(url, "rb") as remote, path.open("wb") as local:
            shutil.copyfileobj(remote, local)
    except Exception as error:  # each file system raises errors of its own
        raise ConfigError(f"{url} could not be fetched: {_short(error)}") from error
    return path


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        names = list(file.keys())
        tensors = {name: file.get_tensor(name) for name in names}
        aliases = file.metadata() or {}
    for alias, name in aliases.items():  # tied tensors are stored once
        if name in tensors:
            tensors.setdefault(alias, tensors[name])
    return tensors


class _Inert:
    """Stands for an object of any class while a file is read: takes what it is given, does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Inert:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


@contextmanager
def _unknown_made_inert(path: Path) -> Iterator[None]:
    """Inside, classes that a file names and torch does not know are read as ``_Inert``; none is imported or called.

    MM's and Lightning's files hold such objects beside the weights.
    """
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except ValueError:  # torch's older format, without a table of contents
        names = []
    stand_ins: list[Any] = [(type("Inert", (_Inert,), {"__module__": name}), name) for name in names]
    with torch.serialization.safe_globals(stand_ins):
        yield


def _read_pickle(path: Path, source: str, trust: bool) -> Any:
    if trust:
        return torch.load(path, map_location="cpu", weights_only=False)
    try:
        with _unknown_made_inert(path):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"{source}: could not be read without running code that it may hold ({_short(error)}); if you trust where "
            "it comes from, read it with rayseg.models.weight_files.read_weights(path, trust=True) and save what that "
            "gives as .safetensors"
        ) from error


def _state_dict_in(value: Any) -> dict[str, Tensor]:
    """The tensors of a saved object: its own, or those of the first known entry that has any."""
    if isinstance(value, torch.nn.Module):
        value = value.state_dict()
    if not isinstance(value, Mapping):
        return {}
    tensors = {str(name): item.detach() for name, item in value.items() if isinstance(item, Tensor)}
    if tensors:
        return tensors
    nested = (found for key in _NESTED if key in value and (found := _state_dict_in(value[key])))
    return next(nested, {})


def _short(error: BaseException) -> str:
    """An error's first sentence."""
    first = str(error).strip().split("\n")[0].split(". ")[0]
    return f"{type(error).__name__}: {first[:200]}"
