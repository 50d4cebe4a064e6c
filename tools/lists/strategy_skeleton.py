"""What ``presage strategies new`` writes: a strategy that runs, its test, and its section."""

import keyword
import re
from pathlib import Path
from string import Template
from typing import NamedTuple

from services.signal.discovery import BUILT_IN

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""A module's name and a token of a subject; forty characters still fit a table."""

STRATEGY = Template('''"""$title: say here what it sees in a market that others do not, and why that should go on."""

from collections.abc import Sequence
from typing import ClassVar

from libs.indicators.tops import Top
from proto.feed import Market
from proto.signal import Evidence, Proposal
from proto.units import ONE, Price
from services.signal.buying import BuyingParams, BuyingStrategy
from services.signal.strategy import NO_PROPOSALS, NoState


class ${class_name}Params(BuyingParams):
    """Parameters of the section `signal.$name`: those of every strategy that buys below its own value, and yours."""


class $class_name(BuyingStrategy[${class_name}Params, NoState]):
    """Buys an outcome that sells below what it is worth."""

    name: ClassVar[str] = "$name"
    params_type = ${class_name}Params

    def fair_value(self, market: Market, instrument: str, top: Top) -> Price | None:  # noqa: ARG002 - for yours
        """What a contract is worth by your view, in millionths; `None` where you have none.

        Yours goes here. The middle of the book is no view: the ask is never below it, so nothing is bought.
        """
        return None if top.bid is None or top.ask is None else (top.bid + top.ask) // 2

    def on_quote(self, instrument: str, top: Top) -> Sequence[Proposal]:
        """Propose an outcome whose ask leaves enough edge after the fee."""
        market = self.market_of(instrument)
        fair_value = None if market is None else self.fair_value(market, instrument, top)
        if market is None or fair_value is None:
            return NO_PROPOSALS
        evidence = (Evidence("fair_value", fair_value),)
        return self.buy(market, instrument, fair_value, ONE, "below its fair value", evidence)
''')

TEST = Template('''"""$title: what it must buy, what it must leave alone, and that its snapshot holds everything."""

from pathlib import Path

from libs.machine.machine import Stamp
from proto.feed import Book, FeeSchedule, Level, Market, MarketStatus, Outcome, Quote
from proto.message import Message
from proto.operator import ClockOwner, Config, Mode, Session
from proto.units import ONE, SECOND
from services.signal.discovery import load_strategies
from services.signal.machine import SignalMachine

START = 1_000_000 * SECOND
CENT = ONE // 100
YES, NO = "venue:M:yes", "venue:M:no"
MARKET = Market(
    market="venue:M",
    venue="venue",
    at=START,
    status=MarketStatus.OPEN,
    outcomes=(Outcome("yes", YES), Outcome("no", NO)),
    close_at=START + 3_600 * SECOND,
    fees=FeeSchedule(model="kalshi_quadratic", taker_rate=70_000),
)
(STRATEGY,) = load_strategies([f"{Path(__file__).with_name('$name.py')}:$class_name"])


class World:
    """The machine that hosts the strategy. Each message also goes to a twin made from its snapshot, which must agree."""

    def __init__(self, strategy: type) -> None:
        self.strategy, self.machine = strategy, SignalMachine([strategy])
        self.seq, self.now = 0, START
        once = {"nonce": "n", "expires_at": START}
        session = Session(tape="t", mode=Mode.PLAYBACK, clock_owner=ClockOwner.FEED, started_at=START, **once)
        self.put(session)
        document = strategy.params_type().document()
        self.put(Config(section=f"signal.{strategy.name}", document=document, **once))
        self.put(MARKET)

    def put(self, message: Message) -> list[Message]:
        self.seq += 1
        twin = SignalMachine([self.strategy])
        twin.restore(self.machine.snapshot())
        stamp = Stamp(self.seq, self.now)
        out = list(self.machine.on(message, stamp))
        assert out == list(twin.on(message, stamp))
        return out

    def book(self, bid: int, ask: int) -> list[Message]:
        self.now += SECOND
        return self.put(
            Book(
                instrument=YES,
                at=self.now,
                counter=1,
                bids=(Level(bid * CENT, ONE),),
                asks=(Level(ask * CENT, ONE),),
                snapshot=True,
            )
        )

    def quote(self, bid: int, ask: int) -> list[Message]:
        self.now += SECOND
        return self.put(
            Quote(instrument=YES, at=self.now, counter=2, bid=bid * CENT, bid_size=ONE, ask=ask * CENT)
        )


class Sure(STRATEGY):
    """The same strategy with a view: sixty cents."""

    def fair_value(self, market, instrument, top):
        return 60 * CENT


def test_without_a_view_nothing_is_bought():
    world = World(STRATEGY)
    assert world.book(48, 50) == world.quote(30, 32) == []


def test_it_buys_what_is_cheap_and_nothing_else():
    world = World(Sure)
    assert world.book(57, 59) == []
    (proposal,) = world.quote(48, 50)
    assert (proposal.instrument, proposal.price, proposal.fair_value) == (YES, 50 * CENT, 60 * CENT)
    assert proposal.edge == 10 * CENT - 17_500
''')

SECTION = Template("""# $title (--strategy $file:$class_name). What is left out has its default; say for each value why it is that.
# Fractions, prices and money are written with a decimal point, counts and seconds without.

# A way in and out of a contract at 0.50 costs 4.5 cents of a taker: a smaller edge has to be held to the end.
edge_min: 0.02
# Near 0 and 1 there is little to win, or nobody to sell to.
price_min: 0.05
price_max: 0.95
time_to_close_min_s: 120
expires_s: 5
repeat_interval_s: 30
change_interval_s: 1
""")


class SkeletonRefused(ValueError):
    """No skeleton is written; the text says what was expected."""


class Written(NamedTuple):
    """What was written; ``spec`` names the strategy to ``--strategy``."""

    files: tuple[Path, Path, Path]
    spec: str

    @property
    def test(self) -> Path:
        """The file of its test."""
        return self.files[1]


def write_skeleton(name: str, directory: Path, config: Path) -> Written:
    """Write strategy, test and section; all three or none.

    Raises:
        SkeletonRefused: for a name that cannot be one, or if one of the files is there.
        OSError: a file cannot be written.
    """
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or name in BUILT_IN:
        raise SkeletonRefused(
            f"expected a name of lower-case letters, digits and _ that no strategy has, was {name!r}"
        )
    if not (config / "signal").is_dir():
        raise SkeletonRefused(f"expected a folder {config}/signal for its section, was none")
    file = directory / f"{name}.py"
    files = (file, directory / f"test_{name}.py", config / "signal" / f"{name}.yaml")
    there = [str(path) for path in files if path.exists()]
    if there:
        raise SkeletonRefused(f"expected no file yet, was {', '.join(there)}")
    class_name = "".join(word.capitalize() for word in name.split("_"))
    words = {
        "name": name,
        "class_name": class_name,
        "title": name.replace("_", " ").capitalize(),
        "file": str(file),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for path, template in zip(files, (STRATEGY, TEST, SECTION), strict=True):
        path.write_text(template.substitute(words))
    return Written(files, f"{file}:{class_name}")
