"""Changes of a market's status as the websocket sends them."""

from typing import Any

from libs.venues.kalshi import KALSHI
from proto.feed import MarketStatus
from proto.units import SECOND
from sandbox.kalshi.bodies import dollars, price_ranges
from sandbox.kalshi.shards import CRYPTO
from sandbox.world.events import MarketMoved
from sandbox.world.ids import digest
from sandbox.world.markets import SandboxMarket


def lifecycle(event: MarketMoved) -> list[dict[str, Any]]:
    """Return the frames for a change of status. The channel sends none for a close by the clock, nor for a dispute."""
    market = event.market
    if event.previous is None:
        return [
            {
                "event_type": "created",
                "exchange_index": CRYPTO,
                "open_ts": market.open_ns // SECOND,
                "close_ts": market.close_ns // SECOND,
                "price_level_structure": "tapered_deci_cent",
                "price_ranges": price_ranges(market),
                "additional_metadata": {
                    "name": market.title,
                    "title": market.title,
                    "yes_sub_title": "",
                    "no_sub_title": "",
                    "rules_primary": "",
                    "rules_secondary": "",
                    "can_close_early": True,
                    "event_ticker": market.event_id,
                    "expected_expiration_ts": market.close_ns // SECOND,
                    "strike_type": "greater_or_equal",
                },
            }
        ]
    if market.status is MarketStatus.OPEN:
        frames: list[dict[str, Any]] = [{"event_type": "activated"}]
        if market.strike is not None:
            strike = market.strike // 10_000 / 100
            words = {"strike_type": "greater_or_equal", "floor_strike": strike}
            frames.insert(0, {"event_type": "metadata_updated", **words})
        return frames
    if market.status is MarketStatus.DETERMINED:
        return [
            {
                "event_type": "determined",
                "result": market.result,
                "determination_ts": market.determined_ns // SECOND,
                "settlement_value": dollars(market.payout(0)),
            }
        ]
    if market.status is MarketStatus.SETTLED:
        return [{"event_type": "settled", "settled_ts": market.settled_ns // SECOND}]
    return []


def market_id(market: SandboxMarket) -> str:
    """Return the id of a market beside its ticker."""
    text = digest(0, KALSHI, market.id, "id").hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:32]}"
