"""The gate before a machine: whoever forges what, a machine sees the truth or nothing."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contract.codec import Unreadable, decode, encode
from libs.keys.signing import APPROVAL_DOMAIN, OPERATOR_DOMAIN, Signer, Verifier
from libs.keys.verbs import CONSOLE_VERBS
from libs.machine.input_gate import AHEAD_MAX, InputGate, InputGateState, speaker
from libs.machine.machine import Stamp
from libs.tape.record import ID_HEADER, KEY_ID_HEADER, SIGNATURE_HEADER, TapeRecord
from proto.execution import Claim
from proto.feed import Quote, Side
from proto.message import Message
from proto.operator import ClockOwner, Command, Config, Mode, Session, Verb
from proto.risk import Approval, Rejection, TimeInForce
from proto.subjects import TABLE
from proto.units import ONE
from proto.venue import Ack, AckStatus
from tests.support.strategies import messages

TAPE = "t1"
RISK = Signer.generate(APPROVAL_DOMAIN)
OPERATOR = Signer.generate(OPERATOR_DOMAIN)
VERIFIER = Verifier({signer.key_id: signer.public_key for signer in (RISK, OPERATOR)})
NOW = 1_000


class World:
    """An input_gate in an open session, and a tape that grows as one reads."""

    def __init__(self) -> None:
        self.input_gate = InputGate(VERIFIER)
        self.seq = 100
        session = Session(
            tape=TAPE,
            mode=Mode.PLAYBACK,
            clock_owner=ClockOwner.FEED,
            started_at=NOW,
            nonce="n0",
            expires_at=NOW,
        )
        assert self.say_signed(session) is not None

    def take(self, message: Message, headers: dict[str, str], payload: bytes = b"") -> Stamp | None:
        self.seq += 1
        record = TapeRecord(self.seq, message.subject(), headers, payload or encode(message), NOW)
        return self.input_gate.accept(record, decode(record.subject, record.payload))

    def say(self, message: Message, producer: str, cause: int = 0, index: int = 0) -> Stamp | None:
        return self.take(message, {ID_HEADER: f"{TAPE}:{producer}:{cause or self.seq}:{index}"})

    def say_signed(
        self, message: Session | Config | Command, signer: Signer = OPERATOR, word: str = ""
    ) -> Stamp | None:
        message_id = f"operator.{word or message.nonce}"
        text = signer.sign(TAPE, message.subject(), message_id, encode(message))
        return self.take(
            message, {ID_HEADER: message_id, SIGNATURE_HEADER: text, KEY_ID_HEADER: signer.key_id}
        )

    def approve(self, approval: Approval, message_id: str, signer: Signer = RISK) -> Stamp | None:
        return self.take(approval, approval_headers(approval, message_id, signer))


def approval_headers(approval: Approval, message_id: str, signer: Signer = RISK) -> dict[str, str]:
    text = signer.sign(TAPE, approval.subject(), message_id, encode(approval))
    return {ID_HEADER: message_id, SIGNATURE_HEADER: text, KEY_ID_HEADER: signer.key_id}


def approval(order: str = "t1-7-0") -> Approval:
    return Approval(
        order=order,
        strategy="momentum",
        market="kalshi:A",
        instrument="kalshi:A:yes",
        side=Side.BUY,
        price=ONE // 2,
        quantity=ONE,
        time_in_force=TimeInForce.IOC,
        expires_at=NOW,
        proposal="t1:signal:6:0",
    )


def quote(counter: int = 1) -> Quote:
    return Quote(instrument="kalshi:A:yes", at=NOW, counter=counter)


def ack(order: str = "t1-7-0") -> Ack:
    return Ack(order=order, status=AckStatus.ACCEPTED)


def test_a_genuine_approval_is_verified():
    stamp = World().approve(approval(), "t1:risk:7:0")
    assert stamp is not None
    assert stamp.verified


@given(st.data())
def test_an_approval_with_any_byte_changed_is_not_verified(data: st.DataObject):
    genuine, message_id = approval(), "t1:risk:7:0"
    headers = approval_headers(genuine, message_id)
    payload = bytearray(encode(genuine))
    place = data.draw(st.sampled_from(["payload", ID_HEADER, SIGNATURE_HEADER, KEY_ID_HEADER]))
    if place == "payload":
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
        try:
            decode(genuine.subject(), bytes(payload))
        except Unreadable:
            return
    else:
        at = data.draw(st.integers(0, len(headers[place]) - 1))
        other = data.draw(st.characters(exclude_characters=headers[place][at], exclude_categories=["Cs"]))
        headers[place] = headers[place][:at] + other + headers[place][at + 1 :]
    stamp = World().take(genuine, headers, bytes(payload))
    assert stamp is not None
    # The last character of base64 holds unused bits; every other change breaks the signature.
    assert not stamp.verified or place == SIGNATURE_HEADER


@pytest.mark.parametrize(
    "signer", [OPERATOR, Signer.generate(APPROVAL_DOMAIN)], ids=["operator's", "unknown"]
)
def test_another_key_does_not_verify_even_under_risks_name(signer: Signer):
    for key_id in (signer.key_id, RISK.key_id):
        headers = approval_headers(approval(), "t1:risk:7:0", signer) | {KEY_ID_HEADER: key_id}
        stamp = World().take(approval(), headers)
        assert stamp is not None
        assert not stamp.verified


def test_an_approval_of_another_tape_is_not_verified():
    world = World()
    text = RISK.sign("t1e1", approval().subject(), "t1:risk:7:0", encode(approval()))
    stamp = world.take(
        approval(), {ID_HEADER: "t1:risk:7:0", SIGNATURE_HEADER: text, KEY_ID_HEADER: RISK.key_id}
    )
    assert stamp is not None
    assert not stamp.verified


def new_epoch(world: World, tape: str = "t1e1") -> None:
    session = Session(
        tape=tape,
        mode=Mode.PLAYBACK,
        clock_owner=ClockOwner.FEED,
        started_at=NOW,
        nonce=f"session of {tape}",
        expires_at=NOW,
    )
    message_id = f"operator.{session.nonce}"
    text = OPERATOR.sign(tape, session.subject(), message_id, encode(session))
    headers = {ID_HEADER: message_id, SIGNATURE_HEADER: text, KEY_ID_HEADER: OPERATOR.key_id}
    assert world.take(session, headers) is not None


def test_an_approval_of_an_earlier_epoch_is_genuine_and_still_names_it():
    # Execution refuses it for its tape, and gives back what was reserved for it.
    world = World()
    new_epoch(world)
    stamp = world.approve(approval(), "t1:risk:7:0")
    assert stamp is not None
    assert stamp.verified
    assert stamp.message_id == "t1:risk:7:0"


def test_an_earlier_epochs_word_is_news_until_its_producer_speaks_in_the_new_one():
    world = World()
    assert world.say(ack(), "paper", cause=50) is not None
    new_epoch(world)
    assert world.say(ack(), "paper", cause=51) is not None
    assert world.say(ack(), "paper", cause=51) is None
    # A shell counts from the beginning again.
    assert world.take(ack(), {ID_HEADER: "t1e1:paper:3:0"}) is not None
    assert world.say(ack(), "paper", cause=51) is None
    assert world.say(ack(), "paper", cause=52) is None
    assert world.take(ack(), {ID_HEADER: "t1e1:paper:3:0"}) is None
    assert world.take(ack(), {ID_HEADER: "t1e1:paper:4:0"}) is not None


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
def test_no_forged_approval_silences_a_genuine_one(cause: int, index: int):
    world = World()
    for message_id in (f"t1:risk:{cause}:{index}", f"t1:risk:{10**15}:0", "t1:risk:7:0", "x" * 300):
        forged = world.take(approval(), {ID_HEADER: message_id})
        assert forged is not None
        assert not forged.verified
    genuine = world.approve(approval(), "t1:risk:7:0")
    assert genuine is not None
    assert genuine.verified


@given(st.sampled_from(["risk", "signal", "paper", "execution", "exit", "monitor", "feed-shell", "x"]))
def test_no_service_silences_another_by_using_its_name(producer: str):
    world = World()
    if speaker(producer) == "feed":
        assert world.say(quote(), producer) is not None
        return
    with pytest.raises(Unreadable, match="own service"):
        world.say(quote(), producer)
    rejection = Rejection(
        strategy="s", market="m", instrument="i", side=Side.BUY, price=1, proposal="t1:signal:1:0"
    )
    assert world.say(rejection, "risk", cause=1) is not None
    assert world.say(ack(), "paper", cause=1) is not None


def test_an_id_far_ahead_of_the_tape_is_unreadable_and_silences_nobody():
    world = World()
    with pytest.raises(Unreadable, match="ahead"):
        world.say(quote(), "feed", cause=world.seq + AHEAD_MAX + 2)
    assert world.say(quote(), "feed", cause=5) is not None


def test_what_was_said_is_dropped_when_it_is_said_again():
    world = World()
    assert world.say(ack(), "paper", cause=50, index=1) is not None
    assert world.say(ack(), "paper", cause=50, index=1) is None
    assert world.say(ack(), "paper", cause=50, index=0) is None
    assert world.say(ack(), "paper", cause=49, index=9) is None
    assert world.say(ack(), "paper", cause=50, index=2) is not None


def test_ids_of_no_form_of_ours_never_raise_and_never_fill_the_memory():
    world = World()
    for number in range(2_000):
        for text in (
            f"{number}",
            f"t1:x{number}:1:0",
            f"t1:feed:{'9' * 5_000}:0",
            "t1:feed:²:0",
            "\ufffd",
            ":::",
        ):
            try:
                world.take(quote(), {ID_HEADER: text})
            except Unreadable:
                continue
    assert len(world.input_gate.state.marks) == 0
    msgspec.msgpack.encode(world.input_gate.state)


def command(nonce: str = "n1", expires_at: int = NOW) -> Command:
    return Command(verb=Verb.RESUME, nonce=nonce, expires_at=expires_at)


def test_an_operators_word_counts_once_in_time_and_only_with_the_operators_key():
    world = World()
    assert world.say_signed(command()) is not None
    with pytest.raises(Unreadable, match="nonce"):
        world.say_signed(command(), word="another")
    with pytest.raises(Unreadable, match="expiry"):
        world.say_signed(command("n2", NOW - 1))
    for signer in (RISK, Signer.generate(OPERATOR_DOMAIN)):
        with pytest.raises(Unreadable, match="signature"):
            world.say_signed(command("n3"), signer)
    with pytest.raises(Unreadable, match="signature"):
        world.take(command("n3"), {ID_HEADER: "operator.n3"})
    # None of the refused words used a nonce up.
    assert world.say_signed(command("n2")) is not None
    assert world.say_signed(command("n3")) is not None


def test_a_key_says_only_the_verbs_it_has():
    console, stranger = (Signer.generate(OPERATOR_DOMAIN, role) for role in ("console", "console"))
    limited = Signer.generate(OPERATOR_DOMAIN)
    known = {signer.key_id: signer.public_key for signer in (OPERATOR, console, stranger, limited)}
    says = {console.key_id: CONSOLE_VERBS, limited.key_id: ("halt",)}
    world = World()
    world.input_gate = InputGate(Verifier(known, says=says), world.input_gate.state)
    said = {console.key_id: set(CONSOLE_VERBS), limited.key_id: {"halt"}, stranger.key_id: set()}
    for signer in (console, limited, stranger):
        for verb in Verb:
            event = Command(verb=verb, nonce=f"{signer.key_id}{verb}", expires_at=NOW)
            if verb.value in said[signer.key_id]:
                assert world.say_signed(event, signer) is not None
                continue
            with pytest.raises(Unreadable, match=f"expected a key that may say {verb.value}, was"):
                world.say_signed(event, signer)
            # A refused word uses no nonce up.
            assert world.say_signed(event) is not None
        config = Config(section="risk", document={}, nonce=f"{signer.key_id}c", expires_at=NOW)
        with pytest.raises(Unreadable, match="may say configure"):
            world.say_signed(config, signer)
    assert set(Verb) - set(CONSOLE_VERBS) == {Verb.SKIP}


def claim_of(genuine: Approval, message_id: str = "t1:risk:7:0") -> Claim:
    headers = approval_headers(genuine, message_id)
    return Claim(
        order=genuine.order,
        approval_subject=genuine.subject(),
        message_id=message_id,
        payload=encode(genuine),
        signature=headers[SIGNATURE_HEADER],
        key_id=headers[KEY_ID_HEADER],
        client_order_id=genuine.order,
        nonce="n",
        claimed_at=1,
    )


def test_a_claim_is_as_good_as_the_approval_inside_it():
    world = World()
    good = claim_of(approval())
    changes: list[dict[str, object]] = [
        {"order": "t1-8-0"},
        {"approval_subject": approval("t1-8-0").subject()},
        {"message_id": "t1:risk:8:0"},
        {"payload": encode(approval().replace(quantity=2 * ONE))},
        {"payload": b""},
        {"signature": ""},
        {"key_id": OPERATOR.key_id},
    ]
    genuine = world.take(good, {})
    assert genuine is not None
    assert genuine.verified
    for change in changes:
        stamp = world.take(good.replace(**change), {})
        assert stamp is not None
        assert not stamp.verified, change


@given(
    st.sampled_from([row.model for row in TABLE]).flatmap(messages),
    st.dictionaries(
        st.sampled_from([ID_HEADER, SIGNATURE_HEADER, KEY_ID_HEADER, "cause", "root", "build", ""]),
        st.text(max_size=40) | st.from_regex(r"t1:(risk|feed|paper):[0-9]{1,30}:[0-9]{1,30}", fullmatch=True),
    ),
    st.integers(0, 2**63 - 1),
)
def test_any_message_under_any_headers_is_taken_or_unreadable(
    message: Message, headers: dict[str, str], stored_at: int
):
    world = World()
    record = TapeRecord(101, message.subject(), headers, encode(message), stored_at)
    try:
        stamp = world.input_gate.accept(record, message)
    except Unreadable:
        stamp = None
    assert stamp is None or stamp.seq == 101
    assert record.cause >= 0
    assert record.root >= 0
    state = msgspec.msgpack.encode(world.input_gate.state)
    assert msgspec.msgpack.decode(state, type=InputGateState) == world.input_gate.state
    if isinstance(message, Session | Config | Command):
        assert stamp is None, "nobody signed it"
    if stamp is not None and isinstance(message, Approval | Claim):
        assert not stamp.verified


def test_a_shell_of_a_later_term_is_heard_and_one_of_an_earlier_term_no_more():
    world = World()
    said = [Ack(order=f"t1-{n}-0", status=AckStatus.ACCEPTED) for n in range(6)]
    assert world.say(said[0], "venue-shell", 50, 1) is not None
    assert world.say(said[1], "venue-shell", 51, 1) is not None
    # Another process leads from here on, and its count begins lower; the one before does not know it yet.
    assert world.say(said[2], "venue-shell", 40, 2) is not None
    assert world.say(said[3], "venue-shell", 52, 1) is None
    assert world.say(said[2], "venue-shell", 40, 2) is None
    assert world.say(said[4], "venue-shell", 41, 2) is not None
    with pytest.raises(Unreadable, match="not ahead of the tape"):
        world.say(said[5], "venue-shell", 42, world.seq + AHEAD_MAX + 2)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 3)), max_size=20))
def test_of_a_shell_with_terms_only_what_rises_by_term_and_count_is_heard(ids: list[tuple[int, int]]):
    world = World()
    heard = [
        (term, count)
        for number, (count, term) in enumerate(ids)
        if world.say(Ack(order=f"t1-{number}-0", status=AckStatus.ACCEPTED), "venue-shell", count, term)
    ]
    assert heard == sorted(set(heard))
    highest = (-1, 0)
    expected = []
    for count, term in ids:
        if (term, count) > highest:
            highest = (term, count)
            expected.append(highest)
    assert heard == expected
