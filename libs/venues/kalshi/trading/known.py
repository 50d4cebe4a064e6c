"""What a gateway remembers so as not to ask again: markets' grids, and whose an order is. Bounded."""

from collections import OrderedDict
from typing import NamedTuple, TypeVar

from libs.venues.frame import FrameError
from libs.venues.kalshi.market_data.listings import read_listing
from libs.venues.kalshi.schemas import answers as rest
from libs.venues.kalshi.trading.orders import BY_TICKER
from proto.feed import PriceStep

ORDERS_MAX = 20_000
"""Orders remembered: days of trading; an older one is asked for again."""
MARKETS_MAX = 2_000

Value = TypeVar("Value")


class MarketFacts(NamedTuple):
    """What an order needs to know of its market."""

    price_steps: tuple[PriceStep, ...]
    exchange_index: int


class Known:
    """Memory of one gateway. Forgetting costs a question, never a wrong answer."""

    def __init__(self) -> None:
        self._markets: OrderedDict[str, MarketFacts] = OrderedDict()
        self._instruments: OrderedDict[str, str] = OrderedDict()
        self._client_ids: OrderedDict[str, str] = OrderedDict()

    def learn_market(self, market: rest.Market) -> None:
        """Keep a market's grid and shard; one that cannot be read is left out."""
        try:
            steps = read_listing(market).price_steps
        except FrameError:
            return
        _keep(self._markets, market.ticker, MarketFacts(steps, market.exchange_index), MARKETS_MAX)

    def market(self, ticker: str) -> MarketFacts:
        """Facts of a market; one that is not known has the venue's finest grid and is routed by ticker."""
        return self._markets.get(ticker) or MarketFacts((), BY_TICKER)

    def knows_market(self, ticker: str) -> bool:
        return ticker in self._markets

    def learn_order(self, client_order_id: str, instrument: str = "", venue_order_id: str = "") -> None:
        """An order of ours: which instrument it was meant for, and the id the venue gave it."""
        if instrument and client_order_id:
            _keep(self._instruments, client_order_id, instrument, ORDERS_MAX)
        if venue_order_id:
            _keep(self._client_ids, venue_order_id, client_order_id, ORDERS_MAX)

    def client_order_id(self, venue_order_id: str) -> str | None:
        """The client id of an order; ``None`` when it is not remembered, "" when it has none."""
        return self._client_ids.get(venue_order_id)

    def instrument(self, client_order_id: str) -> str:
        """What an order of ours was meant for, "" when that is not remembered."""
        return self._instruments.get(client_order_id, "")


def _keep(memory: OrderedDict[str, Value], key: str, value: Value, most: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > most:
        memory.popitem(last=False)
