"""A chain of causes for people: each message with a sentence, its checks with limit and value, and milliseconds."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from libs.bounded import clip
from libs.explain.chain import find_chain
from libs.view import wording
from libs.view.check_words import check_label, check_number
from libs.view.names import short_id
from proto.subjects import model_of
from proto.units import UNIT_KEY, UNIT_MILLIONTHS, show
from services.console.cells import time
from services.console.journal import as_exact
from services.console.surroundings import Surroundings
from services.console.what_if import setting_of

FIELD_CHARACTERS_MAX = 600
BARS_MAX = 40
"""Of the timeline; the list below it has all."""
_SHOWN_FIRST = (
    "side",
    "quantity",
    "price",
    "bid",
    "ask",
    "fair_value",
    "edge",
    "status",
    "filled",
    "reason",
    "text",
)


async def explain(now: Surroundings, name: str) -> list[dict[str, Any]]:
    """The chain as plain data, as ``presage why --json`` has it, without a number that a browser would round."""
    chain: list[dict[str, Any]] = as_exact(await find_chain(now.history(), name))
    return chain


def steps_of(chain: list[dict[str, Any]], unit: str) -> list[dict[str, Any]]:
    """The chain as the page shows it."""
    if not chain:
        return []
    began = int(chain[0]["stored_at"])
    return [_step(step, began, unit) for step in chain]


def bars_of(chain: list[dict[str, Any]]) -> list[tuple[str, str, float, float]]:
    """Kind, class, begin and end in milliseconds after the first cause."""
    if not chain:
        return []
    began = int(chain[0]["stored_at"])
    bars = []
    for step in chain[:BARS_MAX]:
        end = (int(step["stored_at"]) - began) / 1e6
        took = step["since_cause_ms"] or 0.0
        kind = ".".join(step["subject"].split(".")[:2])
        bars.append((kind, kind.partition(".")[0], max(end - took, 0.0), max(end, 0.0)))
    return bars


def _step(step: Mapping[str, Any], began: int, unit: str) -> dict[str, Any]:
    payload: Mapping[str, Any] = step["payload"] or {}
    amounts = amounts_of(step["subject"])
    checks = [*payload.get("checks", ()), *payload.get("failed", ())]
    return {
        "seq": step["seq"],
        "role": step["role"],
        "subject": wording.clean(step["subject"]),
        "kind": ".".join(step["subject"].split(".")[:2]),
        "name": wording.clean(step.get("name", "")),
        "stored_at": str(step["stored_at"]),
        "offset_ms": f"{(int(step['stored_at']) - began) / 1e6:,.2f}",
        "since_cause_ms": step["since_cause_ms"],
        "summary": _summary(payload, amounts),
        "checks": [_check(check, unit) for check in checks],
        "fields": _fields(step, payload, amounts),
        "time": time(str(step["stored_at"])),
    }


def _check(check: Any, unit: str) -> dict[str, Any]:
    if isinstance(check, Mapping):
        name, limit, value, passed = check["name"], check["limit"], check["value"], check.get("passed", True)
    else:
        name, limit, value, passed = check
    return {
        "label": check_label(name),
        "limit": check_number(name, int(limit), unit),
        "value": check_number(name, int(value), unit),
        "passed": passed,
        "setting": setting_of(name),
    }


def _summary(payload: Mapping[str, Any], amounts: frozenset[str]) -> str:
    parts = []
    for field in _SHOWN_FIRST:
        value = payload.get(field)
        if value in (None, "", 0):
            continue
        shown = show(int(value)) if field in amounts else wording.reason(str(value))
        parts.append(
            shown if field in ("side", "text", "reason", "status") else f"{field.replace('_', ' ')} {shown}"
        )
    if payload.get("order"):
        parts.insert(0, f"order {short_id(str(payload['order']))}")
    return ", ".join(parts)


def _fields(
    step: Mapping[str, Any], payload: Mapping[str, Any], amounts: frozenset[str]
) -> list[tuple[str, str]]:
    fields = [("message id", str(step["message_id"])), ("cause", str(step["cause"] or "–"))]
    for name, value in payload.items():
        if name in ("checks", "failed"):
            continue
        shown = show(int(value)) if name in amounts and isinstance(value, int | str) else str(value)
        shown = wording.clean(shown)
        fields.append((name, clip(shown, FIELD_CHARACTERS_MAX)))
    return fields


@lru_cache(maxsize=512)
def amounts_of(subject: str) -> frozenset[str]:
    """The fields of a message that are amounts in millionths, by its schema."""
    model = model_of(subject)
    if model is None:
        return frozenset()
    properties = model.model_json_schema().get("properties", {})
    return frozenset(name for name, field in properties.items() if _is_amount(field))


def _is_amount(field: Mapping[str, Any]) -> bool:
    variants = (field, *field.get("anyOf", ()))
    return any(variant.get(UNIT_KEY) == UNIT_MILLIONTHS for variant in variants)
