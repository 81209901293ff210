from __future__ import annotations

import copy

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from rayseg.config.settings import EnvSettings
from rayseg.core.sample import PixelData, SegSample
from rayseg.models.segmentor import Segmentor
from rayseg.models.switches import apply_env, checkpoint_activations

TWO = {"classes": ["land", "water"], "ignore_index": 255}


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x + self.body(x)


class Small(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(Block(), Block()), nn.ModuleList([Block()]))
        self.head = nn.Conv2d(4, num_classes, 1)

    def forward(self, image_bchw):
        first, stage, last = self.backbone
        return self.head(last[0](stage(first(image_bchw))))


def a_model(net=None):
    torch.manual_seed(0)
    return Segmentor(net=net or Small(), metainfo=TWO)


def a_batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 2, (2, 1, 32, 32), generator=generator)
    return images, [SegSample(gt_sem_seg=PixelData(label)) for label in labels]


def trained(model):
    """Losses of two iterations, gradients and buffers."""
    torch.manual_seed(1)
    model.train()
    losses = []
    for _ in range(2):
        loss = model(*a_batch(), mode="loss")["loss"]
        loss.backward()
        losses.append(loss.detach())
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return losses, gradients, dict(model.named_buffers())


def test_recomputing_changes_no_bit_and_no_name():
    plain, recomputing = a_model(), a_model()
    apply_env(recomputing, EnvSettings(activation_checkpointing=True))
    assert list(plain.state_dict()) == list(recomputing.state_dict())
    expected, result = trained(plain), trained(recomputing)
    torch.testing.assert_close(result, expected, rtol=0, atol=0)
    assert result[2]["net.backbone.1.0.body.1.num_batches_tracked"] == 2
    calls = [block.calls for block in recomputing.modules() if isinstance(block, Block)]
    assert calls == [4, 4, 2]  # a ModuleList of one repeats nothing


def test_nothing_is_recomputed_without_gradients():
    model = apply_env(a_model(), EnvSettings(activation_checkpointing=True)).eval()
    model(a_batch()[0], None, mode="predict")
    assert {block.calls for block in model.modules() if isinstance(block, Block)} == {1}


@pytest.mark.parametrize("encoder", ["resnet18", "mit_b0", "tu-convnext_atto"])
def test_blocks_of_real_encoders_are_found(encoder):
    torch.manual_seed(0)
    net = smp.Unet(encoder, encoder_weights=None, decoder_channels=(32, 16, 8, 8, 8), classes=2)
    plain = copy.deepcopy(net)
    assert checkpoint_activations(net) >= 8
    images = torch.randn(2, 3, 32, 32)
    gradients = []
    for model in (plain, net):
        torch.manual_seed(1)
        model.train()(images).square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0)
    torch.testing.assert_close(dict(net.named_buffers()), dict(plain.named_buffers()), rtol=0, atol=0)


def test_a_network_without_blocks_says_so():
    model = apply_env(a_model(nn.Conv2d(3, 2, 1)), EnvSettings(activation_checkpointing=True))
    assert "no repeated blocks" in model.notes[-1]


def test_channels_last_reaches_weights_and_input():
    seen = []
    model = apply_env(a_model(), EnvSettings(channels_last=True))
    model.net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    expected = a_model().eval()(a_batch()[0])
    torch.testing.assert_close(model.eval()(a_batch()[0]), expected)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert model.net.backbone[1][0].body[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_sync_batchnorm_without_a_gpu_is_left_out_with_a_note():
    model = apply_env(a_model(), EnvSettings(sync_batchnorm=True))
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in model.modules())
    assert "works on GPUs only" in model.notes[-1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_sync_batchnorm_on_a_gpu():
    model = a_model().cuda()
    names = list(model.state_dict())
    parameters = [id(parameter) for parameter in model.parameters()]
    apply_env(model, EnvSettings(sync_batchnorm=True))
    assert any(isinstance(module, nn.SyncBatchNorm) for module in model.modules())
    assert list(model.state_dict()) == names
    assert [id(parameter) for parameter in model.parameters()] == parameters


def test_compile_keeps_names_and_values():
    plain, compiled = a_model(), a_model()
    apply_env(compiled, EnvSettings(compile={"backend": "eager"}))
    assert list(plain.state_dict()) == list(compiled.state_dict())
    assert compiled.net._compiled_call_impl is not None
    torch.testing.assert_close(trained(compiled), trained(plain))
    compiled.eval()
    assert compiled(a_batch()[0], a_batch()[1], mode="predict")[0].pred_sem_seg.data.shape == (1, 32, 32)


# Dynamo itself looks at .grad of what checkpoint returns.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compile_and_recomputing_together():
    plain, both = a_model(), a_model()
    apply_env(both, EnvSettings(compile={"backend": "aot_eager"}, activation_checkpointing=True))
    torch.testing.assert_close(trained(both), trained(plain))


def test_any_module_may_be_switched():
    net = apply_env(Small(), EnvSettings(channels_last=True, activation_checkpointing=True, compile=False))
    assert net(torch.randn(1, 3, 8, 8)).shape == (1, 2, 8, 8)


def test_nothing_is_switched_by_default():
    model = a_model()
    assert apply_env(model, EnvSettings()) is model
    assert model.net._compiled_call_impl is None
    assert model.notes == a_model().notes
