# Blue Marble tiles, land and water; made by `rayseg data prepare bluemarble`, found under RAYSEG_HOME.
crop_size = (128, 128)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        type='FolderDataset',
        data_root='data/bluemarble',
        split='train',
        pipeline=[
            dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.9),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
)
val_dataloader = dict(dataset=dict(split='val'))
val_evaluator = dict(type='IoUMetric')
