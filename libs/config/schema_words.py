"""The keys of a section in words: what each takes, its default, and what it means."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from libs.config.section import FORM_KEY, Section
from libs.config.wanted import former_names
from proto.units import UNIT_KEY, UNIT_MILLIONTHS, show


class KeyWords(NamedTuple):
    """A key as a reader wants it. ``takes`` and ``default`` are Markdown."""

    key: str
    takes: str
    default: str
    about: str


def keys_in_words(model: type[Section]) -> Iterator[KeyWords]:
    """Every key of a section, in its order."""
    former = {name: old for old, name in former_names(model).items()}
    whole = model.model_json_schema(by_alias=False)
    for key, schema in whole["properties"].items():
        before = f"; on older tapes `{former[key]}`" if key in former else ""
        about = schema.get("description", "") + before
        if "$ref" in schema.get("items", {}):
            keys = whole["$defs"][schema["items"]["$ref"].rpartition("/")[2]]["properties"]
            yield KeyWords(key, f"list of: {', '.join(f'`{name}`' for name in keys)}", "see the file", about)
            continue
        yield KeyWords(key, _kind(schema), f"`{_written(schema, schema.get('default'))}`", about)


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
