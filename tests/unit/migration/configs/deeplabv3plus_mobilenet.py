_base_ = ['_base_/resnet50.py', '_base_/cityscapes.py', '_base_/runtime.py', '_base_/sgd_20k.py']
model = dict(
    pretrained='mmcls://mobilenet_v2',
    backbone=dict(_delete_=True, type='MobileNetV2', widen_factor=1.0, strides=(1, 2, 2, 1, 1, 1, 1)),
    decode_head=dict(type='DepthwiseSeparableASPPHead', in_channels=320, dilations=(1, 12, 24, 36), channels=256),
    auxiliary_head=None,
)
