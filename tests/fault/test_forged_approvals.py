"""Forged approvals, claims and commands, written straight onto the tape of a running system.

The forger has the broker's administrator, who may publish anything. What he lacks are the private keys;
at the very end he gets risk's too, and then it is risk itself that notices.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from libs.contract.codec import encode
from libs.keys.signing import APPROVAL_DOMAIN, OPERATOR_DOMAIN, Signer
from libs.operator.desk import expiry_ns, fresh_nonce
from libs.tape.broker import Broker, stream_state
from libs.tape.connection import Link, open_link
from libs.tape.credentials import ADMIN, claims_prefix
from libs.tape.ledger import ClaimOutcome, Ledger
from libs.tape.publisher import Publisher
from libs.tape.record import ID_HEADER, KEY_ID_HEADER, SIGNATURE_HEADER, TapeRecord
from proto.execution import Claim, OrderStatus, OrderUpdate, Refusal, RefusalReason, Unclaimed
from proto.ids import MessageId, order_id
from proto.monitor import Alert, Dead
from proto.operator import Command, Config, Verb
from proto.risk import Approval
from proto.subjects import TAPE
from proto.venue import Ack, AckStatus, Fill
from tests.fault.rig import BUSY
from tests.support.harness import PATIENCE_S, Tape, caught_up, kill, running, synthetic_recording
from tests.support.raw_client import RawClient
from tools.system.installation import Installation
from tools.system.options import Options
from tools.system.system import System

pytestmark = [pytest.mark.fault, pytest.mark.broker, pytest.mark.postgres, pytest.mark.timeout(900)]

MINUTES, SPEED = 6, 3.0
"""Orders come from the fourth second on, several a second, and end after 120 s: a quiet machine needs 10 of them.
Faster than that, the services are busy with playing, not with what is forged."""
FAR_AHEAD = 10**15
REFUSED = "approval_refused"


class Forger:
    """Writes what it likes, and remembers which orders are its own inventions."""

    def __init__(self, system: System, link: Link) -> None:
        self.orders: list[str] = []
        self.tape = system.tape
        self.layout = system.installation.layout
        self.claims = claims_prefix(self.layout.password("execution"))
        self._publisher = Publisher(link)
        self._link = link
        self._number = 0

    async def start(self) -> None:
        await self._publisher.start()
        # A message id is forgotten soon: the forger, and this test, need not wait half a minute for it.
        info = await self._link.client.request(f"$JS.API.STREAM.INFO.{TAPE}", b"", timeout=60)
        config = json.loads(info.data)["config"] | {"duplicate_window": 100_000_000}
        body = json.dumps(config).encode()
        answer = await self._link.client.request(f"$JS.API.STREAM.UPDATE.{TAPE}", body, timeout=60)
        assert "error" not in json.loads(answer.data)

    async def write(self, subject: str, payload: bytes, headers: dict[str, str]) -> int:
        """Put a message on the tape; its sequence. An id the broker still remembers is tried again."""
        async with asyncio.timeout(PATIENCE_S):
            # Longer than the system itself would wait for an answer: a busy broker is no fault here.
            while (stored := await (await self._publisher.begin(subject, payload, headers))).duplicate:
                await asyncio.sleep(0.05)
        return stored.seq

    async def claim(self, claim: Claim) -> int:
        """Put a claim into the ledger, as execution does; its sequence there."""
        return await self.write(f"{self.claims}.order.{claim.order}", encode(claim), {})

    async def last_seq(self) -> int:
        return int((await stream_state(self._link.client, timeout_s=PATIENCE_S))["last_seq"])

    async def invent(self, like: Approval, cause: int = 0) -> tuple[Approval, str]:
        """An approval of an order risk never saw, with the message id that would fit it."""
        self._number += 1
        cause = cause or await self.last_seq()
        index = 1_000 + self._number
        order = order_id(self.tape, cause, index)
        self.orders.append(order)
        return like.replace(order=order), str(MessageId(self.tape, "risk", cause, index))

    async def say(self, approval: Approval, message_id: str, signature: str = "", key_id: str = "") -> int:
        headers = {ID_HEADER: message_id}
        if signature:
            headers |= {SIGNATURE_HEADER: signature, KEY_ID_HEADER: key_id}
        return await self.write(approval.subject(), encode(approval), headers)

    async def say_signed(self, signer: Signer, approval: Approval, message_id: str, key_id: str = "") -> int:
        text = signer.sign(self.tape, approval.subject(), message_id, encode(approval))
        return await self.say(approval, message_id, text, key_id or signer.key_id)


@asynccontextmanager
async def forging(
    directory: Path, changes: dict[str, str] | None = None
) -> AsyncIterator[tuple[System, Tape, Forger]]:
    """A running system in which orders flow, and somebody with the administrator's password."""
    recording = synthetic_recording(directory, minutes=MINUTES)
    options = Options(directory / "state", recordings=[recording], speed=SPEED)
    async with running(options, BUSY | (changes or {})) as (system, tape):
        broker = system.installation.broker
        link = await open_link(broker.url, ADMIN, broker.passwords[ADMIN])
        try:
            forger = Forger(system, link)
            await forger.start()
            yield system, tape, forger
        finally:
            await link.close()


def approvals(tape: Tape) -> list[tuple[TapeRecord, Approval]]:
    """Risk's own approvals: those that were signed, under an id seen for the first time."""
    seen: set[str] = set()
    found: list[tuple[TapeRecord, Approval]] = []
    for record, message in tape.messages:
        if isinstance(message, Approval) and record.headers.get("build") and record.message_id not in seen:
            seen.add(record.message_id)
            found.append((record, message))
    return found


async def more_orders(tape: Tape, number: int = 1) -> None:
    """Wait until so many more orders were accepted by the venue."""
    before = len(accepted(tape))
    await tape.wait(lambda t: len(accepted(t)) >= before + number)


def accepted(tape: Tape) -> list[str]:
    return [ack.order for ack in tape.of(Ack) if ack.status is AckStatus.ACCEPTED]


def refusals(tape: Tape, reason: RefusalReason) -> set[str]:
    return {refusal.order for refusal in tape.of(Refusal) if refusal.reason is reason}


def alerted(tape: Tape) -> set[str]:
    """Orders about which an alert says that their approval was refused."""
    return {
        alert.topic.partition(" ")[0] for alert in tape.of(Alert) if alert.rule == REFUSED and alert.active
    }


def nothing_came_of(tape: Tape, orders: list[str]) -> None:
    for kind in (Claim, OrderUpdate, Ack, Fill):
        touched = {message.order for message in tape.of(kind)} & set(orders)
        assert not touched, f"{kind.__name__} of forged {touched}"


@pytest.mark.asyncio
async def test_no_forged_approval_reaches_the_venue(tmp_path: Path, count: Callable[[int, int], int]):
    number = count(3, 20)
    async with forging(tmp_path) as (_, tape, forger):
        await tape.wait(lambda t: len(accepted(t)) >= 2)
        genuine_record, genuine = approvals(tape)[0]
        signature, key_id = genuine_record.headers[SIGNATURE_HEADER], genuine_record.headers[KEY_ID_HEADER]
        stranger = Signer.generate(APPROVAL_DOMAIN)
        operator = Signer.load(OPERATOR_DOMAIN, forger.layout.operator_key)
        mismatched: list[int] = []
        for turn in range(number):
            approval, message_id = await forger.invent(genuine)
            await forger.say(approval, message_id)
            # An id far above the real ones must not make these look old.
            approval, message_id = await forger.invent(genuine, FAR_AHEAD + turn)
            await forger.say(approval, message_id)
            approval, message_id = await forger.invent(genuine)
            await forger.say(approval, message_id, signature, key_id)
            for signer, claimed in ((stranger, ""), (stranger, key_id), (operator, ""), (operator, key_id)):
                approval, message_id = await forger.invent(genuine)
                await forger.say_signed(signer, approval, message_id, claimed)
            approval, message_id = await forger.invent(genuine)
            await forger.say(approval, message_id, "not base64 é", key_id)
            approval, message_id = await forger.invent(genuine)
            mismatched.append(
                await forger.write(
                    approval.subject(), encode(genuine), {ID_HEADER: message_id, SIGNATURE_HEADER: signature}
                )
            )
        await tape.wait(lambda t: set(forger.orders) - alerted(t) == set(forger.orders[8::9]))
        await tape.wait(
            lambda t: set(forger.orders) - refusals(t, RefusalReason.SIGNATURE) == set(forger.orders[8::9])
        )
        # A payload of another order than the subject's is no message at all.
        await tape.wait(lambda t: set(mismatched) & {dead.seq for dead in t.of(Dead)} != set())
        await more_orders(tape, 2)
        nothing_came_of(tape, forger.orders)
        allowed = {approval.order for _, approval in approvals(tape)}
        assert {claim.order for claim in tape.of(Claim)} <= allowed


@pytest.mark.asyncio
async def test_an_approval_is_good_for_one_order_and_only_as_it_was_signed(
    tmp_path: Path, count: Callable[[int, int], int]
):
    number = count(2, 10)
    async with forging(tmp_path) as (system, tape, forger):
        await tape.wait(lambda t: len(accepted(t)) >= number)
        replayed: list[str] = []
        for record, approval in approvals(tape)[:number]:
            replayed.append(approval.order)
            headers = {key: record.headers[key] for key in (ID_HEADER, SIGNATURE_HEADER, KEY_ID_HEADER)}
            larger = approval.replace(quantity=approval.quantity * 10)
            again = {**headers, ID_HEADER: str(MessageId(forger.tape, "risk", await forger.last_seq(), 0))}
            await forger.write(record.subject, record.payload, headers)
            await forger.write(record.subject, record.payload, again)
            await forger.write(record.subject, encode(larger), headers)
            await forger.write(record.subject, encode(larger), {})
        await tape.wait(lambda t: set(replayed) <= refusals(t, RefusalReason.REPEATED))
        expected = 3 * number
        await tape.wait(
            lambda t: len([r for r in t.of(Refusal) if r.reason is RefusalReason.SIGNATURE]) >= expected
        )
        await tape.wait(lambda t: set(replayed) <= alerted(t))
        await more_orders(tape, 2)
        for order in replayed:
            assert len([claim for claim in tape.of(Claim) if claim.order == order]) == 1
            assert accepted(tape).count(order) == 1
            approved = next(a.quantity for _, a in approvals(tape) if a.order == order)
            assert sum(fill.quantity for fill in tape.of(Fill) if fill.order == order) <= approved

        # With risk's own key an expired approval is refused for its age, and risk sees a second risk.
        signer = Signer.load(APPROVAL_DOMAIN, forger.layout.risk_key)
        newest = approvals(tape)[-1][1]
        # Risk stands still meanwhile, so that it cannot come to speak of a later cause before it reads this one.
        risk = kill(system, "risk", signal.SIGSTOP)
        try:
            expired, message_id = await forger.invent(newest, await forger.last_seq() + 100)
            expired = expired.replace(expires_at=1)
            await forger.say_signed(signer, expired, message_id)
            await tape.wait(lambda t: expired.order in refusals(t, RefusalReason.EXPIRED))
        finally:
            os.kill(risk, signal.SIGCONT)
        assert await system.reports.wait_for(lambda latest: bool(latest["risk"]["diverged"]), PATIENCE_S)
        for kind in (Claim, Ack, Fill):
            assert expired.order not in {message.order for message in tape.of(kind)}


@pytest.mark.asyncio
async def test_no_forged_claim_reaches_the_venue(tmp_path: Path, count: Callable[[int, int], int]):
    async with forging(tmp_path) as (_, tape, forger):
        await tape.wait(lambda t: len(accepted(t)) >= 2)
        _, genuine = approvals(tape)[0]
        real = tape.of(Claim)[0]
        poison: list[int] = []
        for turn in range(count(3, 20)):
            approval, message_id = await forger.invent(genuine)
            bare = real.replace(
                order=approval.order,
                client_order_id=approval.order,
                approval_subject=approval.subject(),
                message_id=message_id,
                payload=encode(approval),
                nonce=f"forged{turn}",
            )
            await forger.claim(bare)
            # The genuine approval of one order inside the claim of another.
            approval, _ = await forger.invent(genuine)
            other = real.replace(order=approval.order, nonce=f"forged{turn}")
            await forger.claim(other)
            approval, _ = await forger.invent(genuine)
            garbage = bare.replace(order=approval.order, payload=b"\xc1" * 40)
            await forger.claim(garbage)
            poison.append(await forger.write(f"{forger.claims}.order.poison-{turn}-0", b"\xc1garbage", {}))
        await tape.wait(
            lambda t: set(forger.orders) <= {a.topic for a in t.of(Alert) if a.rule.startswith("claim")}
        )
        await tape.wait(lambda t: any(dead.producer == "ledger" for dead in t.of(Dead)))
        await more_orders(tape, 2)
        for kind in (OrderUpdate, Ack, Fill):
            assert not {message.order for message in tape.of(kind)} & set(forger.orders)


@pytest.mark.asyncio
async def test_only_a_fresh_word_signed_by_the_operator_counts(tmp_path: Path):
    installation = Installation(tmp_path / "state")
    retired = installation.operator_signer()
    installation.signing_keys.rotate("operator", 0)
    async with forging(tmp_path) as (system, tape, forger):
        await tape.wait(lambda t: len(accepted(t)) >= 1)
        assert system._desk is not None
        await system._desk.command(Verb.HALT, reason="test")
        await tape.wait(lambda t: any(c.verb is Verb.HALT for c in t.of(Command)))
        assert await system.reports.wait_for(
            lambda latest: latest["execution"].get("gate") == "halted", PATIENCE_S
        )
        halted_at = max(record.seq for record, m in tape.messages if isinstance(m, Command))
        operator = Signer.load(OPERATOR_DOMAIN, forger.layout.operator_key)
        risk = Signer.load(APPROVAL_DOMAIN, forger.layout.risk_key)
        stranger = Signer.generate(OPERATOR_DOMAIN)
        halt = next((r, m) for r, m in tape.messages if isinstance(m, Command))

        def resume(expires_at: int = 0, nonce: str = "") -> Command:
            return Command(
                verb=Verb.RESUME, nonce=nonce or fresh_nonce(), expires_at=expires_at or expiry_ns()
            )

        async def say(
            message: Command | Config, signer: Signer | None, key_id: str = "", word: str = ""
        ) -> int:
            subject, payload, message_id = (
                message.subject(),
                encode(message),
                f"operator.{word or message.nonce}",
            )
            headers = {ID_HEADER: message_id}
            if signer is not None:
                headers[SIGNATURE_HEADER] = signer.sign(forger.tape, subject, message_id, payload)
                headers[KEY_ID_HEADER] = key_id or signer.key_id
            return await forger.write(subject, payload, headers)

        skip = Command(verb=Verb.SKIP, machine="risk", seq=1, nonce=fresh_nonce(), expires_at=expiry_ns())
        config = Config(section="risk", document={}, nonce=fresh_nonce(), expires_at=expiry_ns())
        ignored = [
            await say(resume(), None),
            await say(resume(expires_at=1), operator),
            await say(resume(nonce=halt[1].nonce), operator, word="another"),
            await say(resume(), stranger),
            await say(resume(), stranger, operator.key_id),
            await say(resume(), retired),
            await say(resume(), risk),
            await say(resume(), risk, operator.key_id),
            await say(skip, stranger),
            await say(config, None),
            await forger.write(halt[0].subject, halt[0].payload, dict(halt[0].headers)),
            await forger.write("operator.command.resume", halt[0].payload, dict(halt[0].headers)),
        ]
        told: dict[str, int] = {}

        def all_told(t: Tape) -> bool:
            told.clear()
            for dead in t.of(Dead):
                if dead.producer == "operator":
                    told[dead.reason] = told.get(dead.reason, 0) + dead.count
            return sum(told.values()) >= len(ignored)

        await tape.wait(all_told)
        assert sum(told.values()) == len(ignored), told
        assert len(told) >= 4, f"expected signature, expiry, nonce and subject among the reasons, was {told}"
        # A claim on its way when the halt came may still land; none may answer a later approval.
        claims = [record for record, m in tape.messages if isinstance(m, Claim) and record.cause > halted_at]
        assert not claims
        assert system.reports.latest["execution"]["gate"] == "halted"
        assert all(child.restarts == 0 for child in system.supervisor.children.values())
        await system._desk.command(Verb.RESUME)
        await more_orders(tape, 1)


# --- the place of a claim taken by something else -----------------------------------------------------


@pytest.mark.asyncio
async def test_an_order_whose_place_in_the_ledger_is_taken_is_given_up_and_others_flow(tmp_path: Path):
    """Whoever has execution's password can: no other credential makes anything be written there."""
    patient = {"risk.approval_ttl_s": "300", "signal.momentum.expires_s": "300"}
    async with forging(tmp_path, patient) as (system, tape, _):
        await tape.wait(lambda t: len(accepted(t)) >= 1)
        # Execution stands still until the place of its next order is taken.
        execution = kill(system, "execution", signal.SIGSTOP)
        try:
            await caught_up(system, tape)
            known = {approval.order for _, approval in approvals(tape)}
            await tape.wait(lambda t: len(approvals(t)) > len(known))
            order = approvals(tape)[-1][1].order
            broker = system.installation.broker
            prefix = claims_prefix(broker.passwords["execution"])
            async with RawClient(broker.port, "execution", broker.passwords["execution"]) as thief:
                thief.publish(f"$JS.API.STREAM.INFO.{TAPE}", b"", reply=f"{prefix}.order.{order}")
                await thief.settle()
        finally:
            os.kill(execution, signal.SIGCONT)
        await tape.wait(lambda t: order in {unclaimed.order for unclaimed in t.of(Unclaimed)})
        await tape.wait(
            lambda t: (
                (order, OrderStatus.DENIED) in {(update.order, update.status) for update in t.of(OrderUpdate)}
            )
        )
        await more_orders(tape, 1)
        for kind in (Claim, Ack, Fill):
            assert order not in {message.order for message in tape.of(kind)}
        assert all(child.restarts == 0 for child in system.supervisor.children.values())


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker")
    broker.start()
    yield broker
    broker.kill()


@pytest.mark.asyncio
async def test_a_claim_whose_place_is_taken_is_known_to_be_blocked(broker: Broker, tmp_path: Path):
    await broker.ready()
    link = await open_link(broker.url, "execution", broker.passwords["execution"])
    publisher = Publisher(link)
    await publisher.start()
    prefix = claims_prefix(broker.passwords["execution"])
    ledger = Ledger(link, publisher, tmp_path / "claims", prefix)

    def claim(order: str, nonce: str = "mine", payload: bytes = b"approval") -> Claim:
        return Claim(
            order=order,
            approval_subject=f"risk.approval.{order}",
            message_id="t:risk:1:0",
            payload=payload,
            signature="s",
            key_id="k",
            client_order_id=order,
            nonce=nonce,
            claimed_at=1,
        )

    async def put(order: str, content: bytes) -> None:
        await publisher.publish(f"{prefix}.order.{order}", content, {})

    try:
        await put("t-1-0", b'{"stream":"TAPE","seq":1}')
        await put("t-2-0", b"")
        await put("t-3-0", encode(claim("t-3-0", "theirs", b"another approval")))
        await put("t-4-0", encode(claim("t-4-0", "theirs")))
        outcomes = [await ledger.claim(claim(f"t-{n}-0"), {}) for n in range(1, 6)]
        assert outcomes == [
            ClaimOutcome.BLOCKED,
            ClaimOutcome.BLOCKED,
            ClaimOutcome.BLOCKED,
            ClaimOutcome.LOST,
            ClaimOutcome.WON,
        ]
    finally:
        ledger.close()
        await link.close()
