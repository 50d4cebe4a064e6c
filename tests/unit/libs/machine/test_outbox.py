"""Publishing goes on when everything begins anew while an effect is being prepared."""

import asyncio
from pathlib import Path

from libs.keys.signing import Verifier
from libs.machine.host_state import Fact, HostSettings, HostState
from libs.machine.input_gate import InputGate
from libs.machine.outbox import Outbox
from libs.machine.runner import Effect, MachineRunner
from libs.tape.connection import Link
from libs.tape.publisher import Publisher
from libs.tape.record import TapeRecord
from tests.support import few_words
from tests.support.runner_tape import Summing

SAID = few_words.proposal()


def runner_with_effect() -> MachineRunner:
    runner = MachineRunner(Summing(), InputGate(Verifier({})), "b")
    runner.emit(TapeRecord(7, "feed.trade.i", {}, b"", 0), SAID, [SAID])
    return runner


def test_beginning_anew_while_an_effect_is_prepared_does_not_end_publishing(monkeypatch):
    prepared: list[int] = []

    async def before_publish(effect: Effect) -> list[Fact]:
        prepared.append(effect.record.seq)
        await asyncio.Event().wait()
        return []

    async def scene() -> None:
        runners, link = [runner_with_effect()], Link("signal")
        outbox = Outbox(
            HostSettings("signal", "t1", Path(), "b"), HostState(live=True), link, Publisher(link), before_publish,
            runners=lambda: runners, position=lambda: 7, acknowledged=lambda: asyncio.sleep(0),
        )  # fmt: skip
        read_back = asyncio.Event()

        async def note_read_back() -> None:
            read_back.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(outbox, "_read_back", note_read_back)
        publishing = asyncio.create_task(outbox.publish_loop())
        outbox.wake()
        while not prepared:
            await asyncio.sleep(0)
        runners[0] = runner_with_effect()
        outbox.begin_at(7)
        outbox.wake()
        async with asyncio.timeout(30):
            await read_back.wait()
        assert not publishing.done()
        assert prepared[0] == 7
        publishing.cancel()

    asyncio.run(scene())
