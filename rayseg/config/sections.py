"""The sections of a config: what each may hold, and why some of MM's mean nothing here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from rayseg.config.markers import Advice, ComponentKeys, Named, Rule
from rayseg.config.settings import SETTINGS
from rayseg.core import registries as known
from rayseg.core.errors import Problem, did_you_mean, edit_distance, nearest

PRIORITIES = ("HIGHEST", "VERY_HIGH", "HIGH", "ABOVE_NORMAL", "NORMAL", "BELOW_NORMAL", "LOW", "VERY_LOW", "LOWEST")


@dataclass(frozen=True)
class Section:
    """What a section may hold (None is always allowed), and a line for ``--dry-run`` where nothing reads it."""

    annotation: Any
    note: str = ""


class CustomImports(TypedDict, total=False):
    """``custom_imports``: modules that are imported before names are looked up."""

    imports: str | list[str]
    allow_failed_imports: bool


class AutoScaleLR(TypedDict, total=False):
    """``auto_scale_lr``: MM's; only its being off can be kept."""

    enable: Annotated[
        Literal[False], Advice("the learning rate is never scaled here: set optim_wrapper.optimizer.lr for your batch")
    ]
    base_batch_size: int


_VIS_BACKENDS: Any = list[Annotated[Any, known.VIS_BACKENDS]]


class Visualizer(TypedDict, total=False):
    """``visualizer``: MM's; its ``vis_backends`` become trackers."""

    type: str
    name: str
    vis_backends: _VIS_BACKENDS | None
    save_dir: str
    alpha: float
    classes: list[str]
    palette: list[list[int]]
    dataset_name: str


def _is_priority(value: Any) -> bool:
    if isinstance(value, str):
        return value.upper() in PRIORITIES
    return type(value) is int and 0 <= value <= 100


def _paramwise_cfg(wrapper: Mapping[str, Any]) -> Any:
    from rayseg.config.signatures import parameters_of

    constructor = wrapper.get("constructor") or "DefaultOptimWrapperConstructor"
    try:
        parameters = parameters_of(known.OPTIM_CONSTRUCTORS.resolve(constructor)).named
    except Exception:  # reported where the constructor stands
        return Any
    return parameters["paramwise_cfg"].annotation if "paramwise_cfg" in parameters else Any


_HOOK: Any = Annotated[
    Any,
    known.HOOKS,
    ComponentKeys(
        {
            "priority": Annotated[
                Any, Rule(_is_priority, f"an int from 0 to 100 or one of {', '.join(PRIORITIES)}", PRIORITIES)
            ]
        }
    ),
]
_OPTIM_WRAPPER: Any = Annotated[
    Any,
    known.OPTIM_WRAPPERS,
    ComponentKeys(
        {"optimizer": Annotated[Any, known.OPTIMIZERS], "constructor": Annotated[Any, Named(known.OPTIM_CONSTRUCTORS)]},
        derived={"paramwise_cfg": _paramwise_cfg},
        required=("optimizer",),
        default_type="OptimWrapper",
    ),
]
_SCHEDULER: Any = Annotated[Any, known.PARAM_SCHEDULERS]
_EVALUATOR: Any = Annotated[Any, known.METRICS]
_LOOP: Any = Annotated[Any, known.LOOPS]

SECTIONS: dict[str, Section] = {
    "model": Section(Annotated[Any, known.MODELS]),
    "train_dataloader": Section(SETTINGS["train_dataloader"]),
    "val_dataloader": Section(SETTINGS["val_dataloader"]),
    "test_dataloader": Section(SETTINGS["test_dataloader"]),
    "train_cfg": Section(_LOOP),
    "val_cfg": Section(_LOOP),
    "test_cfg": Section(_LOOP),
    "val_evaluator": Section(_EVALUATOR | list[_EVALUATOR]),
    "test_evaluator": Section(_EVALUATOR | list[_EVALUATOR]),
    "optim_wrapper": Section(_OPTIM_WRAPPER),
    "param_scheduler": Section(_SCHEDULER | list[_SCHEDULER]),
    "default_hooks": Section(dict[str, _HOOK | None]),
    "custom_hooks": Section(list[_HOOK]),
    "trackers": Section(dict[str, Annotated[Any, known.TRACKERS] | None]),
    "scaling": Section(SETTINGS["scaling"]),
    "checkpoint_store": Section(SETTINGS["checkpoint_store"]),
    "failure": Section(SETTINGS["failure"]),
    "randomness": Section(SETTINGS["randomness"]),
    "tune": Section(SETTINGS["tune"]),
    "variants": Section(dict[str, Any]),
    "experiment_name": Section(str),
    "log_processor": Section(SETTINGS["log_processor"]),
    "custom_imports": Section(CustomImports),
    "load_from": Section(str),
    "resume": Section(bool),
    "work_dir": Section(str),
    "default_scope": Section(str, "names have no scopes here"),
    "env_cfg": Section(SETTINGS["env_cfg"]),
    "vis_backends": Section(_VIS_BACKENDS),
    "visualizer": Section(Visualizer, "pictures are made by SegVisualizationHook, in 'default_hooks'"),
    "log_level": Section(Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]),
    "launcher": Section(str, "workers are started by Ray Train, as 'scaling' says"),
    "auto_scale_lr": Section(AutoScaleLR, "the learning rate is never scaled; the start prints the global batch"),
    "data_preprocessor": Section(dict[str, Any]),
    "tta_model": Section(dict[str, Any], "nothing reads it"),
    "tta_pipeline": Section(list[Any], "nothing reads it"),
}

_ELSEWHERE = {
    "num_workers": "scaling.num_workers (training workers) or train_dataloader.num_workers (loader processes of each)",
    "workers": "scaling.num_workers",
    "batch_size": "train_dataloader.batch_size",
    "lr": "optim_wrapper.optimizer.lr",
    "optimizer": "optim_wrapper.optimizer",
    "lr_config": "param_scheduler",
    "max_iters": "train_cfg.max_iters",
    "max_epochs": "train_cfg.max_epochs",
    "runner": "train_cfg",
    "data": "train_dataloader, val_dataloader and test_dataloader",
    "evaluation": "val_evaluator and train_cfg.val_interval",
    "checkpoint_config": "default_hooks.checkpoint",
    "log_config": "default_hooks.logger",
    "seed": "randomness.seed",
}


def nearest_section(name: str) -> str | None:
    """The section whose name is closest to ``name``, or None when none is close."""
    return nearest(name, SECTIONS)


def unknown_section(name: str, file: str = "") -> Problem:
    """The problem of a section that does not exist."""
    if name in _ELSEWHERE:
        return Problem(f"no such section; say {_ELSEWHERE[name]}", name, file)
    return Problem(f"no such section{did_you_mean(name, SECTIONS)}", name, file)


def one_letter_from(name: str) -> str | None:
    """The section that ``name`` is one letter, or one swap of two neighbours, away from."""
    for section in SECTIONS:
        if name != section and (edit_distance(name, section) <= 1 or _swapped(name, section)):
            return section
    return None


def _swapped(a: str, b: str) -> bool:
    differing = [i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y]
    if len(a) != len(b) or len(differing) != 2:
        return False
    i, j = differing
    return j == i + 1 and a[i] == b[j] and a[j] == b[i]
