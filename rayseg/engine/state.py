"""The exact state of a run, as the files of a checkpoint, and its way back into a Runner.

- ``model.safetensors``: what validation used: averaged weights if EMA is on, buffers reduced over ranks.
- ``training_state.pt``: counters, optimizer, schedulers, hooks, and the raw weights where a hook replaced them.
- ``rank_0000.pt`` ...: what differs between ranks: random generators, live buffers, the windows of the log.
- ``records.json``: the last records, which the owner may not have written yet when it was killed.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import torch

from rayseg.core import distributed
from rayseg.core.errors import CheckpointError
from rayseg.core.randomness import derive_seed, get_rng_state, seed_all, set_rng_state
from rayseg.core.record import Record
from rayseg.engine.buffers import load_buffers, named_buffers, reduced_buffers
from rayseg.engine.message_hub import mean_windows

if TYPE_CHECKING:
    from rayseg.engine.checkpoint_store import Checkpoint, Writer
    from rayseg.engine.runner import Runner

STATE_FORMAT = 1
MODEL_FILE = "model.safetensors"
TRAINING_FILE = "training_state.pt"
RECORDS_FILE = "records.json"
# Exactly these: a subclass such as numpy.float64, which is a float, is stored as code.
PLAIN = (type(None), bool, int, float, str, bytes, torch.Tensor, torch.nn.Parameter)


def rank_file(rank: int) -> str:
    """Name of a rank's own file."""
    return f"rank_{rank:04d}.pt"


def capture(runner: Runner) -> tuple[dict[str, Any], dict[str, Writer]]:
    """The facts for the manifest and this rank's files, each with the function that writes it.

    A collective: every rank must call it at the same boundary.

    Raises:
        CheckpointError: the state of a hook holds something that cannot be loaded without running code.
    """
    module = distributed.unwrap(runner.model)
    live = module.state_dict()
    checkpoint: dict[str, Any] = {
        "meta": facts(runner),
        "state_dict": {**live, **reduced_buffers(runner.model, runner.buffer_reduction)},
    }
    runner.call_hook("before_save_checkpoint", checkpoint=checkpoint)
    exported = checkpoint["state_dict"]
    extra = {name: value for name, value in checkpoint.items() if name not in ("state_dict", "meta")}
    files: dict[str, Writer] = {rank_file(runner.rank): _torch_writer(_rank_state(runner))}
    if runner.rank == 0:
        buffers = named_buffers(runner.model)
        raw = {name: value for name, value in live.items() if name not in buffers and exported[name] is not value}
        training = {**_training_state(runner, raw), "extra": extra}
        assert_plain(extra, "what a hook has put into the checkpoint,")
        assert_plain(training["hooks"], "the state of hook")
        assert_plain(training["optim_wrapper"], "the state of optim_wrapper")
        assert_plain(training["param_schedulers"], "the state of param_scheduler")
        files[MODEL_FILE] = _safetensors_writer(exported)
        files[TRAINING_FILE] = _torch_writer(training)
        files[RECORDS_FILE] = _json_writer([vars(record) for record in runner.publish.recent])
    return facts(runner), files


def facts(runner: Runner) -> dict[str, Any]:
    """What the manifest says of a checkpoint."""
    loop = runner.loop
    return {
        "state_format": STATE_FORMAT,
        "iter": loop.iter,
        "epoch": loop.epoch,
        "phase": "val_due" if loop.validation_due else "train",
        "world_size": runner.world_size,
        "global_batch_size": runner.global_batch_size,
        "seed": runner.seed,
        "threads": torch.get_num_threads(),
        "metainfo": runner.metainfo,
    }


def _training_state(runner: Runner, raw: dict[str, torch.Tensor]) -> dict[str, Any]:
    loop = runner.loop
    return {
        "iter": loop.iter,
        "epoch": loop.epoch,
        "last_validated": loop.last_validated,
        "end_reason": loop.end_reason,
        "raw_weights": raw,
        "optim_wrapper": runner.optim_wrapper.state_dict(),
        "param_schedulers": [scheduler.state_dict() for scheduler in runner.param_schedulers],
        "hooks": runner.hooks.state_dict(),
    }


def _rank_state(runner: Runner) -> dict[str, Any]:
    return {
        "infos": _plain_infos(runner),
        "rng": get_rng_state(),
        "buffers": {name: buffer.detach().clone() for name, buffer in named_buffers(runner.model).items()},
        "message_hub": runner.message_hub.state_dict(),
    }


def _plain_infos(runner: Runner) -> dict[str, Any]:
    """The infos of the message hub that can be saved; a warning for each other."""
    infos = {}
    for name, value in runner.message_hub.saved_infos().items():
        try:
            assert_plain(value, f"message_hub info {name!r}")
            infos[name] = value
        except CheckpointError as error:
            runner.publish.warn_once(f"not saved: {error}; or update_info(..., resumed=False)")
    return infos


def restore(runner: Runner, checkpoint: Checkpoint) -> None:
    """Put a runner where the checkpoint was made. Every rank calls it.

    With another world size, per-rank buffers come from the saved rank of the same number (modulo the saved world
    size), the windows of the log are means over the saved ranks, and the generators of every rank are seeded anew from
    (seed, iter, rank).

    Raises:
        CheckpointError: a newer format, or state that does not fit the model.
    """
    if checkpoint.facts["state_format"] > STATE_FORMAT:
        raise CheckpointError(f"{checkpoint.name}: made by a newer version of rayseg; upgrade to resume from it")
    training = load_torch(checkpoint, TRAINING_FILE)
    exported = load_model_file(checkpoint)
    module = distributed.unwrap(runner.model)
    _load_strictly(module, {**exported, **training["raw_weights"]}, checkpoint.name)
    runner.optim_wrapper.load_state_dict(training["optim_wrapper"])
    for scheduler, saved in zip(runner.param_schedulers, training["param_schedulers"], strict=True):
        scheduler.load_state_dict(saved)
    loop = runner.loop
    loop.iter, loop.epoch, loop.last_validated = training["iter"], training["epoch"], training["last_validated"]
    loop.end_reason = training.get("end_reason")
    loop.end_agreed = loop.end_reason is not None
    runner.hooks.load_state_dict(training["hooks"])
    _restore_rank(runner, checkpoint)
    records = json.loads(checkpoint.read(RECORDS_FILE))
    runner.publish.recent.extend(Record(**record) for record in records)
    known = {"state_dict": exported, "meta": checkpoint.facts, "facts": checkpoint.facts}
    runner.call_hook("after_load_checkpoint", checkpoint={**training.get("extra", {}), **known})


def _restore_rank(runner: Runner, checkpoint: Checkpoint) -> None:
    world_size = checkpoint.facts["world_size"]
    own = load_torch(checkpoint, rank_file(runner.rank % world_size))
    load_buffers(runner.model, own["buffers"])
    runner.message_hub.update_info_dict(own.get("infos", {}))
    if world_size == runner.world_size:
        runner.message_hub.load_state_dict(own["message_hub"])
        set_rng_state(own["rng"])
    else:
        hubs = [load_torch(checkpoint, rank_file(rank))["message_hub"] for rank in range(world_size)]
        runner.message_hub.load_state_dict(mean_windows(hubs))
        seed_all(derive_seed(runner.seed, "resumed", checkpoint.iter, runner.rank))


def load_torch(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    """One of a checkpoint's ``.pt`` files, on the CPU, without running any code it may hold."""
    with checkpoint.open(name) as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def load_model_file(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The weights that validation used, tied tensors under all their names."""
    from safetensors.torch import load

    data = checkpoint.read(MODEL_FILE)
    tensors = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    for alias, name in header.get("__metadata__", {}).items():
        tensors[alias] = tensors[name]
    return tensors


def _load_strictly(module: torch.nn.Module, values: dict[str, torch.Tensor], name: str) -> None:
    try:
        module.load_state_dict(values, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{name} does not fit the model: {error}") from None


def _torch_writer(value: Any) -> Writer:
    def write(file: BinaryIO) -> None:
        torch.save(value, file)

    return write


def _json_writer(value: Any) -> Writer:
    def write(file: BinaryIO) -> None:
        file.write(json.dumps(value).encode())

    return write


def _safetensors_writer(tensors: Mapping[str, torch.Tensor]) -> Writer:
    def write(file: BinaryIO) -> None:
        from safetensors.torch import save

        kept: dict[str, torch.Tensor] = {}
        aliases: dict[str, str] = {}
        first_name: dict[tuple, str] = {}
        for name, tensor in tensors.items():
            identity = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
            if tensor.numel() and identity in first_name:
                aliases[name] = first_name[identity]
                continue
            first_name[identity] = name
            kept[name] = tensor.detach().contiguous()
        file.write(save(kept, metadata=aliases or None))

    return write


def assert_plain(value: Any, where: str) -> None:
    """Refuse a state that ``torch.load(weights_only=True)`` would refuse to load.

    Raises:
        CheckpointError: the message says where the value stands, what it is, and what is allowed.
    """
    kind = type(value)
    if kind in PLAIN:
        return
    if kind in (dict, OrderedDict):
        for key, item in value.items():
            assert_plain(key, f"{where}, key {key!r},")
            assert_plain(item, f"{where} {key!r}")
    elif kind in (list, tuple, torch.Size):
        for index, item in enumerate(value):
            assert_plain(item, f"{where} [{index}]")
    else:
        raise CheckpointError(
            f"{where} is a {type(value).__name__}, which cannot be loaded without running code: "
            "return numbers, strings, tensors, lists and dicts of them from state_dict()"
        )
