"""Any valid message, in any order, at any time: no machine may raise, for that would stop it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.config.section import section_hash
from libs.contract.codec import decode, encode
from libs.machine.machine import Machine, Stamp
from proto.evaluation import Checkpoint, Edit, ExitChange, Revert, SignalChange
from proto.feed import Quote
from proto.message import Message
from proto.operator import ClockOwner, Command, Config, Mode, Session, Verb
from proto.subjects import MACHINE_ORDER
from proto.units import ONE, SECOND
from proto.venue import Account, Fill, Settlement
from tests.support.strategies import messages
from tools.system.composition import advisor_sections, factories, sections

START = 1_800_000_000 * SECOND
FACTORIES = factories()
SECTIONS = sections() | advisor_sections()
EDITS = [
    Edit(path=path, section=section, section_hash=section_hash(SECTIONS[section]), old=old, new=new)
    for path, section, old, new in (
        ("exit.decay_s", "exit", 14_400, 10_800),
        ("signal.momentum.z_min", "signal.momentum", 2_000_000, 2_250_000),
        ("risk.bet_max", "risk", 200_000, 300_000),
    )
]
"""Changes that machines apply, and one that nobody may make."""
# Few names, so that the messages meet.
NAMES: dict[str, list[str]] = {
    "instrument": ["kalshi:A:yes", "kalshi:A:no", "kalshi:B:yes", "coinbase:BTC-USD", "elsewhere"],
    "market": ["kalshi:A", "kalshi:B", "elsewhere"],
    "order": ["t1-20-0", "t1-21-0", "t1-101-0", "t1-102-0", "x"],
    "fill_id": ["f1", "f2"],
    "tape": ["t1", "t2"],
    "proposal": ["c-1", "c-2"],
    "underlying": ["coinbase:BTC-USD", ""],
}
QUANTITY_MAX = 10**6 * ONE


def sane(draw: st.DrawFn, message: Any) -> Message:
    """The message among our names, its times near the session's, facts of money within any account."""
    changes: dict[str, Any] = {
        name: draw(st.sampled_from(values)) for name, values in NAMES.items() if hasattr(message, name)
    }
    for name in ("at", "expires_at", "open_at", "close_at", "started_at"):
        if hasattr(message, name):
            changes[name] = START + draw(st.integers(-2 * 3_600, 26 * 3_600)) * SECOND
    if isinstance(message, Fill | Settlement):
        changes["price"] = min(message.price, ONE)
    if isinstance(message, Fill):
        changes["quantity"] = min(message.quantity, QUANTITY_MAX)
        changes["fee"] = min(max(message.fee, -QUANTITY_MAX), QUANTITY_MAX)
    if isinstance(message, Account):
        changes["deposit"] = min(max(message.deposit, -QUANTITY_MAX), QUANTITY_MAX)
    if isinstance(message, Revert | Checkpoint | SignalChange | ExitChange):
        changes["edit"] = draw(st.sampled_from(EDITS))
    if isinstance(message, Command) and draw(st.booleans()):
        edit = draw(st.sampled_from(EDITS))
        changes |= {"verb": Verb.ACCEPT, "path": edit.path, "section_hash": edit.section_hash}
        changes |= {"old": edit.old, "new": edit.new}
    changed: Message = message.replace(**changes)
    return changed


@st.composite
def inputs(draw: st.DrawFn, machine: Machine) -> Message:
    """A message the machine reads; configurations come from the shipped files alone."""
    models = [model for model in machine.reads if model is not Config]
    return sane(draw, draw(st.one_of([messages(model) for model in models])))


def configured(name: str) -> Machine:
    machine = FACTORIES[name]()
    opening: list[Message] = [
        Session(
            tape="t1",
            mode=Mode.PLAYBACK,
            clock_owner=ClockOwner.FEED,
            started_at=START,
            nonce="n",
            expires_at=START,
        ),
        *(
            Config(section=section, document=dict(document), nonce=section, expires_at=START)
            for section, document in SECTIONS.items()
        ),
    ]
    for seq, message in enumerate(opening, 1):
        if type(message) in machine.reads:
            machine.on(message, Stamp(seq, START, f"operator.{seq}"))
    return machine


@pytest.mark.parametrize("name", MACHINE_ORDER)
@settings(max_examples=60)
@given(data=st.data())
def test_no_valid_message_stops_a_machine(name: str, data: st.DataObject):
    machine, twin = configured(name), configured(name)
    now = START
    for seq, message in enumerate(data.draw(st.lists(inputs(machine), max_size=40)), 100):
        now = START if type(message) is Session else now + data.draw(st.integers(0, 600)) * SECOND
        producer = data.draw(st.sampled_from(["risk", "exit", "signal", "paper", "x"]))
        stamp = Stamp(seq, now, f"t1:{producer}:{seq - 1}:0", data.draw(st.booleans()))
        outputs = list(machine.on(message, stamp))
        for output in outputs:
            assert decode(output.subject(), encode(output)) == output
        # A restart between any two messages changes nothing.
        state = twin.snapshot()
        twin = FACTORIES[name]()
        twin.restore(state)
        assert list(twin.on(message, stamp)) == outputs
    assert twin.snapshot() == machine.snapshot()


@pytest.mark.parametrize("name", MACHINE_ORDER)
def test_an_unconfigured_machine_says_nothing(name: str):
    machine = FACTORIES[name]()
    quote = Quote(instrument="kalshi:A:yes", at=START, counter=1, bid=ONE // 2, ask=ONE // 2 + 1)
    if Quote in machine.reads:
        assert not machine.on(quote, Stamp(1, START))
