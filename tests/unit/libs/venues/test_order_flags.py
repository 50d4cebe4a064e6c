"""Every combination of flags that an order can have, at every venue: docs/reference/order-flags.md says what leaves."""

import itertools
import re
from typing import NamedTuple, get_args

import msgspec
import pytest

from libs.venues.catalogue import traded
from libs.venues.errors import Refused
from libs.venues.gateway import NewOrder
from libs.venues.kalshi.trading.orders import Placing, order_body
from libs.venues.manifold.trading.orders import intent_of
from libs.venues.polymarket.trading.auth import SigningAccount
from libs.venues.polymarket.trading.request import Token, prepare_order
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND
from services.risk.params import RiskParams
from tests.support import exit_world
from tests.support.exit_world import CENT
from tests.support.paths import ROOT

NOW = 1_780_000_000 * SECOND
LIVES = {"short": 1, "long": 600}
OUTCOMES = ("yes", "no")
VENUES = ("kalshi", "polymarket", "manifold")
ACCOUNT = SigningAccount(bytes(range(1, 33)))


class Flags(NamedTuple):
    """One combination, in the words of the page."""

    venue: str
    time_in_force: str
    post_only: str
    reduce_only: str
    life: str


class Row(NamedTuple):
    """A line of the page."""

    flags: Flags
    sent_by: str
    leaves_as: str

    def covers(self, flags: Flags) -> bool:
        return all(said in ("any", is_) for said, is_ in zip(self.flags, flags, strict=True))


def rows() -> list[Row]:
    page = (ROOT / "docs/reference/order-flags.md").read_text()
    lines = re.findall(rf"^\| (?:{'|'.join(VENUES)}) \|.*$", page, re.MULTILINE)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [Row(Flags(*c[:5]), c[5], c[6]) for c in cells]


ROWS = rows()
COMBINATIONS = [
    Flags(*flags)
    for flags in itertools.product(
        VENUES, [t.value for t in TimeInForce], ("no", "yes"), ("no", "yes"), LIVES
    )
]


def new_order(flags: Flags, outcome: str, side: Side) -> NewOrder:
    market = f"{flags.venue}:{'abcDEF123' if flags.venue == 'manifold' else 'M'}"
    return NewOrder(
        order="t-1-0",
        market=market,
        instrument=f"{market}:{outcome}",
        side=side,
        price=40 * CENT,
        quantity=10 * ONE,
        time_in_force=TimeInForce(flags.time_in_force),
        expires_at=NOW + LIVES[flags.life] * SECOND,
        approved_at=NOW,
        post_only=flags.post_only == "yes",
        reduce_only=flags.reduce_only == "yes",
    )


def kalshi(new: NewOrder) -> str:
    body = order_body(new, Placing())
    words: list[str] = [body.time_in_force]
    words += ["expiration_time"] if body.expiration_time is not None else []
    words += [name for name in ("post_only", "reduce_only") if getattr(body, name)]
    return " ".join(words)


def polymarket(new: NewOrder) -> str:
    token = Token(
        instrument=new.instrument,
        market=new.market,
        condition="0x" + "ab" * 32,
        token="7" * 70,
        tick=CENT,
        size_min=5 * ONE,
        neg_risk=False,
    )
    body = msgspec.json.decode(prepare_order(new, token, ACCOUNT, "key").body)
    words = [body["orderType"]]
    words += ["expiration"] if body["order"]["expiration"] != "0" else []
    words += ["postOnly"] if body.get("postOnly") else []
    return " ".join(words)


def manifold(new: NewOrder) -> str:
    return "limit then cancel" if intent_of(new).immediate else "limit"


ADAPTERS = {"kalshi": kalshi, "polymarket": polymarket, "manifold": manifold}


def test_every_venue_that_takes_orders_is_here() -> None:
    assert sorted(ADAPTERS) == sorted(traded()) == sorted({row.flags.venue for row in ROWS})


@pytest.mark.parametrize("flags", COMBINATIONS, ids=" ".join)
def test_what_leaves_is_what_the_page_says(flags: Flags) -> None:
    found = [row for row in ROWS if row.covers(flags)]
    assert len(found) == 1, f"expected one row for {flags}, was {len(found)}"
    for outcome, side in itertools.product(OUTCOMES, Side):
        try:
            leaves = ADAPTERS[flags.venue](new_order(flags, outcome, side))
        except Refused as e:
            leaves = f"refused: {e.code}"
        assert leaves == found[0].leaves_as, f"{outcome} {side}"


def test_what_we_send_is_marked_as_sent() -> None:
    """Entries have the lifetimes that the configuration allows, exits those of their two kinds of orders."""
    entries = set(get_args(RiskParams.model_fields["order_time_in_force"].annotation))
    world = exit_world.World(twin=False)
    world.quote(50 * CENT)
    world.enter(100 * ONE, 50 * CENT)
    world.entry_done()
    for _ in range(5):
        world.work()
    world.quote(40 * CENT)
    for _ in range(5):
        world.work()
    exits = {p.time_in_force.value: p.reason.value for _, p in world.proposals}
    names = {lifetime: "target" if reason == "target" else "close" for lifetime, reason in exits.items()}
    expected = {(t, "no", "entry") for t in entries} | {(t, "yes", name) for t, name in names.items()}
    for venue in VENUES:
        said = {
            (row.flags.time_in_force, row.flags.reduce_only, row.sent_by)
            for row in ROWS
            if row.flags.venue == venue and row.sent_by != "–"
        }
        assert said == expected
        assert all(row.flags.post_only in ("no", "any") for row in ROWS if row.sent_by != "–")
