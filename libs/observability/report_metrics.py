"""What a service says of itself in its health report, as metrics: one table, one row a metric.

The reports are made twice a second for status and monitor anyway. A row takes one value of a report by its path; ``*``
in a path stands for each key there, which becomes a label. What is missing, no number or not finite changes nothing:
a NaN in a counter would stay there for ever.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge

from proto.subjects import ALL_SERVICES, CONSOLE
from proto.units import ONE

SERVICE_LABEL = "service"
EACH = "*"
KEYS_MAX = 64
"""Different keys of one path that become labels; a venue or a limit is one of a handful."""
OPEN = "open"
UP = "up"


class Row(NamedTuple):
    """One metric of one service, or of ``EACH``. ``scale`` makes the unit of its name; ``label`` names what ``*`` stands for."""

    service: str
    path: tuple[str, ...]
    name: str
    about: str
    label: str = ""
    scale: float = 1.0
    is_counter: bool = False
    when: str = ""
    """For a text: 1 when it is this one, else 0."""


def _counter(service: str, path: str, name: str, about: str, label: str = "") -> Row:
    return Row(service, tuple(path.split("/")), name, about, label, is_counter=True)


def _gauge(service: str, path: str, name: str, about: str, label: str = "", scale: float = 1.0) -> Row:
    return Row(service, tuple(path.split("/")), name, about, label, scale)


def _is(service: str, path: str, text: str, name: str, about: str, label: str = "") -> Row:
    return Row(service, tuple(path.split("/")), name, about, label, when=text)


_CENT = 0.01
_VENUE = "venue"
_CHANNEL = "channel"
ROWS: tuple[Row, ...] = (
    _gauge(EACH, "lease/is_held", "presage_lease_held", "1 while this process leads its service"),
    _gauge(EACH, "lease/is_able", "presage_lease_able", "1 while it leads, or could take over"),
    _gauge(EACH, "lease/term", "presage_lease_term", "Term of the lease, as this process knows it"),
    _counter(EACH, "lease/changes", "presage_lease_taken", "Times that this process took the lease"),
    _gauge(
        EACH,
        "lease/age_s",
        "presage_lease_renewal_age_seconds",
        "Since the last renewal that is known to be stored",
    ),
    _gauge(
        CONSOLE,
        "certificate_expires_s",
        "presage_certificate_expiry_timestamp_seconds",
        "When the certificate of its pages expires",
    ),
    _gauge("feed", "silent_s", "presage_feed_silent_seconds", "Since the last frame of any venue"),
    _counter("feed", "frames", "presage_feed_frames", "Frames read"),
    _counter("feed", "published", "presage_feed_published", "Messages put on the tape"),
    _counter("feed", "recorded/frames", "presage_feed_recorded_frames", "Raw frames written to files"),
    _counter(
        "feed", "recorded/dropped", "presage_feed_recording_dropped", "Raw frames that were not written"
    ),
    _gauge(
        "feed", "venues/*/connected", "presage_feed_venue_connected", "1 while its socket is open", _VENUE
    ),
    _counter("feed", "venues/*/connects", "presage_feed_venue_connects", "Connections made", _VENUE),
    _counter(
        "feed",
        "venues/*/replaced",
        "presage_feed_venue_replaced",
        "Connections given up for a new one, silent ones among them",
        _VENUE,
    ),
    _gauge("feed", "venues/*/markets", "presage_feed_venue_markets", "Markets followed", _VENUE),
    _gauge("risk", "profit", "presage_profit_dollars", "Equity less what was paid in", scale=1 / ONE),
    _gauge(
        "risk", "headroom/heat", "presage_headroom_exposure_dollars", "Exposure that is left", scale=1 / ONE
    ),
    _gauge(
        "risk",
        "headroom/daily_loss",
        "presage_headroom_daily_loss_dollars",
        "Loss of the day that is left before entries stop",
        scale=1 / ONE,
    ),
    _gauge(
        "risk",
        "headroom/drawdown",
        "presage_headroom_drawdown_ratio",
        "Drawdown that is left, as a part of the highest equity",
        scale=1 / ONE,
    ),
    _gauge("risk", "headroom/positions_count", "presage_headroom_positions", "Positions that are left"),
    _is("execution", "gate", OPEN, "presage_gate_open", "1 while new orders may be claimed"),
    _counter("execution", "claimed", "presage_orders_claimed", "Claims won"),
    _counter("execution", "lost", "presage_claims_lost", "Claims that somebody else had already"),
    _counter("execution", "unclaimed", "presage_orders_not_claimed", "Approvals that were not acted on"),
    _gauge(
        "execution",
        "ledger/percent",
        "presage_ledger_fill_ratio",
        "How full the ledger of claims is",
        scale=_CENT,
    ),
    _gauge("execution", "ledger/reach_s", "presage_ledger_reach_seconds", "How far the ledger reaches back"),
    _is(
        "execution",
        "venues/*/gate",
        OPEN,
        "presage_venue_gate_open",
        "1 while orders may go to a live venue",
        _VENUE,
    ),
    _gauge(
        "execution",
        "venues/*/unknown",
        "presage_venue_unknown_orders",
        "Orders a live venue may or may not have",
        _VENUE,
    ),
    _gauge("execution", "venues/*/open", "presage_venue_open_orders", "Orders open at a live venue", _VENUE),
    _counter("execution", "venues/*/submitted", "presage_venue_submitted", "Orders sent", _VENUE),
    _is(
        "execution",
        "venues/*/brake",
        "off",
        "presage_venue_brake_off",
        "1 while the rate limit lets orders through",
        _VENUE,
    ),
    _is(
        "execution",
        "venues/*/user_stream",
        UP,
        "presage_venue_user_stream_up",
        "1 while fills are told by the venue's stream",
        _VENUE,
    ),
    _gauge(
        "execution",
        "venues/*/reconciled_at",
        "presage_venue_reconciled_timestamp_seconds",
        "When a live venue's books were last found equal to ours",
        _VENUE,
        scale=1e-9,
    ),
    _gauge(
        "execution",
        "venues/*/balance",
        "presage_venue_balance_dollars",
        "Balance as a live venue tells it",
        _VENUE,
        scale=1 / ONE,
    ),
    _counter("journal", "journal/rows", "presage_journal_rows", "Rows stored in PostgreSQL"),
    _gauge("journal", "journal/waiting", "presage_journal_waiting", "Messages read and not stored yet"),
    _counter("journal", "journal/retries", "presage_journal_retries", "Transactions that were tried again"),
    _counter("journal", "journal/anchors", "presage_journal_anchors", "Anchors of the hash chain written"),
    _is("journal", "journal/state", "live", "presage_journal_storing", "1 while the database takes rows"),
    _counter("monitor", "notify/*/sent", "presage_notifications_sent", "Messages delivered", _CHANNEL),
    _counter(
        "monitor",
        "notify/*/failed",
        "presage_notifications_failed",
        "Attempts that delivered nothing",
        _CHANNEL,
    ),
    _counter(
        "monitor",
        "notify/*/dropped",
        "presage_notifications_dropped",
        "Texts given up: too old, refused, or too many",
        _CHANNEL,
    ),
    _counter(
        "monitor",
        "notify/*/restarts",
        "presage_notifications_restarts",
        "How often a part of the work for a channel failed and began again",
        _CHANNEL,
    ),
    _gauge("monitor", "notify/*/waiting", "presage_notifications_waiting", "Texts that wait", _CHANNEL),
    _gauge("journal", "archive/segments", "presage_archive_segments", "Sealed segments"),
    _gauge("journal", "archive/size", "presage_archive_bytes", "Size of the sealed segments"),
    _gauge("journal", "archive/waiting", "presage_archive_waiting", "Messages on the tape not yet archived"),
    _gauge(
        "journal",
        "archive/percent",
        "presage_archive_behind_ratio",
        "Part of the tape's window that is not archived",
        scale=_CENT,
    ),
    _counter(
        "journal", "archive/lost", "presage_archive_lost", "Messages that left the window before the archive"
    ),
    _counter("advisor", "advisor/answers/*", "presage_advisor_answers", "Answers of models", "status"),
    _gauge("advisor", "advisor/open", "presage_advisor_open_questions", "Questions without an answer"),
    _counter(
        "advisor", "advisor/seconds", "presage_advisor_answer_seconds", "Time that all answers took together"
    ),
    _counter("advisor", "advisor/requests", "presage_advisor_requests", "Requests to providers, repeats too"),
    _counter("advisor", "advisor/spent", "presage_advisor_spent_dollars", "Paid for models, by the tape"),
    _gauge(
        "advisor",
        "advisor/cap_used",
        "presage_advisor_cap_used_ratio",
        "Part of the day's or the month's cap that is spent or held back, whichever is more",
    ),
    _gauge(
        "advisor", "advisor/spent_day", "presage_advisor_spent_day_dollars", "Paid for models today (UTC)"
    ),
    _gauge(
        "advisor", "advisor/spent_month", "presage_advisor_spent_month_dollars", "Paid for models this month"
    ),
    _gauge(
        "advisor",
        "advisor/reserved",
        "presage_advisor_reserved_dollars",
        "Held back for questions without an answer",
    ),
    _gauge("advisor", "advisor/paused", "presage_advisor_paused", "1 while a failing provider is left alone"),
    _gauge(
        "advisor", "advisor/weights", "presage_advisor_weights", "Families in which forecasts earned a weight"
    ),
    _gauge(
        "advisor",
        "advisor/weight/*",
        "presage_advisor_weight",
        "The weight that forecasts earned, 0 to 1; families with an ended market",
        "family",
    ),
    _gauge("advisor", "advisor/scored", "presage_advisor_scored_markets", "Ended markets with a forecast"),
    _gauge(
        "advisor",
        "advisor/brier/*",
        "presage_advisor_brier",
        "Mean Brier score over ended markets, of the pooled forecasts and of the market's price",
        "of",
    ),
    _gauge(
        "advisor", "advisor/queue/waiting", "presage_eval_waiting", "Proposed changes before the operator"
    ),
    _counter(
        "advisor",
        "advisor/queue/outcomes/*",
        "presage_eval_decided",
        "Proposed changes that were accepted or rejected, or waited too long",
        "outcome",
    ),
    _counter(
        "advisor",
        "advisor/queue/steps/*",
        "presage_eval_changes",
        "Accepted changes that a machine applied, refused or took back, or that the configuration ended",
        "step",
    ),
    _gauge(
        "advisor",
        "advisor/queue/unmeasured_s",
        "presage_eval_unmeasured_seconds",
        "Since the oldest suggestion that the evaluator has not measured; 0 without one",
    ),
    _gauge("supervisor", "replay/differs", "presage_replay_differs", "1 when the last replay differed"),
    _gauge(
        "supervisor", "replay/at_s", "presage_replay_timestamp_seconds", "When the tape was last replayed"
    ),
    _is("supervisor", "servers/*/state", UP, "presage_server_up", "1 while it works", "server"),
    _counter(
        "supervisor", "servers/*/restarts", "presage_server_restarts", "Restarts by the supervisor", "server"
    ),
    _gauge("supervisor", "streams/*/messages", "presage_stream_messages", "Messages held", "stream"),
    _gauge("supervisor", "streams/*/bytes", "presage_stream_bytes", "Bytes held", "stream"),
    _gauge("supervisor", "streams/*/fill", "presage_stream_fill_ratio", "Part of its limit", "stream"),
    _gauge("supervisor", "streams/*/last_seq", "presage_stream_last_sequence", "Newest sequence", "stream"),
    _gauge("supervisor", "disks/*/free", "presage_disk_free_bytes", "Free room where it stores", "disk"),
    _gauge(
        "supervisor", "disks/*/used", "presage_disk_used_ratio", "Used part of the disk it stores on", "disk"
    ),
)


def number(value: Any) -> float | None:
    """A value as a finite number; ``None`` for anything else."""
    if isinstance(value, bool | int):
        return float(value)
    return value if isinstance(value, float) and math.isfinite(value) else None


def _values(report: Any, path: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Key and value of everything at a path; the key is empty without ``*``."""
    if not path:
        yield "", report
    elif not isinstance(report, Mapping):
        return
    elif path[0] == EACH:
        for key in sorted(map(str, report))[:KEYS_MAX]:
            for _, value in _values(report.get(key), path[1:]):
                yield key, value
    elif path[0] in report:
        yield from _values(report[path[0]], path[1:])


class ReportMetrics:
    """The rows of one service, in its registry; ``take`` a report whenever there is one."""

    def __init__(self, service: str, registry: CollectorRegistry) -> None:
        self._service = service
        self._rows: list[tuple[Row, Gauge | Counter]] = []
        self._last: dict[tuple[str, str], float] = {}
        for row in ROWS:
            if row.service == service or (row.service == EACH and service in ALL_SERVICES):
                labels = (SERVICE_LABEL, row.label) if row.label else (SERVICE_LABEL,)
                kind = Counter if row.is_counter else Gauge
                self._rows.append((row, kind(row.name, row.about, labels, registry=registry)))

    @property
    def rows(self) -> list[Row]:
        """What this service tells of itself."""
        return [row for row, _ in self._rows]

    def take(self, report: Mapping[str, Any]) -> None:
        """Take a report over."""
        for row, metric in self._rows:
            for key, value in _values(report, row.path):
                found = float(value == row.when) if row.when else number(value)
                if found is not None:
                    labels = (self._service, key) if row.label else (self._service,)
                    self._set(row, metric.labels(*labels), key, found * row.scale)

    def _set(self, row: Row, child: Any, key: str, value: float) -> None:
        if not row.is_counter:
            child.set(value)
            return
        # A smaller total means that whoever counts began anew.
        last = self._last.get((row.name, key), 0.0)
        child.inc(max(0.0, value - last if value >= last else value))
        self._last[row.name, key] = value
