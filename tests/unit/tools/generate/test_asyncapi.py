"""The written contract says what the code does, and a change of the code shows."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from proto import feed
from proto.message import Message, Name, token
from proto.operator import Config
from proto.subjects import TABLE, Row
from tests.support.samples import SAMPLES
from tools.generate import asyncapi

DOCUMENT = asyncapi.document()
BY_NAME = {row.model.__name__: row for row in TABLE}


def test_the_generated_files_are_the_committed_ones(root: Path):
    lines = asyncapi.differences(root)
    assert not lines, "run `make generate`:\n" + "\n".join(lines[:40])


def test_a_change_of_the_table_is_seen(root: Path, monkeypatch: pytest.MonkeyPatch):
    class Rumour(Message):
        """Heard somewhere."""

        kind: ClassVar[str] = "feed.rumour"
        source: Name

        def key(self) -> tuple[str, ...]:
            return (self.source,)

    monkeypatch.setattr(asyncapi, "TABLE", (*TABLE, Row(Rumour, "feed", (), "a rumour")))
    changed = "\n".join(asyncapi.differences(root))
    assert "+    address: feed.rumour.{source}" in changed
    assert "+| `feed.rumour.{source}` |" in changed


def test_check_reports_a_difference_by_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(asyncapi, "ROOT", tmp_path)
    assert asyncapi.main(["--check"]) == 3
    assert "make generate" in capsys.readouterr().err
    assert asyncapi.main([]) == 0
    assert asyncapi.main(["--check"]) == 0
    (tmp_path / "proto" / "asyncapi.yaml").write_text("asyncapi: 2.6.0\n")
    assert asyncapi.main(["--check"]) == 3


def test_the_document_is_plain_yaml_with_every_channel(root: Path):
    stored = yaml.safe_load((root / "proto" / "asyncapi.yaml").read_text())
    assert stored["asyncapi"] == "3.0.0"
    assert stored["defaultContentType"] == "application/msgpack"
    assert list(stored["channels"]) == [row.kind for row in TABLE]


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [reference for item in node for reference in references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [reference for item in node.values() for reference in references(item)]


def test_every_reference_leads_somewhere():
    found = references(DOCUMENT)
    assert found
    for reference in found:
        node = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            assert part in node, reference
            node = node[part]


def test_every_producer_sends_and_every_reader_receives():
    operations = DOCUMENT["operations"]
    for row in TABLE:
        sender = "machines" if row.producer == "*" else row.producer
        assert operations[f"{sender}.send.{row.kind}"]["action"] == "send"
        for reader in row.readers:
            assert operations[f"{reader}.receive.{row.kind}"]["action"] == "receive"
    assert len(operations) == sum(1 + len(row.readers) for row in TABLE)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_the_address_with_its_parameters_filled_in_is_the_subject(sample: Message):
    """The address is derived without an instance; an instance must agree with it."""
    row = BY_NAME[type(sample).__name__]
    channel = DOCUMENT["channels"][row.kind]
    values = {name: token(getattr(sample, name)) for name in channel.get("parameters", {})}
    if isinstance(sample, Config):  # the parts of a section's name are tokens of their own
        values = {"section": sample.section}
    assert channel["address"].format(**values) == sample.subject()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_the_schema_names_every_field_and_no_other(sample: Message):
    schema = DOCUMENT["components"]["schemas"][type(sample).__name__]
    fields = {name: field.is_required() for name, field in type(sample).model_fields.items()}
    assert set(schema["properties"]) == set(fields)
    assert set(schema.get("required", [])) == {name for name, required in fields.items() if required}
    assert set(sample.wire_fields()) <= set(schema["properties"])


def test_tuples_are_described_in_the_dialect_of_asyncapi():
    text = json.dumps(DOCUMENT)
    assert "prefixItems" not in text
    level = DOCUMENT["components"]["schemas"][feed.Level.__name__]
    assert [item["type"] for item in level["items"]] == ["integer", "integer"]
