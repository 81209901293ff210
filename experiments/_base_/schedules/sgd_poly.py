# MMSegmentation's schedule for convolutional networks: SGD, poly decay, 40,000 iterations. The decay ends with the
# loop: a config that changes max_iters changes nothing else.
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0005), clip_grad=None
)
param_scheduler = dict(type='PolyLR', eta_min=1e-4, power=0.9, by_epoch=False)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=40000, val_interval=4000)
default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4000, save_best='mIoU'))
