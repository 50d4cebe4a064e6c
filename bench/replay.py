"""Replay: the stored tape through every machine again, outputs compared byte by byte."""

import asyncio
import gc
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from bench.recorded import TAPE, TapeMaker
from bench.result import Figure, Tell, rate
from libs.keys.signing import APPROVAL_DOMAIN, Signer, Verifier
from libs.runtime.layout import RunFile, StateLayout
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.credentials import ADMIN
from libs.tape.publisher import Publisher, Stored
from libs.tape.record import TapeRecord
from proto.execution import Claim
from tools.cli.commands.replay import ReplayRequest, run_replay
from tools.offline.replay import Replay, TapeHistory
from tools.system.composition import DEFAULT_STRATEGIES
from tools.system.installation import Installation

RATE_AIM = 200_000
STORED_RATE_AIM = 120_000
IN_FLIGHT = 512
PATIENCE_S = 10.0


def in_memory(records: Sequence[TapeRecord], installation: Installation) -> float:
    """Replay records that are in memory already; seconds.

    Raises:
        RuntimeError: when the replay is not clean, or compared nothing.
    """
    engine = Replay(Verifier.load(installation.layout.public_keys))
    engine.start(installation.layout.root, TapeHistory(), 1)
    # What was made beforehand is not the replay's garbage to look through.
    gc.collect()
    gc.freeze()
    began = perf_counter()
    for record in records:
        if not engine.handle(record):
            break
    engine.finish()
    seconds = perf_counter() - began
    gc.unfreeze()
    if engine.difference is not None or not engine.compared:
        raise RuntimeError(f"expected a clean replay, was {engine.difference}, compared {engine.compared}")
    return seconds


async def store(records: Sequence[TapeRecord], link: Link) -> None:
    """Put records on a broker's empty tape at the sequences they have; claims go through the ledger."""
    publisher = Publisher(link)
    await publisher.start()
    waiting: list[asyncio.Future[Stored]] = []
    for record in records:
        claim = record.subject.startswith(Claim.kind)
        if claim or len(waiting) >= IN_FLIGHT:
            await asyncio.gather(*waiting)
            waiting.clear()
        waiting.append(await publisher.begin(record.subject, record.payload, record.headers))
        if claim:
            await _arrived(link, record.seq)
    await asyncio.gather(*waiting)
    await _arrived(link, records[-1].seq)


async def _arrived(link: Link, seq: int) -> None:
    """Wait until the tape reaches ``seq``: what the ledger stores is copied a moment later."""
    async with asyncio.timeout(PATIENCE_S):
        while int((await stream_state(link.client))["last_seq"]) < seq:
            await asyncio.sleep(0)


async def from_broker(records: Sequence[TapeRecord], installation: Installation) -> tuple[int, float]:
    """Replay as ``presage replay`` does it, broker's start included: messages, seconds."""
    await installation.start_broker()
    link = await installation.connect(ADMIN)
    await store(records, link)
    await link.close()
    layout: StateLayout = installation.layout
    layout.write_tape({"tape": TAPE, "base": TAPE, "epoch": 0, "last_seq": records[-1].seq})
    layout.write_run(
        RunFile(broker_url=installation.broker_url, tape=TAPE, strategies=list(DEFAULT_STRATEGIES))
    )
    began = perf_counter()
    document = await run_replay(ReplayRequest(state=layout.root))
    seconds = perf_counter() - began
    if not document["identical"]:
        raise RuntimeError(f"expected an identical replay, was {document}")
    return int(document["messages"]), seconds


async def measure(tell: Tell, recordings: Sequence[Path]) -> list[Figure]:
    """A tape made of a played recording: replayed from memory, and by the command from a real broker."""
    with tempfile.TemporaryDirectory() as directory:
        installation = Installation(Path(directory))
        approvals = Signer.load(APPROVAL_DOMAIN, installation.layout.risk_key)
        tell("making a tape")
        records = TapeMaker(approvals, installation.operator_signer()).make(recordings[0])
        tell(f"{len(records):,} messages in memory")
        inside_s = in_memory(records, installation)
        tell("the same from a broker")
        try:
            count, whole_s = await from_broker(records, installation)
        finally:
            await installation.stop()
    return [
        rate("replay, tape in memory", len(records), inside_s, "messages", RATE_AIM),
        rate("presage replay, tape on the broker", count, whole_s, "messages", STORED_RATE_AIM),
    ]
