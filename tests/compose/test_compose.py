"""``docker compose up`` for real: first order, every container killed once, every target up, nothing left behind.

Outside the suite (``make compose-test``): it needs a Docker engine, the images of ``docker-compose.yml``, and minutes.
An image that is not there and cannot be pulled is left out, and said so: Grafana, Prometheus or Alertmanager; the rest
is needed. It runs as a project of its own with ports of its own, beside whatever else runs.
"""

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import yaml

from proto.subjects import CONSOLE, SERVICES
from tests.support.paths import ROOT
from tools.cli.compose import engine

pytestmark = pytest.mark.timeout(1_800)

PROJECT = "presage-compose-test"
PORTS = {"PROMETHEUS": "19090", "ALERTMANAGER": "19093", "GRAFANA": "13000"}
UP_S, HEALTHY_S, ORDER_S = 300.0, 120.0, 1_200.0
"""An order comes when the sandbox's price breaks out: usually within five minutes."""
OPTIONAL = ("prometheus", "alertmanager", "grafana")
KILLED = ("broker", "database", "sandbox", "supervisor", *SERVICES, CONSOLE)
POLL_S = 2.0


def compose(*arguments: str, check: bool = True) -> str:
    """What a compose command printed."""
    environment = os.environ | {f"PRESAGE_{name}_PORT": port for name, port in PORTS.items()}
    line = [*engine(), "--project-name", PROJECT, "--file", str(ROOT / "docker-compose.yml"), *arguments]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0 or not check, f"{' '.join(line)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def presage(*arguments: str) -> Any:
    return json.loads(
        compose("exec", "-T", "supervisor", "presage", *arguments, "--json", check=False) or "{}"
    )


def until(condition: Callable[[], Any], patience_s: float, what: str) -> Any:
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"expected {what} within {patience_s} s"
        time.sleep(POLL_S)
    return found


def inspect(service: str) -> dict[str, Any]:
    name = compose("ps", "-q", service).split()[0]
    found = subprocess.run(["docker", "inspect", name], capture_output=True, text=True, check=True).stdout
    return json.loads(found)[0]


def is_healthy(service: str) -> bool:
    state = inspect(service)["State"]
    return state["Status"] == "running" and state.get("Health", {"Status": "healthy"})["Status"] == "healthy"


def image_of(service: str) -> str:
    text = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][service]["image"]
    variable, default = re.fullmatch(r"\$\{(\w+):-(.+)\}", text).groups()
    return os.environ.get(variable, default)


def can_be_had(service: str) -> bool:
    image = image_of(service)
    asked = [["docker", "image", "inspect", image], ["docker", "pull", "--quiet", image]]
    return any(subprocess.run(line, capture_output=True, check=False).returncode == 0 for line in asked)


@pytest.fixture(scope="module")
def services() -> Iterator[list[str]]:
    """What was brought up; taken down with its volumes at the end."""
    if not engine() or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.fail("expected a Docker engine and compose, was none")
    missing = [name for name in OPTIONAL if not can_be_had(name)]
    if missing:
        print(f"left out, because the image cannot be had: {', '.join(missing)}")
    chosen = [name for name in compose("config", "--services").split() if name not in missing]
    compose("down", "--volumes", check=False)
    compose("build", "bootstrap")
    began = time.monotonic()
    try:
        compose("up", "--detach", *chosen)
        for name in chosen:
            if name != "bootstrap":
                until(partial(is_healthy, name), UP_S, f"{name} to be healthy")
        print(f"everything healthy after {time.monotonic() - began:.0f} s")
        yield chosen
    finally:
        compose("down", "--volumes")
        left = subprocess.run(
            ["docker", "volume", "ls", "--quiet", "--filter", f"name={PROJECT}"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert not left, f"expected nothing to be left, was {left}"


def test_all_of_it(services: list[str]) -> None:
    """One scenario, in order: each step begins where the one before ended."""
    began = time.monotonic()
    until(lambda: presage("status").get("orders") == "open", HEALTHY_S, "orders to be open")
    until(lambda: presage("orders").get("orders"), ORDER_S, "an order")
    print(f"first order {time.monotonic() - began:.0f} s after everything was healthy")

    if "prometheus" in services:
        until(targets_are_up, HEALTHY_S, "every target up")
        until(lambda: firing() == {"DeadMansSwitch"}, HEALTHY_S, "no alert on a healthy system")
    if "grafana" in services:
        found = fetch(f"http://127.0.0.1:{PORTS['GRAFANA']}/api/search?type=dash-db")
        names = {path.stem for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")}
        assert {board["uid"] for board in found} == names

    for service in KILLED:
        kill(service)
    kill("execution")
    assert presage("alerts") is not None
    replayed = presage("replay")
    assert replayed.get("identical"), replayed
    verified = compose("exec", "-T", "supervisor", "presage", "journal", "verify")
    assert "sound" in verified
    if "prometheus" in services:
        until(targets_are_up, HEALTHY_S, "every target up again")
    print(memory())


def kill(service: str) -> None:
    """End a container's process as a crash does; its engine starts it again, and orders may leave again."""
    before = inspect(service)["State"]
    if service == "database":
        # Its server is the container's first process, which no signal from inside ends.
        compose("kill", service)
        compose("start", service)
    else:
        compose("exec", "-T", service, "bash", "-c", "kill -9 -1", check=False)
    until(
        lambda: inspect(service)["State"]["StartedAt"] != before["StartedAt"], HEALTHY_S, f"{service} again"
    )
    until(lambda: is_healthy(service), HEALTHY_S, f"{service} to be healthy again")
    until(lambda: presage("status").get("orders") == "open", HEALTHY_S, f"orders open after {service} died")


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def targets_are_up() -> bool:
    found = fetch(f"http://127.0.0.1:{PORTS['PROMETHEUS']}/api/v1/targets")["data"]["activeTargets"]
    return len(found) == 2 + len(SERVICES) and all(target["health"] == "up" for target in found)


def firing() -> set[str]:
    found = fetch(f"http://127.0.0.1:{PORTS['PROMETHEUS']}/api/v1/alerts")["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"}


def memory() -> str:
    """What each container takes, as the engine counts it."""
    ids = compose("ps", "-q").split()
    line = ["docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *ids]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout
