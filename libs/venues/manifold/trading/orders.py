"""Our orders as Manifold's bets, and its bets as reports.

To sell an outcome is to bet on the other one: the venue turns each pair of YES and NO into a mana at once. A
limit is always a probability of YES, in whole hundredths, and a bet is an amount of mana, not a number of
shares. The amount is made so that it buys no more than the approved shares at the best price known: what
the price then moves against us is bought less, what it moves for us within that moment is bought more, and told.

The venue keeps no id of ours, but it keeps the moment at which a limit order ends. Ours ends in the second
before it must, at a millisecond made from the order's id; an odd one marks a sale. With market, outcome and limit
that finds an order again after any restart.
"""

import hashlib
from typing import NamedTuple

import msgspec
from msgspec import Struct

from libs.bounded import clip
from libs.venues.errors import OutcomeUnknown, Refused
from libs.venues.frame import FrameError
from libs.venues.gateway import FillReport, NewOrder, OrderReport, SentOrder, TradeStatus
from libs.venues.manifold import MANIFOLD
from libs.venues.manifold.market_data.amm import PRICE_STEP
from libs.venues.manifold.schemas.wire import Bet, millionths
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import MILLISECOND, ONE, show
from proto.venue import AckStatus

RESTING_MS_MAX = 7 * 24 * 3_600 * 1_000
"""The longest that an order of ours rests: a GTC order ends then, so that fills need not be sought for ever."""
TAGS = 500
"""Milliseconds of a second that distinguish orders: even ones for purchases, odd ones for sales."""
LIFE_MS_MIN = 2_000
"""An order that ends sooner cannot be marked within its last second and still reach the venue."""
SENT_EARLY_MS = 5_000
"""The venue's clock may be so much behind ours."""


class Intent(Struct, frozen=True, array_like=True):
    """An order in the venue's words. ``limit``: YES's probability in millionths; ``price``: of ``outcome``."""

    contract: str
    outcome: str
    limit: int
    price: int
    quantity: int
    expires_ms: int
    immediate: bool


def refused(text: str) -> Refused:
    """What the venue cannot express."""
    return Refused(MANIFOLD, text, code="unsupported")


def unknown(text: str) -> OutcomeUnknown:
    """An answer to an order that proves nothing."""
    return OutcomeUnknown(MANIFOLD, text)


def intent_of(order: NewOrder) -> Intent:
    """Read an approved order.

    Raises:
        Refused: for what cannot be expressed: fill-or-kill, post-only, a price off the hundredths, too short a life.
    """
    if order.time_in_force is TimeInForce.FOK:
        raise refused("expected an order that may fill in part, was fill-or-kill")
    if order.post_only:
        raise refused("expected an order that may take, was post-only: the pool always takes part")
    if order.price % PRICE_STEP or not 0 < order.price < ONE:
        raise refused(f"expected a price in whole hundredths, was {show(order.price)}")
    contract, named = split_instrument(order.instrument)
    buys = order.side is Side.BUY
    outcome = named if buys else _other(named)
    price = order.price if buys else ONE - order.price
    approved_ms = order.approved_at // MILLISECOND
    last_ms = approved_ms + RESTING_MS_MAX
    if order.time_in_force is not TimeInForce.GTC:
        last_ms = min(last_ms, order.expires_at // MILLISECOND)
    if last_ms - approved_ms < LIFE_MS_MIN:
        raise refused(f"expected a life of at least {LIFE_MS_MIN} ms, was {last_ms - approved_ms}")
    tag = int.from_bytes(hashlib.sha256(order.order.encode()).digest()[:4], "big") % TAGS
    expires_ms = (last_ms // 1_000 - 1) * 1_000 + 2 * tag + (0 if buys else 1)
    limit = price if outcome == "YES" else ONE - price
    immediate = order.time_in_force is TimeInForce.IOC
    return Intent(contract, outcome, limit, price, order.quantity, expires_ms, immediate)


def client_order_id(contract: str, outcome: str, limit: int, expires_ms: int) -> str:
    """What names an order of ours and can be read from its bet: contract, outcome, limit and end."""
    return f"{contract}-{outcome}-{limit // PRICE_STEP}-{expires_ms}"


class Mark(NamedTuple):
    """What a bet of ours is found by; see ``client_order_id``."""

    contract: str
    outcome: str
    limit: int
    expires_ms: int


def mark_of(sent: SentOrder) -> Mark:
    """The mark of an order sent once, from what the ledger holds.

    Raises:
        Refused: for a word that is none of ours.
    """
    try:
        contract, outcome, limit, expires_ms = sent.client_order_id.rsplit("-", 3)
        return Mark(contract, outcome, int(limit) * PRICE_STEP, int(expires_ms))
    except ValueError as e:
        raise refused(f"expected an id of ours, was {clip(sent.client_order_id, 80)!r}") from e


def client_id_of(bet: Bet) -> str:
    """Return our id of a bet if it is one of ours; otherwise an id that no order has, or ""."""
    if bet.limitProb is None or bet.expiresAt is None:
        return ""
    return client_order_id(bet.contractId, bet.outcome, millionths(bet.limitProb), int(bet.expiresAt))


def body_of(intent: Intent, amount: int) -> bytes:
    """The request that bets ``amount`` (millionths of a mana)."""
    return msgspec.json.encode(
        {
            "contractId": intent.contract,
            "outcome": intent.outcome,
            "amount": msgspec.Raw(show(amount).encode()),
            "limitProb": msgspec.Raw(show(intent.limit).encode()),
            "expiresAt": intent.expires_ms,
        }
    )


def amount_for(intent: Intent, probability: float) -> int:
    """Mana for the order's shares at the best price there is: the limit's, or the present one if it is better.

    The pool's price only rises while one buys, so this buys less than the shares, never more, unless the
    market moves our way first.
    """
    present = probability if intent.outcome == "YES" else 1 - probability
    return min(intent.price, int(present * ONE)) * intent.quantity // ONE


def is_bet_of(bet: Bet, mark: Mark) -> bool | None:
    """Whether a bet is that order's: yes, no, or (where the venue does not report its end) unknown."""
    if (bet.contractId, bet.outcome) != (mark.contract, mark.outcome) or bet.limitProb is None:
        return False
    if millionths(bet.limitProb) != mark.limit:
        return False
    if bet.expiresAt is not None:
        return int(bet.expiresAt) == mark.expires_ms
    return None if sent_after_ms(mark) <= bet.createdTime <= mark.expires_ms else False


def sent_after_ms(mark: Mark) -> int:
    """No order with this mark can be older."""
    return mark.expires_ms - RESTING_MS_MAX - SENT_EARLY_MS


def split_instrument(instrument: str) -> tuple[str, str]:
    """Contract and outcome (YES, NO) of an instrument.

    Raises:
        Refused: for an instrument of another venue or form.
    """
    venue, _, rest = instrument.partition(":")
    contract, _, outcome = rest.partition(":")
    if venue != MANIFOLD or not contract or outcome not in ("yes", "no"):
        raise refused(f"expected manifold:<contract>:yes or no, was {clip(instrument, 80)!r}")
    return contract, outcome.upper()


def instrument_of(bet: Bet) -> tuple[str, Side]:
    """Which instrument a bet traded, and which way: a sale of ours names the outcome that was sold."""
    sells = bet.limitProb is not None and bet.expiresAt is not None and int(bet.expiresAt) % 2 == 1
    outcome = _other(bet.outcome) if sells else bet.outcome
    return f"{MANIFOLD}:{bet.contractId}:{outcome.lower()}", Side.SELL if sells else Side.BUY


def report_of(bet: Bet, at_ms: int) -> OrderReport:
    """A bet as an order. ``remaining`` is what its rest would buy at its limit."""
    instrument, _ = instrument_of(bet)
    status, remaining = AckStatus.ACCEPTED, 0
    left = millionths(bet.orderAmount) - millionths(bet.amount)
    if bet.isCancelled:
        status = AckStatus.CANCELED
    elif not bet.isFilled and bet.expiresAt is not None and bet.expiresAt <= at_ms:
        status = AckStatus.EXPIRED
    elif not bet.isFilled and bet.limitProb is not None and left > 0:
        probability = millionths(bet.limitProb)
        price = probability if bet.outcome == "YES" else ONE - probability
        remaining = left * ONE // max(1, price)
    return OrderReport(
        client_order_id=client_id_of(bet),
        venue_order_id=bet.key,
        instrument=instrument,
        status=status,
        filled=max(0, millionths(bet.shares)),
        remaining=remaining,
        at=int(bet.createdTime) * MILLISECOND,
    )


def fills_of(bet: Bet) -> list[FillReport]:
    """The parts of a bet that were filled. They are appended as they happen, so their place names them."""
    if bet.isRedemption or bet.outcome not in ("YES", "NO") or bet.answerId:
        return []
    instrument, side = instrument_of(bet)
    fee = 0
    if bet.fees is not None:
        fee = millionths(bet.fees.creatorFee + bet.fees.platformFee + bet.fees.liquidityFee)
    reports: list[FillReport] = []
    for place, fill in enumerate(bet.fills):
        quantity, amount = abs(millionths(fill.shares)), abs(millionths(fill.amount))
        if not quantity:
            continue
        price = min(ONE, (2 * amount * ONE + quantity) // (2 * quantity))
        # A sale by the venue's own button has negative shares.
        sold = side is Side.SELL or fill.shares < 0
        reports.append(
            FillReport(
                trade_id=f"{bet.key}-{place}",
                client_order_id=client_id_of(bet),
                venue_order_id=bet.key,
                instrument=instrument,
                side=Side.SELL if sold else Side.BUY,
                price=ONE - price if side is Side.SELL else price,
                quantity=quantity,
                fee=fee if not reports else 0,
                maker=int(fill.timestamp) > int(bet.createdTime) and fill.matchedBetId is not None,
                status=TradeStatus.CONFIRMED,
                at=int(fill.timestamp) * MILLISECOND,
            )
        )
    return reports


def _other(outcome: str) -> str:
    if outcome not in ("YES", "NO"):
        raise FrameError(f"expected YES or NO, was {clip(outcome, 40)!r}")
    return "NO" if outcome == "YES" else "YES"
