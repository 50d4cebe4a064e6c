"""Alertmanager's configuration, and the one that the documentation shows."""

import re
from typing import Any

import yaml

from tests.support.paths import ROOT

SHIPPED = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"


def receivers_asked_for(route: dict[str, Any]) -> set[str]:
    found = {route["receiver"]} if "receiver" in route else set()
    return found.union(*map(receivers_asked_for, route.get("routes", ())))


def test_every_receiver_that_a_route_names_exists():
    page = (ROOT / "docs" / "how-to" / "grafana.md").read_text()
    shown = [
        block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if block.startswith("route:")
    ]
    assert shown
    for text in (SHIPPED.read_text(), *shown):
        document = yaml.safe_load(text)
        assert receivers_asked_for(document["route"]) <= {
            receiver["name"] for receiver in document["receivers"]
        }
