"""What the dashboards show: each panel with its query and what it means. ``dashboards.py`` makes Grafana's files of it.

Each query names its process where a metric comes from several. Nothing hides that there is no data (``or vector(0)``):
a test runs every query on a real Prometheus over a running system, and none may be empty.
"""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """How a panel draws."""

    LINES = "lines"
    STEPS = "steps"
    NUMBER = "number"


class Query(NamedTuple):
    """An expression, and the name of its series."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """One panel. ``unit`` is Grafana's name of the unit, ``width`` of 24 columns."""

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = Kind.LINES
    width: int = 8


class Section(NamedTuple):
    """A row of panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


class Board(NamedTuple):
    """One dashboard; ``uid`` is its address and the name of its file."""

    uid: str
    title: str
    about: str
    sections: tuple[Section, ...]


DOLLARS, RATIO, SECONDS, BYTES, COUNT, RATE = "currencyUSD", "percentunit", "s", "bytes", "short", "ops"


def _number(title: str, about: str, unit: str, expression: str, width: int = 4) -> Panel:
    return Panel(title, about, unit, (Query(expression, ""),), Kind.NUMBER, width)


def _quantiles(metric: str, selector: str, by: str, legend: str) -> tuple[Query, ...]:
    buckets = f"sum by (le{by}) (rate({metric}_bucket{selector}[5m]))"
    return tuple(
        Query(f"histogram_quantile({quantile}, {buckets})", f"{legend}p{round(quantile * 100)}")
        for quantile in (0.5, 0.99)
    )


TRADING = Board(
    "trading",
    "Trading",
    "The account, its limits, and what trades cost",
    (
        Section(
            "Account",
            (
                _number("Equity", "Cash and positions at their marks", DOLLARS, 'presage_equity_dollars{service="risk"}'),
                _number("Profit", "Equity less what was paid in", DOLLARS, "presage_profit_dollars"),
                _number("Cash", "Cash", DOLLARS, 'presage_cash_dollars{service="risk"}'),
                _number("Positions", "Open positions", COUNT, 'presage_positions{service="risk"}'),
                _number("Exposure", "Worst case of positions and orders", DOLLARS, 'presage_exposure_dollars{service="risk"}'),
                _number("Orders may leave", "1 while execution's gate is open", COUNT, "presage_gate_open"),
                Panel(
                    "Equity and cash", "Both as risk has them", DOLLARS,
                    (Query('presage_equity_dollars{service="risk"}', "equity"), Query('presage_cash_dollars{service="risk"}', "cash")),
                    width=12,
                ),
                Panel(
                    "Exposure against its limit", "What may be lost at worst, and the most that may be", DOLLARS,
                    (Query('presage_exposure_dollars{service="risk"}', "exposure"), Query('presage_exposure_limit_dollars{service="risk"}', "limit")),
                    width=12,
                ),
            ),
        ),
        Section(
            "Limits",
            (
                Panel("Loss of the day that is left", "Entries stop at nought", DOLLARS, (Query("presage_headroom_daily_loss_dollars", "left"),)),
                Panel("Drawdown that is left", "As a part of the highest equity", RATIO, (Query("presage_headroom_drawdown_ratio", "left"),)),
                Panel("Risk's state", "1 for the state it is in", COUNT, (Query('presage_risk_state{service="risk"}', "{{state}}"),), Kind.STEPS),
            ),
        ),
        Section(
            "Trades",
            (
                Panel("Fills", "A minute", COUNT, (Query('60 * rate(presage_fills_total{service="execution"}[5m])', "all"), Query('60 * rate(presage_maker_fills_total{service="execution"}[5m])', "of orders that rested"))),
                Panel("Traded", "Price times quantity, an hour", DOLLARS, (Query('3600 * rate(presage_filled_dollars_total{service="execution"}[5m])', "{{side}}"),)),
                Panel("Fees, and better prices", "Fees paid so far; what fills at better prices than approved saved", DOLLARS, (Query('presage_fees_dollars{service="monitor"}', "fees"), Query('presage_price_improvement_dollars_total{service="execution"}', "saved"))),
            ),
        ),
    ),
)  # fmt: skip

DECISIONS = Board(
    "decisions",
    "Decisions",
    "From a tick to an order: how many, how fast, and why not",
    (
        Section(
            "Flow",
            (
                Panel("Proposals to orders", "A minute", COUNT, tuple(Query(f'60 * rate(presage_{name}_total{{service="monitor"}}[5m])', name) for name in ("proposals", "approvals", "claims", "fills")), width=12),
                Panel("Rejections", "A minute, by the check that failed", COUNT, (Query('60 * rate(presage_rejections_total{service="monitor"}[5m])', "{{reason}}"),), width=12),
                Panel("Orders by state", "Orders that are not final", COUNT, (Query('presage_orders{service="execution"}', "{{status}}"),), Kind.STEPS, 12),
                Panel("Orders that entered a state", "A minute", COUNT, (Query('60 * rate(presage_orders_entered_total{service="execution"}[5m])', "{{status}}"),), width=12),
            ),
        ),
        Section(
            "Latency",
            (
                Panel("Tick to order", "From the market data that began a decision to its claim, by the broker's clock", SECONDS, _quantiles("presage_end_to_end_latency_seconds", '{service="monitor"}', "", ""), width=12),
                Panel("By hop, p99", "From the cause stored to the message stored", SECONDS, (Query('histogram_quantile(0.99, sum by (le, hop) (rate(presage_hop_latency_seconds_bucket{service="monitor"}[5m])))', "{{hop}}"),), width=12),
            ),
        ),
        Section(
            "Refusals",
            (
                Panel("Approvals not acted on", "Refused by execution's gate, an hour", COUNT, (Query("3600 * rate(presage_orders_not_claimed_total[5m])", "refused"),)),
                Panel("Refused by the broker", "Publishes and subscriptions beyond a service's rights; more than nought is an attack or a fault", COUNT, (Query("presage_permission_violations_total", "{{service}}"),)),
                Panel("Divergences", "Machines that did not recompute their own outputs", COUNT, (Query("presage_divergences_total", "{{service}}"),)),
            ),
        ),
    ),
)  # fmt: skip

VENUES = Board(
    "venues",
    "Venues",
    "Whether what we see of the venues is fresh, and what they hold of ours is known",
    (
        Section(
            "Market data",
            (
                Panel("Age of the newest", "Since the last message of each venue was stored", SECONDS, (Query("time() - presage_venue_data_timestamp_seconds", "{{venue}}"),), width=12),
                Panel("Gaps", "Losses of continuity, a minute", COUNT, (Query('60 * rate(presage_feed_gaps_total{service="monitor"}[5m])', "{{venue}}"),), width=12),
                Panel("Connected", "1 while a venue's socket is open", COUNT, (Query("presage_feed_venue_connected", "{{venue}}"),), Kind.STEPS),
                Panel("Connections", "Made since the feed began, and given up for silence", COUNT, (Query("presage_feed_venue_connects_total", "{{venue}}"), Query("presage_feed_venue_replaced_total", "{{venue}} replaced"))),
                Panel("Markets followed", "By venue", COUNT, (Query("presage_feed_venue_markets", "{{venue}}"),), Kind.STEPS),
                Panel("Frames", "Read, and messages made of them, a second", RATE, (Query("rate(presage_feed_frames_total[1m])", "frames"), Query("rate(presage_feed_published_total[1m])", "messages"))),
                Panel("Unreadable frames", "Since the feed began", COUNT, (Query('presage_dead_inputs_total{service="feed"}', "dead"),)),
                Panel("Silence", "Since the last frame of any venue", SECONDS, (Query("presage_feed_silent_seconds", "silent"),)),
            ),
        ),
        Section(
            "Orders at live venues",
            (
                Panel("Orders may go", "1 while a venue's gate is open", COUNT, (Query("presage_venue_gate_open", "{{venue}}"),), Kind.STEPS),
                Panel("Unknown orders", "The venue may or may not have them", COUNT, (Query("presage_venue_unknown_orders", "{{venue}}"),), Kind.STEPS),
                Panel("Open orders", "By venue", COUNT, (Query("presage_venue_open_orders", "{{venue}}"),), Kind.STEPS),
                Panel("Sent", "Orders, a minute", COUNT, (Query("60 * rate(presage_venue_submitted_total[5m])", "{{venue}}"),)),
                Panel("Rate limit", "1 while it lets orders through", COUNT, (Query("presage_venue_brake_off", "{{venue}}"),), Kind.STEPS),
                Panel("Stream of fills", "1 while the venue tells fills by itself", COUNT, (Query("presage_venue_user_stream_up", "{{venue}}"),), Kind.STEPS),
                Panel("Since books were equal", "Our books beside the venue's, every half minute", SECONDS, (Query("time() - presage_venue_reconciled_timestamp_seconds", "{{venue}}"),)),
                Panel("Comparisons", "That found a difference which stops trading, or were not answered whole", COUNT, (Query('presage_reconciliations_different_total{service="monitor"}', "{{venue}} different"), Query('presage_reconciliations_incomplete_total{service="monitor"}', "{{venue}} incomplete"))),
                Panel("Balance", "As the venue tells it", DOLLARS, (Query("presage_venue_balance_dollars", "{{venue}}"),)),
            ),
        ),
    ),
)  # fmt: skip

MACHINERY = Board(
    "machinery",
    "Machinery",
    "Services, tape, ledger, journal, archive, disks",
    (
        Section(
            "Services",
            (
                Panel("Live", "1 while a service does its work", COUNT, (Query("presage_ready", "{{service}}"),), Kind.STEPS),
                Panel("Behind the tape", "Messages after a service's position", COUNT, (Query("presage_tape_lag_messages", "{{service}}"),)),
                Panel("Starts", "In the last hour, the first among them", COUNT, (Query("changes(process_start_time_seconds[1h])", "{{process}}"),)),
                Panel("Memory", "Resident", BYTES, (Query("process_resident_memory_bytes", "{{process}}"),)),
                Panel("Processor", "Cores", COUNT, (Query("rate(process_cpu_seconds_total[1m])", "{{process}}"),)),
                Panel("Outputs not acknowledged", "By the broker", COUNT, (Query("presage_outputs_pending", "{{service}}"),)),
                Panel("Publishes tried again", "Since a service began", COUNT, (Query("presage_publish_retries_total", "{{service}}"),)),
                Panel("Readers begun anew", "Since a service began", COUNT, (Query("presage_reader_restarts_total", "{{service}}"),)),
                Panel("Alerts", "Raised by the monitor and not over", COUNT, (Query('presage_alert_active{service="monitor"}', "{{rule}}"),), Kind.STEPS),
            ),
        ),
        Section(
            "Tape and ledger",
            (
                Panel("Tape", "Messages stored, a second", RATE, (Query("rate(presage_stream_last_sequence[1m])", "{{stream}}"),)),
                Panel("Tape's window", "Bytes held", BYTES, (Query("presage_stream_bytes", "{{stream}}"),)),
                Panel("How full", "The window makes room by itself; the ledger reaches less far back", RATIO, (Query("presage_stream_fill_ratio", "{{stream}}"), Query("presage_ledger_fill_ratio", "LEDGER"))),
                Panel("Servers", "1 while it works", COUNT, (Query("presage_server_up", "{{server}}"),), Kind.STEPS),
                Panel("Free on the disks", "Where the state and the broker are", BYTES, (Query("presage_disk_free_bytes", "{{disk}}"),)),
                Panel("Used of the disks", "New orders stop before they are full", RATIO, (Query("presage_disk_used_ratio", "{{disk}}"),)),
            ),
        ),
        Section(
            "Record",
            (
                Panel("Journal", "Rows stored, a second", RATE, (Query("rate(presage_journal_rows_total[1m])", "rows"),)),
                Panel("Waiting for the journal", "Read and not stored", COUNT, (Query("presage_journal_waiting", "messages"),)),
                Panel("Not archived", "Part of the tape's window", RATIO, (Query("presage_archive_behind_ratio", "behind"),)),
            ),
        ),
    ),
)  # fmt: skip

ADVISOR = Board(
    "advisor",
    "Advisor",
    "What models answered, what they cost, and what their forecasts have earned",
    (
        Section(
            "Answers and cost",
            (
                Panel("Answers", "An hour, by what came of each", COUNT, (Query("3600 * rate(presage_advisor_answers_total[5m])", "{{status}}"), Query("3600 * rate(presage_advisor_requests_total[5m])", "requests")), width=12),
                Panel("Spent", "On models, today and this month", DOLLARS, (Query("presage_advisor_spent_day_dollars", "today"), Query("presage_advisor_spent_month_dollars", "this month")), width=12),
                Panel("Cap used", "Of the day or the month, whichever is more, with what is held back", RATIO, (Query("presage_advisor_cap_used_ratio", "used"),)),
                Panel("Time of an answer", "The mean", SECONDS, (Query("rate(presage_advisor_answer_seconds_total[5m]) / on() sum(rate(presage_advisor_answers_total[5m]))", "seconds"),)),
                Panel("Open questions", "Without an answer yet", COUNT, (Query("presage_advisor_open_questions", "open"),), Kind.STEPS),
                Panel("Paused", "1 while it asks nobody", COUNT, (Query("presage_advisor_paused", "paused"),), Kind.STEPS),
            ),
        ),
        Section(
            "What forecasts are worth",
            (
                Panel("Brier score", "Over ended markets: lower is better", COUNT, (Query("presage_advisor_brier", "{{of}}"),)),
                Panel("Weight", "Earned in each family of markets: how far a forecast moves the price", RATIO, (Query("presage_advisor_weight", "{{family}}"),), Kind.STEPS),
                Panel("Markets scored", "Ended, with a forecast", COUNT, (Query("presage_advisor_scored_markets", "markets"),), Kind.STEPS),
                Panel("Influence earned", "Families of markets whose forecasts weigh more than nothing", COUNT, (Query("presage_advisor_weights", "families"),), Kind.STEPS),
            ),
        ),
        Section(
            "Proposed changes",
            (
                Panel("Waiting", "Measured, and before the operator", COUNT, (Query("presage_eval_waiting", "proposals"),), Kind.STEPS, 6),
                Panel("Decided", "By the operator, or by the time that they waited", COUNT, (Query("presage_eval_decided_total", "{{outcome}}"),), Kind.STEPS, 6),
                Panel("Changes", "What machines did with those accepted; reverted is the monitor's doing", COUNT, (Query("presage_eval_changes_total", "{{step}}"),), Kind.STEPS, 6),
                Panel("Not measured", "Since the oldest suggestion that the evaluator has not measured", SECONDS, (Query("presage_eval_unmeasured_seconds", "waiting"),), width=6),
            ),
        ),
    ),
)  # fmt: skip

BOARDS = (TRADING, DECISIONS, VENUES, MACHINERY, ADVISOR)
