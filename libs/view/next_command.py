"""The command that an alert calls for."""

from proto.monitor import Alert

_NEXT = {
    "halt": "presage resume",
    "risk_state": "presage status",
    "portfolio_divergence": "presage halt, then presage replay",
    "rejection_storm": "presage attach",
    "clock_jump": "presage resume",
    "alerts_suppressed": "presage alerts",
    "silent_feed": "presage logs feed",
    "book_gapped": "presage logs feed",
    "service_missing": "presage logs {topic}",
    "machine_stopped": "presage logs {topic}",
    "machine_refused": "presage up --adopt {topic}",
    "start_hangs": "presage logs {topic}",
    "stuck_order": "presage why {topic}",
    "ledger_filling": "presage orders --limit 0",
    "ledger_full": "presage positions",
    "claim_forgotten": "presage halt, then presage orders --open",
    "unknown_order": "presage why {topic}",
    "approval_refused": "presage why {topic}",
    "order_without_approval": "presage halt, then presage why {topic}",
    "claim_without_approval": "presage halt, then presage why {topic}",
    "claim_repeated": "presage halt, then presage why {topic}",
    "sent_exceeds_approved": "presage halt, then presage replay",
    "orphaned_position": "presage positions",
    "position_without_working_exit": "presage positions",
    "permission_violation": "presage halt, then presage logs {topic}",
    "divergence": "presage halt, then presage replay",
    "venue_not_reconciled": "presage doctor --live {topic}",
    "venue_difference": "presage halt, then presage doctor --live {venue}",
    "fill_unconfirmed": "presage fills",
    "fill_failed": "presage fills",
    "tape_flooded": "presage halt, then presage logs {topic}",
    "archive_behind": "presage logs journal",
    "archive_gap": "presage archive verify",
    "payout_missing": "presage positions",
    "change_reverted": "presage eval show {topic}",
    "change_not_reverted": "presage eval show {topic}, then presage config show",
    "condition": "presage attach",
    "condition_refused": "presage config show alerts",
    "notifications_failing": "presage notify test",
    "change_unchecked": "presage eval show {topic}",
}
"""Rule of the monitor → what to type next; ``topic`` and its venue are filled in."""
OTHERWISE = "presage status"


def next_command(alert: Alert) -> str:
    """What to type next."""
    topic = alert.topic.split()[0] if alert.topic else ""
    return _NEXT.get(alert.rule, OTHERWISE).format(topic=topic, venue=topic.partition(":")[0]).strip()
