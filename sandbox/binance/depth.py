"""Binance's order book of Bitcoin: levels, update ids, and what changed since the last push."""

from proto.feed import Side
from sandbox.binance.wire import eight
from sandbox.world.spot import SpotExchange

Levels = dict[int, int]


class Diff:
    """Changes since the last push of one stream speed."""

    def __init__(self) -> None:
        self.first_id = 0
        self.changed: dict[Side, Levels] = {Side.BUY: {}, Side.SELL: {}}

    def record(self, side: Side, price: int, size: int, update_id: int) -> None:
        self.first_id = self.first_id or update_id
        self.changed[side][price] = size

    def drain(self) -> tuple[int, dict[Side, Levels]]:
        """Return the first update id and the changes, and clear them."""
        first, changed = self.first_id, self.changed
        self.first_id, self.changed = 0, {Side.BUY: {}, Side.SELL: {}}
        return first, changed


class DepthBook:
    """The shown levels. ``update`` follows the exchange; each changed level has an id of its own."""

    def __init__(self, exchange: SpotExchange) -> None:
        self.update_id = 1_000_000
        self.levels: dict[Side, Levels] = {Side.BUY: {}, Side.SELL: {}}
        self.fast, self.slow = Diff(), Diff()
        self._exchange = exchange
        self.update()

    def update(self) -> bool:
        """Read the exchange's levels again; whether one changed."""
        before = self.update_id
        for side in Side:
            shown, now = self.levels[side], dict(self._exchange.sizes(side))
            for price in [p for p in shown if p not in now]:
                self._record(side, price, 0)
            for price, size in now.items():
                if shown.get(price) != size:
                    self._record(side, price, size)
            self.levels[side] = now
        return self.update_id != before

    def _record(self, side: Side, price: int, size: int) -> None:
        self.update_id += 1
        self.fast.record(side, price, size, self.update_id)
        self.slow.record(side, price, size, self.update_id)

    def rows(self, side: Side, count: int) -> list[list[str]]:
        """Return the best levels of a side, best first."""
        prices = sorted(self.levels[side], reverse=side is Side.BUY)[:count]
        return [[eight(p), eight(self.levels[side][p])] for p in prices]


def changed_rows(changed: Levels) -> list[list[str]]:
    """Return changed levels as Binance writes them; a size of 0 removes."""
    return [[eight(price), eight(size)] for price, size in changed.items()]
