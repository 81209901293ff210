# The README's first run: land and water on NASA's Blue Marble, two Ray Train workers, about a minute on two CPU cores.
_base_ = [
    '../_base_/models/unet_resnet18.py',
    '../_base_/datasets/bluemarble.py',
    '../_base_/runtime/default.py',
]
# A smaller network than the base's: one level less, fewer channels. timm's encoders (tu-) leave out the layers of the
# level that is gone; weights without a gradient would need env_cfg.find_unused_parameters.
model = dict(net=dict(encoder_name='tu-resnet18', encoder_depth=4, decoder_channels=(64, 48, 32, 16)))
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01), clip_grad=dict(max_norm=5.0)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='PolyLR', eta_min=0.0, power=0.9, by_epoch=False, begin=30),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=300, val_interval=100)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=100), visualization=dict(max_images=4))
custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(type='EMAHook', start_iters=100, momentum=0.02, priority='NORMAL'),
]
scaling = dict(num_workers=2)
