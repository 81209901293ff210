"""The registries: every short name a config may use. Dotted paths, so that nothing is imported to know a name."""

from __future__ import annotations

from rayseg.core.registry import Registry


def _names(module: str, *names: str) -> dict[str, str]:
    return {name: f"{module}.{name}" for name in names}


HOOKS = Registry(
    "hook",
    {
        "CheckInvalidLossHook": "rayseg.hooks.nonfinite.CheckInvalidLossHook",
        "CheckpointHook": "rayseg.hooks.checkpoint.CheckpointHook",
        "DistSamplerSeedHook": "rayseg.hooks.sampler_seed.DistSamplerSeedHook",
        "EMAHook": "rayseg.hooks.ema.EMAHook",
        "EarlyStoppingHook": "rayseg.hooks.early_stopping.EarlyStoppingHook",
        "EmptyCacheHook": "rayseg.hooks.empty_cache.EmptyCacheHook",
        "IterTimerHook": "rayseg.hooks.iter_timer.IterTimerHook",
        "LoggerHook": "rayseg.hooks.logger.LoggerHook",
        "NonFiniteGuardHook": "rayseg.hooks.nonfinite.NonFiniteGuardHook",
        "ParamSchedulerHook": "rayseg.hooks.param_scheduler.ParamSchedulerHook",
        "ProfilerHook": "rayseg.hooks.profiler.ProfilerHook",
        "RuntimeInfoHook": "rayseg.hooks.runtime_info.RuntimeInfoHook",
        "SegVisualizationHook": "rayseg.hooks.visualization.SegVisualizationHook",
        "SyncBuffersHook": "rayseg.hooks.sync_buffers.SyncBuffersHook",
    },
)
LOOPS = Registry(
    "loop",
    _names("rayseg.engine.loops", "EpochBasedTrainLoop", "IterBasedTrainLoop", "TestLoop", "ValLoop"),
    supplied=("runner", "dataloader", "evaluator"),
)
MODELS = Registry("model", {"Segmentor": "rayseg.models.segmentor.Segmentor"}, supplied=("metainfo",))
NETS = Registry("network", libraries={"smp.": "segmentation_models_pytorch"}, supplied=("classes", "num_classes"))
PREPROCESSORS = Registry("data preprocessor", {"SegDataPreProcessor": "rayseg.models.preprocess.SegDataPreProcessor"})
LOSSES = Registry(
    "loss",
    _names(
        "rayseg.models.losses", "CrossEntropyLoss", "DiceLoss", "FocalLoss", "LovaszLoss", "TverskyLoss", "JaccardLoss"
    ),
    libraries={"smp.": "segmentation_models_pytorch.losses", "": "torch.nn"},
    supplied=("ignore_index", "num_classes"),
)
DATASETS = Registry("data set", {"FolderDataset": "rayseg.data.folder.FolderDataset"})
TRANSFORMS = Registry(
    "transform",
    _names(
        "rayseg.data.transforms",
        "LoadImageFromFile",
        "LoadAnnotations",
        "PackSegInputs",
        "Pad",
        "RandomCrop",
        "RandomFlip",
        "RandomRotate",
    )
    | _names("rayseg.data.resize", "RandomChoiceResize", "RandomResize", "Resize")
    | _names("rayseg.data.color", "PhotoMetricDistortion"),
    libraries={"v2.": "torchvision.transforms.v2"},
    supplied=("ignore_index", "test_mode"),
)
SAMPLERS = Registry(
    "sampler",
    _names("rayseg.data.sampler", "ResumableSampler", "DefaultSampler", "InfiniteSampler"),
    supplied=("size", "seed", "global_batch_size", "rank", "world_size", "shuffle", "tail", "position"),
)
METRICS = Registry("metric", {"IoUMetric": "rayseg.metrics.iou.IoUMetric"}, supplied=("metainfo", "device"))
OPTIM_WRAPPERS = Registry(
    "optimizer wrapper",
    {"OptimWrapper": "rayseg.optim.wrapper.OptimWrapper", "AmpOptimWrapper": "rayseg.optim.amp.AmpOptimWrapper"},
    supplied=("optimizer",),
)
OPTIMIZERS = Registry("optimizer", libraries={"": "torch.optim"}, supplied=("params",))
OPTIM_CONSTRUCTORS = Registry(
    "optimizer wrapper constructor",
    {"DefaultOptimWrapperConstructor": "rayseg.optim.constructor.DefaultOptimWrapperConstructor"},
)
PARAM_SCHEDULERS = Registry(
    "parameter scheduler",
    _names(
        "rayseg.optim.schedulers",
        "ConstantLR",
        "CosineAnnealingLR",
        "CosineRestartLR",
        "ExponentialLR",
        "LinearLR",
        "MultiStepLR",
        "OneCycleLR",
        "PolyLR",
        "StepLR",
    ),
    supplied=("optimizer",),
)
TRACKERS = Registry(
    "tracker",
    {
        "Console": "rayseg.tracking.console.Console",
        "MLflow": "rayseg.tracking.mlflow.MLflow",
        "Report": "rayseg.reporting.tracker.Report",
        "TensorBoard": "rayseg.tracking.tensorboard.TensorBoard",
        "WandB": "rayseg.tracking.wandb.WandB",
    },
)
VIS_BACKENDS = Registry(
    "visualization backend",
    _names(
        "rayseg.tracking.vis_backends",
        "LocalVisBackend",
        "MLflowVisBackend",
        "TensorboardVisBackend",
        "WandbVisBackend",
    ),
)
