"""Leaks on the way out: stops inside the noise, targets too near, time given up too early."""

from libs.evaluation.day import TARGET, ClosedTrade, Exit, TradingDay
from libs.evaluation.finding import CASES_MIN, Checked, Finding, dollars, evidence_of
from libs.evaluation.prices import LATER_S, LONG_S
from proto.units import notional

STOP, DECAY = "stop_loss", "time_decay"
RECOVERED_SHARE = 50
"""Per cent of stops whose price came back above the entry within half an hour: more is noise, not news."""


def _exits_by(day: TradingDay, reason: str) -> list[tuple[ClosedTrade, Exit]]:
    """Filled exits of closed trades with a reason."""
    return [(trade, row) for trade in day.trades for row in trade.left if row.reason == reason and row.filled]


def _forgone(row: Exit, horizon_s: int) -> int | None:
    """Money that what was sold would have been worth more at the bid then; ``None`` where nobody knows."""
    mark = row.after.marks.get(horizon_s)
    return None if mark is None else notional(mark, row.filled) - row.value


def stops_recovered(day: TradingDay) -> Checked:
    """Stops after which the price came back above the entry: the stop stands inside the noise."""
    stopped = [(trade, row) for trade, row in _exits_by(day, STOP) if row.after.highest is not None]
    back = [
        (trade, row) for trade, row in stopped if row.after.highest and row.after.highest > trade.entry_price
    ]
    if len(stopped) < CASES_MIN or len(back) * 100 <= RECOVERED_SHARE * len(stopped):
        return Checked(len(stopped))
    cost = sum(max(0, notional(trade.entry_price, row.filled) - row.value) for trade, row in back)
    text = (
        f"after {len(back)} of {len(stopped)} stops the bid was above the entry within half an hour; they lost "
        f"{dollars(cost)} against it"
    )
    found = Finding(
        "stops_recovered",
        "stops",
        text,
        len(stopped),
        cost,
        evidence_of([row for _, row in back]),
        ("exit.stop_loss", "exit.stop_min_ticks"),
    )
    return Checked(len(stopped), (found,))


def targets_near(day: TradingDay) -> Checked:
    """Targets behind which the price went on: money was left."""
    rows = [(row, more) for _, row in _exits_by(day, TARGET) if (more := _forgone(row, LATER_S)) is not None]
    cost = sum(more for _, more in rows)
    better = [row for row, more in rows if more > 0]
    if len(rows) < CASES_MIN or cost <= 0 or len(better) * 2 <= len(rows):
        return Checked(len(rows))
    text = (
        f"half an hour after {len(better)} of {len(rows)} targets the bid was higher: holding all of them would have "
        f"made {dollars(cost)} more"
    )
    paths = ("exit.first_target", "exit.rest_target")
    return Checked(
        len(rows), (Finding("targets_near", "targets", text, len(rows), cost, evidence_of(better), paths),)
    )


def decay_early(day: TradingDay) -> Checked:
    """Exits for lack of movement whose price rose within the hour."""
    rows = [(row, more) for _, row in _exits_by(day, DECAY) if (more := _forgone(row, LONG_S)) is not None]
    cost = sum(more for _, more in rows)
    if len(rows) < CASES_MIN or cost <= 0:
        return Checked(len(rows))
    better = [row for row, more in rows if more > 0]
    text = (
        f"an hour after {len(rows)} exits for lack of movement the positions were worth {dollars(cost)} more"
    )
    paths = ("exit.decay_s", "exit.decay_movement")
    return Checked(
        len(rows), (Finding("decay_early", "time decay", text, len(rows), cost, evidence_of(better), paths),)
    )
