"""A whole system that sends real orders to the sandbox, the sandbox's own word, and what both must agree on."""

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import httpx

from libs.contract.codec import decode
from libs.machine.snapshots import SnapshotStore
from libs.portfolio.portfolio import Portfolio
from proto.execution import Claim, OrderStatus, OrderUpdate
from proto.ids import venue_of
from proto.risk import Approval
from proto.venue import Account, Correction, Fill, Reconciliation, Settlement, TradeState, TradeStatus
from services.risk.machine import RiskMachine
from tests.fault.live import CHANGES, EAGER
from tests.support.cluster import with_cluster
from tests.support.harness import Tape
from tools.system.build import system_of
from tools.system.composition import CONFIG_DIRECTORY
from tools.system.options import MarketSource, Options
from tools.system.system import System

VENUES = ("kalshi", "polymarket")
PATIENCE_S = 200.0
POLL_S = 0.2
Held = dict[str, int]


class SandboxView:
    """What the sandbox says by its admin endpoints, which no fault reaches."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "sandbox"
        self._base = json.loads((self._folder / "urls.json").read_text())["urls"]["admin"]["rest"]
        self._client = httpx.AsyncClient(base_url=self._base, timeout=20.0, trust_env=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def set_faults(self, script: Mapping[str, Any]) -> None:
        answer = await self._client.post("/_sandbox/faults", json=dict(script))
        assert answer.status_code == 200, answer.text

    async def clear_faults(self) -> None:
        assert (await self._client.delete("/_sandbox/faults")).status_code == 200

    async def struck(self) -> Counter[str]:
        """Fault kind → how often it struck."""
        counts: Counter[str] = Counter()
        for row in (await self._get("faults"))["counts"]:
            counts[row["kind"]] += row["count"]
        return counts

    async def arrivals(self, venue: str, operation: str = "order") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._get(f"arrivals?venue={venue}&operation={operation}"))[
            "arrivals"
        ]
        return found

    async def books(self) -> tuple[Held, dict[str, int], int]:
        """Positions by instrument, money by venue, and how many orders rest: of the accounts that trade."""
        state = (await self._get("state"))["venues"]
        [account] = state["kalshi"]["accounts"]
        outcomes = {row["id"]: row["outcomes"] for row in state["kalshi"]["markets"]}
        held: Held = {}
        for row in account["positions"]:
            name = outcomes[row["market"]][row["outcome"]].lower()
            held[f"kalshi:{row['market']}:{name}"] = row["quantity"]
        funder = json.loads((self._folder / "polymarket.json").read_text())["funder"].lower()
        server = state["polymarket"]["server"]
        wallet = next(row for row in server["wallets"] if row["address"] == funder)
        for market in state["polymarket"]["markets"]:
            if market["status"] == "settled":
                # Winnings have become money, or will in seconds; what lost stays in the wallet for ever.
                continue
            for name, number in zip(market["outcomes"], market["tokens"], strict=True):
                if quantity := wallet["chain"].get(str(number), 0):
                    held[f"polymarket:{market['id']}:{name.lower()}"] = quantity
        cash = {"kalshi": account["cash"], "polymarket": wallet["chain"]["collateral"]}
        return held, cash, len(account["orders"]) + server["working"]

    async def _get(self, path: str) -> Any:
        answer = await self._client.get(f"/_sandbox/{path}")
        answer.raise_for_status()
        return answer.json()


@asynccontextmanager
async def trading_at_sandbox(
    state: Path, changes: Mapping[str, str] | None = None, strategies: tuple[str, ...] = (EAGER,)
) -> AsyncIterator[tuple[System, Tape, SandboxView]]:
    """``presage up --sandbox-live`` with the strategy that always trades; every service live, gates open."""
    config = state.with_name(f"{state.name}-config")
    if not config.exists():
        shutil.copytree(CONFIG_DIRECTORY, config)
        (config / "signal" / "eager.yaml").write_text("repeat_interval_s: 1\n")
    options = Options(state=state, strategies=strategies, market=MarketSource.SANDBOX, live=list(VENUES))
    with_cluster(state / "postgres")
    # It is not about forecasts, and its tapes are compared with those of builds that had none.
    quiet = {"advisor.provider": "none"}
    system = system_of(options, config, CHANGES | quiet | dict(changes or {}))
    tape = Tape()
    system.observers.append(tape.take)
    try:
        await system.start()
        assert await system.all_live(), f"expected all services live: {system.not_live()}"
        view = SandboxView(state)
        try:
            await gates(system, lambda found: found == "open")
            yield system, tape, view
        finally:
            await view.close()
    finally:
        await system.stop()


async def gates(system: System, wanted: Callable[[str], bool], venues: tuple[str, ...] = VENUES) -> None:
    """Wait until the gates of these venues are as wanted."""

    def there(latest: Mapping[str, Any]) -> bool:
        shown = latest.get("execution", {}).get("venues", {})
        return all(wanted(shown.get(venue, {}).get("gate", "silent")) for venue in venues)

    assert await system.reports.wait_for(there, PATIENCE_S), system.reports.latest.get("execution")


def folded(tape: Tape) -> Portfolio:
    """The portfolio as every reader of the tape folds it."""
    portfolio = Portfolio()
    for _, message in tape.messages:
        if isinstance(message, Fill | Correction | Settlement | Account):
            portfolio.apply(message)
    return portfolio


def positions(portfolio: Portfolio) -> Held:
    return {instrument: position.quantity for _, instrument, position in portfolio.open_positions()}


def statuses(tape: Tape) -> dict[str, OrderStatus]:
    """The newest state of every order."""
    return {update.order: update.status for update in tape.of(OrderUpdate)}


def unfinished_trades(tape: Tape) -> set[str]:
    """Fills whose trade is neither confirmed nor failed yet."""
    newest = {step.fill_id: step.status for step in tape.of(TradeState)}
    return {f for f, s in newest.items() if s not in (TradeStatus.CONFIRMED, TradeStatus.FAILED)}


async def agreed(
    tape: Tape, view: SandboxView, patience_s: float = PATIENCE_S
) -> tuple[Held, dict[str, int]]:
    """Wait until venue and tape say the same, nothing rests and every trade is final; what they say."""
    deadline = monotonic() + patience_s
    while True:
        # Ours first: what is only at the venue then is news that has not come yet.
        ours, book = positions(folded(tape)), folded(tape)
        theirs, cash, resting = await view.books()
        pending = unfinished_trades(tape)
        if ours == theirs and not resting and not pending and book.cash == sum(cash.values()):
            return theirs, cash
        assert monotonic() < deadline, (
            f"expected the venue's books and ours to agree, were {theirs} and {ours};"
            f" money {cash} and {book.cash}; {resting} orders rest; not final: {pending}"
        )
        await asyncio.sleep(POLL_S)


async def check_arrivals(tape: Tape, view: SandboxView) -> dict[str, int]:
    """Nothing arrived that was not claimed, and nothing twice. Orders by venue that did arrive.

    One exception is in the contract: a sale that was refused for want of shares just bought may come again,
    under the same id; each arrival before the last was then answered with a refusal.
    """
    claimed = {claim.client_order_id for claim in tape.of(Claim)}
    counts: dict[str, int] = {}
    for venue in VENUES:
        by_key: dict[str, list[int]] = {}
        nameless = 0
        for arrival in await view.arrivals(venue):
            nameless += not arrival["keys"]
            for key in arrival["keys"]:
                by_key.setdefault(key, []).append(arrival["status"])
        strangers = by_key.keys() - claimed
        assert not strangers, f"{venue}: arrived without a claim: {strangers}"
        for key, answers in by_key.items():
            assert len(answers) == 1 or set(answers[:-1]) == {400}, f"{venue}: {key} sent again: {answers}"
        ours = sum(_venue(claim) == venue for claim in tape.of(Claim))
        # Requests that a fault answered before they were read have no id: they count against the claims.
        again = sum(len(answers) - 1 for answers in by_key.values())
        assert len(by_key) + nameless <= ours + again, f"{venue}: more requests than claims"
        counts[venue] = len(by_key)
    return counts


def _venue(claim: Claim) -> str:
    """The venue of a claim's order: its market is in the approval that it carries."""
    approval = decode(claim.approval_subject, claim.payload)
    assert isinstance(approval, Approval)
    return venue_of(approval.market)


def check_reserved(state: Path, unknown: set[str]) -> None:
    """Risk, as it stopped, still reserves every order of which nobody knows what became of it."""
    machine = RiskMachine()
    snapshot = SnapshotStore(state / "snapshots", "risk").newest_first()[0]
    assert snapshot.planned
    machine.restore(snapshot.state)
    for order in unknown:
        reservation = machine.state.reservations.get(order)
        assert reservation is not None, f"{order} is unknown and not reserved any more"
        assert not reservation.terminal


def reconciled(tape: Tape) -> dict[str, list[Reconciliation]]:
    """Complete reconciliations by venue."""
    found: dict[str, list[Reconciliation]] = {venue: [] for venue in VENUES}
    for report in tape.of(Reconciliation):
        if report.complete:
            found[report.venue].append(report)
    return found
