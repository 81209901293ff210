"""What a RayJob may hold: the fields of KubeRay 1.5.1's ``ray.io/v1`` that people write, each with its type.

Written down from KubeRay's Go types (``rayjob_types.go``, ``raycluster_types.go``): names and types only. Objects are
closed, as the API server's strict validation makes them. What lies inside a pod template is Kubernetes' own.
"""

from __future__ import annotations

from typing import Any

STRING: dict[str, Any] = {"type": "string"}
BOOLEAN: dict[str, Any] = {"type": "boolean"}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
NUMBER: dict[str, Any] = {"type": "number", "minimum": 0}
TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": STRING}
ANYTHING: dict[str, Any] = {"type": "object"}
LIST: dict[str, Any] = {"type": "array"}


def closed(required: tuple[str, ...] = (), **fields: dict[str, Any]) -> dict[str, Any]:
    """An object with these fields and no others."""
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


def one_of(*values: str) -> dict[str, Any]:
    """One of these texts."""
    return {"enum": list(values)}


POD_TEMPLATE = closed(("spec",), metadata=ANYTHING, spec=ANYTHING)
MANAGED_BY = one_of("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue")

AUTOSCALER = closed(
    env=LIST,
    envFrom=LIST,
    idleTimeoutSeconds=COUNT,
    image=STRING,
    imagePullPolicy=one_of("Always", "IfNotPresent", "Never"),
    resources=ANYTHING,
    securityContext=ANYTHING,
    upscalingMode=one_of("Default", "Aggressive", "Conservative"),
    version=one_of("v1", "v2"),
    volumeMounts=LIST,
)
HEAD = closed(
    ("rayStartParams", "template"),
    enableIngress=BOOLEAN,
    headService=ANYTHING,
    rayStartParams=TEXTS,
    serviceType=STRING,
    template=POD_TEMPLATE,
)
WORKERS = closed(
    ("groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"),
    groupName=STRING,
    idleTimeoutSeconds=COUNT,
    maxReplicas=COUNT,
    minReplicas=COUNT,
    numOfHosts=COUNT,
    rayStartParams=TEXTS,
    replicas=COUNT,
    scaleStrategy=ANYTHING,
    suspend=BOOLEAN,
    template=POD_TEMPLATE,
)
RAY_CLUSTER = closed(
    ("headGroupSpec",),
    authOptions=closed(mode=one_of("disabled", "token")),
    autoscalerOptions=AUTOSCALER,
    enableInTreeAutoscaling=BOOLEAN,
    gcsFaultToleranceOptions=ANYTHING,
    headGroupSpec=HEAD,
    headServiceAnnotations=TEXTS,
    managedBy=MANAGED_BY,
    rayVersion=STRING,
    suspend=BOOLEAN,
    workerGroupSpecs={"type": "array", "items": WORKERS},
)
NAME: dict[str, Any] = {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,46}$"}  # Ray clusters get a longer one
RAY_JOB = closed(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion=one_of("ray.io/v1"),
    kind=one_of("RayJob"),
    metadata=closed(("name",), annotations=TEXTS, labels=TEXTS, name=NAME, namespace=STRING),
    spec=closed(
        activeDeadlineSeconds=COUNT,
        backoffLimit=COUNT,
        clusterSelector=TEXTS,
        deletionStrategy=ANYTHING,
        entrypoint=STRING,
        entrypointNumCpus=NUMBER,
        entrypointNumGpus=NUMBER,
        entrypointResources=STRING,
        jobId=STRING,
        managedBy=MANAGED_BY,
        metadata=TEXTS,
        rayClusterSpec=RAY_CLUSTER,
        runtimeEnvYAML=STRING,
        shutdownAfterJobFinishes=BOOLEAN,
        submissionMode=one_of("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
        submitterConfig=closed(backoffLimit=COUNT),
        submitterPodTemplate=POD_TEMPLATE,
        suspend=BOOLEAN,
        ttlSecondsAfterFinished=COUNT,
    ),
)
