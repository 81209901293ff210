# BEiT with learning-rate decay by layer, under the older constructor's name that MM's BEiT configs have. A narrow BEiT
# of the usual 12 blocks, under DPT, which is smp's decoder for plain transformers. Its position biases fit one image
# size alone (img_size), so pictures are validated in windows of it.
_base_ = [
    '../_base_/datasets/bluemarble.py',
    '../_base_/schedules/adamw_poly.py',
    '../_base_/runtime/default.py',
]
side = 128
model = dict(
    type='Segmentor',
    net=dict(
        type='smp.DPT',
        encoder_name='tu-beit_base_patch16_224',
        encoder_weights=None,
        img_size=side,
        embed_dim=96,
        num_heads=3,
        decoder_intermediate_channels=(32, 48, 64, 96),
        decoder_fusion_channels=48,
    ),
    loss=dict(type='CrossEntropyLoss'),
    data_preprocessor=dict(mean='imagenet', std='imagenet'),
    test_cfg=dict(mode='slide', crop_size=(side, side), stride=(96, 96)),
)
# DPT leaves the encoder's own classifier, and the norm before it, unused.
env_cfg = dict(find_unused_parameters=True)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.05),
    constructor='LayerDecayOptimizerConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.9, num_layers=12),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=30),
]
train_cfg = dict(max_iters=300, val_interval=100)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=100))
