"""The tables of ``docs/reference/configuration.md``, from the models of the sections and of the environment.

The page is written by hand around them; each table stands between two comments that name it.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from libs.changes.limits import ChangeLimits
from libs.config.environment import ChildEnvironment, Environment, Variables
from libs.config.section import FORM_KEY, Section
from libs.config.wanted import former_names
from proto.units import UNIT_KEY, UNIT_MILLIONTHS, show
from services.advisor.params import AdvisorParams
from services.feed.news.params import NewsParams
from services.journal.params import ArchiveParams
from tools.system.composition import ADVISOR, ARCHIVE, EVALUATION, NEWS, models, venue_models

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path("docs/reference/configuration.md")


def render_configuration() -> str:
    """The page with its tables as the models have them."""
    made = {
        "sections": _sections(),
        "environment": _variables(Environment),
        "children": _variables(ChildEnvironment),
    }
    parts = re.split(r"(<!-- generated: \w+ -->\n|<!-- end -->\n)", (ROOT / PAGE).read_text())
    for index, part in enumerate(parts):
        if found := re.match(r"<!-- generated: (\w+) -->", part):
            parts[index + 1] = "\n".join(["", *made[found[1]], "", ""])
    return "".join(parts)


def _sections() -> Iterator[str]:
    for name, model in (
        models()
        | {EVALUATION: ChangeLimits, ARCHIVE: ArchiveParams, ADVISOR: AdvisorParams, NEWS: NewsParams}
        | venue_models()
    ).items():
        path = name.replace(".", "/")
        yield f"### `{name}`"
        yield ""
        yield (
            " ".join((model.__doc__ or "").partition("\n\n")[0].split()).replace("``", "`")
            + f" File: `config/{path}.yaml`."
        )
        yield ""
        yield from _keys(model)
        yield ""


def _keys(model: type[Section]) -> Iterator[str]:
    former = {name: old for old, name in former_names(model).items()}
    yield "| Key | Value | Default | |"
    yield "|---|---|---|---|"
    whole = model.model_json_schema(by_alias=False)
    for key, schema in whole["properties"].items():
        before = f"; on older tapes `{former[key]}`" if key in former else ""
        about = schema.get("description", "") + before
        if "$ref" in schema.get("items", {}):
            keys = whole["$defs"][schema["items"]["$ref"].rpartition("/")[2]]["properties"]
            yield f"| `{key}` | list of: {', '.join(f'`{name}`' for name in keys)} | see the file | {about} |"
            continue
        yield f"| `{key}` | {_kind(schema)} | `{_written(schema, schema.get('default'))}` | {about} |"


def _kind(schema: dict[str, Any]) -> str:
    """What a key takes, in words."""
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if schema.get("type") == "array":
        return f"list of: {_kind(schema['items'])}"
    if FORM_KEY in schema:
        return str(schema[FORM_KEY])
    if schema.get("type") == "integer":
        bounds = [_written(schema, schema[name]) for name in ("minimum", "maximum") if name in schema]
        return " to ".join(bounds) or "a whole number"
    return {"boolean": "`true` or `false`", "string": "text", "number": "a number"}.get(
        schema.get("type", ""), ""
    )


def _written(schema: dict[str, Any], value: Any) -> str:
    """A value as a file has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    if schema.get(UNIT_KEY) == UNIT_MILLIONTHS:
        text = show(value)
        return text if "." in text else f"{text}.0"
    return '""' if value == "" else str(value)


def _variables(kind: type[Variables]) -> Iterator[str]:
    yield "| Variable | |"
    yield "|---|---|"
    yield from (f"| `{name}` | {about} |" for name, about in kind.variables().items())
