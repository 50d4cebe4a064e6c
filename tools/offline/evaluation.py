"""A trading day of a tape, its archive or recordings, and what the leak rules say of it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from libs.archive.history import History
from libs.contract.codec import Unreadable, decode
from libs.evaluation.day import DAY_NS, TradingDay
from libs.evaluation.fold import DayFold
from libs.evaluation.prices import LONG_S
from libs.evaluation.rules import Report, evaluate
from libs.lists.reading import session_now
from libs.tape.record import TapeRecord
from libs.view.moment import moment
from proto.message import Message
from proto.subjects import TABLE
from proto.units import ONE, SECOND
from tools.exit_codes import UsageError
from tools.offline.backtest import Backtest
from tools.offline.tape_time import sequence_at

PROGRESS_EVERY = 2_000
TRADES_LISTED = 50
"""Of a day, the newest: what a finding that sums it up can carry."""
Progress = Callable[[int, int], None]
"""Called now and then with the sequence reached and the last one."""


class Evaluated(NamedTuple):
    """A day and what the rules say of it. ``first`` and ``last``: its sequences, 0 for recordings."""

    name: str
    day: TradingDay
    report: Report
    first: int = 0
    last: int = 0

    def document(self) -> dict[str, Any]:
        """As plain data, money in dollars."""
        day = self.day
        return {
            "day": self.name,
            "from": moment(day.began_at) if day.began_at else "",
            "to": moment(day.ended_at) if day.ended_at else "",
            "first": self.first,
            "last": self.last,
            "minutes": (day.ended_at - day.began_at) // (60 * SECOND),
            "messages": day.messages,
            "entries": len(day.entries),
            "refused": len(day.refused),
            "trades": len(day.trades),
            "profit": day.profit / ONE,
            "expected": sum(trade.expected for trade in day.trades) / ONE,
            "fees": day.fees / ONE,
            "slippage": sum(trade.slippage for trade in day.trades) / ONE,
            "newest": [(trade.id, trade.profit / ONE) for trade in day.trades[-TRADES_LISTED:]],
            "ended": day.ended_by(),
            "orders": day.orders_by(),
            "rejections": day.rejections_by(),
            "left_out": day.left_out,
            "findings": [
                {**finding._asdict(), "cost": finding.cost / ONE, "is_enough": finding.is_enough}
                for finding in self.report.findings
            ],
            "not_enough": self.report.not_enough,
            "clear": list(self.report.clear),
        }


def day_of(text: str) -> int:
    """A day's beginning, UTC, in nanoseconds.

    Raises:
        UsageError: it is no date.
    """
    try:
        wanted = date.fromisoformat(text)
    except ValueError as e:
        raise UsageError(f"expected a day (2026-05-13), was {text!r}") from e
    return int(datetime(wanted.year, wanted.month, wanted.day, tzinfo=UTC).timestamp()) * SECOND


def name_of(began_at: int) -> str:
    """A day as its date."""
    return datetime.fromtimestamp(began_at // SECOND, UTC).date().isoformat()


async def evaluate_tape(history: History, wanted: str = "", tell: Progress = lambda _, __: None) -> Evaluated:
    """Evaluate one day of a tape, of its session's time; without a date the newest, as far as it has come.

    Raises:
        UsageError: the tape has nothing of that day.
    """
    held, newest = await history.bounds()
    began_at = day_of(wanted) if wanted else await session_now(history.link, newest) // DAY_NS * DAY_NS
    ended_at = began_at + DAY_NS
    first = await sequence_at(history, began_at) if newest else None
    if first is None:
        raise UsageError(f"expected a day that the tape has, was {name_of(began_at)}")
    after = await sequence_at(history, ended_at + LONG_S * SECOND)
    last = newest if after is None else after - 1
    if first > last:
        raise UsageError(f"expected a day that the tape has, was {name_of(began_at)}")
    fold = DayFold(began_at, ended_at)
    await _fold_before(history, fold, max(first, held))
    async for record in history.records(first, last):
        if record.seq % PROGRESS_EVERY == 0:
            tell(record.seq - first, last - first + 1)
        add_record(fold, record)
    day = fold.finish()
    return Evaluated(name_of(began_at), day, evaluate(day), first, last)


def add_record(fold: DayFold, record: TapeRecord) -> None:
    """Let a fold take a record; one that cannot be read is left out, as everywhere."""
    try:
        message = decode(record.subject, record.payload)
    except Unreadable:
        return
    fold.add(message, record.seq, record.stored_at_ns, record.message_id)


async def _fold_before(history: History, fold: DayFold, first: int) -> None:
    """What was held, listed and proposed before the day: no prices, which are nearly all of a tape."""
    patterns = [row.pattern for row in TABLE if row.model in fold.reads]
    for record in await history.read_subjects(patterns):
        if record.seq < first:
            add_record(fold, record)
    begins = await history.at(first)
    if begins is not None:
        fold.begin(begins.stored_at_ns)


def evaluate_recordings(
    sections: Mapping[str, Mapping[str, Any]],
    strategies: Sequence[str],
    recordings: Sequence[Path],
    tell: Progress = lambda _, __: None,
) -> Evaluated:
    """Evaluate recordings as one day: the machines run over them first, without a broker."""
    test = Backtest(sections, strategies)
    fold = DayFold()

    def observe(seq: int, _: str, message_id: str, message: Message) -> None:
        fold.add(message, seq, 0, message_id)

    test.observe(observe)
    test.run(recordings, tell)
    day = fold.finish()
    return Evaluated(", ".join(path.name for path in recordings), day, evaluate(day))
