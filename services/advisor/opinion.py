"""What a model must answer, as a schema, and what its answer is, judged by us. Pure.

Providers drop bounds and lengths of a schema on the way, so the limits stand in the prompt too, and each is checked
here once more. A model's answer is data: nothing in it is obeyed.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from libs.bounded import cut
from libs.forecasting.odds import is_saturated
from proto.advisor import (
    REASONS_CHARACTERS_MAX,
    REASONS_MAX,
    SHORT_CHARACTERS_MAX,
    SOURCES_MAX,
    AnswerStatus,
    Source,
)
from proto.units import ONE, Price
from services.advisor.evidence import VENUE_NAMES, plain_line

REASON_CHARACTERS_MAX = REASONS_CHARACTERS_MAX // REASONS_MAX - 1
ANSWER_CHARACTERS_MAX = 64_000
"""A longer text is not read: what is asked for has a few hundred characters."""
DETAIL_CHARACTERS_MAX = 300
_ADDRESS = re.compile(r"https?://[^\s<>\"']{4,}", re.ASCII)


class OpinionSource(BaseModel):
    """An address, and the words taken from there."""

    model_config = ConfigDict(extra="ignore")

    address: str
    quote: str


class Opinion(BaseModel):
    """The structured answer, with lists of named rows only: maps and bounds do not survive every provider."""

    model_config = ConfigDict(extra="ignore")

    abstain: bool
    probability_percent: float | None
    low_percent: float | None
    high_percent: float | None
    reasons: list[str]
    sources: list[OpinionSource]


class Verdict(NamedTuple):
    """What an answer is: its status, and what of it is kept."""

    status: AnswerStatus
    probability: Price | None = None
    low: Price | None = None
    high: Price | None = None
    reasons: str = ""
    sources: tuple[Source, ...] = ()
    detail: str = ""


def answer_schema() -> dict[str, Any]:
    """The JSON schema of an answer: every field required, nothing else allowed, no reference and no bound."""
    source = {
        "type": "object",
        "properties": {"address": {"type": "string"}, "quote": {"type": "string"}},
        "required": ["address", "quote"],
        "additionalProperties": False,
    }
    number = {"anyOf": [{"type": "number"}, {"type": "null"}]}
    fields: dict[str, Any] = {
        "abstain": {"type": "boolean"},
        "probability_percent": number,
        "low_percent": number,
        "high_percent": number,
        "reasons": {"type": "array", "items": {"type": "string"}},
        "sources": {"type": "array", "items": source},
    }
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def judge(text: str, found: Sequence[Source] = ()) -> Verdict:
    """Read a model's answer; ``found`` are the sources that the provider itself reports."""
    try:
        opinion = _opinion_in(text)
        numbers = [_millionths(percent) for percent in (opinion.low_percent, opinion.high_percent)]
        probability = _millionths(opinion.probability_percent)
    except ValueError as e:
        return Verdict(AnswerStatus.FAILED, detail=cut(f"invalid: {e}", DETAIL_CHARACTERS_MAX))
    sources = _sources([*found, *(Source(_cut(s.address), _cut(s.quote)) for s in opinion.sources)])
    reasons = "\n".join(
        cut(plain_line(reason), REASON_CHARACTERS_MAX) for reason in opinion.reasons[:REASONS_MAX]
    )
    verdict = Verdict(AnswerStatus.ABSTAIN, reasons=cut(reasons, REASONS_CHARACTERS_MAX), sources=sources)
    if VENUE_NAMES.search(text) or any(VENUE_NAMES.search(f"{s.address} {s.quote}") for s in found):
        return verdict._replace(status=AnswerStatus.CONTAMINATED, detail="it names a prediction market")
    if opinion.abstain or probability is None:
        return verdict
    low, high = numbers
    if (low is not None and low > probability) or (high is not None and high < probability):
        return Verdict(
            AnswerStatus.FAILED, detail="invalid: expected low ≤ probability ≤ high, was otherwise"
        )
    status = AnswerStatus.SATURATED if is_saturated(probability) else AnswerStatus.FORECAST
    return verdict._replace(status=status, probability=probability, low=low, high=high)


def _opinion_in(text: str) -> Opinion:
    """The opinion in an answer's text.

    Raises:
        ValueError: saying what is wrong with it.
    """
    if len(text) > ANSWER_CHARACTERS_MAX:
        raise ValueError(f"expected at most {ANSWER_CHARACTERS_MAX} characters, was {len(text)}")
    try:
        return Opinion.model_validate(json.loads(object_in(text)), strict=True)
    except ValidationError as e:
        fault = e.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from e
    except RecursionError as e:
        raise ValueError("expected one JSON object, was nested too deep") from e


def _millionths(percent: float | None) -> Price | None:
    """A percentage as a probability. Raises ValueError for what is none, however valid its JSON."""
    if percent is None:
        return None
    if not math.isfinite(percent) or not 0 <= percent <= 100:
        raise ValueError(cut(f"expected 0 to 100 per cent, was {percent!r}", DETAIL_CHARACTERS_MAX))
    return round(percent * ONE / 100)


def object_in(text: str) -> str:
    """The JSON object in a text: local models like to wrap it in a fence or in words."""
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text


def _sources(found: Sequence[Source]) -> tuple[Source, ...]:
    kept = {source.address: source for source in reversed(found) if _ADDRESS.fullmatch(source.address)}
    return tuple(reversed(kept.values()))[:SOURCES_MAX]


def _cut(text: str) -> str:
    return (
        cut(" ".join(text[: SHORT_CHARACTERS_MAX * 2].split()), SHORT_CHARACTERS_MAX)
        .encode("utf-8", "replace")
        .decode()
    )
