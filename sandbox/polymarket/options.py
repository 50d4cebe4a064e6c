"""How the Polymarket sandbox behaves where the venue leaves room, or where waiting as long would bore."""

from msgspec import Struct


class PolymarketOptions(Struct, kw_only=True):
    """Durations in the unit of their name, near the venue's own; they may be changed while the sandbox runs."""

    taker_delay_ms: float = 50.0
    """How long a marketable order of a crypto market is held before it is matched (since 2026-08-17)."""
    delayed_answer_ms: float = 1000.0
    """A delay at least this long is answered at once with status ``delayed``, as in sports markets."""
    mined_after_s: float = 1.0
    """From MATCHED to MINED: when the tokens arrive."""
    confirmed_after_s: float = 1.0
    """From MINED to CONFIRMED, and between the steps of a settlement that fails."""
    stale_balance_s: float = 2.0
    """How long after a buy has settled the CLOB still has the old token balance, unless asked to refresh it."""
    redeem_after_s: float = 5.0
    """From resolution to the payout by the auto-redeem operator."""
    heartbeat_s: float = 10.0
    """The dead man's switch fires after this long without a heartbeat …"""
    heartbeat_buffer_s: float = 5.0
    """… and this much longer, which the venue grants."""
    expiry_margin_s: int = 60
    """A GTD order leaves the book this long before its ``expiration``."""
    restart_s: float = 90.0
    """425 for this long when the engine restarts …"""
    post_only_s: float = 120.0
    """… and then only post-only orders and cancels."""
    refused_exchanges: tuple[str, ...] = ()
    """Exchange contracts that no wallet has allowed to take its money."""
    clock_window_s: float = 60.0
    """How far the timestamp of a signed request may be from ours."""
    orders_per_s: float = 40.0
    orders_burst: float = 60.0
    cancels_per_s: float = 80.0
    cancels_burst: float = 120.0
    """Per signer, the tier called Standard (docs/reference/venue-facts.md, Polymarket rate limits)."""
