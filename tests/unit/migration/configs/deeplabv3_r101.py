_base_ = ['_base_/resnet50.py', '_base_/cityscapes.py', '_base_/runtime.py', '_base_/sgd_20k.py']
model = dict(
    pretrained='torchvision://resnet101',
    backbone=dict(type='ResNet', depth=101, strides=(1, 2, 2, 1)),
    decode_head=dict(type='ASPPHead', dilations=(1, 6, 12, 18), align_corners=True),
    test_cfg=dict(mode='slide', crop_size=(769, 769), stride=(513, 513)),
)
