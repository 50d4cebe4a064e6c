"""What the account came to and its closed trades made, by the formulas of ``presage performance``."""

from collections.abc import Collection, Mapping
from typing import Any

from libs.lists.books import TradeRow
from libs.performance.account import Performance
from libs.performance.figure import Figure
from libs.performance.trades import SPLITS, TradeFigures, TradeResult, split, trade_figures
from proto.ids import venue_of
from proto.units import notional, show
from services.console.fold import ConsoleFold

MOMENTS = frozenset({"begins_at", "ends_at", "peak_at", "trough_at", "recovered_at", "day"})
TRADE_AMOUNTS = ("profit", "realised_profit", "fees", "staked")


def performance_of(fold: ConsoleFold) -> Performance:
    """The whole time that the console knows; trades of the newest fills, as the list of trades has them."""
    trades = fold.books.trades()
    ends = [trade.closed_at for trade in trades[-1:]]
    begins = [min(trade.opened_at for trade in trades)] if trades else []
    return fold.account.come_to([_result(trade, fold.families) for trade in trades], *(begins + ends))


def _result(trade: TradeRow, families: Mapping[str, str]) -> TradeResult:
    return TradeResult(
        strategy=trade.strategy,
        family=families.get(trade.market, "unknown"),
        venue=venue_of(trade.market),
        event=trade.market,
        ended=trade.ended,
        opened_at=trade.opened_at,
        closed_at=trade.closed_at,
        staked=notional(trade.entry_price, trade.quantity),
        received=notional(trade.exit_price, trade.quantity),
        profit=trade.profit,
        fees=trade.fees,
        expected=0,
        slippage=0,
    )


def splits_of(found: Performance) -> dict[str, dict[str, TradeFigures]]:
    """Figures of the trades by each split, without the interval that takes a second: requests wait for each other here."""
    return {
        name: {
            key: trade_figures(part, with_bootstrap=False) for key, part in split(found.results, of).items()
        }
        for name, of in SPLITS.items()
    }


def document(found: Performance) -> dict[str, Any]:
    """As plain data: every number with decimals is text, as moments are; a figure has its samples, or why it has no value."""
    return {
        "begins_at": str(found.begins_at),
        "ends_at": str(found.ends_at),
        "account": _plain(found.account._asdict(), found.account._fields),
        "figures": _plain(found.figures()),
        "drawdown": _plain(found.drawdown._asdict(), ("amount",)),
        "days": [_plain(day._asdict(), ("profit", "equity")) for day in found.days],
        "open_trades": found.open_trades,
        "all": _group(trade_figures(found.results, with_bootstrap=False)),
        "by": {
            name: {key: _group(figures) for key, figures in parts.items()}
            for name, parts in splits_of(found).items()
        },
    }


def _group(figures: TradeFigures) -> dict[str, Any]:
    """What is known of closed trades here: what was expected of them and slippage need the whole tape."""
    found = _plain(figures._asdict(), TRADE_AMOUNTS)
    return {
        name: value for name, value in found.items() if not name.startswith("edge") and name != "slippage"
    }


def _plain(values: Mapping[str, Any], amounts: Collection[str] = ()) -> dict[str, Any]:
    return {name: show(value) if name in amounts else _exact(name, value) for name, value in values.items()}


def _exact(name: str, value: Any) -> Any:
    """Without a number that a reader would round."""
    if isinstance(value, Figure):
        return {key: _exact(key, part) for key, part in value.document().items()}
    if isinstance(value, float):
        return f"{value:.6f}"
    return str(value) if name in MOMENTS else value
