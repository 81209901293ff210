from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rayseg.config import Config, check_config
from rayseg.core.errors import ConfigError, DataError
from rayseg.core.registries import MODELS
from rayseg.core.sample import PixelData, SegSample
from rayseg.models.segmentor import Segmentor
from tests.distributed import run_ranks

TWO = {"classes": ["land", "water"], "palette": [[0, 0, 0]] * 2, "ignore_index": 255}
THREE = {"classes": ["land", "water", "snow"], "palette": [[0, 0, 0]] * 3, "ignore_index": 255}
UNET = {"type": "smp.Unet", "encoder_name": "resnet18", "encoder_weights": None}
PLAIN = {"mean": None, "std": None}


class Pixelwise(nn.Module):
    """A 1 × 1 convolution: what it says of a pixel depends on nothing else."""

    def __init__(self, num_classes, give=lambda logits: logits, scale=1):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, num_classes, 1)
        self.give = give
        self.scale = scale
        self.sizes = []

    def forward(self, image_bchw):
        self.sizes.append(tuple(image_bchw.shape))
        return self.give(F.avg_pool2d(self.conv(image_bchw / 255), self.scale))


def images_of(*sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]


def samples_of(*sizes, classes=3, ignored=0.0, seed=1, dtype=torch.uint8):
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for size in sizes:
        label = torch.randint(0, classes, (1, *size), generator=generator)
        label[torch.rand(label.shape, generator=generator) < ignored] = 255
        samples.append(SegSample(img_path="a.png", gt_sem_seg=PixelData(label.to(dtype))))
    return samples


def pixelwise(metainfo=THREE, **options):
    net = Pixelwise(len(metainfo["classes"]), **options.pop("net", {}))
    return Segmentor(net=net, data_preprocessor=PLAIN, metainfo=metainfo, **options)


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return MODELS.build({"type": "Segmentor", "net": UNET, "loss": [{"type": "CrossEntropyLoss"}]}, metainfo=THREE)


def test_losses_of_a_real_network_reach_every_parameter(unet):
    unet.train()
    losses = unet(torch.stack(images_of((64, 96), (64, 96))), samples_of((64, 96), (64, 96), ignored=0.2), mode="loss")
    assert set(losses) == {"loss_ce", "loss"}
    losses["loss"].backward()
    assert all(parameter.grad.isfinite().all() for parameter in unet.parameters())
    unet.zero_grad()


def test_predictions_have_the_labels_size_and_leave_labels_alone(unet):
    unet.eval()
    samples = samples_of((50, 77), (30, 31))
    before = [sample.gt_sem_seg.data.clone() for sample in samples]
    results = unet(images_of((65, 70), (33, 95)), samples, mode="predict")
    assert results[0] is samples[0]
    for sample, label in zip(results, before, strict=True):
        assert torch.equal(sample.gt_sem_seg.data, label)
        assert sample.pred_sem_seg.data.shape == label.shape
        assert sample.pred_sem_seg.data.dtype == torch.int64
        assert sample.seg_logits.data.shape == (3, *label.shape[-2:])
        assert not sample.seg_logits.data.requires_grad
        assert torch.equal(sample.seg_logits.data.argmax(0, keepdim=True), sample.pred_sem_seg.data)


def test_names_are_those_of_the_network_under_net(unet):
    assert {name.split(".")[0] for name in unet.state_dict()} == {"net"}
    assert "net.encoder.conv1.weight" in unet.state_dict()


def test_calls_are_deterministic(unet):
    unet.eval()
    image = torch.stack(images_of((40, 50)))
    a, b = (unet(image, None, mode="predict")[0].seg_logits.data for _ in range(2))
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    "give",
    [lambda x: x, lambda x: {"out": x}, lambda x: SimpleNamespace(logits=x)],
    ids=["tensor", "dict", "object"],
)
@pytest.mark.parametrize("scale", [1, 4])
def test_every_form_of_output_gives_the_loss_of_resized_logits(give, scale):
    model = pixelwise(net={"give": give, "scale": scale})
    images, samples = torch.stack(images_of((8, 12), (8, 12))), samples_of((8, 12), (8, 12), ignored=0.3)
    logits = F.interpolate(F.avg_pool2d(model.net.conv(images / 255), scale), (8, 12), mode="bilinear")
    labels = torch.cat([sample.gt_sem_seg.data for sample in samples]).long()
    loss = model(images, samples, mode="loss")["loss"]
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels, ignore_index=255))


def test_validation_loss_is_that_of_each_image():
    model = pixelwise()
    images, samples = torch.stack(images_of((8, 12), (8, 12))), samples_of((8, 12), (8, 12), ignored=0.3)
    predicted = model(images, samples, mode="predict")
    for image, sample in zip(images, predicted, strict=True):
        loss = model(image[None], [sample], mode="loss")["loss"]
        torch.testing.assert_close(sample.metainfo["loss"], loss.detach())
        assert sample.metainfo["loss"].ndim == 0


def test_without_a_label_predictions_have_the_stored_size_or_the_images():
    model = pixelwise()
    stored = SegSample(ori_shape=(16, 20))
    first, second = model(images_of((8, 12), (8, 12)), [stored, SegSample()], mode="predict")
    assert first.pred_sem_seg.data.shape == (1, 16, 20)
    assert second.pred_sem_seg.data.shape == (1, 8, 12)
    assert "loss" not in first.metainfo


def test_images_of_different_sizes_train_as_one_padded_batch():
    model = pixelwise(loss={"type": "CrossEntropyLoss"})
    images, samples = images_of((8, 12), (5, 3)), samples_of((8, 12), (5, 3), ignored=0.2)
    logits = [model.net.conv(image[None] / 255)[0].flatten(1).t() for image in images]
    labels = [sample.gt_sem_seg.data.flatten().long() for sample in samples]
    expected = F.cross_entropy(torch.cat(logits), torch.cat(labels), ignore_index=255)
    torch.testing.assert_close(model(images, samples, mode="loss")["loss"], expected)


def test_a_network_that_needs_it_is_trained_on_padded_crops():
    net = {"type": "smp.FPN", "encoder_name": "resnet18", "encoder_weights": None}
    model = Segmentor(net=net, metainfo=TWO)
    loss = model(torch.stack(images_of((50, 40), (50, 40))), samples_of((50, 40), (50, 40), classes=2), mode="loss")
    assert loss["loss"].isfinite()


def test_validation_pads_to_the_divisor_and_crops_back():
    model = pixelwise()
    (sample,) = model(torch.stack(images_of((33, 50))), samples_of((33, 50)), mode="predict")
    assert model.net.sizes[-1] == (1, 3, 64, 64)
    exact = pixelwise(test_cfg={"size_divisor": 1})
    (expected,) = exact(torch.stack(images_of((33, 50))), samples_of((33, 50)), mode="predict")
    assert exact.net.sizes[-1] == (1, 3, 33, 50)
    torch.testing.assert_close(sample.seg_logits.data, expected.seg_logits.data)
    from_preprocessor = Segmentor(
        net=Pixelwise(3), data_preprocessor={"test_cfg": {"size_divisor": 10}}, metainfo=THREE
    )
    assert from_preprocessor(torch.stack(images_of((33, 50)))).shape == (1, 3, 33, 50)
    assert from_preprocessor.net.sizes[-1] == (1, 3, 40, 50)


def test_sliding_windows_say_the_same_as_the_whole_image_where_windows_agree():
    slide = {"mode": "slide", "crop_size": (16, 24), "stride": (10, 17)}
    whole, windows = pixelwise(), pixelwise(test_cfg=slide)
    images = images_of((33, 50), (40, 20))
    for batch in (images, torch.stack(images_of((33, 50), (33, 50)))):
        a = whole(batch, None, mode="predict")
        b = windows(batch, None, mode="predict")
        for x, y in zip(a, b, strict=True):
            torch.testing.assert_close(x.seg_logits.data, y.seg_logits.data)
    assert max(size[0] * size[2] * size[3] for size in windows.net.sizes) == 32 * 32


def test_memory_of_a_prediction_is_that_of_one_image_and_one_window():
    held = []

    class Watching(Pixelwise):
        def forward(self, image_bchw):
            held.append(image_bchw.numel())
            return super().forward(image_bchw)

    slide = {"mode": "slide", "crop_size": (32, 32), "stride": (32, 32)}
    model = Segmentor(net=Watching(3), test_cfg=slide, metainfo=THREE)
    model(torch.stack(images_of((256, 256), (256, 256))), None, mode="predict")
    assert held == [3 * 32 * 32] * 128


def test_flip_averages_with_the_mirrored_image():
    class LooksLeft(nn.Module):
        def forward(self, image_bchw):
            ramp = torch.linspace(-1, 1, image_bchw.shape[-1]).expand_as(image_bchw[:, :1])
            return torch.cat([image_bchw[:, :1] * ramp / 100, image_bchw[:, 1:2] / 100], 1)

    plain, flipped = (
        Segmentor(LooksLeft(), data_preprocessor=PLAIN, test_cfg={"flip": f, "size_divisor": 1}, metainfo=TWO)
        for f in (False, True)
    )
    image = torch.stack(images_of((8, 12)))
    mirrored = plain(image.flip(-1), None, mode="predict")[0].seg_logits.data.softmax(0).flip(-1)
    expected = (plain(image, None, mode="predict")[0].seg_logits.data.softmax(0) + mirrored) / 2
    torch.testing.assert_close(flipped(image, None, mode="predict")[0].seg_logits.data.softmax(0), expected)


def one_channel(**options):
    return Segmentor(net={"type": Pixelwise, "num_classes": 1}, data_preprocessor=PLAIN, metainfo=TWO, **options)


@pytest.mark.parametrize("loss", [None, {"type": "DiceLoss"}, {"type": "BCEWithLogitsLoss"}])
@pytest.mark.parametrize("flip", [False, True])
def test_one_channel_is_a_sigmoid(loss, flip):
    model = one_channel(loss=loss, test_cfg={"flip": flip})
    image, samples = torch.stack(images_of((8, 12))), samples_of((8, 12), classes=2, ignored=0.2)
    logits = model(image)
    assert logits.shape == (1, 1, 8, 12)
    (sample,) = model(image, samples, mode="predict")
    torch.testing.assert_close(sample.seg_logits.data.softmax(0)[1:], logits[0].sigmoid())
    assert torch.equal(sample.pred_sem_seg.data, (logits[0].sigmoid() > 0.5).long())
    torch.testing.assert_close(sample.metainfo["loss"], model(image, samples, mode="loss")["loss"].detach())


def test_a_threshold_decides_for_one_channel():
    image = torch.stack(images_of((8, 12)))
    probability = one_channel()(image)[0].sigmoid()
    middle = probability.median().item()
    expected = (probability > middle).long()
    assert expected.sum() == 48
    model = one_channel(test_cfg={"threshold": middle + 1e-6})
    assert torch.equal(model(image, None, mode="predict")[0].pred_sem_seg.data, expected)


def test_an_auxiliary_head_is_trained_with_its_weight():
    model = pixelwise(net={"give": lambda x: {"out": x, "aux": 2 * x}})
    images, samples = torch.stack(images_of((8, 12))), samples_of((8, 12))
    losses = model(images, samples, mode="loss")
    doubled = pixelwise(net={"give": lambda x: 2 * x})(images, samples, mode="loss")["loss"]
    torch.testing.assert_close(losses["aux.loss_ce"], 0.4 * doubled)
    torch.testing.assert_close(losses["loss"], losses["loss_ce"] + losses["aux.loss_ce"])


@pytest.mark.parametrize("loss", [None, {"type": "DiceLoss"}, {"type": "smp.FocalLoss", "mode": "multiclass"}])
def test_a_batch_that_is_ignored_whole_moves_nothing(loss):
    model = pixelwise(loss=loss)
    samples = samples_of((8, 12), (8, 12), ignored=1.1)
    value = model(torch.stack(images_of((8, 12), (8, 12))), samples, mode="loss")["loss"]
    value.backward()
    assert value.item() == 0
    assert all(not parameter.grad.any() for parameter in model.parameters())
    assert model(images_of((8, 12)), samples[:1], mode="predict")[0].metainfo["loss"] == 0


def test_labels_of_many_classes_are_taken_as_they_come():
    metainfo = {"classes": [str(i) for i in range(300)], "ignore_index": -1}
    model = pixelwise(metainfo)
    samples = samples_of((8, 12), classes=300, dtype=torch.int64)
    assert model(torch.stack(images_of((8, 12))), samples, mode="loss")["loss"].isfinite()


def test_half_precision_sums_its_losses_in_full():
    model = pixelwise()
    images, samples = torch.stack(images_of((256, 256))), samples_of((256, 256))
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(images, samples, mode="loss")["loss"]
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(model(images, samples, mode="loss")["loss"].item(), rel=2e-2)


def test_what_is_missing_is_named():
    model = pixelwise()
    image = torch.stack(images_of((8, 12)))
    with pytest.raises(DataError, match=r"a\.png has no label to train on"):
        model(image, [SegSample(img_path="a.png")], mode="loss")
    with pytest.raises(ValueError, match="a sample for each of 1 images, found 0"):
        model(image, None, mode="loss")
    with pytest.raises(ValueError, match="mode is 'loss', 'predict' or 'tensor', not 'val'"):
        model(image, None, mode="val")
    with pytest.raises(ValueError, match="needs images of one size"):
        model(images_of((8, 12)))


@pytest.mark.parametrize("mode", ["loss", "predict", "tensor"])
def test_a_network_with_other_channels_than_classes_is_an_error(mode):
    model = Segmentor(net=Pixelwise(5), metainfo=THREE)
    with pytest.raises(ConfigError, match="gives 5 channels, the data has 3 classes"):
        model(torch.stack(images_of((8, 12))), samples_of((8, 12)), mode=mode)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metainfo": {"classes": ["road"]}}, "the data set has 1 class; segmentation needs two or more"),
        ({"train_cfg": {"sampler": 1}}, "model.train_cfg: nothing reads 'sampler'"),
        ({"test_cfg": {"mod": "whole"}}, "model.test_cfg: .*unexpected keyword argument 'mod'"),
        ({"data_preprocessor": {"seg_pad_val": 0}}, "seg_pad_val: found 0"),
        ({"data_preprocessor": {"means": 0}}, "data preprocessor SegDataPreProcessor: got an unexpected keyword"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Segmentor(**{"net": nn.Identity(), "metainfo": TWO, **arguments})


def test_notes_say_which_losses_depend_on_the_number_of_workers():
    assert "loss_dice may change" in pixelwise(loss={"type": "DiceLoss"}).notes[0]
    assert pixelwise(loss={"type": "CrossEntropyLoss", "normalize": "global"}, train_cfg={}).notes == []


def predicts_alone():
    """Rank 0 validates while the other rank has no image: nothing may be asked of it."""
    import torch.distributed as dist

    model = pixelwise(loss={"type": "CrossEntropyLoss", "normalize": "global"})
    if dist.get_rank() == 0:
        return model(images_of((8, 12)), samples_of((8, 12)), mode="predict")[0].metainfo["loss"].item()
    return None


@pytest.mark.world_size(2)
def test_validation_asks_nothing_of_other_ranks():
    alone = pixelwise()(images_of((8, 12)), samples_of((8, 12)), mode="predict")[0].metainfo["loss"].item()
    assert run_ranks(predicts_alone, 2)[0] == pytest.approx(alone)


def test_the_config_checker_knows_every_key():
    model = {
        "type": "Segmentor",
        "net": UNET,
        "loss": [
            {"type": "torch.nn.CrossEntropyLoss", "loss_weight": 0.5, "loss_name": "loss_torch"},
            {"type": "smp.DiceLoss", "mode": "multiclass", "loss_weight": 1},
            {"type": "FocalLoss", "alpha": [0.5, 0.5], "normalize": "global"},
        ],
        "data_preprocessor": {
            "type": "SegDataPreProcessor",
            "mean": [1.0, 2.0, 3.0],
            "std": "imagenet",
            "size": (8, 8),
        },
        "train_cfg": {},
        "test_cfg": {"mode": "slide", "crop_size": (8, 8), "stride": (4, 4)},
    }
    assert check_config(Config.from_dict({"model": model}), needs=()) == []
    assert MODELS.build(model, metainfo=TWO).losses.terms.keys() == {"loss_torch", "loss_dice", "loss_focal"}
    wrong = {
        **model,
        "loss": {"type": "BCEWithLogitsLoss", "loss_weight": "a", "loss_name": "bce"},
        "data_preprocessor": {"maen": "imagenet"},
        "test_cfg": {"mode": "slid", "crop": (8, 8)},
    }
    with pytest.raises(ConfigError) as caught:
        check_config(Config.from_dict({"model": wrong}), needs=())
    assert {problem.key for problem in caught.value.problems} == {
        "model.loss.loss_weight",
        "model.loss.loss_name",
        "model.data_preprocessor.maen",
        "model.test_cfg.mode",
        "model.test_cfg.crop",
    }
