"""What is known of series beyond what Kalshi tells of their markets: configuration, never a guess from names.

A series that is not in the table has no underlying here: what its markets are on stands in their rules, in words.
Source: docs/reference/venue-facts.md, Kalshi payoffs.
"""

from collections.abc import Collection, Iterable
from typing import Annotated, Literal

from libs.config.section import Section, setting, text, whole
from libs.venues.params import Id

COINBASE_BITCOIN = "coinbase:BTC-USD"
CRYPTO_AVERAGE_S = 60
"""Kalshi's crypto markets are decided by the mean of CF Benchmarks' index over the last minute."""
ROWS_MAX = 500
DAY_S = 86_400

Instrument = Annotated[
    str, text(r"^([a-z0-9]+:[A-Za-z0-9._-]{1,60})?$", "a reference instrument (venue:symbol), or nothing")
]
Words = Annotated[str, text(r"^[^\x00-\x1f]*$", "words", length_max=200)]
PayoffWord = Literal["told", "above", "below", "between", "touch", "event", "unknown"]


class SeriesFacts(Section):
    """What all markets of a series have in common."""

    series: Id = setting(..., "the series, by ticker")
    underlying: Instrument = setting("", "the reference instrument that its figures are prices of")
    payoff: PayoffWord = setting(
        "told", "how its markets are decided, where their strike type does not say; told: as it says"
    )
    average_s: Annotated[int, whole(0, DAY_S)] = setting(
        0, "the result compares the mean of the last so many seconds"
    )
    window_s: Annotated[int, whole(0, DAY_S)] = setting(
        0, "a market opens so long before its close, where that is not told"
    )
    grid: Annotated[str, text(r"^[a-z_]{1,60}$", "the name of a price structure")] = setting(
        "linear_cent", "price structure of a market that does not tell its own"
    )
    why: Words = setting("", "why it has this underlying, or none: shown where its markets are not priced")


def _coin(series: str, coin: str, **more: object) -> SeriesFacts:
    return SeriesFacts.model_validate(
        {
            "series": series,
            "underlying": f"coinbase:{coin}-USD",
            "average_s": CRYPTO_AVERAGE_S,
            "why": f"the mean of the last minute of CF Benchmarks' {coin} index; Coinbase is one of its exchanges",
            **more,
        }
    )


def _window(series: str, coin: str, window_s: int) -> SeriesFacts:
    return _coin(series, coin, payoff="above", window_s=window_s, grid="tapered_deci_cent")


def _touch(series: str) -> SeriesFacts:
    return SeriesFacts(
        series=series,
        underlying=COINBASE_BITCOIN,
        payoff="touch",
        why="the extreme of a whole period decides, not the price at its end",
    )


STANDARD_SERIES: tuple[SeriesFacts, ...] = (
    _window("KXBTC15M", "BTC", 900),
    _window("KXBTC5M", "BTC", 300),
    _window("KXBTC1H", "BTC", 3_600),
    _coin("KXBTC", "BTC"),
    _coin("KXBTCD", "BTC"),
    _window("KXETH15M", "ETH", 900),
    _coin("KXETH", "ETH"),
    _coin("KXETHD", "ETH"),
    _window("KXSOL15M", "SOL", 900),
    _coin("KXSOLE", "SOL"),
    _coin("KXSOLD", "SOL"),
    _touch("KXBTCMAXY"),
    _touch("KXBTCMINY"),
    SeriesFacts(
        series="KXGOLD15M",
        payoff="above",
        window_s=900,
        why="the last one-minute candle of Pyth's gold price, which no feed here has",
    ),
)
"""KXBTC5M and KXBTC1H are series of the synthetic market and of the sandbox."""


class SeriesTable:
    """Facts by series, and which series a ticker belongs to."""

    def __init__(self, rows: Iterable[SeriesFacts] = STANDARD_SERIES, names: Collection[str] = ()) -> None:
        self._facts = {row.series: row for row in rows}
        self._names = {*self._facts, *names}

    def learn(self, series: str) -> None:
        """A series exists: its ticker may have a hyphen."""
        self._names.add(series)

    def facts(self, series: str) -> SeriesFacts:
        """The row of a series, or one that says nothing."""
        return self._facts.get(series) or SeriesFacts.model_construct(series=series)

    def series_of(self, ticker: str) -> str:
        """The series of a market or event: the longest known name before a hyphen, else what is before the first."""
        end = len(ticker)
        while end > 0:
            if ticker[:end] in self._names:
                return ticker[:end]
            end = ticker.rfind("-", 0, end)
        return ticker.partition("-")[0]
