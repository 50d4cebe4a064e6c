"""The tape's copies of claims, right after a broker's start: the ledger's newest may still be on their way."""

import asyncio
import json

from libs.tape.broker import ask, stream_state
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable
from proto.subjects import LEDGER, TAPE

PATIENCE_S = 30.0
"""The broker copies tens of thousands a second, and begins within a second of its start."""
LOOK_EVERY_S = 0.05
CHECKED = 100
"""Newest claims of a cluster whose copies are looked for; those before have been copied since."""


async def wait_for_claim_copies(link: Link) -> None:
    """Wait until every claim that the ledger holds is on the tape. ``link``: the administrator's.

    Raises:
        BrokerUnavailable: they are not, within ``PATIENCE_S``, or the broker does not answer.
    """
    claims = await stream_state(link.client, LEDGER)
    wanted, copied = int(claims["last_seq"]) if claims["messages"] else 0, 0
    if link.is_cluster:
        # There execution copies them, and the next one would copy what is missing: only it can.
        await _expect_copies(link, wanted)
        return
    try:
        async with asyncio.timeout(PATIENCE_S):
            while (copied := await _copied_to(link)) < wanted:
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        text = (
            f"expected the ledger's claims on the tape up to {wanted}, was {copied} after {PATIENCE_S:.0f} s"
        )
        raise BrokerUnavailable(text) from None


async def _expect_copies(link: Link, last_seq: int) -> None:
    """Look for the copy of each of the newest claims.

    Raises:
        BrokerUnavailable: one is missing, or the broker does not answer.
    """
    for seq in range(max(1, last_seq - CHECKED + 1), last_seq + 1):
        claim = await ask(link.client, f"STREAM.MSG.GET.{LEDGER}", {"seq": seq})
        if "error" in claim:
            continue
        subject = claim["message"]["subject"]
        if "error" in await ask(link.client, f"STREAM.MSG.GET.{TAPE}", {"last_by_subj": subject}):
            raise BrokerUnavailable(
                f"expected a copy of {subject} on the tape, was none: start the system once, and stop it"
            )


async def _copied_to(link: Link) -> int:
    """The ledger's sequence of the newest copy."""
    try:
        reply = await link.client.request(f"$JS.API.STREAM.INFO.{TAPE}", b"", timeout=2)
        sources = json.loads(reply.data).get("sources") or []
    except Exception as e:
        raise BrokerUnavailable(f"expected the state of {TAPE}, was {type(e).__name__}") from e
    return max((int(source.get("seq", 0)) for source in sources if source["name"] == LEDGER), default=0)
