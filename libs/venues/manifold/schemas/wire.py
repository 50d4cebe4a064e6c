"""Manifold's REST bodies and websocket frames as typed structs.

Amounts are JSON numbers with all the digits of a float; they become millionths in ``millionths``.
Source: docs/reference/venue-facts.md, Manifold markets; Manifold bets; Manifold settlement.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from libs.bounded import clip
from libs.venues.frame import DECODE_ERRORS, FrameError, check_length
from proto.units import AMOUNT_MAX, ONE

ROWS_MAX = 10_000
"""Rows of one list; the venue gives 1,000 at most."""
Row = TypeVar("Row")
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,60}\Z")]
Milliseconds = Annotated[float, Meta(ge=0, le=2**43)]
Word = Annotated[str, Meta(max_length=60)]
Probability = Annotated[float, Meta(ge=0, le=1)]


class Fill(Struct, gc=False):
    """One part of a bet: from the pool (``matchedBetId`` null) or against a limit order."""

    amount: float
    shares: float
    timestamp: Milliseconds
    matchedBetId: str | None = None  # noqa: N815 - the venue's name


class Fees(Struct, gc=False):
    """What the venue kept of a bet; nothing at present."""

    creatorFee: float = 0.0  # noqa: N815 - the venue's names
    platformFee: float = 0.0  # noqa: N815
    liquidityFee: float = 0.0  # noqa: N815


class Bet(Struct, gc=False):
    """A bet or limit order; ``limitProb`` is always YES's. ``amount`` and ``shares`` are what was filled.

    Bets placed just now carry ``betId`` instead of ``id``. A sale has both negative; so has a redemption,
    by which the venue turns pairs of YES and NO into mana.
    """

    contractId: Id  # noqa: N815 - the venue's names, here and below
    outcome: Word
    amount: float
    shares: float
    id: Id = ""
    betId: Id = ""  # noqa: N815
    userId: Word = ""  # noqa: N815
    answerId: Word = ""  # noqa: N815
    probBefore: Probability = 0.0  # noqa: N815
    probAfter: Probability = 0.0  # noqa: N815
    isFilled: bool = True  # noqa: N815
    isCancelled: bool = False  # noqa: N815
    isRedemption: bool = False  # noqa: N815
    limitProb: Probability | None = None  # noqa: N815
    orderAmount: float = 0.0  # noqa: N815
    fills: Annotated[list[Fill], Meta(max_length=10_000)] = []
    createdTime: Milliseconds = 0  # noqa: N815
    expiresAt: Milliseconds | None = None  # noqa: N815
    fees: Fees | None = None

    @property
    def key(self) -> str:
        """Its id, by whichever name."""
        return self.id or self.betId


class Contract(Struct, gc=False):
    """A market. ``pool`` is kept as it came: kinds of markets that are not used here have other ones."""

    id: Id
    question: str = ""
    outcomeType: Word = ""  # noqa: N815
    mechanism: Word = ""
    pool: msgspec.Raw = msgspec.Raw()
    p: float = 0.5
    probability: float | None = None
    volume: float | None = None
    closeTime: float | None = None  # noqa: N815
    createdTime: Milliseconds = 0  # noqa: N815
    isResolved: bool = False  # noqa: N815
    resolution: Word | None = None
    resolutionProbability: Probability | None = None  # noqa: N815
    resolutionTime: Milliseconds | None = None  # noqa: N815


class Me(Struct, gc=False):
    """``GET /me``: who the key belongs to, and its mana."""

    id: Id
    balance: float


class Position(Struct, gc=False):
    """What one user holds of a market."""

    userId: Word = ""  # noqa: N815
    totalShares: dict[str, float] = {}  # noqa: N815


class Connected(NamedTuple):
    """A new connection."""


class Disconnected(NamedTuple):
    """The connection is lost."""


class Ack(NamedTuple):
    """Answer to a command."""

    success: bool


class OddRow(NamedTuple):
    """One row of a list that cannot be read: its id as far as there is one, and why."""

    name: str
    reason: str


class Bets(NamedTuple):
    """New bets of a market."""

    bets: list[Bet]
    odd: Sequence[OddRow] = ()


class Orders(NamedTuple):
    """Limit orders of a market that changed."""

    bets: list[Bet]
    odd: Sequence[OddRow] = ()


class OpenOrders(NamedTuple):
    """All open limit orders of a market."""

    contract: str
    bets: list[Bet]
    odd: Sequence[OddRow] = ()


class Contracts(NamedTuple):
    """Markets as they stand."""

    contracts: list[Contract]
    odd: Sequence[OddRow] = ()


Frame = Connected | Disconnected | Ack | Bets | Orders | OpenOrders | Contracts


class _Data(Struct, gc=False):
    bets: Annotated[list[msgspec.Raw], Meta(max_length=ROWS_MAX)] = []


class _Named(Struct, gc=False):
    id: str = ""


class _Query(Struct, gc=False):
    contractId: Id = ""  # noqa: N815


class _Envelope(Struct, gc=False):
    type: Word = ""
    topic: Annotated[str, Meta(max_length=200)] = ""
    success: bool = True
    data: msgspec.Raw = msgspec.Raw()
    rest: Word | None = field(default=None, name="_rest")
    query: _Query | None = None
    body: msgspec.Raw = msgspec.Raw()


_envelope = msgspec.json.Decoder(_Envelope)
_data = msgspec.json.Decoder(_Data)
_rows = msgspec.json.Decoder(Annotated[list[msgspec.Raw], Meta(max_length=ROWS_MAX)])
_bet = msgspec.json.Decoder(Bet)
_contract = msgspec.json.Decoder(Contract)
_named = msgspec.json.Decoder(_Named)
_pool = msgspec.json.Decoder(dict[str, float])


def decode(data: bytes) -> Frame | None:
    """Read one frame; ``None`` for a well-formed one that is not used here.

    Raises:
        FrameError: for anything that is not a frame of the protocol.
    """
    check_length(data)
    try:
        envelope = _envelope.decode(data)
        if envelope.rest is not None:
            return _rest(envelope)
        if envelope.type == "broadcast":
            return _broadcast(envelope)
    except DECODE_ERRORS as e:
        raise FrameError(clip(f"expected a Manifold frame: {e}", 300)) from e
    plain: dict[str, Frame] = {
        "ack": Ack(envelope.success),
        "_ws_connected": Connected(),
        "_ws_disconnected": Disconnected(),
    }
    if not envelope.type:
        raise FrameError("expected a Manifold frame, was an object without a type")
    return plain.get(envelope.type)


def _readable(rows: list[msgspec.Raw], decoder: msgspec.json.Decoder[Row]) -> tuple[list[Row], list[OddRow]]:
    """The rows that can be read, and the others by name; a list of nothing else is refused."""
    found: list[Row] = []
    odd: list[OddRow] = []
    for raw in rows:
        try:
            found.append(decoder.decode(raw))
        except DECODE_ERRORS as e:
            odd.append(OddRow(_name_of(raw), str(e)))
    if odd and not found:
        raise FrameError(clip(f"expected rows of Manifold: {odd[0].reason}", 300))
    return found, odd


def _name_of(raw: msgspec.Raw) -> str:
    try:
        return _named.decode(raw).id
    except DECODE_ERRORS:
        return ""


def _broadcast(envelope: _Envelope) -> Frame | None:
    topic = envelope.topic
    if topic == "global/new-bet" or (topic.startswith("contract/") and topic.endswith("/new-bet")):
        return Bets(*_readable(_data.decode(envelope.data).bets, _bet))
    if topic.startswith(("contract/", "user/")) and topic.endswith("/orders"):
        return Orders(*_readable(_data.decode(envelope.data).bets, _bet))
    return None


def _rest(envelope: _Envelope) -> Frame | None:
    name, body = envelope.rest, envelope.body
    if name == "market":
        return Contracts([_contract.decode(body)])
    if name in ("markets", "search-markets"):
        return Contracts(*_readable(_rows.decode(body), _contract))
    if name == "bets":
        # REST gives the newest first; they are told in the order they were made.
        bets, odd = _readable(_rows.decode(body), _bet)
        return Bets(sorted(bets, key=lambda bet: bet.createdTime), odd)
    if name == "open-limit":
        if envelope.query is None or not envelope.query.contractId:
            raise FrameError("expected the contract of open-limit, was none")
        return OpenOrders(envelope.query.contractId, *_readable(_rows.decode(body), _bet))
    return None


def pool_of(contract: Contract) -> tuple[float, float] | None:
    """YES and NO in a binary market's pool; ``None`` where there is no such pool."""
    try:
        pool: dict[str, Any] = _pool.decode(contract.pool)
    except DECODE_ERRORS:
        return None
    return (pool["YES"], pool["NO"]) if pool.keys() >= {"YES", "NO"} else None


def millionths(value: float) -> int:
    """A float of the venue's in millionths, to the nearest.

    Raises:
        FrameError: for what no account or market holds.
    """
    if not math.isfinite(value) or abs(value) * ONE > AMOUNT_MAX:
        raise FrameError(f"expected an amount of at most {AMOUNT_MAX // ONE}, was {value}")
    return round(value * ONE)
