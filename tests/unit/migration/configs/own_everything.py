_base_ = ['_base_/resnet50.py', '_base_/runtime.py']
custom_imports = dict(imports=['my_project'], allow_failed_imports=True)
find_unused_parameters = True
model = dict(backbone=dict(frozen_stages=1), decode_head=dict(loss_decode=dict(type='HuasdorffDisstanceLoss')))
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='MyDataset',
        data_root='data/mine',
        ann_file='train.txt',
        img_suffix='.tif',
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        pipeline=[dict(type='Albu', transforms=[]), dict(type='RandomFlip', prob=0.5)],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MyDataset',
        data_root='data/mine',
        img_suffix='.tif',
        data_prefix=dict(img_path='val/images', seg_map_path='val/labels'),
    ),
)
val_evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU']), dict(type='BoundaryMetric')]
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3), clip_grad=dict(max_norm=1, norm_type=2)
)
param_scheduler = [dict(type='MultiStepLR', milestones=[8, 11], gamma=0.1, begin=0, end=12, by_epoch=True)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=1)
val_cfg = dict(type='ValLoop', fp16=True)
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=1, save_best='mIoU'), logger=dict(type='LoggerHook')
)
custom_hooks = [dict(type='EMAHook', momentum=0.0002), dict(type='mmengine.EmptyCacheHook'), dict(type='MyHook', n=3)]
