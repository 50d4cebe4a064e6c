"""NautilusTrader over a file, run by the peers' own Python: one measurement, its figures as JSON on stdout.

It imports nothing of Presage. A strategy sends one market order in so many updates, first to buy, then to sell what it
has, so that there are as many orders as Presage had claims; the risk engine is on, as it is by default.
"""

import gzip
import json
import sys
from decimal import Decimal
from pathlib import Path
from time import process_time
from typing import Any

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import BookOrder, OrderBookDelta, QuoteTick
from nautilus_trader.model.enums import AccountType, AssetClass, BookAction, BookType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TraderId, Venue
from nautilus_trader.model.instruments import BinaryOption
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("KALSHI")
PRICE_DECIMALS, QUANTITY_DECIMALS = 4, 2
UNITS = 1_000_000
CASH = 1_000_000
"""Dollars: no order is refused for want of money."""
ORDER_CONTRACTS = 1
LAST_FLAG = 128
"""The last change of one event: the book is whole again."""


class OrdersConfig(StrategyConfig, frozen=True):
    """What to follow, and after how many updates another order leaves."""

    instruments: tuple[InstrumentId, ...]
    every: int
    books: bool


class Orders(Strategy):
    """One order in so many updates, buying and selling in turns."""

    def __init__(self, config: OrdersConfig) -> None:
        super().__init__(config)
        self.seen = 0
        self.sent = 0

    def on_start(self) -> None:
        for instrument in self.config.instruments:
            if self.config.books:
                self.subscribe_order_book_deltas(instrument, BookType.L2_MBP)
            else:
                self.subscribe_quote_ticks(instrument)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        self._after(tick.instrument_id)

    def on_order_book_deltas(self, deltas: Any) -> None:
        self._after(deltas.instrument_id)

    def _after(self, instrument: InstrumentId) -> None:
        self.seen += 1
        if self.seen % self.config.every:
            return
        side = OrderSide.SELL if self.portfolio.is_net_long(instrument) else OrderSide.BUY
        quantity = Quantity(ORDER_CONTRACTS, QUANTITY_DECIMALS)
        self.submit_order(self.order_factory.market(instrument, side, quantity))
        self.sent += 1


def instrument_of(name: str) -> BinaryOption:
    """A contract that pays a dollar or nothing, on Kalshi's grid."""
    symbol = name.replace(":", "-")
    return BinaryOption(
        instrument_id=InstrumentId(Symbol(symbol), VENUE),
        raw_symbol=Symbol(symbol),
        asset_class=AssetClass.ALTERNATIVE,
        currency=USD,
        price_precision=PRICE_DECIMALS,
        price_increment=Price(10**-PRICE_DECIMALS, PRICE_DECIMALS),
        size_precision=QUANTITY_DECIMALS,
        size_increment=Quantity(10**-QUANTITY_DECIMALS, QUANTITY_DECIMALS),
        activation_ns=0,
        expiration_ns=2**63 - 1,
        maker_fee=Decimal(0),
        taker_fee=Decimal("0.01"),
        ts_event=0,
        ts_init=0,
    )


def quotes_of(path: Path) -> tuple[dict[str, BinaryOption], list[QuoteTick]]:
    """Quotes that ``bench/peers`` wrote: one a line, amounts in millionths."""
    instruments: dict[str, BinaryOption] = {}
    ticks = []
    for line in path.read_text().splitlines():
        name, at, bid, bid_size, ask, ask_size = line.split(",")
        instrument = instruments.setdefault(name, instrument_of(name))
        ticks.append(
            QuoteTick(
                instrument.id,
                Price(int(bid) / UNITS, PRICE_DECIMALS),
                Price(int(ask) / UNITS, PRICE_DECIMALS),
                Quantity(int(bid_size) / UNITS, QUANTITY_DECIMALS),
                Quantity(int(ask_size) / UNITS, QUANTITY_DECIMALS),
                int(at),
                int(at),
            )
        )
    return instruments, ticks


class Capture:
    """A raw capture of Kalshi's socket as changes of the books of yes: a bid for no is an ask for yes."""

    def __init__(self) -> None:
        self.instruments: dict[str, BinaryOption] = {}
        self.changes: list[OrderBookDelta] = []
        self._sizes: dict[tuple[str, str, str], Decimal] = {}

    def read(self, path: Path) -> None:
        """Unpack and read every line."""
        with gzip.open(path, "rb") as file:
            for line in file:
                row = json.loads(line)
                frame, at = row["frame"], row["recv_ns"]
                if frame["type"] == "orderbook_delta":
                    self._change(frame["msg"], at)
                elif frame["type"] == "orderbook_snapshot":
                    self._snapshot(frame["msg"], at)

    def _snapshot(self, msg: dict[str, Any], at: int) -> None:
        market = msg["market_ticker"]
        instrument = self.instruments.setdefault(market, instrument_of(market))
        self.changes.append(OrderBookDelta.clear(instrument.id, 0, at, at))
        for side in ("yes", "no"):
            for price, size in msg.get(f"{side}_dollars_fp", ()):
                self._sizes[market, side, price] = Decimal(size)
                self._add(market, side, price, at)

    def _change(self, msg: dict[str, Any], at: int) -> None:
        key = msg["market_ticker"], msg["side"], msg["price_dollars"]
        self._sizes[key] = self._sizes.get(key, Decimal(0)) + Decimal(msg["delta_fp"])
        self._add(*key, at)

    def _add(self, market: str, side: str, price: str, at: int) -> None:
        size = self._sizes[market, side, price]
        value = float(price) if side == "yes" else 1 - float(price)
        order = BookOrder(
            OrderSide.BUY if side == "yes" else OrderSide.SELL,
            Price(value, PRICE_DECIMALS),
            Quantity(float(size), QUANTITY_DECIMALS),
            0,
        )
        action = BookAction.UPDATE if size else BookAction.DELETE
        instrument = self.instruments[market].id
        self.changes.append(OrderBookDelta(instrument, action, order, LAST_FLAG, 0, at, at))


def main() -> None:
    """``quotes FILE ORDERS`` or ``capture FILE ORDERS``."""
    kind, path, orders = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    books = kind == "capture"
    if books:
        capture = Capture()
        capture.read(path)
        instruments, data = capture.instruments, capture.changes
    else:
        instruments, data = quotes_of(path)
    engine = BacktestEngine(
        BacktestEngineConfig(trader_id=TraderId("PEER-001"), logging=LoggingConfig(bypass_logging=True))
    )
    engine.add_venue(
        VENUE,
        OmsType.NETTING,
        AccountType.CASH,
        starting_balances=[Money(CASH, USD)],
        book_type=BookType.L2_MBP if books else BookType.L1_MBP,
    )
    for instrument in instruments.values():
        engine.add_instrument(instrument)
    engine.add_data(data)
    every = max(1, len(data) // max(1, orders))
    ids = tuple(instrument.id for instrument in instruments.values())
    strategy = Orders(OrdersConfig(instruments=ids, every=every, books=books))
    engine.add_strategy(strategy)
    began = process_time()
    engine.run()
    ran = process_time() - began
    fills = sum(1 for order in engine.cache.orders() if order.is_closed and order.filled_qty > 0)
    result = {"events": len(data), "orders": strategy.sent, "fills": fills, "run_s": ran}
    print(json.dumps(result | {"whole_s": process_time()}))


if __name__ == "__main__":
    main()
