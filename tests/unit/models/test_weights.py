from __future__ import annotations

import argparse
import os
import pickle
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from rayseg.core.errors import ConfigError
from rayseg.models.segmentor import Segmentor
from rayseg.models.weight_files import read_weights
from rayseg.models.weights import Renaming, best_renaming, load_weights

TWO = {"classes": ["land", "water"], "ignore_index": 255}


class Net(nn.Module):
    def __init__(self, num_classes=2, width=4):
        super().__init__()
        self.backbone = nn.Sequential(OrderedDict(conv1=nn.Conv2d(3, width, 1), bn1=nn.BatchNorm2d(width)))
        self.decode_head = nn.ModuleDict({"conv_seg": nn.Conv2d(width, num_classes, 1)})

    def forward(self, image_bchw):
        return self.decode_head["conv_seg"](self.backbone(image_bchw))


def a_model(seed=0, **options):
    torch.manual_seed(seed)
    return Segmentor(net=Net(**options), metainfo=TWO)


def net_state(seed=1, **options):
    """The tensors of another training's network, under the names of the network alone."""
    torch.manual_seed(seed)
    return Net(**options).state_dict()


def renamed(state, change):
    return {change(name): tensor for name, tensor in state.items()}


def saved(tmp_path, value, name="weights.pth"):
    torch.save(value, tmp_path / name)
    return tmp_path / name


def assert_loaded(model, state):
    torch.testing.assert_close(dict(model.net.state_dict()), dict(state), rtol=0, atol=0)


class HasCode:
    """A pickle that would make a directory."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": renamed(state, "model.{}".format), "epoch": 3},  # Lightning
        lambda state: {"meta": {"iter": 3}, "state_dict": state, "optimizer": {"state": {0: {}}}},  # MM
        lambda state: {"model": renamed(state, "module.{}".format)},  # DDP
        lambda state: renamed(state, "_orig_mod.net.{}".format),  # torch.compile
        lambda state: {"state_dict": renamed(state, "module.model.net.{}".format)},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {"state_dict": renamed(state, "net.{}".format)},
    ],
)
def test_the_files_of_other_trainers_load(tmp_path, wrap):
    state, model = net_state(), a_model()
    report = load_weights(model, saved(tmp_path, wrap(state)), strict=True)
    assert_loaded(model, state)
    assert report.complete
    assert len(report.matched) == len(state)


def test_a_backbone_alone_finds_its_place(tmp_path):
    state = net_state()
    backbone = {name.removeprefix("backbone."): t for name, t in state.items() if name.startswith("backbone.")}
    model = a_model()
    head = model.net.decode_head["conv_seg"].weight.clone()
    report = load_weights(model, saved(tmp_path, {**backbone, "fc.weight": torch.zeros(5, 4)}))
    torch.testing.assert_close(model.net.backbone.conv1.weight, state["backbone.conv1.weight"])
    assert torch.equal(model.net.decode_head["conv_seg"].weight, head)
    assert report.renaming == Renaming("", "net.backbone.")
    assert report.missing == ("net.decode_head.conv_seg.weight", "net.decode_head.conv_seg.bias")
    assert report.unexpected == ("fc.weight",)


def test_another_class_count_is_a_wrong_shape_and_the_rest_loads(tmp_path):
    state = renamed(net_state(num_classes=19), "model.{}".format)
    model = a_model()
    report = load_weights(model, saved(tmp_path, state))
    assert report.wrong_shape == (
        ("net.decode_head.conv_seg.weight", (19, 4, 1, 1), (2, 4, 1, 1)),
        ("net.decode_head.conv_seg.bias", (19,), (2,)),
    )
    torch.testing.assert_close(model.net.backbone.bn1.weight, state["model.backbone.bn1.weight"])
    assert not report.missing
    lines = report.lines()
    assert lines[0].endswith("7 of the model's 9 tensors loaded, reading model.* as net.*")
    assert "  wrong shape  net.decode_head.conv_seg.weight  file 19x4x1x1, model 2x4x1x1" in lines
    assert "  matched      net.backbone.* (7)" in lines


def test_strict_refuses_what_is_not_complete_and_loads_nothing(tmp_path):
    model = a_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ConfigError, match=r"the weights do not fit the model\n.*7 of the model's 9"):
        load_weights(model, saved(tmp_path, net_state(num_classes=19)), strict=True)
    torch.testing.assert_close(dict(model.state_dict()), before)


def test_nothing_matched_is_an_error_that_shows_both_sides(tmp_path):
    with pytest.raises(ConfigError, match=r"none of its 1 tensors.*has a\.b 7 .*the model has net\.backbone\.conv1"):
        load_weights(a_model(), saved(tmp_path, {"a.b": torch.zeros(7)}))


def test_a_long_table_is_cut(tmp_path):
    path = saved(tmp_path, net_state() | {f"extra.{i}": torch.zeros(1) for i in range(30)})
    lines = load_weights(a_model(), path).lines(limit=3)
    assert [line for line in lines if "unexpected" in line][-1] == "  unexpected   ... and 27 more"


def test_the_smallest_renaming_of_equals_is_taken():
    own = {"net.a.w": torch.zeros(2), "net.b.w": torch.zeros(2)}
    assert best_renaming({"a.w": torch.zeros(2)}, own) == Renaming("", "net.")
    assert best_renaming({"net.a.w": torch.zeros(2)}, own) == Renaming("", "")
    assert best_renaming({"nothing": torch.zeros(2)}, own) == Renaming("", "")


def test_safetensors_with_tied_tensors(tmp_path):
    state = renamed(net_state(), "net.{}".format)
    alias = "net.backbone.bn1.bias"
    state["net.backbone.bn1.running_mean"] = state[alias] = torch.tensor([1.0, 2, 3, 4])
    stored = {name: tensor for name, tensor in state.items() if name != alias}
    folder = tmp_path / "run" / "checkpoints" / "iter_4"
    folder.mkdir(parents=True)
    save_file(stored, folder / "model.safetensors", metadata={alias: "net.backbone.bn1.running_mean"})
    model = a_model()
    assert load_weights(model, folder, strict=True).complete
    assert model.net.backbone.bn1.bias.tolist() == [1, 2, 3, 4]
    with pytest.raises(ConfigError, match=r"expected a file of weights or a checkpoint directory.*iter_4"):
        load_weights(model, tmp_path / "run")


def test_what_the_engine_writes_is_what_is_read(tmp_path):
    from rayseg.engine.state import _safetensors_writer

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)
            self.b.weight = self.a.weight

    first, second = (Segmentor(net=Tied(), metainfo=TWO) for _ in range(2))
    with open(tmp_path / "model.safetensors", "wb") as file:
        _safetensors_writer(first.state_dict())(file)
    assert load_weights(second, tmp_path, strict=True).complete
    torch.testing.assert_close(dict(second.state_dict()), dict(first.state_dict()))


def test_objects_beside_the_weights_are_read_without_their_classes(tmp_path):
    state = net_state()
    history = {"loss": np.arange(3.0), "best": np.float64(0.5), "args": argparse.Namespace(lr=1)}
    path = saved(tmp_path, {"meta": {"time": "now"}, "message_hub": history, "state_dict": state})
    model = a_model()
    load_weights(model, path, strict=True)
    assert_loaded(model, state)


def test_no_code_of_a_file_runs(tmp_path):
    made = tmp_path / "made"
    path = saved(tmp_path, {"state_dict": net_state(), "x": HasCode(str(made))})
    with pytest.raises(ConfigError, match=r"read_weights\(path, trust=True\)"):
        load_weights(a_model(), path)
    assert not made.exists()
    load_weights(a_model(), path, trust=True)
    assert made.exists()


def test_torchs_older_format(tmp_path):
    state = net_state()
    torch.save({"state_dict": state}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    model = a_model()
    load_weights(model, tmp_path / "old.pth", strict=True)
    assert_loaded(model, state)


def test_a_whole_module_needs_trust(tmp_path):
    path = saved(tmp_path, Net())
    with pytest.raises(ConfigError, match=r"no tensors under names|trust=True"):
        load_weights(a_model(), path)
    assert load_weights(a_model(), path, strict=True, trust=True).complete


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"not a checkpoint", "x.pth", r"x\.pth"),
        (b"", "x.pth", "cannot be read as a file of weights"),
        (b"abc", "x.safetensors", "cannot be read as a file of weights"),
        (pickle.dumps({"epoch": 3}), "x.pkl", r"x\.pkl"),
    ],
)
def test_damaged_files_are_errors_that_name_them(tmp_path, content, name, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_weights(tmp_path / name)


def test_a_file_without_tensors_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="holds no tensors under names"):
        read_weights(saved(tmp_path, {"epoch": 3}))


def test_a_missing_file_names_its_neighbours(tmp_path):
    saved(tmp_path, {}, "epoch_1.pth")
    with pytest.raises(ConfigError, match=r"no such file of weights: .*epoch_2\.pth; beside it are epoch_1\.pth"):
        read_weights(tmp_path / "epoch_2.pth")
    with pytest.raises(ConfigError, match="there is no directory"):
        read_weights(tmp_path / "nowhere" / "x.pth")


def test_a_url_that_cannot_be_fetched_names_the_place_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))

    def unreachable(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(ConfigError, match=r"could not be fetched \(OSError: no route to host\)") as caught:
        read_weights("https://example.org/models/w.pth?x=1")
    place = re.search(r"in the cache as (\S+);", str(caught.value)).group(1)
    state = net_state()
    torch.save(state, place)
    assert set(read_weights("https://example.org/models/w.pth?x=1")) == set(state)
    with pytest.raises(ConfigError, match="could not be fetched"):
        read_weights("https://example.org/other/w.pth")


def test_other_file_systems(tmp_path):
    import fsspec

    state = net_state()
    with fsspec.open("memory://bucket/iter_4/model.safetensors", "wb") as file:
        from safetensors.torch import save

        file.write(save(dict(state)))
    for url in ("memory://bucket/iter_4/model.safetensors", "memory://bucket/iter_4"):
        torch.testing.assert_close(read_weights(url), dict(state))
    assert set(read_weights(f"file://{saved(tmp_path, state)}")) == set(state)
    with pytest.raises(ConfigError, match="could not be fetched"):
        read_weights("memory://bucket/nothing.pth")


def test_half_precision_and_channels_last_become_what_the_model_has(tmp_path):
    state = {name: t.half() if t.is_floating_point() else t for name, t in net_state().items()}
    model = a_model()
    model.net.to(memory_format=torch.channels_last)
    load_weights(model, saved(tmp_path, state), strict=True)
    weight = model.net.backbone.conv1.weight
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, state["backbone.conv1.weight"].float())
