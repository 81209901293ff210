_base_ = ['_base_/resnet50.py', '_base_/cityscapes.py', '_base_/runtime.py', '_base_/sgd_20k.py']
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='SwinTransformer',
        embed_dims=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        window_size=12,
        with_cp=True,
        init_cfg=dict(type='Pretrained', checkpoint='pretrain/swin_base_patch4_window12_384_22k.pth'),
    ),
    decode_head=dict(type='UPerHead', in_channels=[128, 256, 512, 1024]),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.00006, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys={'relative_position_bias_table': dict(decay_mult=0.0), 'norm': dict(decay_mult=0.0)}
    ),
)
