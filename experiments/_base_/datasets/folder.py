# Your own pictures: images/train/a.jpg with annotations/train/a.png, and the same under val. A config based on this
# file sets train_dataloader.dataset.data_root; the classes stand in classes.txt or dataset.json in that directory
# (or train_dataloader.dataset.classes names them). `rayseg data check CONFIG` says what is wrong with a data set.
crop_size = (512, 512)
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    dataset=dict(
        type='FolderDataset',
        data_root='data/my_dataset',
        split='train',
        pipeline=[
            dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
            dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
        ],
    ),
)
val_dataloader = dict(batch_size=1, num_workers=2, dataset=dict(split='val'))
val_evaluator = dict(type='IoUMetric')
