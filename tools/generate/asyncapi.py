"""Writes the contract of the tape down: ``proto/schema/``, ``proto/asyncapi.yaml``, ``docs/reference/subjects.md``.

All are made from the subject table and the message classes and from nothing else, so they cannot say
more than the code does. ``python -m tools.generate.asyncapi`` writes them, and the other pages of reference;
``--check`` compares (exit code 3 when a file differs); ``tests/unit/tools/generate/test_asyncapi.py`` compares too.
"""

import argparse
import difflib
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from libs.tape.record import (
    BUILD_HEADER,
    CAUSE_HEADER,
    ID_HEADER,
    KEY_ID_HEADER,
    ROOT_HEADER,
    SIGNATURE_HEADER,
)
from proto.execution import Claim
from proto.message import Message, Record
from proto.subjects import LEDGER, TABLE, TAPE, Row
from tools.generate import amounts, configuration, openapi, terms

ROOT = Path(__file__).resolve().parents[2]
OK, DIFFERENT = 0, 3
"""Exit codes."""

_SCHEMAS = "#/components/schemas/"
_HEADERS: dict[str, tuple[str, str]] = {
    ID_HEADER: ("string", "message id: `{tape}:{producer}:{cause}:{index}`; the broker drops a repeat of it"),
    CAUSE_HEADER: ("string", "tape sequence of the input that caused this message"),
    ROOT_HEADER: ("string", "tape sequence of the first cause in the chain"),
    BUILD_HEADER: ("string", "build of the service that published it"),
    SIGNATURE_HEADER: ("string", "Ed25519 signature, on approvals and on every `operator.*` message"),
    KEY_ID_HEADER: ("string", "which public key verifies the signature"),
}
_CORE = (
    "Core subjects, which no stream keeps: `report.<service>` (health, twice a second), `lockstep.…` (playing at full speed), "
    "`work.request.<user>` and `work.answer.<user>.<id>`: what operator and console ask of the evaluator, and its answers "
    "(`tools/offline/worker/README.md`)."
)
_INTRODUCTION = (
    "Everything that happens in Presage is a message on one sequenced JetStream stream. The first token of "
    "a subject names the service that may publish it. Payloads are msgpack maps without the fields that "
    "have their default value; amounts are integers of one millionth, times are nanoseconds since the Unix "
    "epoch."
)
_BYTES = "Fields of the format binary are plain binary in msgpack."


# ── what the table says about a subject ─────────────────────────────────────────────────────────────


class _Placeholder(str):
    """Stands for a field's value where a message builds its subject."""

    __slots__ = ()

    @property
    def value(self) -> str:
        return str(self)


class _Blank:
    """Stands for a message without values: each field is its own name in braces."""

    def __init__(self, model: type[Message]) -> None:
        self.kind = model.kind
        self._model = model

    def key(self) -> tuple[str, ...]:
        return self._model.key(cast("Message", self))

    def __getattr__(self, name: str) -> _Placeholder:
        return _Placeholder(f"{{{name}}}")


def address(row: Row) -> str:
    """The subject with its variable tokens in braces: ``risk.rejection.{strategy}.{market}``."""
    return row.model.subject(cast("Message", _Blank(row.model)))


def parameters(row: Row) -> tuple[str, ...]:
    """Names of the fields that make up the subject's variable tokens, in order."""
    return tuple(re.findall(r"{(\w+)}", address(row)))


def stream(row: Row) -> str:
    """The stream it is published to. Claims reach the tape through the broker's own copying."""
    return LEDGER if row.model is Claim else TAPE


def fields(model: type[Message]) -> Iterator[tuple[str, str, str]]:
    """Name, type and default of each field; the types by their names in ``proto``."""
    properties = schema(model)["properties"]
    for name, field in model.model_fields.items():
        yield name, _type_name(properties[name]), "" if field.is_required() else _default_text(field.default)


def _type_name(described: dict[str, Any]) -> str:
    if "title" in described:
        return str(described["title"])
    if "$ref" in described:
        return str(described["$ref"]).rpartition("/")[2]
    if "anyOf" in described:
        return " | ".join(_type_name(part) for part in described["anyOf"])
    if described["type"] == "array":
        return f"tuple[{_type_name(described['items'])}, ...]"
    if described.get("format") == "binary":
        return "bytes"
    return {"boolean": "bool", "string": "str", "integer": "int", "null": "None"}[described["type"]]


def _default_text(default: Any) -> str:
    if isinstance(default, Record):
        return f"{type(default).__name__}()"
    return f"{type(default).__name__}.{default.name}" if isinstance(default, Enum) else repr(default)


class _Schema(GenerateJsonSchema):
    """JSON Schema without a title made of each field's name; types keep theirs."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 (the base class names it)
        return False


def schema(model: type[Message]) -> dict[str, Any]:
    """The JSON Schema of a message, as ``proto/schema/`` publishes it."""
    made = model.model_json_schema(schema_generator=_Schema)
    return {"$schema": _Schema.schema_dialect, **made}


# ── AsyncAPI ────────────────────────────────────────────────────────────────────────────────────────


def document() -> dict[str, Any]:
    """The AsyncAPI 3.0.0 document as plain data."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Presage tape",
            "version": "1",
            "license": {"name": "Apache-2.0"},
            "description": f"{_INTRODUCTION} {_BYTES}",
        },
        "defaultContentType": "application/msgpack",
        "servers": {
            "broker": {
                "host": "{address}",
                "protocol": "nats",
                "description": f"NATS with JetStream; the streams are {TAPE} and {LEDGER}.",
                "variables": {
                    "address": {"description": "host:port; the embedded broker takes a free port"},
                },
            }
        },
        "channels": {row.kind: _channel(row) for row in TABLE},
        "operations": _operations(),
        "components": {
            "messages": {row.model.__name__: _message(row) for row in TABLE},
            "schemas": _schemas(),
        },
    }


def _channel(row: Row) -> dict[str, Any]:
    channel: dict[str, Any] = {"address": address(row), "summary": row.about}
    if names := parameters(row):
        channel["parameters"] = {
            name: {
                "description": "dots, wildcards and blanks as %XX",
                "location": f"$message.payload#/{name}",
            }
            for name in names
        }
    channel["messages"] = {
        row.model.__name__: {"$ref": f"#/components/messages/{row.model.__name__}"},
    }
    channel["x-stream"] = stream(row)
    return channel


def _operations() -> dict[str, Any]:
    """Who sends and who receives; services stand in the name, for one document describes them all."""
    operations: dict[str, Any] = {}
    for row in TABLE:
        producer = "machines" if row.producer == "*" else row.producer
        for actor, action in ((producer, "send"), *((reader, "receive") for reader in row.readers)):
            operations[f"{actor}.{action}.{row.kind}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{row.kind}"},
                "tags": [{"name": actor}],
            }
    return operations


def _message(row: Row) -> dict[str, Any]:
    return {
        "name": row.model.__name__,
        "title": row.about,
        "contentType": "application/msgpack",
        "headers": {"$ref": f"{_SCHEMAS}Headers"},
        "payload": {"$ref": f"{_SCHEMAS}{row.model.__name__}"},
    }


def _schemas() -> dict[str, Any]:
    _, definitions = models_json_schema(
        [(row.model, "validation") for row in TABLE],
        ref_template=f"{_SCHEMAS}{{model}}",
        schema_generator=_Schema,
    )
    components: dict[str, Any] = {}
    for name, described in definitions["$defs"].items():
        components[name] = _rows_apart(described, components)
    headers = {
        "title": "Headers",
        "type": "object",
        "properties": {
            name: {"type": kind, "description": about} for name, (kind, about) in _HEADERS.items()
        },
        "required": [ID_HEADER],
    }
    return {"Headers": headers} | {name: _plain(components[name]) for name in sorted(components)}


def _rows_apart(described: Any, components: dict[str, Any]) -> Any:
    """The schema with a reference for each row (level, check …), whose own schema joins the components."""
    if isinstance(described, list):
        return [_rows_apart(part, components) for part in described]
    if not isinstance(described, dict):
        return described
    if "prefixItems" in described:
        components[described["title"]] = described
        return {"$ref": f"{_SCHEMAS}{described['title']}"}
    return {key: _rows_apart(value, components) for key, value in described.items()}


def _plain(schema: Any) -> Any:
    """The schema in AsyncAPI's own dialect (JSON Schema draft-07): tuples by ``items``."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain(value) for key, value in schema.items()}
    if "prefixItems" in plain:
        plain["items"] = plain.pop("prefixItems")
        plain["additionalItems"] = True
    if isinstance(plain.get("description"), str):
        plain["description"] = inspect.cleandoc(plain["description"])
    return plain


class _Dumper(yaml.SafeDumper):
    """YAML without anchors, with long texts as blocks."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (the base class names it)
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def render_asyncapi() -> str:
    """The text of ``proto/asyncapi.yaml``."""
    head = "# Generated from proto/subjects.py by `make generate`; a test fails when it differs.\n"
    return head + yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=108)


# ── reference page ──────────────────────────────────────────────────────────────────────────────────


def render_subjects() -> str:
    """The text of ``docs/reference/subjects.md``."""
    lines = [
        "# Subjects and messages",
        "",
        "<!-- Generated from proto/subjects.py by `make generate`; a test fails when it differs. -->",
        "",
        *textwrap.wrap(_INTRODUCTION, 110),
        "",
        "`Price`, `Quantity` and `Money` are integers in millionths of a dollar or contract; `Nanoseconds` count",
        "from the Unix epoch; `Integer` has 64 bits; `Name` is 1 to 120 characters, `Text` at most 512. In a subject, dots, wildcards",
        "and blanks of a name are written as `%XX`.",
        "",
        "| Subject | Message | Published by | Machines that read it | |",
        "|---|---|---|---|---|",
    ]
    for row in TABLE:
        name = row.model.__name__
        producer = "every machine" if row.producer == "*" else row.producer
        readers = ", ".join(row.readers) or "–"
        link = f"[{name}](#{name.lower()})"
        lines.append(f"| `{address(row)}` | {link} | {producer} | {readers} | {row.about} |")
    lines += ["", "The journal reads everything but quotes and books.", "", "## Headers", ""]
    lines += ["| Header | |", "|---|---|"]
    lines += [f"| `{name}` | {about} |" for name, (_, about) in _HEADERS.items()]
    lines += ["", "## Not stored", "", *textwrap.wrap(_CORE, 110)]
    for row in TABLE:
        lines += ["", *_section(row)]
    return "\n".join(lines) + "\n"


def _section(row: Row) -> Iterator[str]:
    yield f"## {row.model.__name__}"
    yield ""
    yield f"`{address(row)}` on `{stream(row)}`"
    yield ""
    yield from inspect.cleandoc(row.model.__doc__ or "").replace("``", "`").splitlines()
    yield ""
    yield "| Field | Type | Default |"
    yield "|---|---|---|"
    for name, kind, default in fields(row.model):
        yield f"| `{name}` | `{kind.replace('|', chr(92) + '|')}` | {f'`{default}`' if default else 'required'} |"


# ── command ─────────────────────────────────────────────────────────────────────────────────────────


def render() -> dict[Path, str]:
    """Every generated file, by its path from the root, and its text."""
    return {
        Path("proto/asyncapi.yaml"): render_asyncapi(),
        Path("docs/reference/subjects.md"): render_subjects(),
        configuration.PAGE: configuration.render_configuration(),
        terms.PAGE: terms.render_terms(),
        openapi.PAGE: openapi.render_openapi(),
        amounts.PAGE: amounts.render_amounts(),
    } | {
        Path(f"proto/schema/{row.kind}.json"): json.dumps(schema(row.model), indent=2, ensure_ascii=False)
        + "\n"
        for row in TABLE
    }


def differences(root: Path) -> list[str]:
    """A unified diff from the files under ``root`` to what the code says; empty when they agree."""
    lines: list[str] = []
    for path, text in render().items():
        file = root / path
        stored = file.read_text(encoding="utf-8") if file.is_file() else ""
        lines += difflib.unified_diff(
            stored.splitlines(), text.splitlines(), str(path), f"{path} (from the code)", lineterm="", n=1
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the generated files, or compare them with ``--check``."""
    parser = argparse.ArgumentParser(prog="python -m tools.generate.asyncapi", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit code 3 when a file differs")
    if parser.parse_args(arguments).check:
        lines = differences(ROOT)
        if lines:
            print("\n".join(lines[:40]))
            print(
                "expected generated files to match the code; `make generate` rewrites them", file=sys.stderr
            )
        return DIFFERENT if lines else OK
    for path, text in render().items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
        print(path)
    return OK


if __name__ == "__main__":
    sys.exit(main())
