"""The checker finds what it is there to find: a test of a fault is worth no more than that."""

import pytest

from libs.contract.codec import encode
from libs.keys.signing import APPROVAL_DOMAIN, Signer, Verifier
from libs.tape.record import ID_HEADER, KEY_ID_HEADER, SIGNATURE_HEADER, TapeRecord
from proto.execution import Claim, OrderStatus, OrderUpdate, Unclaimed
from proto.feed import FeedClock, Side
from proto.message import Message
from proto.risk import Approval, TimeInForce
from proto.units import ONE, SECOND
from proto.venue import Ack, AckStatus, Fill
from tests.fault import invariants

TAPE = "t0"
ORDER = "t0-5-0"
SIGNER = Signer.generate(APPROVAL_DOMAIN)
APPROVAL = Approval(
    order=ORDER,
    strategy="momentum",
    market="kalshi:M",
    instrument="kalshi:M:yes",
    side=Side.BUY,
    price=ONE // 2,
    quantity=10 * ONE,
    time_in_force=TimeInForce.IOC,
    expires_at=1,
    proposal="t0:signal:4:0",
)
CLAIM = Claim(
    order=ORDER,
    approval_subject=APPROVAL.subject(),
    message_id="t0:risk:5:0",
    payload=encode(APPROVAL),
    signature="",
    key_id="",
    client_order_id=ORDER,
    nonce="n",
    claimed_at=1,
)


def record(seq: int, message: Message, message_id: str, signer: Signer | None = None) -> TapeRecord:
    payload, subject = encode(message), message.subject()
    headers = {ID_HEADER: message_id}
    if signer is not None:
        headers[SIGNATURE_HEADER] = signer.sign(TAPE, subject, message_id, payload)
        headers[KEY_ID_HEADER] = signer.key_id
    return TapeRecord(seq, subject, headers, payload, 0)


def clock(seq: int, counter: int, at: int = 1) -> TapeRecord:
    return record(seq, FeedClock(at=at), f"{TAPE}:feed:{counter}:0")


def decoded(*messages: Message) -> invariants.Decoded:
    return [(record(n + 1, m, f"{TAPE}:paper:{n + 1}:0"), m) for n, m in enumerate(messages)]


def fill(fill_id: str, quantity: int, order: str = ORDER) -> Fill:
    return Fill(
        fill_id=fill_id,
        order=order,
        market=APPROVAL.market,
        instrument=APPROVAL.instrument,
        strategy="momentum",
        side=Side.BUY,
        price=ONE // 2,
        quantity=quantity,
        fee=0,
    )


def update(status: OrderStatus) -> OrderUpdate:
    return OrderUpdate(
        order=ORDER, status=status, instrument="kalshi:M:yes", market="kalshi:M", strategy="momentum"
    )


@pytest.mark.parametrize("sequences", [(1, 3), (2, 3), (1, 2, 2), (2, 1)])
def test_a_tape_with_a_gap_or_out_of_order_is_found(sequences):
    with pytest.raises(AssertionError, match="gaps"):
        invariants.check_no_gap([clock(seq, 1) for seq in sequences])


def test_a_second_emission_with_the_same_content_is_counted_and_harmless():
    assert invariants.check_nothing_doubled([clock(1, 1), clock(2, 2), clock(3, 1)]) == 1


def test_two_contents_under_one_id_are_found():
    with pytest.raises(AssertionError, match="two contents"):
        invariants.check_nothing_doubled([clock(1, 1, at=1), clock(2, 1, at=2)])


def test_a_lost_feed_message_is_found():
    with pytest.raises(AssertionError, match="lost"):
        invariants.check_nothing_doubled([clock(1, 1), clock(2, 3)])


def test_outputs_in_an_order_in_which_readers_would_drop_one_are_found():
    late = [record(1, APPROVAL, "t0:risk:9:0"), record(2, APPROVAL, "t0:risk:5:0")]
    with pytest.raises(AssertionError, match="readers lose it"):
        invariants.check_nothing_doubled(late)


def test_only_approvals_that_risk_signed_count():
    verifier = Verifier({SIGNER.key_id: SIGNER.public_key})
    forger = Signer.generate(APPROVAL_DOMAIN)
    for signer, expected in ((SIGNER, [ORDER]), (forger, []), (None, [])):
        stored = record(6, APPROVAL, CLAIM.message_id, signer)
        found = invariants.verified_approvals([stored], [(stored, APPROVAL)], verifier)
        assert list(found) == expected


def test_a_claim_without_approval_or_a_second_one_is_found():
    approvals = {ORDER: APPROVAL}
    assert invariants.check_claims(decoded(CLAIM), approvals) == {ORDER: CLAIM}
    with pytest.raises(AssertionError, match="without an approval"):
        invariants.check_claims(decoded(CLAIM), {})
    with pytest.raises(AssertionError, match="claimed twice"):
        invariants.check_claims(decoded(CLAIM, CLAIM), approvals)


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ((fill("a", ONE), fill("a", ONE)), "under two ids"),
        ((fill("a", 6 * ONE), fill("b", 6 * ONE)), "beyond"),
        ((fill("a", ONE, order="t0-9-0"),), "without a claim"),
        ((Ack(order=ORDER, status=AckStatus.ACCEPTED),) * 2, "accepted twice"),
    ],
)
def test_doubled_and_unclaimed_fills_are_found(messages, text):
    with pytest.raises(AssertionError, match=text):
        invariants.check_fills(decoded(*messages), {ORDER: APPROVAL}, {ORDER: CLAIM})


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ((), "answer every approval"),
        ((update(OrderStatus.PENDING_SUBMIT),), "a claim or its absence"),
        ((CLAIM, update(OrderStatus.SUBMITTED), FeedClock(at=7 * SECOND)), "no known state"),
        ((update(OrderStatus.DENIED), Unclaimed(order=ORDER, reason="halted")), "yet claimed"),
    ],
)
def test_orders_that_got_lost_are_found(messages, text):
    with pytest.raises(AssertionError, match=text):
        invariants.check_fates(decoded(*messages), {ORDER: APPROVAL}, {ORDER: CLAIM}, finished=True)


def test_an_order_on_its_way_when_the_recording_ends_is_not_lost():
    fates = decoded(FeedClock(at=SECOND), CLAIM, update(OrderStatus.SUBMITTED), FeedClock(at=2 * SECOND))
    assert invariants.check_fates(fates, {ORDER: APPROVAL}, {ORDER: CLAIM}, finished=True) == 0


@pytest.mark.parametrize("status", [OrderStatus.FILLED, OrderStatus.UNKNOWN, OrderStatus.ACCEPTED])
def test_orders_in_a_known_state_are_fine(status):
    fates = decoded(update(status))
    assert invariants.check_fates(fates, {ORDER: APPROVAL}, {ORDER: CLAIM}, finished=True) == 0
