"""The journal's shell: the tape as a source, anchors as messages, health reports."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from libs.archive.archive import Archive
from libs.archive.history import History, HistoryReader
from libs.archive.segment import ArchiveDamaged
from libs.bounded import clip
from libs.config.environment import Environment
from libs.contract.codec import encode
from libs.runtime.layout import BUILD, StateLayout
from libs.runtime.service import Context, wait_for_lease
from libs.tape.broker import STREAM_STATE_TIMEOUT_S, stream_state
from libs.tape.connection import Link, open_link
from libs.tape.credentials import STANDBY, standby_name
from libs.tape.errors import BrokerUnavailable, TapeGap
from libs.tape.lease import Lease
from libs.tape.publisher import Publisher
from libs.tape.reader import REST_S
from libs.tape.record import BUILD_HEADER, ID_HEADER, TapeRecord
from libs.tape.reports import report_for_ever, send_report
from libs.tasks import cancel_all
from proto.ids import MessageId
from proto.service import Anchor
from services.journal.archiver import Archiver
from services.journal.service import JournalService, JournalState, JournalStatus
from services.journal.writer import JournalWriter

READ_SILENCE_S = 2.0
ANCHORS_FILE = "anchors.jsonl"
"""In the state directory's ``journal`` folder."""

log = logging.getLogger("presage.journal")


class TapeSource:
    """The tape, its archive and the broker's window as one, read over one link.

    A journal whose database was away for longer than the window reaches back goes on from the archive.
    """

    def __init__(self, link: Link, archive: Archive, lease: Lease | None = None) -> None:
        self._link = link
        self._lease = lease
        self._history = History(link, archive, STREAM_STATE_TIMEOUT_S)
        self._reader: HistoryReader | None = None
        self._is_damaged = False

    @property
    def backlog(self) -> int:
        return 0 if self._reader is None else self._reader.backlog

    @property
    def lag(self) -> int:
        """Messages of the tape not yet handed out."""
        return 0 if self._reader is None else self._reader.lag

    @property
    def restarts(self) -> int:
        """How often the reader had to start again."""
        return 0 if self._reader is None else self._reader.restarts

    async def window(self) -> tuple[int, int]:
        """The first sequence from which everything is held, and the last.

        Raises:
            BrokerUnavailable: the broker did not answer.
        """
        if not self._is_damaged:
            return await self._history.bounds()
        state = await stream_state(self._link.client)
        return max(int(state["first_seq"]), 1), int(state["last_seq"])

    async def read(self, first: int, last: int) -> Sequence[TapeRecord]:
        reader = self._history.reader(first - 1)
        records: list[TapeRecord] = []
        try:
            while reader.position < last:
                batch = await self._next_of(reader, READ_SILENCE_S)
                if not batch:
                    raise BrokerUnavailable(
                        f"expected the tape up to {last}, was silence after {reader.position}"
                    )
                records += batch
        finally:
            await reader.close()
        return [record for record in records if record.seq <= last]

    async def start(self, seq: int) -> None:
        await self.close()
        self._reader = self._history.reader(seq - 1, rest_s=REST_S)

    async def next_batch(self, timeout_s: float) -> Sequence[TapeRecord]:
        if self._lease is not None and not self._lease.held:
            # Perhaps another journal leads: nothing is stored before this is known.
            await asyncio.sleep(timeout_s)
            return []
        if self._reader is None:
            return []
        return await self._next_of(self._reader, timeout_s)

    async def _next_of(self, reader: HistoryReader, timeout_s: float) -> Sequence[TapeRecord]:
        try:
            return await reader.next_batch(timeout_s)
        except ArchiveDamaged as e:
            # The broker's window alone is read from here on: what it does not hold is a gap, and told as one.
            self._is_damaged = True
            log.error("archive not read", extra={"detail": clip(str(e), 300)})
            raise TapeGap(str(e)) from e

    async def pause(self) -> None:
        # A closed reader hands out what it has and then starts again where it stopped.
        if self._reader is not None:
            await self._reader.close()

    async def close(self) -> None:
        await self.pause()
        self._reader = None


class JournalShell:
    """The service on one link: ``run`` until the context stops."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._link = context.link
        self._publisher = Publisher(context.link)
        self.source = TapeSource(context.link, Archive(context.layout.archive), context.lease)
        # Mounted by the platform where the run comes without it.
        database = context.run.database_url or Environment.read().database_url.get_secret_value()
        writer = JournalWriter(database, context.run.tape, anchors_path(context.layout))
        self.service = JournalService(writer, self.source, self.publish_anchor)
        context.on_stop.append(self.service.stop)
        self._archiver: Archiver | None = None
        self._leads = context.lease is None

    @property
    def status(self) -> JournalStatus:
        """What the journal is doing."""
        return self.service.status

    async def run(self) -> None:
        """Journal until the context is stopped, reporting health twice a second; where there are leases, once it leads."""
        await self._publisher.start()
        beside: list[asyncio.Future[Any]] = [asyncio.create_task(report_for_ever(self._report))]
        try:
            if not await wait_for_lease(self._context):
                return
            self._leads = True
            beside.append(asyncio.create_task(self._archive()))
            await self.service.run()
        finally:
            await cancel_all(beside)
            await self._report()

    async def _archive(self) -> None:
        """Archive over a connection of its own, so that neither waits for the other."""
        context = self._context
        layout, run = context.layout, context.run
        link = await open_link(run.broker_url, "journal", layout.password("journal"))
        try:
            self._archiver = Archiver(link, layout.archive, run.tape, run.archive_keep_days)
            await self._archiver.run()
        except Exception:
            # It reports itself missing; the journal goes on.
            log.exception("archiver failed")
            raise
        finally:
            await link.close()

    async def publish_anchor(self, anchor: Anchor) -> None:
        """Put an anchor on the tape; its id rises with the sequence it anchors."""
        identity = MessageId(self._context.run.tape, "journal", anchor.seq, 0)
        headers = {ID_HEADER: str(identity), BUILD_HEADER: BUILD}
        await self._publisher.publish(anchor.subject(), encode(anchor), headers)

    def health(self) -> dict[str, Any]:
        """The report of the host's form (``libs.machine.host.Host.health``), with the journal's own part."""
        status = self.status
        state = {JournalState.LIVE: "live", JournalState.STOPPED: "stopped"}.get(status.state, "starting")
        if not self._leads:
            state = STANDBY
        detail = (
            status.detail if status.state is JournalState.LIVE else f"{status.state.value}: {status.detail}"
        )
        return {
            "service": "journal" if self._leads else standby_name("journal"),
            "state": state,
            "detail": detail if status.detail else "",
            "position": status.position,
            "open_outputs": status.waiting,
            "backlog": self.source.backlog,
            "lag": self.source.lag,
            "dead": status.unreadable,
            "violations": self._link.violations,
            "diverged": False,
            "retries": status.retries,
            "restarts": self.source.restarts,
            "build": BUILD,
            "versions": {},
            "journal": msgspec.to_builtins(status),
            **({} if (lease := self._context.lease) is None else {"term": lease.term, "owner": lease.owner}),
            "archive": {} if self._archiver is None else msgspec.to_builtins(self._archiver.status),
        }

    async def _report(self) -> None:
        report = self.health()
        await send_report(self._link, report["service"], report)


def anchors_path(layout: StateLayout) -> Path:
    """Where the heads of the hash chain are kept beside the database."""
    return layout.journal / ANCHORS_FILE
