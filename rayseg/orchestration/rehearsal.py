"""Rehearsal: build everything once, without values, so that what is wrong is found before anything is started."""

from __future__ import annotations

from pathlib import Path

import torch

from rayseg.config import Config, config_import_path
from rayseg.core.errors import ConfigError, RaysegError
from rayseg.data.build import preflight
from rayseg.engine.build import build_parts
from rayseg.engine.checkpoint_store import Checkpoint
from rayseg.engine.host import LocalHost
from rayseg.engine.runner import Runner

MASKS_READ = 64


def rehearse(config: Config, run_dir: Path, start_from: Checkpoint | None = None) -> Runner:
    """A runner with every part of the run, whose model has shapes and no values; nothing is written.

    Up to 64 masks of each split are read, and every hook may refuse the run.

    Raises:
        ConfigError: what would have gone wrong at the start, on one line.
    """
    with config_import_path(config):
        preflight(config, masks=MASKS_READ)
        runner = _built(config, run_dir, start_from)
        for hook in runner.hooks:
            hook.check(runner)
    return runner


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
