"""What a chat is told of a halt that is on the tape, whatever comes after."""

from types import SimpleNamespace

import pytest
from nats.errors import ConnectionClosedError

from libs.operator.aftermath import HaltEffect
from libs.tape.errors import BrokerUnavailable, TapeGap
from services.monitor.notify import halting
from services.monitor.notify.halting import Halter


async def stored(*_: object, **__: object) -> int:
    return 7


def halter(monkeypatch: pytest.MonkeyPatch, effect: HaltEffect | Exception) -> Halter:
    async def ready(_: Halter) -> SimpleNamespace:
        return SimpleNamespace(command=stored)

    async def effect_of_halt(*_: object) -> HaltEffect:
        if isinstance(effect, Exception):
            raise effect
        return effect

    monkeypatch.setattr(Halter, "_ready", ready)
    monkeypatch.setattr(halting, "effect_of_halt", effect_of_halt)
    return Halter(SimpleNamespace(run=SimpleNamespace(supervisor_pid=0), link=None))


@pytest.mark.parametrize(
    "error",
    [BrokerUnavailable("gone"), TapeGap("cut"), OSError("no socket"), ConnectionClosedError()],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.asyncio
async def test_a_halt_whose_effect_cannot_be_read_is_a_halt(
    monkeypatch: pytest.MonkeyPatch, error: Exception
):
    told = await halter(monkeypatch, error)("stop")
    assert told == "halted (tape sequence 7); what came of it is not known"


@pytest.mark.asyncio
async def test_what_came_of_it_is_told(monkeypatch: pytest.MonkeyPatch):
    told = await halter(monkeypatch, HaltEffect(acted=True))("stop")
    assert told == "halted (tape sequence 7): no order was working"
