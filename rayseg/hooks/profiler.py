"""ProfilerHook: where the time of a few iterations goes, by torch.profiler, as a trace in the run directory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from torch import profiler

from rayseg.config.markers import at_least
from rayseg.core.errors import ConfigError, did_you_mean
from rayseg.engine.hook import DataBatch, Hook, Outputs

if TYPE_CHECKING:
    from pathlib import Path

    from rayseg.engine.runner import Runner

FOLDER = "profile"
TRACES = {
    "tb_trace": ("dir_name", "worker_name", "use_gzip"),
    "log_trace": (
        "sort_by",
        "row_limit",
        "max_src_column_width",
        "max_name_column_width",
        "header",
        "top_level_events_only",
    ),
}


class Schedule(TypedDict, total=False):
    """``schedule``: iterations, as ``torch.profiler.schedule`` takes them."""

    wait: int
    warmup: int
    active: int
    repeat: int
    skip_first: int


class ProfilerHook(Hook):
    """Profiles the first iterations that this process trains.

    Args:
        by_epoch: count epochs; True in an iteration loop is an error.
        profile_times: iterations (or epochs) that are profiled, those that the schedule waits for included.
        activity_with_cpu: note what the CPU does.
        activity_with_cuda: note what the GPU does; None where the run is on one.
        schedule: ``dict(wait, warmup, active, repeat, skip_first)``; all iterations are noted when None, and the
            trace grows with each.
        on_trace_ready: ``dict(type='tb_trace', dir_name, worker_name, use_gzip)``, a Chrome and TensorBoard trace in
            ``profile/`` of the run directory (what None is too); ``dict(type='log_trace', sort_by, row_limit ...)``,
            a table in the log; or a function of the profile.
        record_shapes: note the shapes of inputs.
        profile_memory: note allocations.
        with_stack: note source lines.
        with_flops: estimate operations.
        json_trace_path: write a Chrome trace there too, relative to the run directory; without a schedule only.
        ranks: which ranks are profiled.
    """

    priority = "VERY_LOW"

    def __init__(
        self,
        by_epoch: bool = False,
        profile_times: Annotated[int, at_least(1)] = 10,
        activity_with_cpu: bool = True,
        activity_with_cuda: bool | None = None,
        schedule: Schedule | None = None,
        on_trace_ready: dict[str, Any] | Callable[..., Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        json_trace_path: str | None = None,
        ranks: list[int] | None = None,
    ) -> None:
        self.by_epoch = by_epoch
        self.profile_times = profile_times
        self.activity_with_cpu = activity_with_cpu
        self.activity_with_cuda = activity_with_cuda
        self.schedule = schedule
        self.on_trace_ready = on_trace_ready
        self.json_trace_path = json_trace_path
        self.ranks = [0] if ranks is None else ranks
        self.options: dict[str, Any] = {
            "record_shapes": record_shapes,
            "profile_memory": profile_memory,
            "with_stack": with_stack,
            "with_flops": with_flops,
        }
        if not activity_with_cpu and activity_with_cuda is False:
            raise ConfigError("ProfilerHook: with neither activity_with_cpu nor activity_with_cuda nothing is noted")
        if schedule is not None and json_trace_path is not None:
            raise ConfigError("ProfilerHook.json_trace_path: a schedule writes its own traces; leave one of both out")
        if isinstance(on_trace_ready, dict):
            _check_trace(on_trace_ready)
        self._profile: Any = None
        self._done = 0

    def check(self, runner: Runner) -> None:
        """Refuse a profile that the run is too short for."""
        if self.by_epoch and not runner.loop.by_epoch:
            raise ConfigError("ProfilerHook.by_epoch: True in an iteration loop would profile the whole run; use False")
        length, unit = (runner.max_epochs, "epochs") if self.by_epoch else (runner.max_iters, "iterations")
        if self.profile_times > length:
            raise ConfigError(f"ProfilerHook.profile_times: {self.profile_times} of a run of {length} {unit}")
        schedule = self.schedule or {}
        first = sum(schedule.get(name, 0) for name in ("skip_first", "wait", "warmup", "active"))  # type: ignore[misc]
        if not self.by_epoch and first > self.profile_times:
            raise ConfigError(
                f"ProfilerHook.schedule: its first round ends after {first} iterations, so nothing would be written: "
                f"profile_times is {self.profile_times}"
            )

    def before_train(self, runner: Runner) -> None:
        """Begin, on the ranks that are profiled."""
        if runner.rank not in self.ranks or runner.loop.finished:
            return
        self._done = 0
        self._profile = profiler.profile(
            activities=self._activities(runner),
            schedule=None if self.schedule is None else profiler.schedule(**self.schedule),
            on_trace_ready=self._handler(runner),
            **self.options,
        )
        self._profile.start()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """Tell the profiler of the iteration."""
        if self._profile is None:
            return
        self._profile.step()
        if not self.by_epoch:
            self._count(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Count the epoch."""
        if self._profile is not None and self.by_epoch:
            self._count(runner)

    def after_train(self, runner: Runner) -> None:
        """End, if the run ended before."""
        if self._profile is not None:
            self._end(runner)

    def _count(self, runner: Runner) -> None:
        self._done += 1
        if self._done == self.profile_times:
            self._end(runner)

    def _end(self, runner: Runner) -> None:
        profile, self._profile = self._profile, None
        profile.stop()
        if self.json_trace_path is not None:
            path = runner.work_dir / self.json_trace_path
            path.parent.mkdir(parents=True, exist_ok=True)
            profile.export_chrome_trace(str(path))

    def _activities(self, runner: Runner) -> list[profiler.ProfilerActivity]:
        on_gpu = runner.host.device.type == "cuda" if self.activity_with_cuda is None else self.activity_with_cuda
        wanted = {profiler.ProfilerActivity.CPU: self.activity_with_cpu, profiler.ProfilerActivity.CUDA: on_gpu}
        return [activity for activity, is_wanted in wanted.items() if is_wanted]

    def _handler(self, runner: Runner) -> Callable[..., Any] | None:
        given = self.on_trace_ready
        if callable(given):
            return given
        options = dict(given or {"type": "tb_trace"})
        if options.pop("type") == "log_trace":
            return lambda profile: runner.publish.log(str(profile.key_averages().table(**options)))
        if given is None and self.json_trace_path is not None:
            return None
        folder: Path = runner.work_dir / options.pop("dir_name", FOLDER)
        options.setdefault("worker_name", f"rank_{runner.rank:04d}")
        runner.publish.log(f"ProfilerHook writes its traces to {folder.name}/ in the run directory")
        handler: Callable[..., Any] = profiler.tensorboard_trace_handler(str(folder), **options)
        return handler


def _check_trace(options: dict[str, Any]) -> None:
    kind = options.get("type")
    if kind not in TRACES:
        hint = did_you_mean(str(kind), TRACES)
        raise ConfigError(f"ProfilerHook.on_trace_ready.type: expected 'tb_trace' or 'log_trace', found {kind!r}{hint}")
    for name in options.keys() - {"type"}:
        if name not in TRACES[kind]:
            hint = did_you_mean(name, TRACES[kind]) or f"; it takes {', '.join(TRACES[kind])}"
            raise ConfigError(f"ProfilerHook.on_trace_ready.{name}: {kind} takes no {name!r}{hint}")
