"""Rehearsal: build everything once, without values, so that what is wrong is found before anything is started."""

from __future__ import annotations

from pathlib import Path

import torch

from rayseg.config import Config, config_import_path, settings
from rayseg.core.errors import ConfigError, RaysegError
from rayseg.data.build import preflight
from rayseg.engine.build import build_parts, share_of
from rayseg.engine.checkpoint_store import Checkpoint
from rayseg.engine.host import LocalHost
from rayseg.engine.runner import Runner
from rayseg.orchestration.locating import located

MASKS_READ = 64
TRIED_SIZE = (64, 64)


def rehearse(config: Config, run_dir: Path, start_from: Checkpoint | None, workers: int) -> Runner:
    """A runner with every part of the run, whose model has shapes and no values; nothing is written.

    Up to 64 masks of each split are read, the network is tried once, every hook may refuse the run, and the global
    batch, which a resumed run keeps, must divide by ``workers``.

    Raises:
        ConfigError: what would have gone wrong at the start, on a line each.
    """
    with located(config), config_import_path(config):
        preflight(config, masks=MASKS_READ)
        runner = _built(config, run_dir, start_from)
        share_of(runner.global_batch_size, workers)
        _try_network(runner)
        runner.check_hooks()
    return runner


def _try_network(runner: Runner) -> None:
    """One forward pass, for the shape of what the network gives; what fails for another reason is left to the run."""
    if settings(runner.cfg, "env_cfg").compile:
        return
    model = runner.model
    images = torch.zeros((2, 3, *TRIED_SIZE), device=next(model.parameters()).device)
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(images, mode="tensor")
    except ConfigError:
        raise
    except Exception:
        return
    finally:
        model.train(was_training)


def _built(config: Config, run_dir: Path, start_from: Checkpoint | None) -> Runner:
    """On the meta device; on the CPU where a network computes with values while it is made."""
    for device in ("meta", "cpu"):
        runner = Runner(config, LocalHost(device=device), run_dir)
        runner.start_from = start_from
        threads, state = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
        try:
            build_parts(runner)
            break
        except RaysegError:
            raise
        except Exception as error:
            if device == "cpu":
                raise ConfigError(f"the run cannot be built: {type(error).__name__}: {error}") from error
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(state)
    return runner
