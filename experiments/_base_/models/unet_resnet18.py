# U-Net (Ronneberger et al., 2015) over a ResNet-18: the usual first model. encoder_weights='imagenet' starts from
# pretrained weights, which are fetched once and need a network then. The class count comes from the data.
model = dict(
    type='Segmentor',
    net=dict(type='smp.Unet', encoder_name='resnet18', encoder_weights=None),
    loss=dict(type='CrossEntropyLoss'),
    data_preprocessor=dict(mean='imagenet', std='imagenet'),
)
