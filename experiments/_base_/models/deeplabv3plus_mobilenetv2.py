# DeepLabV3+ (Chen et al., 2018) over a MobileNetV2: small and quick, with a wide view. Its pooling branch has a
# BatchNorm over one pixel, so each worker needs two images or more in a batch.
model = dict(
    type='Segmentor',
    net=dict(type='smp.DeepLabV3Plus', encoder_name='mobilenet_v2', encoder_weights=None),
    loss=dict(type='CrossEntropyLoss'),
    data_preprocessor=dict(mean='imagenet', std='imagenet'),
)
