"""NonFiniteGuardHook: no step with gradients that are no numbers, and no checkpoint of weights that are none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from rayseg.config.markers import at_least
from rayseg.core import distributed
from rayseg.core.errors import RaysegError
from rayseg.engine.buffers import named_buffers
from rayseg.engine.control import Finding
from rayseg.engine.hook import DataBatch, Hook, Outputs

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner

SHOWN_FILES = 16
ADVICE = "resume with policy='skip', or begin a new run with a smaller learning rate, clip_grad or a warm-up"


@dataclass
class Watched:
    """An iteration that is not judged yet; the tensors are 0-dim, on the device.

    Attributes:
        iter: 1 for the run's first.
        files: of this rank's images; of the whole window where a step ended it.
        loss: of this rank.
        norm: of the reduced gradients; None where no step was made.
    """

    iter: int
    files: tuple[str, ...]
    loss: Tensor
    norm: Tensor | None


class NonFiniteGuardHook(Hook):
    """Looks at the loss and at the norm of the reduced gradients of every step, and judges them at control points.

    Nothing waits for the device in between. What is found names the iteration and the images. Weights that are no
    numbers end the run under both policies when they are about to be saved. With float16 and a loss scale, gradients
    that overflow are the scale's business: it leaves the step out.

    Args:
        policy: ``stop`` ends the run as failed at the control point after the first such iteration; no checkpoint of
            a state from then on is committed. ``skip`` leaves the step of such gradients out, on all ranks alike, with
            the buffers as they were before, and warns. The device decides with a fused optimizer; with another one
            each step waits for it.
        max_in_a_row: so many steps left out one after another end the run.
    """

    priority = "VERY_HIGH"

    def __init__(
        self,
        policy: Literal["stop", "skip"] = "stop",
        max_in_a_row: Annotated[int, at_least(1)] = 10,
    ) -> None:
        self.policy = policy
        self.max_in_a_row = max_in_a_row
        self.skipped = 0
        self._in_a_row = 0
        self._recent: list[Watched] = []
        self._window: list[str] = []
        self._found: list[tuple[int, str, tuple[str, ...]]] = []
        self._bad_weights: tuple[int, list[str]] | None = None
        self._norm: Tensor | None = None
        self._bad: Tensor | None = None
        self._live: list[Tensor] = []
        self._kept: list[Tensor] = []
        self._handles: list[Any] = []

    def before_train(self, runner: Runner) -> None:
        """Begin to watch the optimizer's steps."""
        self.runner = runner
        runner.control.alarms.append(self)
        optimizer = runner.optim_wrapper.optimizer
        self._handles = [
            optimizer.register_step_pre_hook(self._look_at_step),
            optimizer.register_step_post_hook(self._release),
        ]
        if self.policy == "skip":
            self._live = list(named_buffers(runner.model).values())
            self._kept = [buffer.detach().clone() for buffer in self._live]

    def after_train(self, runner: Runner) -> None:
        """Leave the optimizer alone."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: DataBatch = None) -> None:
        """Remember the buffers that a bad batch may spoil."""
        if self._kept and runner.optim_wrapper.at_boundary:
            for kept, live in zip(self._kept, self._live, strict=True):
                kept.copy_(live)

    def _look_at_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """Measure the gradients, as they are for the step."""
        found_inf = getattr(optimizer, "found_inf", None)
        if found_inf is not None:  # a fused optimizer with a loss scale, which leaves the step out itself
            self._bad = found_inf.reshape(()) != 0
            return
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = getattr(self.runner.optim_wrapper, "grad_norm", None)
        self._norm = get_total_norm(gradients) if norm is None else norm.detach()
        if self.policy == "skip":
            self._bad = ~torch.isfinite(self._norm)
            leave_out(optimizer, self._bad)

    def _release(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self.policy == "skip" and self._norm is not None and hasattr(optimizer, "found_inf"):
            del optimizer.found_inf

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """Keep what is to be judged, and give the buffers back where a step was left out."""
        assert isinstance(outputs, dict)
        assert data_batch is not None
        files = tuple(sample.img_path or sample.metainfo.get("name", "") for sample in data_batch["data_samples"])
        self._window.extend(files)
        is_end = runner.optim_wrapper.at_boundary
        shown = tuple(self._window) if is_end else files
        self._recent.append(Watched(runner.iter + 1, shown, outputs["loss"].detach(), self._norm))
        if not is_end:
            return
        for kept, live in zip(self._kept, self._live, strict=True):
            live.copy_(kept if self._bad is None else torch.where(self._bad, kept, live))
        self._window.clear()
        self._norm = self._bad = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """See that what is to be saved is finite; the control point decides on it."""
        values = {name: v for name, v in checkpoint["state_dict"].items() if v.is_floating_point() and v.numel()}
        finite = torch.stack([value.isfinite().all() for value in values.values()]).tolist()
        bad = [name for name, is_finite in zip(values, finite, strict=True) if not is_finite]
        if bad:
            self._bad_weights = (runner.iter, bad)

    def look(self) -> Finding | None:
        """Judge the iterations since the last control point; the one place that waits for the device."""
        recent, self._recent = self._recent, []
        self._found = []
        is_fatal = False
        for watched, loss, norm in _read(recent):
            if norm is not None:
                self._in_a_row = 0 if math.isfinite(norm) else self._in_a_row + 1
            if not math.isfinite(loss):
                self._found.append((watched.iter, f"the loss is {loss}", watched.files))
            elif norm is not None and not math.isfinite(norm):
                self._found.append((watched.iter, f"the gradients' norm is {norm}", watched.files))
            else:
                continue
            self.skipped += self.policy == "skip" and norm is not None and not math.isfinite(norm)
            is_fatal |= self.policy == "stop" or self._in_a_row >= self.max_in_a_row
        if self._bad_weights is not None:
            at, names = self._bad_weights
            self._found.append((at, f"the weights are no numbers: {', '.join(names[:3])}", ()))
            self._bad_weights, is_fatal = None, True
        return Finding(min(at for at, _, _ in self._found), is_fatal) if self._found else None

    def ring(self, finding: Finding) -> None:
        """Tell what was found, with the images; a collective.

        Raises:
            RaysegError: the run may not go on.
        """
        mine = [(at, what, self.runner.rank, files) for at, what, files in self._found]
        everyone = sorted(
            entry for of_rank in distributed.gather_objects(mine, self.runner.control.group) for entry in of_rank
        )
        lines = _lines(everyone, self.runner.world_size)
        if finding.fatal:
            raise RaysegError(f"{lines[0]}; nothing from iteration {finding.iter} on was saved; {ADVICE}")
        for line in lines:
            self.runner.publish.warning(f"{line}; {self.skipped} steps were left out so far")

    def state_dict(self) -> dict[str, Any]:
        """How many steps were left out."""
        return {"skipped": self.skipped, "in_a_row": self._in_a_row}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counts."""
        self.skipped, self._in_a_row = state["skipped"], state["in_a_row"]


class CheckInvalidLossHook(NonFiniteGuardHook):
    """NonFiniteGuardHook under the name and with the argument that mmdetection's users know.

    Args:
        interval: ``env_cfg.control_interval`` says here how often is judged, so it changes nothing.
    """

    def __init__(self, interval: int = 50) -> None:
        super().__init__(policy="stop")
        self.notes = (
            "CheckInvalidLossHook.interval changes nothing: the loss is judged at each env_cfg.control_interval",
        )


def leave_out(optimizer: Optimizer, bad: Tensor) -> None:
    """Let the step that comes next do nothing if ``bad`` (0-dim, bool): no weight, moment or counter changes.

    A fused optimizer is given the flag that it takes from a loss scale, and nothing waits for the device. Others, and
    a first step (which would leave SGD's momentum uninitialised), are left without gradients instead.
    """
    groups = optimizer.param_groups
    is_fused = all(group.get("fused") for group in groups)
    has_state = all(
        parameter in optimizer.state or group.get("momentum") == 0
        for group in groups
        for parameter in group["params"]
        if parameter.grad is not None
    )
    if is_fused and has_state:
        optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
    elif bool(bad):
        for group in groups:
            for parameter in group["params"]:
                parameter.grad = None


def _read(recent: list[Watched]) -> list[tuple[Watched, float, float | None]]:
    """Iterations with loss and norm as numbers; one transfer."""
    if not recent:
        return []
    norms = [watched.norm for watched in recent if watched.norm is not None]
    scalars = [*(watched.loss for watched in recent), *norms]
    values = torch.stack([scalar.reshape(()).double() for scalar in scalars]).tolist()
    rest = iter(values[len(recent) :])
    return [
        (watched, loss, None if watched.norm is None else next(rest))
        for watched, loss in zip(recent, values[: len(recent)], strict=True)
    ]


def _lines(found: list[tuple[int, str, int, tuple[str, ...]]], world_size: int) -> list[str]:
    """A line for each iteration. Where losses are no numbers, their ranks alone are named: the gradients are all's."""
    lines = []
    for at in sorted({entry[0] for entry in found}):
        here = [entry for entry in found if entry[0] == at]
        culprits = [entry for entry in here if entry[1].startswith("the loss")] or here
        files = [file for _, _, _, of_rank in culprits for file in of_rank if file]
        more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
        ranks = ", ".join(str(rank) for _, _, rank, _ in culprits)
        where = f" on rank {ranks}" if world_size > 1 and len(culprits) < world_size else ""
        images = f"; images: {', '.join(files[:SHOWN_FILES])}{more}" if files else ""
        lines.append(f"iteration {at}: {culprits[0][1]}{where}{images}")
    return lines
