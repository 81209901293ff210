# Which optimizer wrapper, which optimizer, clipped or not, with layer decay or without? A sweep over the training
# engine itself, for a small ConvNeXt from random weights: 8 trials, 2 at a time, a few minutes on two CPU cores.
#     rayseg data prepare bluemarble
#     rayseg tune experiments/sweeps/bluemarble_optim.py
from rayseg.search import layer_decay_space, loguniform, optim_wrapper_space

_base_ = ['../_base_/datasets/bluemarble.py', '../_base_/runtime/default.py']
model = dict(
    type='Segmentor',
    net=dict(type='smp.UPerNet', encoder_name='tu-convnext_atto', encoder_weights=None, decoder_channels=32),
    loss=dict(type='CrossEntropyLoss'),
    data_preprocessor=dict(mean='imagenet', std='imagenet'),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='RandomCrop', crop_size=(96, 96), cat_max_ratio=0.9),
            dict(type='RandomFlip', prob=0.5),
        ]
    )
)
# Ranges for training from random weights; with encoder_weights='imagenet' lower ones are better.
optim_wrapper = optim_wrapper_space(
    optimizers=dict(
        AdamW=dict(lr=loguniform(3e-4, 1e-2), weight_decay=loguniform(1e-3, 0.1)),
        SGD=dict(lr=loguniform(1e-2, 3e-1), momentum=0.9, nesterov=True, weight_decay=loguniform(1e-5, 1e-3)),
    ),
    accumulative_counts=[1, 2],
)
# Drawn over what optim_wrapper gives: the learning rate decays from layer to layer, or does not.
variants = dict(layer_decay=layer_decay_space(model['net']))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10),
    dict(type='PolyLR', eta_min=0.0, power=0.9, by_epoch=False, begin=10),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=90, val_interval=30)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=30), visualization=dict(max_images=2))
tune = dict(
    metric='mIoU',
    num_samples=8,
    max_concurrent=2,
    searcher=dict(type='Optuna', n_startup_trials=4),
    scheduler=dict(type='ASHA', grace_iters=30, reduction_factor=2),
)
