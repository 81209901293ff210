"""What a config leaves unsaid: default hooks, the validation and test sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from rayseg.config.config import DEFAULT, Config
from rayseg.config.merge import nearest_entry, set_origin
from rayseg.config.search import Choice, find_search_leaves
from rayseg.config.tree import ConfigDict, as_tree, join
from rayseg.core.errors import ConfigError
from rayseg.core.registries import VIS_BACKENDS

DEFAULT_HOOKS = {
    "timer": "IterTimerHook",
    "logger": "LoggerHook",
    "param_scheduler": "ParamSchedulerHook",
    "checkpoint": "CheckpointHook",
    "sampler_seed": "DistSamplerSeedHook",
    "visualization": "SegVisualizationHook",
}


def complete_config(config: Config) -> Config:
    """A copy of ``config`` with what is implied filled in; completing it again changes nothing.

    * ``default_hooks`` has the six of MM, a partial dict is merged by name, None turns one off.
    * ``trackers`` has the report, and what MM's ``vis_backends`` name, unless it says otherwise.
    * ``train_cfg`` with MM's ``by_epoch`` instead of a ``type`` gets the type.
    * ``val_dataloader.dataset`` has from the training data set what it does not say itself, without the
      augmentation ``pipeline``; ``test_dataloader`` has it from validation, whole when it is not there. A data set
      that names another ``type`` takes nothing over, and no search leaf is taken over: draw first, then complete.
      A ConcatDataset is taken over whole or not at all: a data set that says something needs its own ``type``.
    * With such a data loader, ``val_cfg`` and ``val_evaluator`` (``test_...``) have their defaults.
    * A top-level ``data_preprocessor`` becomes the model's, unless it has one.
    """
    return _Completion(config, keeps_leaves=False).result()


def completed_for_check(config: Config) -> Config:
    """As ``complete_config``, with search leaves taken over too, so that no argument seems to be missing."""
    return _Completion(config, keeps_leaves=True).result()


class _Completion:
    def __init__(self, config: Config, keeps_leaves: bool) -> None:
        self.tree = ConfigDict(config)
        self.provenance = config.provenance
        self.origins = dict(config.provenance.origins)
        self.inherited = dict(config.provenance.inherited)
        self.keeps_leaves = keeps_leaves

    def result(self) -> Config:
        self._hooks()
        self._trackers()
        self._loop_type()
        self._preprocessor()
        self._validation_data()
        self._test_data()
        for mode in ("val", "test"):
            if isinstance(self.tree.get(f"{mode}_dataloader"), Mapping):
                self._evaluation_of(mode)
        return Config(self.tree, replace(self.provenance, origins=self.origins, inherited=self.inherited))

    def _set(self, path: str, container: ConfigDict, key: str, value: Any) -> None:
        container[key] = value
        set_origin(self.origins, join(path, key), DEFAULT)

    def _hooks(self) -> None:
        given = self.tree.get("default_hooks")
        if given is None:
            given = ConfigDict()
            self._set("", self.tree, "default_hooks", given)
        if not isinstance(given, Mapping):
            return
        hooks = ConfigDict()
        for name, kind in DEFAULT_HOOKS.items():
            hook = given.get(name, {})
            if isinstance(hook, Mapping) and "type" not in hook:
                hook = {"type": kind, **hook}
                set_origin(self.origins, f"default_hooks.{name}" + (".type" if name in given else ""), DEFAULT)
            hooks[name] = hook
        self.tree["default_hooks"] = {**hooks, **{name: hook for name, hook in given.items() if name not in hooks}}

    def _trackers(self) -> None:
        given = self.tree.get("trackers")
        if given is not None and not isinstance(given, Mapping):
            return
        trackers = ConfigDict(given or {})
        for path, name, tracker in self._backends():
            if name not in trackers:
                trackers[name] = tracker
                self._note_inherited(f"trackers.{name}", path)
        if "report" not in trackers:
            trackers["report"] = {"type": "Report"}
            set_origin(self.origins, "trackers.report", DEFAULT)
        self.tree["trackers"] = {"report": trackers["report"], **trackers}

    def _backends(self) -> Iterator[tuple[str, str, Any]]:
        """Key path, tracker's name and tracker of each of MM's backends; what is wrong there the check reports."""
        visualizer = self.tree.get("visualizer")
        places = {"vis_backends": self.tree.get("vis_backends")}
        if isinstance(visualizer, Mapping):
            places["visualizer.vis_backends"] = visualizer.get("vis_backends")
        for path, backends in places.items():
            for index, backend in enumerate(backends if isinstance(backends, list) else ()):
                if not isinstance(backend, Mapping) or find_search_leaves(backend):
                    continue
                with suppress(ConfigError):
                    if (found := VIS_BACKENDS.build(backend)) is not None:
                        yield join(path, index), *found

    def _loop_type(self) -> None:
        loop = self.tree.get("train_cfg")
        if isinstance(loop, Mapping) and "type" not in loop and isinstance(loop.get("by_epoch"), bool):
            kind = "EpochBasedTrainLoop" if loop["by_epoch"] else "IterBasedTrainLoop"
            rest = {key: value for key, value in loop.items() if key != "by_epoch"}
            self.tree["train_cfg"] = {"type": kind, **rest}

    def _preprocessor(self) -> None:
        model, preprocessor = self.tree.get("model"), self.tree.get("data_preprocessor")
        if isinstance(model, ConfigDict) and preprocessor is not None and "data_preprocessor" not in model:
            model["data_preprocessor"] = preprocessor
            self._note_inherited("model.data_preprocessor", "data_preprocessor")

    def _validation_data(self) -> None:
        loader, source = self.tree.get("val_dataloader"), self._dataset_of("train_dataloader")
        if isinstance(loader, ConfigDict) and source is not None:
            self._inherit_dataset("val_dataloader", "train_dataloader", _without_pipeline(source))

    def _test_data(self) -> None:
        validation = self.tree.get("val_dataloader")
        if "test_dataloader" not in self.tree and isinstance(validation, Mapping):
            self.tree["test_dataloader"] = {}
            self._inherit(self.tree["test_dataloader"], validation, "test_dataloader", "val_dataloader")
        if not isinstance(self.tree.get("test_dataloader"), ConfigDict):
            return
        if (source := self._dataset_of("val_dataloader")) is not None:
            self._inherit_dataset("test_dataloader", "val_dataloader", source)
        elif (source := self._dataset_of("train_dataloader")) is not None:
            self._inherit_dataset("test_dataloader", "train_dataloader", _without_pipeline(source))

    def _dataset_of(self, section: str) -> ConfigDict | None:
        loader = self._settled(self.tree.get(section))
        dataset = self._settled(loader.get("dataset")) if isinstance(loader, ConfigDict) else None
        return dataset if isinstance(dataset, ConfigDict) else None

    def _settled(self, value: Any) -> Any:
        """For the check, the first option stands for a choice."""
        return as_tree(value.options[0]) if self.keeps_leaves and isinstance(value, Choice) else value

    def _inherit_dataset(self, section: str, source_section: str, source: Mapping[str, Any]) -> None:
        target = self.tree[section].setdefault("dataset", {})
        if isinstance(target, ConfigDict) and not (_is_several(source) and target and "type" not in target):
            self._inherit(target, source, f"{section}.dataset", f"{source_section}.dataset")

    def _inherit(self, target: ConfigDict, source: Mapping[str, Any], path: str, source_path: str) -> None:
        """Copy into ``target`` what it lacks, key by key, unless it is of another type."""
        if "type" in target and "type" in source and target["type"] != source["type"]:
            return
        for key, value in source.items():
            where, source_where = join(path, key), join(source_path, key)
            if key not in target:
                if self.keeps_leaves or not find_search_leaves({key: value}):
                    target[key] = value
                    self._note_inherited(where, source_where)
            elif isinstance(target[key], ConfigDict) and isinstance(value, Mapping):
                self._inherit(target[key], value, where, source_where)

    def _note_inherited(self, path: str, source: str) -> None:
        self.inherited[path] = source
        set_origin(self.origins, path, nearest_entry(self.origins, source) or "")
        below = {known: file for known, file in self.origins.items() if known.startswith(f"{source}.")}
        self.origins.update({path + known[len(source) :]: file for known, file in below.items()})

    def _evaluation_of(self, mode: str) -> None:
        loop, evaluator = f"{mode}_cfg", f"{mode}_evaluator"
        if loop not in self.tree:
            self._set("", self.tree, loop, {})
        if isinstance(self.tree[loop], Mapping) and "type" not in self.tree[loop]:
            self.tree[loop] = {"type": "ValLoop" if mode == "val" else "TestLoop", **self.tree[loop]}
        if evaluator not in self.tree:
            if mode == "test" and self.tree.get("val_evaluator") is not None:
                self.tree[evaluator] = self.tree["val_evaluator"]
                self._note_inherited(evaluator, "val_evaluator")
            else:
                self._set("", self.tree, evaluator, {"type": "IoUMetric"})


def _is_several(dataset: Mapping[str, Any]) -> bool:
    return isinstance(dataset.get("datasets"), list | tuple)


def _without_pipeline(value: Any) -> Any:
    """A copy without augmentation, also inside data sets that wrap others."""
    if isinstance(value, Mapping):
        return ConfigDict({key: _without_pipeline(item) for key, item in value.items() if key != "pipeline"})
    if type(value) in (list, tuple):
        return type(value)(_without_pipeline(item) for item in value)
    return value
