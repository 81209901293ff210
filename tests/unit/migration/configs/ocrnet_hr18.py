_base_ = ['_base_/resnet50.py', '_base_/cityscapes.py', '_base_/runtime.py', '_base_/sgd_20k.py']
model = dict(
    type='CascadeEncoderDecoder',
    num_stages=2,
    pretrained='open-mmlab://msra/hrnetv2_w18',
    backbone=dict(_delete_=True, type='HRNet', extra=dict(stage2=dict(num_blocks=(4, 4), num_channels=(18, 36)))),
    decode_head=[
        dict(type='FCNHead', num_classes=19, loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4)),
        dict(type='OCRHead', num_classes=19, loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0)),
    ],
    auxiliary_head=None,
)
