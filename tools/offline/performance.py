"""Performance of a tape and its archive: the fold of every message that is no price."""

from libs.archive.history import History
from libs.contract.codec import Unreadable, decode
from libs.evaluation.day import DAY_NS
from libs.performance.account import Performance
from libs.performance.fold import PerformanceFold
from proto.subjects import TABLE
from tools.exit_codes import UsageError
from tools.offline.evaluation import day_of, name_of


async def measure_tape(history: History, since: str = "", until: str = "") -> Performance:
    """What a tape came to from the day ``since`` to the day ``until``, both of them in; without them, all of it.

    Raises:
        UsageError: a day is no date, or nothing was traded and nothing held in that time.
        BrokerUnavailable: the broker did not answer.
        ArchiveDamaged: a segment cannot be read.
    """
    began_at = day_of(since) if since else 0
    ended_at = day_of(until) + DAY_NS if until else 0
    if ended_at and ended_at <= began_at:
        raise UsageError(f"expected a day not before {since}, was {until}")
    fold = PerformanceFold(began_at, ended_at)
    patterns = [row.pattern for row in TABLE if row.model in fold.reads]
    for record in await history.read_subjects(patterns):
        try:
            message = decode(record.subject, record.payload)
        except Unreadable:
            continue
        fold.add(message, record.seq, record.stored_at_ns, record.message_id)
    found = fold.finish()
    if not found.days and not found.results:
        wanted = f"between {since or 'the beginning'} and {until or 'now'}"
        raise UsageError(f"expected a day with money in the account {wanted}, found none")
    return found


def title_of(found: Performance) -> str:
    """The days that were measured: ``2026-05-13 to 2026-05-19``."""
    first, last = name_of(found.begins_at), name_of(found.ends_at)
    return first if first == last else f"{first} to {last}"
