# ConvNeXt under UPerNet with a learning rate that decays by layer: 0.9 from each layer to the one before it. This is
# the smallest ConvNeXt (5 layers); with tu-convnext_base (12 layers) it is MMSegmentation's recipe. Start from
# encoder_weights='imagenet' where there is a network: the decay is there to keep what pretraining has learnt.
_base_ = [
    '../_base_/datasets/bluemarble.py',
    '../_base_/schedules/adamw_poly.py',
    '../_base_/runtime/default.py',
]
model = dict(
    type='Segmentor',
    net=dict(type='smp.UPerNet', encoder_name='tu-convnext_atto', encoder_weights=None, decoder_channels=64),
    loss=dict(type='CrossEntropyLoss'),
    data_preprocessor=dict(mean='imagenet', std='imagenet'),
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.05),
    constructor='LearningRateDecayOptimizerConstructor',
    # decay_type='stage_wise', with num_layers=12, is what MM's own ConvNeXt configs have.
    paramwise_cfg=dict(decay_rate=0.9, decay_type='layer_wise', num_layers='auto'),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=30),
]
train_cfg = dict(max_iters=300, val_interval=100)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=100))
