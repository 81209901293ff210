_base_ = ['_base_/resnet50.py', '_base_/cityscapes.py', '_base_/runtime.py', '_base_/sgd_20k.py']
custom_imports = dict(imports='mmpretrain.models', allow_failed_imports=False)
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ConvNeXt',
        arch='tiny',
        out_indices=[0, 1, 2, 3],
        drop_path_rate=0.4,
        gap_before_final_norm=False,
        init_cfg=dict(
            type='Pretrained', checkpoint='https://models.example/convnext-tiny_in1k.pth', prefix='backbone.'
        ),
    ),
    decode_head=dict(type='UPerHead', in_channels=[96, 192, 384, 768], pool_scales=(1, 2, 3, 6)),
)
optim_wrapper = dict(
    _delete_=True,
    type='AmpOptimWrapper',
    optimizer=dict(type='AdamW', lr=0.0001, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg={'decay_rate': 0.9, 'decay_type': 'stage_wise', 'num_layers': 6},
    constructor='LearningRateDecayOptimizerConstructor',
    loss_scale='dynamic',
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, begin=1500, end=20000, eta_min=0.0, by_epoch=False),
]
