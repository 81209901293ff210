"""cluster/ray-up through Ray's own preparation and validation, without a cloud."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import jsonschema
import pytest

from tests.processes import REPOSITORY
from tests.unit.cluster.conftest import CLUSTER

FILES = ["ray-up/aws.yaml", "ray-up/gcp.yaml"]
Read = Callable[[str], dict[str, Any]]


@pytest.fixture
def prepared(read_yaml: Read) -> Read:
    """A file as ``ray up`` has it before it asks the cloud: with the provider's defaults, and valid."""
    ray: Any = import_module("ray.autoscaler._private.util")

    def prepare(name: str) -> dict[str, Any]:
        config = ray.prepare_config(read_yaml(name))
        ray.validate_config(config)
        return config

    return prepare


def test_every_file_is_looked_at() -> None:
    assert {str(path.relative_to(CLUSTER)) for path in (CLUSTER / "ray-up").iterdir()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_ray_takes_it(name: str, prepared: Read) -> None:
    config = prepared(name)
    nodes = config["available_node_types"]
    assert nodes[config["head_node_type"]]["resources"] == {"CPU": 0, "GPU": 0}
    assert nodes["gpu"]["resources"]["GPU"] == 1
    assert 0 < nodes["gpu"]["min_workers"] < nodes["gpu"]["max_workers"] <= config["max_workers"]


def test_ray_would_say_what_is_wrong(read_yaml: Read) -> None:
    ray: Any = import_module("ray.autoscaler._private.util")
    config = read_yaml(FILES[0])
    config["available_node_types"]["gpu"]["min_worker"] = 1
    with pytest.raises(jsonschema.ValidationError, match="min_worker"):
        ray.validate_config(ray.prepare_config(config))


@pytest.mark.parametrize("name", FILES)
def test_images_are_of_the_pinned_ray(name: str, prepared: Read, pinned: dict[str, str], python: str) -> None:
    docker = prepared(name)["docker"]
    version = f"{pinned['ray']}-py{python.replace('.', '')}"
    assert (docker["head_image"], docker["worker_image"]) == (
        f"rayproject/ray:{version}-cpu",
        f"rayproject/ray:{version}-gpu",
    )


@pytest.mark.parametrize("name", FILES)
def test_rayseg_is_installed_as_pinned(name: str, prepared: Read) -> None:
    config = prepared(name)
    assert config["file_mounts"]["~/rayseg"] == "."
    (install,) = config["worker_setup_commands"]
    assert "-c ~/rayseg/constraints.txt" in install
    (extras,) = re.findall(r'"\$HOME/rayseg\[([a-z0-9,]+)\]"', install)
    project = (REPOSITORY / "pyproject.toml").read_text()
    assert all(f"\n{extra} = [" in project for extra in extras.split(","))
    assert config["head_setup_commands"][0] == install
    assert all("==" not in command for command in config["head_setup_commands"])


@pytest.mark.parametrize("name", FILES)
def test_tokens_and_secrets_are_files_of_the_operator(name: str, prepared: Read) -> None:
    config = prepared(name)
    assert config["file_mounts"]["~/rayseg-secrets"] == "~/rayseg-secrets"
    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert "secrets.env" in config["head_start_ray_commands"][1]
    assert not any("secrets.env" in command for command in config["worker_start_ray_commands"])
    assert not re.search(r"(KEY|PASSWORD|TOKEN)=\S", (CLUSTER / name).read_text())


@pytest.mark.parametrize("name", FILES)
def test_what_must_be_changed_says_so(name: str) -> None:
    above = ""
    for line in (CLUSTER / name).read_text().splitlines():
        if "REPLACE" in line:
            assert "# change" in line or "# change" in above, line
        above = line


def test_spot_nodes_can_be_had(prepared: Read) -> None:
    aws, gcp = (prepared(name)["available_node_types"] for name in FILES)
    assert aws["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in aws["head"]["node_config"]
    assert gcp["gpu"]["node_config"]["scheduling"]["preemptible"] is True
    assert "scheduling" not in gcp["head"]["node_config"]
