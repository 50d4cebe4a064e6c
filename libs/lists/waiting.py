"""Orders that wait for the operator now."""

from libs.lists.orders import OrderList, OrderRow
from libs.lists.reading import read_window, session_now
from libs.tape.connection import Link
from proto.risk import Approval, Pending, Rejection


async def waiting_orders(link: Link) -> tuple[list[OrderRow], int]:
    """The orders that wait for the operator, the oldest first, and what time it is on the tape.

    Raises:
        BrokerUnavailable: the broker did not answer.
    """
    waiting = await read_window(link, (Pending,))
    now = await session_now(link, waiting.last_seq)
    alive = [record.seq for record, message in waiting.entries if message.expires_at > now]
    if not alive:
        return [], now
    # Decisions on orders from before them do not matter.
    decided = await read_window(link, (Pending, Approval, Rejection), alive[0] - 1)
    rows = OrderList().add(decided.entries).waiting()
    return [row for row in rows if row.expires_at > now], now
