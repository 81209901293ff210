_base_ = ['_base_/resnet50.py', '_base_/cityscapes.py', '_base_/runtime.py', '_base_/sgd_20k.py']
model = dict(
    backbone=dict(dilations=(1, 1, 1, 1), strides=(1, 2, 2, 2)),
    neck=dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=192, num_outs=4),
    decode_head=dict(type='FPNHead', channels=64, feature_strides=[4, 8, 16, 32]),
    auxiliary_head=None,
)
