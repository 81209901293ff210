"""cluster/kuberay against KubeRay's RayJob, Kubernetes' own schemas, and what a run needs of them."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.unit.cluster.conftest import CLUSTER
from tests.unit.cluster.rayjob_schema import RAY_JOB

KUBERNETES = "1.34"
JOBS = ["kuberay/rayjob.yaml", "kuberay/rayjob-tune.yaml"]
Read = Callable[[str], dict[str, Any]]


def pod_specs(job: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The pods of a RayJob, each with a name."""
    cluster = job["spec"]["rayClusterSpec"]
    yield "head", cluster["headGroupSpec"]["template"]["spec"]
    for group in cluster["workerGroupSpecs"]:
        yield group["groupName"], group["template"]["spec"]


def check(job: dict[str, Any]) -> None:
    """Raise where KubeRay or Kubernetes would refuse it."""
    jsonschema.validate(job, RAY_JOB)
    cluster = job["spec"]["rayClusterSpec"]
    specs = dict(pod_specs(job))
    if "autoscalerOptions" in cluster:
        options = {key: value for key, value in cluster["autoscalerOptions"].items() if key == "securityContext"}
        specs["autoscaler"] = {"containers": [{"name": "autoscaler", "image": "ray", **options}]}
    for name, spec in specs.items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_every_file_is_looked_at() -> None:
    found = {str(path.relative_to(CLUSTER)) for path in (CLUSTER / "kuberay").iterdir()}
    assert found == {*JOBS, "kuberay/storage.yaml"}


@pytest.mark.parametrize("name", JOBS)
def test_rayjobs_are_valid(name: str, read_yaml: Read) -> None:
    check(read_yaml(name))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "backoffLimits"), 3),
        (("spec", "backoffLimit"), "3"),
        (("spec", "submissionMode"), "K8SJobMode"),
        (("spec", "rayClusterSpec", "authOptions", "mode"), "tokens"),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "maxreplicas"), 4),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "template", "spec", "toleration"), []),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containers", 0, "ports", 0, "port"), 1),
        (("spec", "rayClusterSpec", "autoscalerOptions", "securityContext", "privilege"), False),
        (("metadata", "name"), "Rayseg"),
    ],
    ids=lambda part: part[-1] if isinstance(part, tuple) else "",
)
def test_the_check_finds_what_is_wrong(path: tuple[Any, ...], value: Any, read_yaml: Read) -> None:
    job = copy.deepcopy(read_yaml(JOBS[0]))
    target: Any = job
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(job)


def test_the_volume_is_shared(read_yaml: Read) -> None:
    claim = read_yaml("kuberay/storage.yaml")
    kubernetes_validate.validate(claim, KUBERNETES, strict=True)
    assert claim["kind"] == "PersistentVolumeClaim"
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


@pytest.mark.parametrize("name", JOBS)
def test_every_pod_sees_the_volume_where_runs_are(name: str, read_yaml: Read) -> None:
    job, claim = read_yaml(name), read_yaml("kuberay/storage.yaml")["metadata"]["name"]
    for _, spec in pod_specs(job):
        (volume,) = spec["volumes"]
        assert volume["persistentVolumeClaim"] == {"claimName": claim}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            (mount,) = container["volumeMounts"]
            assert mount["name"] == volume["name"]
            assert {"name": "RAYSEG_HOME", "value": mount["mountPath"]} in container["env"]
            work_dir = job["spec"]["entrypoint"].split("--work-dir ")[1].split()[0]
            assert work_dir.startswith(mount["mountPath"] + "/")


@pytest.mark.parametrize("name", JOBS)
def test_secrets_are_references_and_only_the_driver_has_them(name: str, read_yaml: Read) -> None:
    secret = {}
    for pod, spec in pod_specs(read_yaml(name)):
        assert spec["securityContext"]["runAsNonRoot"] is True
        for container in spec["containers"]:
            for variable in container["env"]:
                if variable["name"].startswith(("WANDB", "MLFLOW")):
                    assert "value" not in variable
                    assert variable["valueFrom"]["secretKeyRef"]["key"] == variable["name"]
                    secret.setdefault(pod, set()).add(variable["name"])
    mlflow = {f"MLFLOW_TRACKING_{part}" for part in ("URI", "USERNAME", "PASSWORD", "TOKEN")}
    assert secret == {"head": {"WANDB_API_KEY", *mlflow}}


@pytest.mark.parametrize("name", JOBS)
def test_versions_retries_and_scaling(name: str, read_yaml: Read, pinned: dict[str, str]) -> None:
    spec = read_yaml(name)["spec"]
    cluster = spec["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    assert cluster["rayVersion"] == pinned["ray"]
    assert len({container["image"] for _, pod in pod_specs({"spec": spec}) for container in pod["containers"]}) == 1
    assert spec["backoffLimit"] > 0
    assert spec["shutdownAfterJobFinishes"]
    assert {"--auto-resume", "--resume"} & set(spec["entrypoint"].split())
    assert cluster["enableInTreeAutoscaling"]
    assert 1 <= workers["minReplicas"] <= workers["replicas"] < workers["maxReplicas"]
    assert workers["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_as_many_nodes_as_workers(read_yaml: Read) -> None:
    spec = read_yaml(JOBS[0])["spec"]
    words = spec["entrypoint"].split()
    assert spec["rayClusterSpec"]["workerGroupSpecs"][0]["minReplicas"] == int(words[words.index("--workers") + 1])


@pytest.mark.parametrize("name", JOBS)
def test_the_submitters_shell_has_nothing_to_interpret(name: str, read_yaml: Read) -> None:
    entrypoint = read_yaml(name)["spec"]["entrypoint"]
    outside = re.sub("'[^']*'", "", entrypoint)
    assert not set(outside) & set(";&|$`<>\"'()\n")
    assert not set(entrypoint) & set('$`"\n')


def test_a_sweep_begins_once_and_goes_on(read_yaml: Read) -> None:
    words = read_yaml(JOBS[1])["spec"]["entrypoint"].split()
    assert words[:2] == ["rayseg", "tune"]
    assert words[words.index("--work-dir") + 1].startswith("/mnt/rayseg/")
    assert "--auto-resume" in words
