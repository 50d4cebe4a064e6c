"""The loops beside execution's host: nobody else frees what a crash left, or keeps the ledger's window new."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from libs.tape.ledger_window import LedgerWindow
from services.execution import claim_maker, ledger_watch
from services.execution.claim_maker import ClaimMaker
from services.execution.ledger_watch import LedgerWatch
from services.execution.orders import AwaitingClaim
from tests.support.waiting import until


def test_an_order_that_cannot_be_looked_up_keeps_no_other_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_maker, "SWEEP_EVERY_S", 0.01)
    context: Any = SimpleNamespace(link=None, run=SimpleNamespace(lockstep=False, tape="t"))
    host: Any = SimpleNamespace(runners=[])
    ledger: Any = SimpleNamespace(window=None)
    gate: Any = None
    maker = ClaimMaker(context, host, ledger, gate, lambda _: None)
    stranded = [AwaitingClaim(f"t-{number}-0", "", 0, False, "") for number in (1, 2)]
    freed: list[str] = []

    async def free(order: str) -> None:
        if order == "t-1-0":
            raise RuntimeError("an odd answer")
        freed.append(order)

    monkeypatch.setattr(maker, "_stranded_orders", lambda: stranded)
    monkeypatch.setattr(maker, "_publish_if_unclaimed", free)

    async def scene() -> None:
        sweeping = asyncio.create_task(maker.sweep_loop())
        await until(lambda: len(freed) > 1 or sweeping.done())
        assert not sweeping.done()
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)

    asyncio.run(scene())


def test_a_window_that_cannot_be_read_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_watch, "LOOK_EVERY_S", 0.01)
    window = LedgerWindow(held_from=0, reach=0, claims=1, size=1, size_max=100)
    errors = iter([KeyError("state")])

    async def read() -> LedgerWindow:
        for error in errors:
            raise error
        return window

    async def scene() -> None:
        watch = LedgerWatch(read)
        looking = asyncio.create_task(watch.loop())
        await until(lambda: watch.window == window or looking.done())
        assert not looking.done()
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    asyncio.run(scene())
