"""Kubernetes without a cluster: what kustomize makes of an overlay, who reaches whom by its policies, what is wrong with it."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.support.paths import ROOT
from tools.system.kubernetes_secrets import write_secrets

ENVIRONMENT = ROOT / ".venv-kubernetes"
KUBECTL = ENVIRONMENT / "bin" / "kubectl"
VALIDATE = ENVIRONMENT / "bin" / "kubernetes-validate"
OVERLAYS = ("sandbox", "paper", "live")
VERSION = "1.35"
GIVEN = {"feed-keys", "venue-keys"}
"""Secrets that the operator makes of keys that are nobody else's."""

Document = dict[str, Any]


class Pod(NamedTuple):
    """A kind of pod: its workload's name, its labels and the ports of its containers."""

    name: str
    labels: dict[str, str]
    ports: dict[str, int]


@cache
def tree() -> Path:
    """A copy of ``k8s/`` with secrets made for it; gone with the process."""
    keeper = tempfile.TemporaryDirectory(prefix="presage-kubernetes-")
    _KEPT.append(keeper)
    folder = Path(keeper.name)
    shutil.copytree(ROOT / "k8s", folder / "k8s", ignore=shutil.ignore_patterns("secrets"))
    for overlay in ("sandbox", "paper"):
        write_secrets(folder / "state", folder / "k8s" / "overlays" / overlay / "secrets", "database")
    return folder


_KEPT: list[Any] = []


@cache
def rendered(overlay: str) -> str:
    """What ``kubectl apply`` would be given."""
    folder = tree() / "k8s" / "overlays" / overlay
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def documents(overlay: str) -> list[Document]:
    """The same, as objects of one's own."""
    return list(yaml.load_all(rendered(overlay), yaml.CSafeLoader))


def of_kind(found: list[Document], kind: str) -> dict[str, Document]:
    """Name → object."""
    return {document["metadata"]["name"]: document for document in found if document["kind"] == kind}


def containers(workload: Document) -> list[Document]:
    """Of a workload."""
    pod = workload["spec"]["template"]["spec"]
    return [*pod.get("initContainers", ()), *pod["containers"]]


def pods(found: list[Document]) -> dict[str, Pod]:
    """The kinds of pods there are."""
    return {
        name: Pod(
            name,
            workload["spec"]["template"]["metadata"]["labels"],
            {p["name"]: p["containerPort"] for c in containers(workload) for p in c.get("ports", ())},
        )
        for name, workload in of_kind(found, "StatefulSet").items()
    }


# ── who reaches whom ──


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a selector means what has these labels; an empty one means everything."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", ()):
        assert rule["operator"] == "In", f"expected In, was {rule['operator']}"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def _rules(found: list[Document], pod: Pod, direction: str) -> list[Document] | None:
    """What lets a pod's traffic through; ``None`` where no policy speaks of it, and everything passes."""
    policies = [
        policy["spec"]
        for policy in of_kind(found, "NetworkPolicy").values()
        if direction in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], pod.labels)
    ]
    if not policies:
        return None
    return [rule for policy in policies for rule in policy.get(direction.lower(), ())]


def _has_port(rule: Document, port: int) -> bool:
    ports = rule.get("ports")
    return ports is None or any(
        entry.get("protocol", "TCP") == "TCP" and entry["port"] <= port <= entry.get("endPort", entry["port"])
        for entry in ports
    )


def _lets(rules: list[Document] | None, end: str, other: Pod, port: int) -> bool:
    if rules is None:
        return True
    for rule in rules:
        peers = rule.get(end)
        if _has_port(rule, port) and (
            peers is None
            or any(
                "ipBlock" not in peer
                and "namespaceSelector" not in peer
                and selects(peer["podSelector"], other.labels)
                for peer in peers
            )
        ):
            return True
    return False


def reaches(found: list[Document], source: Pod, target: Pod, port: int) -> bool:
    """Whether a pod's connection to another's port passes both ends' policies."""
    leaves = _lets(_rules(found, source, "Egress"), "to", target, port)
    return leaves and _lets(_rules(found, target, "Ingress"), "from", source, port)


def reaches_outside(found: list[Document], source: Pod, port: int) -> bool:
    """Whether a pod reaches addresses outside of the cluster."""
    rules = _rules(found, source, "Egress")
    return rules is None or any(
        _has_port(rule, port) and ("to" not in rule or any("ipBlock" in peer for peer in rule["to"]))
        for rule in rules
    )


# ── what a schema does not see ──

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")


def faults(found: list[Document]) -> list[str]:
    """Everything that is wrong with these objects though each follows its schema."""
    return [*_selectors(found), *_references(found), *_numbers(found), *_disruptions(found)]


def _selectors(found: list[Document]) -> Iterator[str]:
    known = pods(found)
    for name, workload in of_kind(found, "StatefulSet").items():
        if not selects(workload["spec"]["selector"], known[name].labels):
            yield f"{name}: its selector is not of its pods"
        if workload["spec"]["serviceName"] not in of_kind(found, "Service"):
            yield f"{name}: no service {workload['spec']['serviceName']}"
    for name, service in of_kind(found, "Service").items():
        chosen = [
            pod for pod in known.values() if selects({"matchLabels": service["spec"]["selector"]}, pod.labels)
        ]
        if len(chosen) != 1:
            yield f"{name}: a service of {len(chosen)} workloads"
        for pod in chosen:
            wanted = {port["targetPort"] for port in service["spec"]["ports"]}
            if missing := wanted - set(pod.ports):
                yield f"{name}: no port {missing}"


def _references(found: list[Document]) -> Iterator[str]:
    secrets = set(of_kind(found, "Secret")) | GIVEN
    for name, workload in of_kind(found, "StatefulSet").items():
        pod = workload["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
        claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())}
        for volume in volumes.values():
            if "secret" in volume and volume["secret"]["secretName"] not in secrets:
                yield f"{name}: no secret {volume['secret']['secretName']}"
        mounted: set[str] = set()
        for container in containers(workload):
            mounted |= {mount["name"] for mount in container.get("volumeMounts", ())}
            ports = {port["name"] for port in container.get("ports", ())}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                way = container.get(probe, {})
                for kind in ("httpGet", "tcpSocket"):
                    if kind in way and way[kind]["port"] not in ports:
                        yield f"{name}: {probe} of no port"
        if mounted != set(volumes) | claims:
            yield f"{name}: mounts {mounted}, has {set(volumes) | claims}"


def _numbers(found: list[Document]) -> Iterator[str]:
    for document in found:
        for path, value in _walk(document):
            key = path[-1]
            is_port = key in ("port", "endPort", "containerPort", "targetPort") and isinstance(value, int)
            if is_port and not 0 < value < 1 << 16:
                yield f"{document['metadata']['name']}: port {value}"
            is_quantity = key == "sizeLimit" or (len(path) > 1 and path[-2] in ("limits", "requests"))
            if is_quantity and not _QUANTITY.fullmatch(str(value)):
                yield f"{document['metadata']['name']}: quantity {value}"


def _disruptions(found: list[Document]) -> Iterator[str]:
    workloads = of_kind(found, "StatefulSet")
    for name, budget in of_kind(found, "PodDisruptionBudget").items():
        for workload in workloads.values():
            labels = workload["spec"]["template"]["metadata"]["labels"]
            # One of a single pod would keep its node from ever being emptied.
            if selects(budget["spec"]["selector"], labels) and workload["spec"]["replicas"] < 2:
                yield f"{name}: a budget of one pod"


def _walk(value: Any, path: tuple[str, ...] = ("",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, path)
    else:
        yield path, value


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one map, of which kustomize takes the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As a safe loader does."""
        keys = [key.value for key, _ in node.value if key.value != "<<"]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise ValueError(f"expected each key once, was {sorted(twice)}{node.start_mark}")
        return super().construct_mapping(node, deep)
