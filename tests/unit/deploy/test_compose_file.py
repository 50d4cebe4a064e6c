"""docker-compose.yml against the compose specification, and against what DESIGN asks of each container."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_pydantic import ComposeSpecification

from libs.config.environment import PREFIX
from libs.observability.server import STATUS_PORTS
from libs.tape.broker import binary
from proto.subjects import CONSOLE, SERVICES
from services.monitor.notify.senders import FOLDER
from tests.support.paths import ROOT
from tools.system.bootstrap import CLUSTER_CONFIG, NODES, bootstrap
from tools.system.shares import BROKER

FILES = (ROOT / "docker-compose.yml", *sorted((ROOT / "deploy" / "compose").glob("*.yml")))
OURS = ("bootstrap", "broker", "sandbox", "supervisor", *SERVICES, CONSOLE)
DOCUMENT: dict[str, Any] = yaml.safe_load(FILES[0].read_text())
CONTAINERS: dict[str, dict[str, Any]] = DOCUMENT["services"]


def mounts(name: str) -> dict[str, str]:
    """Volume or path → where it is mounted, with its mode."""
    return dict(mount.split(":", 1) for mount in CONTAINERS[name].get("volumes", ()))


def environment(name: str) -> dict[str, str]:
    return CONTAINERS[name].get("environment", {})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_file_follows_the_specification(file):
    document = yaml.safe_load(file.read_text())
    # Extensions are part of the specification, and left out of the package's model.
    ComposeSpecification.model_validate({k: v for k, v in document.items() if not k.startswith("x-")})
    assert "version" not in document
    # docker-compose 1.29 refuses it.
    assert "name" not in document


def test_the_check_finds_a_misspelt_key():
    with pytest.raises(ValueError, match="imag"):
        ComposeSpecification.model_validate({"services": {"x": {"imag": "y"}}})


@pytest.mark.parametrize("name", CONTAINERS)
def test_no_container_may_do_more_than_it_must(name: str):
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in container["security_opt"]
    assert "privileged" not in container
    assert container["restart"] == ("no" if name == "bootstrap" else "unless-stopped")
    assert not any("docker.sock" in source for source in mounts(name))


@pytest.mark.parametrize("name", sorted(set(CONTAINERS) - {"bootstrap"}))
def test_every_container_that_stays_has_a_bound_of_memory(name: str):
    assert re.fullmatch(r"[0-9]+m", CONTAINERS[name]["deploy"]["resources"]["limits"]["memory"])


@pytest.mark.parametrize("name", OURS)
def test_our_containers_run_our_image_and_reap(name: str):
    assert CONTAINERS[name]["image"].startswith("presage:")
    assert CONTAINERS[name]["init"] is True
    if name != "bootstrap":
        assert CONTAINERS[name]["healthcheck"]["test"][1] == "deploy/container/healthy"


@pytest.mark.parametrize("name", sorted(set(CONTAINERS) - set(OURS)))
def test_other_images_have_a_version(name: str):
    found = re.fullmatch(r"\$\{PRESAGE_[A-Z]+_IMAGE:-([^}]+)\}", CONTAINERS[name]["image"])
    assert found
    assert re.search(r":v?[0-9]+\.[0-9]+(\.[0-9]+)?(-alpine)?$", found[1])


@pytest.mark.parametrize("service", [*SERVICES, CONSOLE])
def test_a_service_mounts_its_own_directory_and_nobody_elses(service: str):
    found = mounts(service)
    assert found.pop(service) == "/state"
    expected = {"archive": "/state/archive:ro"}
    if service == "feed":
        expected = {}
    elif service == "execution":
        expected |= {"gate": "/gate:ro"}
    elif service == CONSOLE:
        # It writes the HALT file there, which stops everything also while the broker is gone.
        expected |= {"gate": "/gate"}
    elif service == "journal":
        expected = {"archive": "/state/archive", "anchors": "/state/journal"}
    assert found == expected
    assert "env_file" not in CONTAINERS[service]
    assert environment(service)["PRESAGE_STATUS_ADDRESS"] == f"0.0.0.0:{STATUS_PORTS[service]}"
    assert CONTAINERS[service]["healthcheck"]["test"][2] == str(STATUS_PORTS[service])
    assert CONTAINERS[service]["command"] == ["python", "-m", f"services.{service}"]


def test_who_has_the_operators_key():
    """Its volume is the supervisor's; the step that makes it is the only other one that sees it."""
    assert {name for name in CONTAINERS if "supervisor" in mounts(name)} == {"bootstrap", "supervisor"}
    assert {name for name in CONTAINERS if "database-password" in mounts(name)} == {"bootstrap", "database"}


def test_no_secret_is_in_an_environment():
    for name in CONTAINERS:
        for variable, value in environment(name).items():
            secret = re.search(r"PASSWORD|SECRET|TOKEN|PASSPHRASE|_KEY$", variable)
            assert not secret or variable.endswith(("_FILE", "_DIR")), f"{name}: {variable}"
            assert "@" not in str(value), f"{name}: {variable}"


def test_only_what_is_looked_at_has_a_port_and_on_loopback_alone():
    published = {name: c["ports"] for name, c in CONTAINERS.items() if "ports" in c}
    assert set(published) == {CONSOLE, "prometheus", "alertmanager", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_nothing_but_what_has_a_port_is_on_a_network_with_a_way_out():
    assert DOCUMENT["networks"]["default"] == {"internal": True}
    outside = {name for name, c in CONTAINERS.items() if set(c.get("networks", ["default"])) - {"default"}}
    assert outside == {CONSOLE, "prometheus", "alertmanager", "grafana"}
    assert CONTAINERS["bootstrap"]["network_mode"] == "none"


def test_with_real_prices_the_feed_alone_gets_out():
    paper = yaml.safe_load((ROOT / "deploy" / "compose" / "paper.yml").read_text())
    assert {name for name, c in paper["services"].items() if "networks" in c} == {"feed"}


def test_for_notifications_the_monitor_alone_gets_out_and_sees_the_channels_files():
    text = (ROOT / "deploy" / "compose" / "notify.yml").read_text()
    assert set(yaml.safe_load(text)["services"]) == {"monitor"}
    monitor = yaml.safe_load(text)["services"]["monitor"]
    assert monitor["networks"] == ["default", "notifications"]
    mount = monitor["volumes"][0].rpartition("}")[2]
    assert mount == f":{monitor['environment']['PRESAGE_KEYS_DIR']}/{FOLDER}:ro"
    page = (ROOT / "docs" / "how-to" / "notifications.md").read_text()
    assert "-f deploy/compose/notify.yml" in page
    assert "docker compose exec monitor presage notify test" in page


CLUSTER: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose" / "cluster.yml").read_text())


@pytest.mark.parametrize("service", SERVICES)
def test_a_standby_is_its_service_once_more(service: str):
    standby, first = CLUSTER["services"][f"{service}-standby"], CONTAINERS[service]
    assert standby["environment"] == {"PRESAGE_INSTANCE": "standby"} | first["environment"]
    for key in ("command", "volumes", "read_only", "cap_drop", "security_opt", "image", "init", "restart"):
        assert standby[key] == first[key], key
    assert standby["healthcheck"]["test"] == first["healthcheck"]["test"]


def test_three_nodes_are_mounted_named_and_waited_for():
    services = CLUSTER["services"]
    nodes = [node for node in NODES if node != BROKER]
    assert services["supervisor"]["environment"]["PRESAGE_NATS_URL"] == ",".join(
        f"nats://{node}:4222" for node in NODES
    )
    assert services["bootstrap"]["volumes"] == [f"{node}:/services/{node}" for node in nodes]
    assert set(services["supervisor"]["depends_on"]) == set(nodes) == set(CLUSTER["volumes"])
    for node in NODES:
        assert services[node]["command"] == ["nats-server", "-c", f"/state/{CLUSTER_CONFIG}"]
        mounted = services[node] if node != BROKER else CONTAINERS[BROKER]
        assert mounted["volumes"] == [f"{node}:/state"]


def test_the_nodes_configurations_are_what_the_server_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    services = tmp_path / "services"
    for node in NODES:
        (services / node).mkdir(parents=True)
    monkeypatch.setenv(f"{PREFIX}SERVICES_DIR", str(services))
    bootstrap(tmp_path / "state", "database")
    for node in NODES:
        config = services / node / CLUSTER_CONFIG
        text = config.read_text()
        assert f"server_name: {node}\n" in text
        assert all((f"@{other}:6222" in text) == (other != node) for other in NODES)
        here = text.replace("/state/jetstream", str(services / node / "jetstream"))
        checked = config.with_suffix(".here")
        checked.write_text(here)
        found = subprocess.run(
            [binary(), "-c", str(checked), "-t"], capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stderr


def test_every_volume_and_every_dependency_exists():
    named = {source for name in CONTAINERS for source in mounts(name) if not source.startswith(".")}
    assert named == set(DOCUMENT["volumes"])
    for name, container in CONTAINERS.items():
        for other, how in container.get("depends_on", {}).items():
            healthy = how["condition"] == "service_healthy"
            assert "healthcheck" in CONTAINERS[other] or not healthy, f"{name} waits for {other}"
        for source in mounts(name):
            assert not source.startswith("./") or (ROOT / source).exists(), source


def test_prometheus_scrapes_every_status_port():
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    configs = scraped["scrape_configs"][0]["static_configs"]
    assert {c["labels"]["process"]: c["targets"] for c in configs} == {
        name: [f"{name}:{port}"] for name, port in STATUS_PORTS.items() if name in CONTAINERS
    }
    assert environment("supervisor")["PRESAGE_STATUS_ADDRESS"] == f"0.0.0.0:{STATUS_PORTS['supervisor']}"
