"""Leaks on the way in: entries that were refused, missed, too dear or too late."""

from collections.abc import Iterable, Sequence
from statistics import median_low

from libs.evaluation.day import ClosedTrade, Entry, Refused, TradingDay, hour_of
from libs.evaluation.finding import CASES_MIN, Checked, Finding, dollars, evidence_of, percent
from libs.evaluation.prices import LATER_S, SOON_S
from proto.units import ONE, SECOND, notional, show

COOLDOWN = ("cooldown_s",)
FEED_CHECKS = ("book_gap", "book_age_s")
PERMANENT_CHECKS = frozenset(
    (*COOLDOWN, *FEED_CHECKS, "kill_switch", "autonomy", "operator", "market_status")
)
"""Not limits that could be another number, or rules of their own."""
ONE_LIMIT_SHARE = 50
"""Per cent of a day's refusals by one check alone that make it worth looking at."""
SHORTFALL_FACTOR = 2
"""An hour whose fills are that many times dearer than the median hour's is a bad hour."""
HOUR_FILLS_MIN = 3
LATE_S = 300
"""Entries with less than that to go are late: the last minutes of a market are noise."""
LATE_SHARE = 4
"""And of a short market, those in its last quarter."""
VENUE_SHARE = 50
"""Per cent of a day's refusals for stale books that make it one venue's trouble."""
UNFILLED = ("canceled", "expired", "rejected")


def _stake(day: TradingDay) -> int:
    """The contracts that an entry of the day usually had: what a refused one would have been."""
    sizes = [entry.quantity for entry in day.entries]
    return median_low(sizes) if sizes else 0


def _missed(rows: Iterable[Refused], stake: int, horizon_s: int) -> tuple[int, list[Refused]]:
    """Money that refused entries would have made, wins and losses together, and those whose price is known."""
    known = [(row, gain) for row in rows if (gain := row.after.gain(horizon_s)) is not None]
    return notional(sum(gain for _, gain in known), stake), [row for row, _ in known]


def cooldown(day: TradingDay) -> Checked:
    """Cooldown refuses more entries than are let in, and they would have gained."""
    rows = [row for row in day.refused if row.checks == COOLDOWN]
    if len(rows) <= len(day.entries):
        return Checked(len(rows))
    missed, known = _missed(rows, _stake(day), SOON_S)
    if missed <= 0:
        return Checked(len(rows))
    text = (
        f"cooldown alone refused {len(rows)} entries and {len(day.entries)} were let in; five minutes later the "
        f"{len(known)} whose price is known would have made {dollars(missed)}"
    )
    return Checked(
        len(rows), (Finding("cooldown", "cooldown_s", text, len(rows), missed, evidence_of(known)),)
    )


def one_limit(day: TradingDay) -> Checked:
    """One limit refuses more than half of what is refused, and what it alone refused would have won."""
    limited = [row for row in day.refused if not set(row.checks) <= PERMANENT_CHECKS]
    found = []
    for check in sorted({name for row in limited for name in row.checks} - PERMANENT_CHECKS):
        rows = [row for row in limited if check in row.checks]
        alone = [row for row in rows if row.checks == (check,)]
        missed, known = _missed(alone, _stake(day), LATER_S)
        if len(rows) * 100 <= ONE_LIMIT_SHARE * len(limited) or len(known) < CASES_MIN or missed <= 0:
            continue
        text = (
            f"{check} is in {percent(len(rows), len(limited))} of the refusals; the {len(known)} that it alone refused "
            f"would have made {dollars(missed)} within half an hour"
        )
        found.append(Finding("one_limit", check, text, len(rows), missed, evidence_of(known)))
    return Checked(len(limited), tuple(found))


def stale_books(day: TradingDay) -> Checked:
    """Refusals for stale or gapped books come from one venue: the feed's trouble, not a setting's."""
    rows = [row for row in day.refused if set(row.checks) & set(FEED_CHECKS)]
    found = []
    for venue in sorted({row.venue for row in rows}):
        own = [row for row in rows if row.venue == venue]
        if len(own) < CASES_MIN or len(own) * 100 <= VENUE_SHARE * len(rows):
            continue
        missed, _ = _missed(own, _stake(day), SOON_S)
        text = (
            f"{len(own)} of {len(rows)} refusals for a stale or gapped book are of {venue}: look at its feed"
        )
        found.append(Finding("stale_books", venue, text, len(own), max(missed, 0), evidence_of(own)))
    return Checked(len(rows), tuple(found))


def unfilled(day: TradingDay) -> Checked:
    """Entries that were not filled, and whose market then moved the way they meant."""
    missed = [entry for entry in day.entries if not entry.filled and entry.status in UNFILLED]
    known = [
        (entry, gain) for entry in missed if (gain := entry.after.gain(LATER_S, entry.price)) is not None
    ]
    cost = sum(notional(gain, entry.quantity) for entry, gain in known)
    won = [entry for entry, gain in known if gain > 0]
    if len(known) < CASES_MIN or cost <= 0 or len(won) * 2 <= len(known):
        return Checked(len(known))
    paths = tuple(f"signal.{name}.slippage_ticks" for name in sorted({entry.strategy for entry in won}))
    text = (
        f"{len(missed)} entries were not filled; {len(won)} of {len(known)} then moved their way, "
        f"which would have made {dollars(cost)}"
    )
    return Checked(
        len(known), (Finding("unfilled", "entries", text, len(known), cost, evidence_of(won), paths),)
    )


def bad_hours(day: TradingDay) -> Checked:
    """Hours whose fills are much worse than the price that the signal saw."""
    filled = [entry for entry in day.entries if entry.filled]
    hours: dict[int, list[Entry]] = {}
    for entry in filled:
        hours.setdefault(hour_of(entry.at), []).append(entry)
    means = {hour: _mean_slippage(rows) for hour, rows in hours.items() if len(rows) >= HOUR_FILLS_MIN}
    if len(means) < 2:
        return Checked(len(filled))
    usual = median_low(means.values())
    found = []
    for hour in sorted(hour for hour, mean in means.items() if mean > max(SHORTFALL_FACTOR * usual, 0)):
        rows = hours[hour]
        cost = sum(entry.slippage for entry in rows)
        text = (
            f"from {hour:02d}:00 UTC {len(rows)} fills were {show(means[hour])} a contract worse than the price seen, "
            f"in the median hour {show(usual)}"
        )
        worst = sorted(rows, key=lambda entry: -entry.slippage)
        found.append(Finding("bad_hours", f"{hour:02d}:00", text, len(rows), cost, evidence_of(worst)))
    return Checked(len(filled), tuple(found))


def _mean_slippage(rows: Sequence[Entry]) -> int:
    quantity = sum(entry.filled for entry in rows)
    return sum(entry.slippage for entry in rows) * ONE // quantity if quantity else 0


def late_entries(day: TradingDay) -> Checked:
    """Entries shortly before their market's end lose."""
    known = [trade for trade in day.trades if trade.ends_at]
    late = [trade for trade in known if _is_late(trade)]
    loss = -sum(trade.profit for trade in late)
    if len(late) < CASES_MIN or loss <= 0:
        return Checked(len(known))
    losers = [trade for trade in late if trade.profit < 0]
    paths = tuple(
        f"signal.{name}.time_to_close_min_s" for name in sorted({trade.strategy for trade in losers})
    )
    text = f"{len(late)} trades were opened shortly before the end of their market and lost {dollars(loss)}"
    return Checked(
        len(known), (Finding("late_entries", "close", text, len(late), loss, evidence_of(losers), paths),)
    )


def _is_late(trade: ClosedTrade) -> bool:
    left, lasts = trade.ends_at - trade.opened_at, trade.ends_at - trade.opens_at
    return left < LATE_S * SECOND and (not trade.opens_at or left * LATE_SHARE < lasts)
