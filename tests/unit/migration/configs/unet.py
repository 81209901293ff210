_base_ = ['_base_/resnet50.py', '_base_/cityscapes.py', '_base_/runtime.py', '_base_/sgd_20k.py']
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True, type='UNet', in_channels=3, base_channels=64, num_stages=5, norm_cfg={{_base_.norm_cfg}}
    ),
    decode_head=dict(
        channels=64,
        in_channels=64,
        num_classes=2,
        out_channels=1,
        threshold=0.3,
        loss_decode=[
            dict(type='CrossEntropyLoss', loss_name='loss_ce', use_sigmoid=True, loss_weight=1.0),
            dict(type='DiceLoss', loss_name='loss_dice', loss_weight=3.0, naive_dice=True, eps=1),
        ],
    ),
    auxiliary_head=dict(channels=64),
    test_cfg=dict(mode='slide', crop_size=256, stride=170),
)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='RepeatDataset',
        times=40000,
        dataset=dict(
            type='DRIVEDataset',
            data_root='data/DRIVE',
            pipeline={{_base_.train_pipeline}},
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        ),
    )
)
val_dataloader = dict(
    dataset=dict(
        type='DRIVEDataset',
        data_root='data/DRIVE',
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
    )
)
test_dataloader = val_dataloader
