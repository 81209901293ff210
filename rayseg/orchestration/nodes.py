"""Nodes: before a run begins on several, each proves that it sees the same files and runs the same software."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from rayseg.config import Config, config_import_path
from rayseg.core.errors import ConfigError, Problem
from rayseg.data.concat import parts_of
from rayseg.data.home import rayseg_home
from rayseg.tracking.facts import versions

# What must be the same on every node, or checkpoints and numbers would not be.
SOFTWARE = ("rayseg", "torch", "torchvision", "ray", "segmentation-models-pytorch", "timm", "numpy")
SAMPLED_FILES = 3  # of each split: the first, the middle, the last
ACCELERATOR = "accelerator_type:"


@dataclass(frozen=True)
class Question:
    """What each node is asked.

    Attributes:
        nonce: a file that the driver has just written on the run directory's file system, and what is in it.
        files: data files, with their sizes in bytes (None: only whether it is there).
        config: whose pretrained weights the node fetches; None where there are none to fetch.
    """

    nonce: tuple[str, str]
    files: tuple[tuple[str, int | None], ...]
    config: Config | None
    directory: str
    home: str


@dataclass(frozen=True)
class Answer:
    """What a node says.

    Attributes:
        sees_nonce: whether the file is there and holds what the driver wrote.
        can_write: whether it may write beside it.
        missing: data files that are not there.
        different: data files of another size.
        weights: why pretrained weights could not be had; empty when all is well.
    """

    host: str
    versions: dict[str, str]
    sees_nonce: bool
    can_write: bool
    missing: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    weights: str = ""


def check_nodes(
    config: Config, run_dir: Path, datasets: Iterable[Any], each: Mapping[str, float], timeout_s: float, *, fresh: bool
) -> None:
    """Ask every node that may hold a worker, unless all would be on this one.

    Args:
        run_dir: the run directory, which need not be there yet.
        datasets: those of the run; their files are what nodes must see.
        each: what one worker asks for: nodes without it are not asked.
        fresh: the run begins with pretrained weights, if its config asks for any.

    Raises:
        ConfigError: a line for each node and each thing that is wrong with it.
    """
    import ray

    list_nodes: Any = ray.nodes
    nodes = [node for node in list_nodes() if node["Alive"] and _holds(node["Resources"], each)]
    here = ray.get_runtime_context().get_node_id()
    if {node["NodeID"] for node in nodes} <= {here}:
        return
    with nonce_beside(run_dir) as nonce:
        question = Question(
            nonce, tuple(sampled_files(datasets)), config if fresh else None, os.getcwd(), str(rayseg_home())
        )
        answers = _ask(nodes, question, timeout_s)
    complaints = [
        f"node {_name(node, answer)}: {complaint}"
        for node, answer in zip(nodes, answers, strict=True)
        for complaint in complaints_of(answer, versions(), question)
    ]
    complaints += gpu_complaints({_name(n, a): n["Resources"] for n, a in zip(nodes, answers, strict=True)}, each)
    if complaints:
        raise ConfigError(Problem(complaint) for complaint in complaints)


def _holds(resources: Mapping[str, float], each: Mapping[str, float]) -> bool:
    return all(resources.get(name, 0) >= amount for name, amount in each.items())


def _ask(nodes: Sequence[Mapping[str, Any]], question: Question, timeout_s: float) -> list[Answer | str]:
    """Each node's answer, or why there is none."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(look)
    asked = [
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(question)
        for node in nodes
    ]
    ray.wait(asked, num_returns=len(asked), timeout=timeout_s)
    answers: list[Answer | str] = []
    for reference in asked:
        try:
            answers.append(ray.get(reference, timeout=0))
        except ray.exceptions.GetTimeoutError:
            ray.cancel(reference, force=True)
            answers.append(f"it did not answer within {timeout_s:g} s")
        except Exception as error:
            answers.append(f"it cannot be asked: {type(error).__name__}: {(str(error).splitlines() or [''])[-1]}")
    return answers


def look(question: Question) -> Answer:
    """What a node sees; runs there."""
    os.environ["RAYSEG_HOME"] = question.home
    with suppress(OSError):
        os.chdir(question.directory)
    path, token = question.nonce
    missing, different = [], []
    for name, size in question.files:
        try:
            found = Path(name).stat().st_size
        except OSError:
            missing.append(name)
            continue
        if size is not None and found != size:
            different.append(name)
    try:
        sees_nonce = Path(path).read_text() == token
    except OSError:
        sees_nonce = False
    can_write = os.access(Path(path).parent, os.W_OK)
    return Answer(platform.node(), versions(), sees_nonce, can_write, missing, different, _fetched(question.config))


def _fetched(config: Config | None) -> str:
    """Fetch pretrained weights into this node's cache, once for all workers on it; why it failed, if it did."""
    if config is None:
        return ""
    from rayseg.models.pretrained import fetch_pretrained

    try:
        with config_import_path(config):
            fetch_pretrained(config["model"])
    except ConfigError as error:
        return str(error)
    return ""


def complaints_of(answer: Answer | str, here: Mapping[str, str], question: Question) -> Iterator[str]:
    """What is wrong with a node, beside this one with its versions ``here``."""
    if isinstance(answer, str):
        yield answer
        return
    place = Path(question.nonce[0]).parent
    if not answer.sees_nonce:
        yield f"it does not see what is written to {place} here: --work-dir must be on storage that all nodes share"
    elif not answer.can_write:
        yield f"it may not write to {place}, where the run directory is"
    if answer.missing:
        yield f"it has no {_listed(answer.missing)}: data must be at the same path on every node"
    if answer.different:
        yield f"its {_listed(answer.different)} is another file than here: data must be the same on every node"
    for name in SOFTWARE:
        if (there := answer.versions.get(name)) != here.get(name):
            yield f"{name} {there or 'is not installed'} there, {here.get(name) or 'none'} here"
    if _minor(answer.versions) != _minor(here):
        yield f"Python {answer.versions.get('python')} there, {here.get('python')} here"
    if answer.weights:
        yield answer.weights


def gpu_complaints(nodes: Mapping[str, Mapping[str, float]], each: Mapping[str, float]) -> list[str]:
    """A line where the nodes' GPUs are of several models, of which the slowest would set the pace.

    Args:
        nodes: name → Ray's resources, which say the model.
    """
    if not each.get("GPU"):
        return []
    models: dict[str, list[str]] = {}
    for name, resources in nodes.items():
        for resource in resources:
            if resource.startswith(ACCELERATOR):
                models.setdefault(resource.removeprefix(ACCELERATOR), []).append(name)
    if len(models) < 2:
        return []
    found = "; ".join(f"{model} on {', '.join(names)}" for model, names in models.items())
    wanted = next(iter(models))
    return [
        f"GPUs of several models ({found}): choose one, such as "
        f"scaling.resources_per_worker={{'CPU': 1, 'GPU': 1, '{ACCELERATOR}{wanted}': 0.001}}"
    ]


def sampled_files(datasets: Iterable[Any]) -> Iterator[tuple[str, int | None]]:
    """A few files of each data set that can name its own, with their sizes; else the directory that it says."""
    for dataset in chain.from_iterable(map(parts_of, datasets)):
        paths = [getattr(dataset, name, None) for name in ("image_path", "mask_path")]
        if all(map(callable, paths)):
            last = len(dataset) - 1
            for index in sorted({0, last // 2, last})[:SAMPLED_FILES]:
                for path in (Path(of(index)) for of in paths if of is not None):
                    yield str(path.absolute()), path.stat().st_size
        elif root := getattr(dataset, "root", None):
            yield str(Path(root).absolute()), None


@contextmanager
def nonce_beside(run_dir: Path) -> Iterator[tuple[str, str]]:
    """A file with a random text on the run directory's file system, as (path, text); it is taken away again.

    Raises:
        ConfigError: it cannot be written.
    """
    place = run_dir.absolute()
    while not place.is_dir():
        place = place.parent
    path, token = place / f".rayseg_{secrets.token_hex(8)}", secrets.token_hex(16)
    try:
        path.write_text(token)
    except OSError as error:
        raise ConfigError(f"--work-dir {run_dir}: cannot be written: {error.strerror or error}") from None
    try:
        yield str(path), token
    finally:
        path.unlink(missing_ok=True)


def _name(node: Mapping[str, Any], answer: Answer | str) -> str:
    host = answer.host if isinstance(answer, Answer) else node.get("NodeManagerHostname")
    return f"{node['NodeManagerAddress']} ({host})" if host else str(node["NodeManagerAddress"])


def _listed(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _minor(found: Mapping[str, str]) -> list[str]:
    return found.get("python", "").split(".")[:2]
