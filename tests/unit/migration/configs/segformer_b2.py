_base_ = ['_base_/resnet50.py', '_base_/cityscapes.py', '_base_/runtime.py', '_base_/sgd_20k.py']
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True, type='MixVisionTransformer', embed_dims=64, num_layers=[3, 4, 6, 3], drop_path_rate=0.1
    ),
    decode_head=dict(type='SegformerHead', in_channels=[64, 128, 320, 512], channels=256),
    auxiliary_head=None,
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.00006, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={'norm': dict(decay_mult=0.0), 'head': dict(lr_mult=10.0)}),
)
