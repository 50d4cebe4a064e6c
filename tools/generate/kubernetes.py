"""``k8s/base/services.yaml``: the services of Kubernetes, which differ in their name, port and secret alone.

python -m tools.generate.kubernetes          # rewrite
python -m tools.generate.kubernetes --check  # fail when it differs
"""

import argparse
import sys
from pathlib import Path

import yaml

from libs.observability.server import STATUS_PORTS
from proto.subjects import CONSOLE, SERVICES

FILE = Path(__file__).resolve().parents[2] / "k8s" / "base" / "services.yaml"
IMAGE = "presage:0.1.0"
USER = 10_001
"""As in the image."""
MOUNT = "/run/presage"
SCRATCH = "/tmp"  # noqa: S108 - a volume of the pod's own
LABELS = {"app.kubernetes.io/part-of": "presage"}
DOUBLED = ("signal", "risk", "execution", "exit", "monitor")
"""Services that fold the tape and nothing else: a second pod follows its leader and takes over. What feed and journal know
besides (markets to be settled, the archive) is in a volume that no second pod could mount."""
STATE_BYTES = {"journal": "20Gi", "feed": "24Gi"}
"""The journal has the archive too; the feed up to 20 GiB of raw frames, and pauses recording below 2 GiB free."""
HEAD = "# Made by tools/generate/kubernetes.py: change that.\n"


def service(name: str) -> dict[str, object]:
    """The StatefulSet of one service: its own state, its own secret, no account."""
    port = STATUS_PORTS[name]
    labels = {**LABELS, "app.kubernetes.io/name": name, "app.kubernetes.io/component": "service"}
    environment = {
        "PRESAGE_STATE": "/state",
        "PRESAGE_STATUS_ADDRESS": f"0.0.0.0:{port}",
        "PRESAGE_RUN_URL": f"http://supervisor:{STATUS_PORTS['supervisor']}/run",
        "PRESAGE_NATS_CREDENTIALS": MOUNT,
        "PRESAGE_SIGNING_KEYS_DIR": MOUNT,
        "PRESAGE_SECRETS_DIR": MOUNT,
    }
    if name in ("feed", "execution"):
        environment["PRESAGE_KEYS_DIR"] = "/state/sandbox-keys"
    variables: list[dict[str, object]] = [{"name": key, "value": value} for key, value in environment.items()]
    if name in DOUBLED:
        own_name = {"fieldRef": {"fieldPath": "metadata.name"}}
        variables.append({"name": "PRESAGE_INSTANCE", "valueFrom": own_name})
    container = {
        "name": name,
        "image": IMAGE,
        "command": ["python", "-m", f"services.{name}"],
        "env": variables,
        "ports": [{"name": "status", "containerPort": port}],
        "startupProbe": {**_probe("/healthz"), "periodSeconds": 5, "failureThreshold": 120},
        "livenessProbe": {
            **_probe("/healthz"),
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "readinessProbe": {**_probe("/readyz"), "periodSeconds": 5, "timeoutSeconds": 5},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "384Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "state", "mountPath": "/state"},
            {"name": "secrets", "mountPath": MOUNT, "readOnly": True},
            {"name": "tmp", "mountPath": SCRATCH},
        ],
    }
    pod: dict[str, object] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "secrets", "secret": {"secretName": f"{name}-secrets", "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }
    if name in DOUBLED:
        pod["affinity"] = _apart(name)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "serviceName": name,
            "replicas": 2 if name in DOUBLED else 1,
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "state"},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": STATE_BYTES.get(name, "2Gi")}},
                    },
                }
            ],
        },
    }


def _apart(name: str) -> dict[str, object]:
    """The two pods on two nodes, where there are two."""
    term = {
        "labelSelector": {"matchLabels": {"app.kubernetes.io/name": name}},
        "topologyKey": "kubernetes.io/hostname",
    }
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def budget(name: str) -> dict[str, object]:
    """Of two pods one may be taken away by plan."""
    labels = {**LABELS, "app.kubernetes.io/name": name}
    selector = {"matchLabels": {"app.kubernetes.io/name": name}}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "labels": labels},
        "spec": {"maxUnavailable": 1, "selector": selector},
    }


def address(name: str) -> dict[str, object]:
    """The name under which a service's metrics are found; no cluster address."""
    labels = {**LABELS, "app.kubernetes.io/name": name}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "clusterIP": "None",
            "selector": {"app.kubernetes.io/name": name},
            "ports": [{"name": "status", "port": STATUS_PORTS[name], "targetPort": "status"}],
        },
    }


def _probe(path: str) -> dict[str, object]:
    return {"httpGet": {"path": path, "port": "status"}}


def text() -> str:
    """The whole file."""
    documents = [make(name) for name in (*SERVICES, CONSOLE) for make in (service, address)]
    documents += [budget(name) for name in DOUBLED]
    return HEAD + "---\n".join(yaml.safe_dump(document, sort_keys=False, width=120) for document in documents)


def main() -> int:
    """Rewrite or check; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        if FILE.read_text() == text():
            return 0
        print(
            f"expected {FILE.name} as tools/generate/kubernetes.py makes it, was another: make generate",
            file=sys.stderr,
        )
        return 1
    FILE.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
