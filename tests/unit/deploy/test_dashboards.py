"""Grafana's files: made from ``boards.py``, and such that Grafana shows them without a click."""

import json
import re
from typing import Any

import pytest
import yaml

from libs.observability.metrics import Metrics
from libs.observability.server import STATUS_PORTS
from tests.support.paths import ROOT
from tools.generate.boards import BOARDS
from tools.generate.dashboards import DATASOURCE_UID, FOLDER, files

DOCUMENTS = {path.stem: json.loads(text) for path, text in files().items()}


def exported() -> set[str]:
    """Every name that some process exports, whether it has a value yet or not."""
    found = set()
    for process in STATUS_PORTS:
        for family in Metrics(process).registry.collect():
            found |= {family.name, f"{family.name}_total", f"{family.name}_bucket"}
            found |= {sample.name for sample in family.samples}
    return found


def panels(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def test_the_files_are_those_of_the_boards():
    for path, content in files().items():
        assert (ROOT / path).read_text() == content, f"{path}: make generate"
    assert {path.stem for path in (ROOT / FOLDER).iterdir()} == {board.uid for board in BOARDS}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_dashboard_needs_no_import(name: str):
    document = DOCUMENTS[name]
    assert document["uid"] == name
    assert "__inputs" not in document
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))
    [variable] = document["templating"]["list"]
    assert (variable["type"], variable["name"], variable["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    uids = set(re.findall(r'"uid": "([^"]*)"', json.dumps(document)))
    assert uids == {name, "${datasource}"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_query_of_a_panel_has_a_name_and_a_unit(name: str):
    for panel in panels(DOCUMENTS[name]):
        names = [target["refId"] for target in panel["targets"]]
        assert names
        assert len(names) == len(set(names)), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"], panel["title"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_panels_lie_side_by_side(name: str):
    taken: set[tuple[int, int]] = set()
    for panel in DOCUMENTS[name]["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_every_metric_that_is_asked_for_is_exported_and_nothing_hides_an_empty_panel():
    known = exported()
    for board in BOARDS:
        for panel in (panel for section in board.sections for panel in section.panels):
            for query in panel.queries:
                assert "vector(" not in query.expression
                names = set(re.findall(r"\b(?:presage|process)_[a-z_0-9]+", query.expression))
                assert names, query.expression
                assert names <= known, f"{panel.title}: {names - known}"


def test_the_provisioned_source_is_the_default_one_and_has_the_uid_that_files_expect():
    folder = ROOT / "deploy" / "grafana" / "provisioning"
    [source] = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["uid"] == DATASOURCE_UID
    assert source["isDefault"] is True
    [provider] = yaml.safe_load((folder / "dashboards" / "presage.yml").read_text())["providers"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]
    mounted = dict(volume.split(":")[:2] for volume in compose["volumes"])
    assert mounted[f"./{FOLDER}"] == provider["options"]["path"]
    home = compose["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.removeprefix(provider["options"]["path"] + "/") == "trading.json"
