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
        "HyperparameterScheduleHook": "rayseg.hooks.hyperparameter_schedule.HyperparameterScheduleHook",
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
DATASETS = Registry(
    "data set",
    {"ConcatDataset": "rayseg.data.concat.ConcatDataset", "FolderDataset": "rayseg.data.folder.FolderDataset"},
)
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
# What MM registers where the package is installed.
_DADAPT = ("DAdaptAdaGrad", "DAdaptAdam", "DAdaptSGD")
_EIGHT_BIT = ("Adagrad8bit", "Adam8bit", "AdamW8bit", "LAMB8bit", "LARS8bit", "Lion8bit", "RMSprop8bit", "SGD8bit")
OPTIM_WRAPPERS = Registry(
    "optimizer wrapper",
    {"OptimWrapper": "rayseg.optim.wrapper.OptimWrapper", "AmpOptimWrapper": "rayseg.optim.amp.AmpOptimWrapper"},
    supplied=("optimizer",),
    absent={
        "ApexOptimWrapper": "NVIDIA Apex is no longer kept up; 'AmpOptimWrapper' does the same with torch alone",
        "DeepSpeedOptimWrapper": "there is no DeepSpeed here; 'OptimWrapper' and 'AmpOptimWrapper' train with DDP",
        "ColossalAIOptimWrapper": "there is no ColossalAI here; 'OptimWrapper' and 'AmpOptimWrapper' train with DDP",
        "OptimWrapperDict": "several optimizers need a wrapper of one's own, see docs/own-optimizer.md",
    },
)
OPTIMIZERS = Registry(
    "optimizer",
    {"MuonAdamW": "rayseg.optim.muon.MuonAdamW"},
    libraries={"": "torch.optim"},
    supplied=("params",),
    absent={
        **{name: f"the package dadaptation has it, as 'dadaptation.{name}'" for name in _DADAPT},
        **{name: f"the package bitsandbytes has it, as 'bitsandbytes.optim.{name}'" for name in _EIGHT_BIT},
        "Lion": "the package lion-pytorch has it, as 'lion_pytorch.Lion'",
        "ZeroRedundancyOptimizer": "checkpoints hold one rank's optimizer, and each rank would have another part of it",
    },
)
OPTIM_CONSTRUCTORS = Registry(
    "optimizer wrapper constructor",
    {"DefaultOptimWrapperConstructor": "rayseg.optim.constructor.DefaultOptimWrapperConstructor"}
    | _names("rayseg.optim.layer_decay", "LearningRateDecayOptimizerConstructor", "LayerDecayOptimizerConstructor"),
)
_SHAPES = (
    "Constant",
    "CosineAnnealing",
    "CosineRestart",
    "Exponential",
    "Linear",
    "MultiStep",
    "Poly",
    "ReduceOnPlateau",
    "Step",
)
PARAM_SCHEDULERS = Registry(
    "parameter scheduler",
    _names(
        "rayseg.optim.simple_schedules",
        "ConstantLR",
        "ExponentialLR",
        "LinearLR",
        "MultiStepLR",
        "PolyLR",
        "PolyLRRatio",
        "StepLR",
    )
    | _names("rayseg.optim.cosine_schedules", "CosineAnnealingLR", "CosineRestartLR", "OneCycleLR")
    | _names("rayseg.optim.plateau", "ReduceOnPlateauLR")
    | _names("rayseg.optim.wsd", "WSDLR")
    | _names("rayseg.optim.momentum_schedules", *(f"{shape}Momentum" for shape in _SHAPES))
    | _names("rayseg.optim.decay_schedules", *(f"{shape}WeightDecay" for shape in _SHAPES))
    | _names("rayseg.optim.named_schedules", *(f"{shape}ParamScheduler" for shape in (*_SHAPES, "OneCycle"))),
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
SEARCHERS = Registry(
    "searcher",
    _names("rayseg.tuning.searchers", "Random", "Grid") | {"Optuna": "rayseg.tuning.optuna.Optuna"},
    absent={
        "BasicVariantGenerator": "'Random' draws, and tries 'grid' leaves, as it does",
        "OptunaSearch": "it is called 'Optuna' here",
        "HyperOptSearch": "'Optuna' is the searcher that learns from results here",
    },
)
SWEEP_SCHEDULERS = Registry(
    "scheduler of trials",
    _names("rayseg.tuning.schedulers", "ASHA", "MedianStopping") | {"PBT": "rayseg.tuning.pbt.PBT"},
    absent={
        "ASHAScheduler": "it is called 'ASHA' here",
        "AsyncHyperBandScheduler": "it is called 'ASHA' here",
        "MedianStoppingRule": "it is called 'MedianStopping' here",
        "PopulationBasedTraining": "it is called 'PBT' here",
        "HyperBandScheduler": "'ASHA' does the same without waiting for the slowest trial",
    },
)
