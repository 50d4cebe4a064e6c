"""What risk decides: every order the system may place begins as one of these."""

from typing import ClassVar, NamedTuple

from proto.feed import Side
from proto.message import Integer, Message, Name, Rows, Text, Word, token
from proto.units import Money, Nanoseconds, Price, Quantity


class TimeInForce(Word):
    """How long an order may rest."""

    GTC = "gtc"
    GTD = "gtd"
    IOC = "ioc"
    FOK = "fok"


class Check(NamedTuple):
    """One risk check: the limit, the value compared with it, and whether it passed.

    Units follow the name's ending (``_s`` seconds, ``_count``); without one they are millionths.
    """

    name: Name
    limit: Integer
    value: Integer
    passed: bool = True


class Approval(Message):
    """Risk allows exactly this order, once, until ``expires_at``. Signed by the risk process.

    ``order`` is ``{tape id}-{cause seq}-{index}``. ``reduce_only`` orders may only shrink a position.
    ``proposal`` is the message id of the proposal that asked for it.
    """

    kind: ClassVar[str] = "risk.approval"

    order: Name
    strategy: Name
    market: Name
    instrument: Name
    side: Side
    price: Price
    quantity: Quantity
    time_in_force: TimeInForce
    expires_at: Nanoseconds
    proposal: Name
    reduce_only: bool = False
    post_only: bool = False
    reason: Text = ""
    checks: Rows[Check] = ()

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


class Rejection(Message):
    """Risk refuses a proposal; ``failed`` lists every check that failed, not just the first."""

    kind: ClassVar[str] = "risk.rejection"

    strategy: Name
    market: Name
    instrument: Name
    side: Side
    price: Price
    proposal: Name
    quantity: Quantity = 0
    reduce_only: bool = False
    failed: Rows[Check] = ()

    def key(self) -> tuple[str, ...]:
        return (token(self.strategy), token(self.market))


class Pending(Message):
    """An order that passed every check and waits for the operator (autonomy ``semi``)."""

    kind: ClassVar[str] = "risk.pending"

    order: Name
    strategy: Name
    market: Name
    instrument: Name
    side: Side
    price: Price
    quantity: Quantity
    expires_at: Nanoseconds
    proposal: Name

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


class RiskState(Word):
    """What risk lets through."""

    ACTIVE = "active"
    REDUCED = "reduced"
    CLOSE_ONLY = "close_only"
    HALTED = "halted"


class PortfolioReport(Message):
    """A holder's books once a minute, so that two holders can be compared at one input.

    ``digest`` is the hash of the portfolio fold (``libs/portfolio``). ``exposure`` counts positions,
    working and unknown orders. The subject is ``{holder}.portfolio``.
    """

    kind: ClassVar[str] = "risk.portfolio"

    digest: Name
    cash: Money
    equity: Money
    realised_profit: Money
    fees: Money
    exposure: Money
    exposure_limit: Money
    positions: Integer
    state: RiskState = RiskState.ACTIVE
    at: Nanoseconds = 0


class ExitPortfolioReport(Message):
    """The same fold as the exit service sees it: digest only, for comparison."""

    kind: ClassVar[str] = "exit.portfolio"

    digest: Name
    at: Nanoseconds = 0
