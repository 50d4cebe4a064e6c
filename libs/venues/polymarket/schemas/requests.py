"""What a prepared request says, and the numbers of the venue's answers to it."""

from typing import NamedTuple

import msgspec

from libs.bounded import clip
from libs.venues.errors import BadAnswer, OutcomeUnknown, Refused
from libs.venues.gateway import OrderReport
from libs.venues.polymarket import POLYMARKET
from libs.venues.polymarket.schemas.answers import OrderAnswer, amount
from libs.venues.polymarket.schemas.errors import code_of
from proto.units import ONE
from proto.venue import AckStatus


class Sent(NamedTuple):
    """What a prepared request says."""

    token: str
    buy: bool
    order_type: str
    shares: int


class _SentOrder(msgspec.Struct):
    tokenId: str  # noqa: N815 - the venue's names
    side: str
    makerAmount: str  # noqa: N815
    takerAmount: str  # noqa: N815


class _SentRequest(msgspec.Struct):
    order: _SentOrder
    orderType: str  # noqa: N815


_request: msgspec.json.Decoder[_SentRequest] = msgspec.json.Decoder(_SentRequest)


AT_ONCE = ("FOK", "FAK")
TAKEN = ("live", "matched", "delayed")


def read_request(body: bytes) -> Sent:
    """Read back a request of ours."""
    request = _request.decode(body)
    buy = request.order.side == "BUY"
    shares = request.order.takerAmount if buy else request.order.makerAmount
    return Sent(request.order.tokenId, buy, request.orderType, int(shares))


def check_taken(answer: OrderAnswer, client_order_id: str) -> None:
    """Whether an answer says that the order was taken.

    Raises:
        Refused: the venue said no: in a sentence or by an explicit ``false``, and named no order.
        OutcomeUnknown: it said something that proves neither, such as ``{}``.
    """
    order_id, error, status = answer.orderID or "", answer.errorMsg or "", answer.status or ""
    if error and not order_id:
        raise Refused(POLYMARKET, f"order refused: {clip(error, 200)}", 200, code_of(error))
    if answer.success is False and not order_id:
        raise Refused(POLYMARKET, f"order refused: status {clip(status, 40)!r}", 200, "unmatched")
    if error or not answer.success or order_id.lower() != client_order_id or status not in TAKEN:
        was = f"{clip(status, 40)!r} {clip(error, 200)!r}"
        raise OutcomeUnknown(POLYMARKET, f"expected order {client_order_id[:14]}… to be taken, was {was}")


def taken_report(
    answer: OrderAnswer, sent: Sent, client_order_id: str, instrument: str, at: int = 0
) -> OrderReport:
    """The report of an order that was taken.

    What traded at once is over, unless the answer does not say how much: then the venue has to be asked.
    """
    matched = answer.status == "matched"
    over = matched and sent.order_type in AT_ONCE
    filled = _filled_at_once(answer, sent) if matched else 0
    return OrderReport(
        client_order_id=client_order_id,
        venue_order_id=client_order_id,
        instrument=instrument,
        status=AckStatus.CANCELED if over and 0 < filled < sent.shares else AckStatus.ACCEPTED,
        filled=filled,
        remaining=0 if over else max(0, sent.shares - filled),
        reason="delayed" if answer.status == "delayed" else "",
        at=at,
    )


def _filled_at_once(answer: OrderAnswer, sent: Sent) -> int:
    """Shares that traded at once. Decimals in practice; the venue's own examples are in millionths."""
    try:
        shares = amount(answer.takingAmount if sent.buy else answer.makingAmount, "amount")
    except BadAnswer:
        return 0
    # A purchase may get more for its money than it asked for, but not thousands of times as much.
    return max(0, shares // ONE if shares > 1_000 * sent.shares else shares)


def money(text: str) -> int:
    """A balance in millionths, as it stands; with a point it is in units."""
    if "." in text:
        return amount(text, "balance")
    if not text.isdecimal() or len(text) > 30:
        raise BadAnswer(POLYMARKET, f"expected a balance, was {clip(text, 40)!r}")
    return int(text)
