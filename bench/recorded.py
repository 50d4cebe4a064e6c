"""Input for the measurements: a synthetic recording made on the spot, real captures where there are any."""

import os
from pathlib import Path

from libs.contract.codec import encode
from libs.keys.signing import Signer
from libs.machine.inprocess import InProcess
from libs.operator.desk import opening
from libs.tape.record import (
    BUILD_HEADER,
    CAUSE_HEADER,
    ID_HEADER,
    KEY_ID_HEADER,
    ROOT_HEADER,
    SIGNATURE_HEADER,
    TapeRecord,
)
from proto.ids import parse_message_id
from proto.message import Message
from proto.operator import ClockOwner, Command, Config, Mode, Session
from proto.risk import Approval
from services.execution.claims import claims_of
from services.feed.normalise import DeadFrame
from services.feed.recording.play import play
from services.feed.recording.recording import FRAMES_FILE, open_recording, recording_start
from services.feed.synthetic.recording import write_recording
from tools.system.composition import factories, sections

SEED = 7
MINUTES = 30
TAPE = "bench"
DATA_DIRECTORY = Path(__file__).resolve().parents[2] / "shared" / "data"


def synthetic(directory: Path) -> Path:
    """Half an hour of the synthetic market of a fixed seed."""
    return write_recording(directory / "synthetic", SEED, MINUTES)


def folder() -> Path:
    """Where recorded data is; ``PRESAGE_RECORDINGS`` names another folder to look in."""
    return Path(os.environ.get("PRESAGE_RECORDINGS", DATA_DIRECTORY))


def captures() -> list[Path]:
    """Real Kalshi captures."""
    return sorted(path.parent for path in folder().rglob(FRAMES_FILE))


def messages_of(recording: Path) -> list[Message]:
    """A recording as the feed's messages, in memory."""
    return [m for m in play(open_recording(recording)) if not isinstance(m, DeadFrame)]


def session_of(recording: Path) -> list[Session | Config]:
    """The messages that open a session for a recording, with the shipped configuration."""
    return opening(
        TAPE,
        mode=Mode.PLAYBACK,
        clock_owner=ClockOwner.FEED,
        started_at_ns=recording_start(recording),
        sections=sections(),
        recording=open_recording(recording).name,
    )


class TapeMaker:
    """Writes the tape that a played recording leaves behind, record by record, without a broker."""

    def __init__(self, approvals: Signer, operator: Signer) -> None:
        self.records: list[TapeRecord] = []
        self._approvals = approvals
        self._operator = operator
        self._roots: dict[int, int] = {}
        self._feed_counter = 0
        self._stored_at_ns = 0

    def make(self, recording: Path) -> list[TapeRecord]:
        """Run all machines over a recording and keep everything they and the feed said."""
        machines = [make() for make in factories().values()]
        runner = InProcess(machines, TAPE, claims_of, self._approvals)
        runner.observers.append(self._observe)
        session = session_of(recording)
        # All are stored in time: an operator's message counts only until it expires.
        self._stored_at_ns = min(message.expires_at for message in session) - 1
        runner.feed_together(session, "operator")
        for message in messages_of(recording):
            runner.feed(message)
        return self.records

    def _observe(self, seq: int, producer: str, message_id: str, message: Message) -> None:
        subject, payload = message.subject(), encode(message)
        headers = self._headers(seq, producer, message_id, message)
        signer = self._signer_of(message)
        if signer is not None:
            headers[SIGNATURE_HEADER] = signer.sign(TAPE, subject, headers[ID_HEADER], payload)
            headers[KEY_ID_HEADER] = signer.key_id
        self.records.append(TapeRecord(seq, subject, headers, payload, self._stored_at_ns))

    def _headers(self, seq: int, producer: str, message_id: str, message: Message) -> dict[str, str]:
        if isinstance(message, Session | Config | Command):
            return {ID_HEADER: f"operator.{message.nonce}", BUILD_HEADER: "bench"}
        if producer == "feed":
            self._feed_counter += 1
            return {ID_HEADER: f"{TAPE}:feed:{self._feed_counter}:0", BUILD_HEADER: "bench"}
        parsed = parse_message_id(message_id)
        if parsed is None:
            return {}
        root = self._roots[seq] = self._roots.get(parsed.cause, parsed.cause)
        return {
            ID_HEADER: message_id,
            CAUSE_HEADER: str(parsed.cause),
            ROOT_HEADER: str(root),
            BUILD_HEADER: "bench",
        }

    def _signer_of(self, message: Message) -> Signer | None:
        if isinstance(message, Session | Config | Command):
            return self._operator
        return self._approvals if isinstance(message, Approval) else None
