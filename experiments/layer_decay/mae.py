# A ViT as MAE pretrains it, with learning-rate decay by layer (0.65 in MM's config, which starts from pretrained
# weights). A narrow one of the usual 12 blocks, under DPT, which is smp's decoder for plain transformers.
_base_ = [
    '../_base_/datasets/bluemarble.py',
    '../_base_/schedules/adamw_poly.py',
    '../_base_/runtime/default.py',
]
model = dict(
    type='Segmentor',
    net=dict(
        type='smp.DPT',
        encoder_name='tu-vit_base_patch16_224.mae',
        encoder_weights=None,
        img_size=128,
        dynamic_img_size=True,
        embed_dim=96,
        num_heads=3,
        decoder_intermediate_channels=(32, 48, 64, 96),
        decoder_fusion_channels=48,
    ),
    loss=dict(type='CrossEntropyLoss'),
    data_preprocessor=dict(mean='imagenet', std='imagenet'),
)
# DPT leaves the norm before the encoder's classifier unused.
env_cfg = dict(find_unused_parameters=True)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.05),
    constructor='LearningRateDecayOptimizerConstructor',
    paramwise_cfg=dict(decay_rate=0.65, num_layers='auto'),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=30),
]
train_cfg = dict(max_iters=300, val_interval=100)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=100))
