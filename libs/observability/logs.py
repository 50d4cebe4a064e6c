"""Logs: one JSON object a line on standard error, without secrets.

Redaction is a net under the rule not to log secrets, not a licence to do so: it goes by the names of
fields and by the shapes that secrets have.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from libs.bounded import cut
from libs.config.environment import Environment

TEXT_CHARACTERS_MAX = 4_000
"""A line is read by people and shipped by agents; a traceback fits, a payload does not."""
DEPTH_MAX = 4
ITEMS_MAX = 50

REDACTED = "[redacted]"

_HIDDEN_NAMES = (
    "pass(?:word|wd|phrase)?|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key"
    "|seed|mnemonic|credentials?|creds|authorization|cookie|jwt|nkey"
)
_HIDDEN_NAME = re.compile(rf"(?:^|[^a-z]|_)(?:{_HIDDEN_NAMES})(?:$|[^a-z]|_)", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # PEM blocks, whole or cut off.
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
        REDACTED,
    ),
    # User and password of an address.
    (re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE), rf"\g<scheme>{REDACTED}@"),
    # NATS seeds: S, the kind of key, and base32.
    (re.compile(r"\bS[ACNOUX][A-Z2-7]{56}\b"), REDACTED),
    # JSON web tokens.
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), REDACTED),
    (re.compile(r"\b(?P<scheme>Bearer|Basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE), rf"\g<scheme> {REDACTED}"),
    # name=value and "name": "value"; the name may have a prefix (kalshi_api_key).
    (
        re.compile(
            rf"(?P<name>\b[\w-]*(?:{_HIDDEN_NAMES})[\"']?\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s,;\"'}}\])]+)",
            re.IGNORECASE,
        ),
        rf"\g<name>{REDACTED}",
    ),
)
_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "taskName",
}


def redact(text: str) -> str:
    """``text`` without what looks like a secret, bounded in length."""
    # Cut first: a long text must not make the patterns slow. A secret that the cut splits is cut off.
    if len(text) > TEXT_CHARACTERS_MAX:
        text = cut(text, TEXT_CHARACTERS_MAX) + f"… ({len(text)} characters)"
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_value(name: str, value: object, depth: int = 0) -> object:
    """A field as plain data for JSON, without what its name or shape shows to be a secret."""
    if _HIDDEN_NAME.search(_CAMEL.sub("_", name)):
        return REDACTED
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if depth < DEPTH_MAX:
        if isinstance(value, Mapping):
            items = list(value.items())[:ITEMS_MAX]
            return {redact(str(key)): redact_value(str(key), item, depth + 1) for key, item in items}
        if isinstance(value, list | tuple | set | frozenset):
            return [redact_value("", item, depth + 1) for item in list(value)[:ITEMS_MAX]]
    return redact(str(value))


class JsonFormatter(logging.Formatter):
    """One record, one line. Fields given as ``extra`` are taken over."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "text": redact(_text(record)),
        }
        for name, value in record.__dict__.items():
            if name not in _STANDARD and name not in fields:
                fields[name] = redact_value(name, value)
        if record.exc_info:
            fields["traceback"] = redact(self.formatException(record.exc_info))
        return json.dumps(fields, ensure_ascii=False, default=str)


def setup(service: str, stream: TextIO | None = None) -> None:
    """Send all logs of this process through the formatter. Safe to call again: the last call counts.

    Raises:
        ConfigError: if the environment names no level.
    """
    level = Environment.read().log_level
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # One line a request is the venue's business; what goes wrong with one is told by whoever sent it.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        # A wrong placeholder must not lose the line it was meant for.
        return f"{record.msg} {record.args!r}"
