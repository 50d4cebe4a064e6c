"""The venue's error sentences as one word each. Source: docs/reference/venue-facts.md, Polymarket errors."""

import msgspec

from libs.venues.frame import DECODE_ERRORS

_WORDS = (
    ("not enough balance / allowance", "not_enough_balance"),
    ("breaks minimum tick size rule", "tick_size"),
    ("lower than the minimum", "quantity_too_small"),
    ("duplicated", "duplicated"),
    ("invalid expiration", "lifetime"),
    ("post-only order: order crosses book", "post_only_crosses"),
    ("post-only mode", "post_only_mode"),
    ("cancel-only", "cancel_only"),
    ("trading is currently disabled", "trading_disabled"),
    ("trading disabled", "trading_disabled"),
    ("order_version_mismatch", "order_version_mismatch"),
    ("invalid order version", "order_version_mismatch"),
    ("couldn't be fully filled", "fok_not_filled"),
    ("no orders found to match with fak", "fak_not_filled"),
    ("not yet ready to process", "market_not_ready"),
    ("no orderbook exists", "unknown_market"),
    ("market not found", "unknown_market"),
    ("order owner has to be", "wrong_owner"),
    ("order signer address has to be", "wrong_signer"),
    ("address banned", "banned"),
    ("closed only mode", "closed_only"),
    ("too many orders", "batch_too_long"),
    ("invalid heartbeat id", "heartbeat_id"),
    ("unauthorized", "unauthorized"),
    ("invalid api key", "unauthorized"),
    ("invalid l1 request headers", "unauthorized"),
    ("invalid order payload", "payload"),
    ("signature", "signature"),
)
_PAUSES = ("post_only_mode", "cancel_only", "trading_disabled")
"""Words of a 503 that say for certain that an order was not taken."""


class _Error(msgspec.Struct):
    error: str = ""
    error_msg: str = ""
    errorMsg: str = ""  # noqa: N815 - the venue's spelling
    code: str = ""


_decoder: msgspec.json.Decoder[_Error] = msgspec.json.Decoder(_Error)


def code_of(text: str) -> str:
    """One word for a sentence; "" for one nobody has seen."""
    lower = text.lower()
    return next((word for sentence, word in _WORDS if sentence in lower), "")


def read_error(status: int, body: bytes) -> tuple[str, str]:
    """Code and text of an error body; raises nothing."""
    try:
        found = _decoder.decode(body)
    except DECODE_ERRORS:
        return "", f"status {status}"
    text = found.error or found.error_msg or found.errorMsg or f"status {status}"
    return code_of(text) or (found.code if found.code in _PAUSES else ""), text


def is_pause(code: str) -> bool:
    """Whether an error says for certain that the venue takes no orders just now."""
    return code in _PAUSES
