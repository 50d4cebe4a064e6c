"""The operator's desk: signs what the operator says and puts it on the tape."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

from libs.contract.codec import encode
from libs.keys.signing import Signer, UnusableKey, Verifier
from libs.keys.verbs import verb_of
from libs.runtime.layout import BUILD
from libs.tape.connection import Link
from libs.tape.publisher import Publisher
from libs.tape.record import BUILD_HEADER, ID_HEADER, KEY_ID_HEADER, SIGNATURE_HEADER
from proto.operator import ClockOwner, Command, Config, Mode, Prices, Session, Verb
from proto.units import SECOND

COMMAND_VALID_S = 60
"""An operator's message counts only if the broker stored it within this time after it was given."""


def fresh_nonce() -> str:
    """A nonce no other message has."""
    return secrets.token_hex(8)


def expiry_ns() -> int:
    """When a message given now stops counting, wall clock."""
    return time.time_ns() + COMMAND_VALID_S * SECOND


def opening(
    tape: str,
    *,
    mode: Mode,
    clock_owner: ClockOwner,
    started_at_ns: int,
    sections: Mapping[str, Mapping[str, Any]],
    prices: Prices = Prices.UNKNOWN,
    recording: str = "",
    halted: bool = False,
) -> list[Session | Config]:
    """The messages that open a session: the session itself, then each section of the configuration."""
    session = Session(
        tape=tape,
        mode=mode,
        clock_owner=clock_owner,
        started_at=started_at_ns,
        nonce=fresh_nonce(),
        expires_at=expiry_ns(),
        recording=recording,
        halted=halted,
        config_count=len(sections),
        prices=prices,
    )
    configs = [
        Config(section=section, document=dict(document), nonce=fresh_nonce(), expires_at=expiry_ns())
        for section, document in sections.items()
    ]
    return [session, *configs]


class VerbNotAllowed(UnusableKey):
    """The key may not say this; machines would refuse it."""


class OperatorDesk:
    """Publishes signed operator messages on one link.

    ``verifier`` is asked what the key may say, before it is said; without one the machines alone judge.
    """

    def __init__(self, link: Link, signer: Signer, tape: str, verifier: Verifier | None = None) -> None:
        self._publisher = Publisher(link)
        self._signer = signer
        self._tape = tape
        self._verifier = verifier

    async def start(self) -> None:
        """Get ready to publish."""
        await self._publisher.start()

    async def send(self, message: Session | Config | Command) -> int:
        """Sign and publish; the sequence it was stored at.

        Raises:
            VerbNotAllowed: the key may not say it.
            BrokerUnavailable, PublishRefused: it is not known to be on the tape.
        """
        verb = verb_of(message)
        if self._verifier is not None and not self._verifier.may_say(self._signer.key_id, verb):
            raise VerbNotAllowed(f"expected a key that may say {verb}, was {self._signer.key_id}")
        subject, payload = message.subject(), encode(message)
        message_id = f"operator.{message.nonce}"
        headers = {
            ID_HEADER: message_id,
            BUILD_HEADER: BUILD,
            SIGNATURE_HEADER: self._signer.sign(self._tape, subject, message_id, payload),
            KEY_ID_HEADER: self._signer.key_id,
        }
        return (await self._publisher.publish(subject, payload, headers)).seq

    async def command(self, verb: Verb, **fields: Any) -> int:
        """Give a command with the fields that its verb has; the sequence it was stored at.

        Raises:
            VerbNotAllowed: the key may not say it.
            BrokerUnavailable, PublishRefused: it is not known to be on the tape.
        """
        return await self.send(Command(verb=verb, nonce=fresh_nonce(), expires_at=expiry_ns(), **fields))
