# SegFormer (Xie et al., 2021) with the smallest mix transformer. Train it with schedules/adamw_poly.py.
model = dict(
    type='Segmentor',
    net=dict(type='smp.Segformer', encoder_name='mit_b0', encoder_weights=None),
    loss=dict(type='CrossEntropyLoss'),
    data_preprocessor=dict(mean='imagenet', std='imagenet'),
)
