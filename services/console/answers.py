"""What the REST interface answers, as models: the OpenAPI document is made of them, and every answer is checked by them.

Amounts are exact decimals as text, sequences and moments (nanoseconds since 1970, UTC) text as well.
"""

from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Amount = Annotated[str, Field(title="Amount", pattern=r"^-?\d{1,10}(\.\d{1,6})?$", examples=["0.45"])]
"""A decimal, exact: money, a price in dollars a contract, or contracts."""
Number64 = Annotated[str, Field(title="Number64", pattern=r"^\d{1,19}$", examples=["123456"])]
"""A sequence of the tape, or a moment in nanoseconds; too large for a number of JavaScript."""

Item = TypeVar("Item")


class Model(BaseModel):
    """Base: nothing is left over, nothing is made up."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")


class Page(Model, Generic[Item]):
    """A page of a list, newest first; ``next`` is the cursor of the page after it, none at the end."""

    items: list[Item]
    next: Number64 | None = None
    as_of: Number64
    """The sequence of the tape up to which this is so."""


class Status(Model):
    """What runs, whose money moves, whether orders may leave."""

    mode: str
    money: str
    prices: str
    tape: str
    build: str
    seq: Number64
    now: Number64
    stored_at: Number64
    halted: str
    halt_reason: str
    risk_state: str
    orders: str
    broker: str
    caught_up: bool
    unknown_orders: int
    waiting: int
    alerts: int
    version: int


class Position(Model):
    """An open position."""

    instrument: str
    name: str
    quantity: Amount
    entry_price: Amount
    mark: Amount | None
    cost: Amount
    unrealised_profit: Amount
    stage: str
    exits: str


class Order(Model):
    """An order, or one that waits for the operator."""

    order: str
    id: str
    seq: Number64
    at: Number64
    status: str
    strategy: str
    market: str
    instrument: str
    name: str
    side: str
    price: Amount
    quantity: Amount
    filled: Amount
    average_price: Amount | None
    reduce_only: bool
    open: bool
    expires_at: Number64
    reason: str
    became: str


class Fill(Model):
    """A trade of one of our orders; realised profit is before the fee."""

    fill_id: str
    seq: Number64
    at: Number64
    order: str
    id: str
    strategy: str
    market: str
    instrument: str
    name: str
    side: str
    price: Amount
    quantity: Amount
    fee: Amount
    realised_profit: Amount
    undone: bool


class Trade(Model):
    """From nothing held to nothing held; profit is after fees."""

    instrument: str
    name: str
    market: str
    strategy: str
    opened_at: Number64
    closed_at: Number64
    quantity: Amount
    entry_price: Amount
    exit_price: Amount
    fees: Amount
    profit: Amount
    ended: str


class DecisionRow(Model):
    """A proposal and what became of it, a fill, a settlement."""

    seq: Number64
    at: Number64
    strategy: str
    market: str
    instrument: str
    name: str
    side: str
    outcome: str
    price: Amount | None
    quantity: Amount
    exit: bool
    reasons: list[str]
    checks: list[str]
    count: int
    order: str
    id: str


class AlertRow(Model):
    """Something an operator must know; ``next`` is what to type."""

    seq: Number64
    at: Number64
    over_at: Number64
    rule: str
    severity: str
    topic: str
    text: str
    next: str
    active: bool


class MarketRow(Model):
    """A market that trades, seen from its first outcome."""

    market: str
    name: str
    title: str
    venue: str
    status: str
    outcome: str
    instrument: str
    bid: Amount | None
    ask: Amount | None
    last: Amount | None
    depth: Amount
    fair_value: Amount | None
    fair_by: str
    forecast: Amount | None
    held: Amount
    close_at: Number64


class Section(Model):
    """A section of the configuration as the tape has it: machines read this, never a file."""

    section: str
    seq: Number64
    at: Number64
    document: dict[str, Any]


class Entry(Model):
    """A message in the journal."""

    seq: Number64
    epoch: int
    at: Number64
    kind: str
    subject: str
    producer: str
    order: str
    market: str
    strategy: str
    cause: Number64 | None
    body: Any


class CommandOutcome(Model):
    """What came of a command: ``done`` when the tape says so."""

    id: str
    verb: str
    user: str
    seq: Number64 | None
    over: bool
    done: bool
    text: str
    details: dict[str, Any]


class Told(Model):
    """A command. ``password``: again, for a resume."""

    verb: Annotated[str, Field(max_length=40)]
    order: Annotated[str, Field(max_length=200)] = ""
    instrument: Annotated[str, Field(max_length=200)] = ""
    proposal: Annotated[str, Field(max_length=200)] = ""
    reason: Annotated[str, Field(max_length=200)] = ""
    close_only: bool = False
    password: Annotated[str, Field(max_length=256)] = ""


class Credentials(Model):
    """Who logs in."""

    user: Annotated[str, Field(max_length=40)]
    password: Annotated[str, Field(max_length=256)]


class Admitted(Model):
    """Logged in: the token goes into the header ``X-CSRF-Token`` of each command."""

    user: str
    role: str
    csrf: str


class Problem(Model):
    """An error, after RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
