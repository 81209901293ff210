"""Whole configs: what each family becomes, that the file loads to what was meant, and that rayseg takes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rayseg.config import check_config, load_config
from rayseg.core.errors import ConfigError
from rayseg.migration import migrate

from tests.unit.migration.conftest import COMPLETE, CONFIGS, Write, problems_of  # isort: skip

FCN = "torchvision.models.segmentation.fcn_resnet50"
NETS: dict[str, tuple[str, dict[str, Any]]] = {
    "fcn_r50_4xb2-20k_cityscapes.py": ("FCN", {"type": FCN, "aux_loss": True}),
    "pspnet_r18.py": (
        "PSPNet",
        {
            "type": "smp.PSPNet",
            "encoder_name": "tu-resnet18",
            "encoder_weights": None,
            "psp_out_channels": 128,
            "psp_dropout": 0.1,
        },
    ),
    "deeplabv3_r101.py": (
        "DeepLabV3",
        {
            "type": "smp.DeepLabV3",
            "encoder_name": "resnet101",
            "encoder_weights": "imagenet",
            "encoder_output_stride": 16,
            "decoder_channels": 512,
            "decoder_atrous_rates": (6, 12, 18),
            "decoder_aspp_dropout": 0.1,
        },
    ),
    "deeplabv3plus_mobilenet.py": (
        "DeepLabV3+",
        {
            "type": "smp.DeepLabV3Plus",
            "encoder_name": "mobilenet_v2",
            "encoder_weights": "imagenet",
            "encoder_output_stride": 8,
            "decoder_channels": 256,
            "decoder_atrous_rates": (12, 24, 36),
            "decoder_aspp_dropout": 0.1,
        },
    ),
    "fpn_r50.py": (
        "FPN",
        {
            "type": "smp.FPN",
            "encoder_name": "tu-resnet50c",
            "encoder_weights": "imagenet",
            "decoder_pyramid_channels": 192,
            "decoder_segmentation_channels": 64,
            "decoder_dropout": 0.1,
        },
    ),
    "unet.py": (
        "UNet",
        {
            "type": "smp.Unet",
            "encoder_name": "vgg13_bn",
            "encoder_weights": None,
            "encoder_depth": 4,
            "decoder_channels": (512, 256, 128, 64),
            "classes": 1,
        },
    ),
    "upernet_convnext.py": (
        "UPerNet",
        {
            "type": "smp.UPerNet",
            "encoder_name": "tu-convnext_tiny.fb_in1k",
            "encoder_weights": "imagenet",
            "decoder_channels": 512,
            "drop_path_rate": 0.4,
        },
    ),
    "upernet_swin.py": (
        "UPerNet",
        {
            "type": "smp.UPerNet",
            "encoder_name": "tu-swin_base_patch4_window12_384.ms_in22k",
            "encoder_weights": "imagenet",
            "decoder_channels": 512,
            "strict_img_size": False,
        },
    ),
    "segformer_b2.py": (
        "SegFormer",
        {
            "type": "smp.Segformer",
            "encoder_name": "mit_b2",
            "encoder_weights": None,
            "decoder_segmentation_channels": 256,
            "drop_path_rate": 0.1,
        },
    ),
    "ocrnet_hr18.py": ("CascadeEncoderDecoder, HRNet + OCRHead", {"type": "replace_me.HRNet_OCRHead"}),
    "own_everything.py": ("FCN", {"type": FCN, "aux_loss": True}),
}


def test_every_config_is_in_the_table() -> None:
    assert sorted(NETS) == COMPLETE


@pytest.mark.parametrize("name", COMPLETE)
def test_a_family_becomes_its_network(name: str) -> None:
    migration = migrate(CONFIGS / name)
    assert (migration.family, migration.sections["model"]["net"]) == NETS[name]
    assert migration.path is None


@pytest.mark.parametrize("name", [name for name in COMPLETE if name != "own_everything.py"])
def test_the_file_loads_to_what_was_meant_and_is_valid(name: str, tmp_path: Path) -> None:
    migration = migrate(CONFIGS / name, tmp_path / "out.py")
    config = load_config(tmp_path / "out.py")
    assert config == migration.sections
    try:
        check_config(config)
        found = []
    except ConfigError as error:
        found = problems_of(error)
    expected = []
    if name == "ocrnet_hr18.py":
        expected = ["model.net.type: no module named 'replace_me' (for 'replace_me.HRNet_OCRHead')"]
    assert found == expected
    assert migration.is_whole == (not expected)


def test_what_is_missing_is_found_by_the_check_or_listed(tmp_path: Path) -> None:
    migration = migrate(CONFIGS / "own_everything.py", tmp_path / "out.py")
    assert [(line.key, line.was) for line in migration.missing] == [
        ("model.decode_head.loss_decode", "dict(type='HuasdorffDisstanceLoss', use_sigmoid=False, loss…"),
        ("model.decode_head.loss_decode", ""),
        ("train_dataloader.dataset", "dict(type='MyDataset')"),
        ("train_dataloader.dataset.pipeline.0", "dict(type='Albu', transforms=[])"),
        ("val_dataloader.dataset", "dict(type='MyDataset')"),
        ("val_evaluator", "dict(type='BoundaryMetric')"),
    ]
    with pytest.raises(ConfigError) as caught:
        check_config(load_config(tmp_path / "out.py"))
    assert problems_of(caught.value) == ["custom_hooks.2.type: unknown hook 'MyHook'; did you mean 'EMAHook'?"]


@pytest.mark.parametrize("name", COMPLETE)
def test_engine_sections_stay_as_they_are(name: str) -> None:
    before, after = load_config(CONFIGS / name), migrate(CONFIGS / name).sections
    for section in ("param_scheduler", "train_cfg", "default_hooks", "log_processor", "log_level", "vis_backends"):
        assert after[section] == before[section], section
    assert {key: after["optim_wrapper"].get(key) for key in ("optimizer", "type", "constructor", "loss_scale")} == {
        key: before["optim_wrapper"].get(key) for key in ("optimizer", "type", "constructor", "loss_scale")
    }
    assert {key: after["env_cfg"][key] for key in before["env_cfg"]} == before["env_cfg"]


@pytest.mark.parametrize("name", COMPLETE)
def test_the_file_is_formatted(name: str, tmp_path: Path) -> None:
    migrate(CONFIGS / name, tmp_path / "out.py")
    command = [sys.executable, "-m", "ruff", "format", "--diff", "--isolated", "--line-length", "120"]
    done = subprocess.run([*command, str(tmp_path / "out.py")], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)
    assert max(map(len, (tmp_path / "out.py").read_text().splitlines())) <= 120


def test_comments_stand_above_their_section(tmp_path: Path) -> None:
    text = migrate(CONFIGS / "ocrnet_hr18.py").text.splitlines()
    model = text.index("model = dict(")
    above = " ".join(line.removeprefix("#").strip() for line in text[:model][-3:])
    assert "MISSING model: 'CascadeEncoderDecoder, HRNet + OCRHead': nothing here stands for this network" in above
    assert "encoder_name='tu-hrnet_w18'" in above


def test_nothing_of_mm_or_torch_is_imported(tmp_path: Path) -> None:
    code = f"""
import sys
import rayseg
migration = rayseg.migrate({str(CONFIGS / "upernet_convnext.py")!r}, {str(tmp_path / "out.py")!r})
assert migration.is_whole
heavy = ("torch", "ray", "mmengine", "mmseg", "mmcv", "segmentation_models_pytorch", "pydantic")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_base_alone_is_migrated_as_far_as_it_goes() -> None:
    assert list(migrate(CONFIGS / "_base_" / "runtime.py").sections) == [
        "log_processor",
        "log_level",
        "env_cfg",
        "vis_backends",
    ]


def test_no_config_is_an_error(write: Write, tmp_path: Path) -> None:
    path = write("import os\nanswer = 42", bases=())
    with pytest.raises(ConfigError, match=r"mm\.py: no config: it sets answer, and no section such as model"):
        migrate(path)
    with pytest.raises(ConfigError, match=r"nothing\.py: no such file"):
        migrate(tmp_path / "nothing.py")


def test_a_file_that_is_there_is_replaced_only_if_asked_to(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.py"
    migrate(CONFIGS / "unet.py", out)
    before = out.read_text()
    out.write_text("mine")
    with pytest.raises(ConfigError, match=r"the file is there already; --force replaces it"):
        migrate(CONFIGS / "unet.py", out)
    assert out.read_text() == "mine"
    migrate(CONFIGS / "unet.py", out, force=True)
    assert out.read_text() == before
    with pytest.raises(ConfigError, match=r"name a file that ends in \.py"):
        migrate(CONFIGS / "unet.py", tmp_path / "out.yaml")


def test_yaml_configs_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "mm.yaml").write_text("train_cfg: {type: mmengine.IterBasedTrainLoop, max_iters: 10}\nlr_config: {}\n")
    migration = migrate(tmp_path / "mm.yaml")
    assert migration.sections == {"train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 10}}
    assert [str(line) for line in migration.missing] == [
        "missing: lr_config: dict(): it is a section of MM 0.x, and is not read; say param_scheduler"
    ]
