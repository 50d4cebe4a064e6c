"""Messages about one market of which a test says only what matters to it."""

from typing import Any

from proto.execution import Claim, OrderStatus, OrderUpdate
from proto.feed import Side
from proto.risk import Approval, TimeInForce
from proto.signal import Proposal
from proto.units import ONE
from proto.venue import Fill

MARKET = "kalshi:M"
YES = f"{MARKET}:yes"
IN_IT: dict[str, Any] = {"strategy": "momentum", "market": MARKET, "instrument": YES}
BOUGHT: dict[str, Any] = IN_IT | {"side": Side.BUY, "price": ONE // 2}


def proposal(**fields: Any) -> Proposal:
    """A wish to buy at a half."""
    base = {"fair_value": ONE // 2, "edge": 0, "strength": 0, "expires_at": 0}
    return Proposal(**BOUGHT | base | fields)


def approval(order: str, **fields: Any) -> Approval:
    """A purchase of one at a half, at once."""
    base = {"quantity": ONE, "time_in_force": TimeInForce.IOC, "expires_at": 0, "proposal": "p"}
    return Approval(order=order, **BOUGHT | base | fields)


def update(order: str, status: OrderStatus, **fields: Any) -> OrderUpdate:
    """What has become of an order."""
    return OrderUpdate(order=order, status=status, **IN_IT | fields)


def fill(fill_id: str, order: str, **fields: Any) -> Fill:
    """A purchase of one at a half."""
    return Fill(fill_id=fill_id, order=order, **BOUGHT | {"quantity": ONE, "fee": 0} | fields)


def claim(order: str, **fields: Any) -> Claim:
    """A claim whose approval nobody looks into."""
    base: dict[str, Any] = {
        "approval_subject": "risk.approval.x",
        "message_id": "m",
        "payload": b"",
        "signature": "",
        "key_id": "",
    }
    return Claim(order=order, **base | {"client_order_id": order, "nonce": "n", "claimed_at": 0} | fields)
