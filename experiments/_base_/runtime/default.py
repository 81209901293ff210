# What MM calls default_runtime. The six hooks are there without being named; what stands here is what is changed.
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, max_keep_ckpts=2, save_best='mIoU'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
# BatchNorm's running statistics are averaged over workers before each validation, so that a score is that of the model.
custom_hooks = [dict(type='SyncBuffersHook')]
randomness = dict(seed=0)
log_level = 'INFO'
