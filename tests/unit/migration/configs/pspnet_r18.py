_base_ = ['_base_/resnet50.py', '_base_/cityscapes.py', '_base_/runtime.py', '_base_/sgd_20k.py']
model = dict(
    pretrained=None,
    backbone=dict(depth=18),
    decode_head=dict(type='PSPHead', in_channels=512, channels=128, pool_scales=(1, 2, 3, 6), num_convs=None),
    auxiliary_head=None,
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'decode_head': dict(lr_mult=10.0), 'backbone': dict(lr_mult=0.1)}))
