"""What a model is told about a market: its rules, the time, figures of the underlying, lessons. Never its price.

Nothing here takes a quote, a trade or a volume of the market itself, nor its venue: a forecaster who sees the price
copies it. What comes from outside is data between two lines that say so, cut to a bound.
"""

import math
import re
from collections.abc import Iterable, Sequence

from libs.bounded import cut
from libs.indicators.digital import bound_of
from libs.indicators.volatility import ReturnSampler
from proto.advisor import Source
from proto.feed import Market, Payoff
from proto.message import TEXT_CHARACTERS_MAX
from proto.units import ONE, SECOND, Nanoseconds, show
from services.advisor.moments import moment_text, span_text

SAMPLE_S = 5
HISTORY_S = 3_600
SILENCE_S = 60
"""As momentum's: a longer pause begins the statistics anew."""
MOVES_S = (300, 900, 3_600)
LINES_MAX = 30
"""Lines of one part."""
DECIDED = {
    Payoff.ABOVE: "it happens if {asset} ends above {floor}",
    Payoff.BELOW: "it happens if {asset} ends below {cap}",
    Payoff.BETWEEN: "it happens if {asset} ends from {floor} to {cap}",
    Payoff.TOUCH: "it happens if {asset} reaches {bound} at any time before the end",
}
VENUE_NAMES = re.compile(
    r"poly\s?market|kalshi|manifold(?:\.|\s)markets?|predictit|metaculus|betfair|smarkets", re.I
)
"""Prediction markets, by name or address: a forecaster is to know the world, not the price."""
_HOST = re.compile(r"https?://(?:www\.)?([A-Za-z0-9.-]{3,80})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


def plain_line(text: str) -> str:
    """One line of text from outside: no control characters, no names of venues, cut."""
    return cut(VENUE_NAMES.sub("…", _CONTROL.sub(" ", text)).strip(), TEXT_CHARACTERS_MAX)


def new_sampler() -> ReturnSampler:
    """Statistics of one underlying."""
    return ReturnSampler(SAMPLE_S, HISTORY_S // SAMPLE_S, SILENCE_S)


def asset_of(market: Market) -> str:
    """The underlying's symbol, without the venue that trades it."""
    return market.underlying.rpartition(":")[2]


def hosts_of(sources: Iterable[Source]) -> list[str]:
    """The hosts of an answer's sources, each once: what a forecast is scored by."""
    found = (_HOST.match(source.address) for source in sources)
    return list(dict.fromkeys(match[1].lower() for match in found if match))


def question_lines(market: Market, now: Nanoseconds) -> list[str]:
    """The market: what is asked, what decides it, how much time is left."""
    first = market.outcomes[0].name
    decided = DECIDED.get(market.payoff, "the title says what must happen")
    floor = _figure(market, market.floor)
    cap = _figure(market, market.cap)
    rule = decided.format(asset=asset_of(market), floor=floor, cap=cap, bound=floor or cap)
    lines = [
        f"Question: {plain_line(market.title) or 'see the rule'}",
        f'Rule for "{plain_line(first)}": {rule}',
        f"Now: {moment_text(now)}",
    ]
    if market.settlement_average_s:
        lines.append(f"The figure that counts is the mean of the last {market.settlement_average_s} s")
    ends = market.decided_at
    lines.append(f"It ends: {moment_text(ends)}, in {span_text(max(ends - now, 0) // SECOND)}")
    lines.append(f'Say how likely "{plain_line(first)}" is.')
    return lines


def _figure(market: Market, figure: int | None) -> str:
    return "" if figure is None else show(round(bound_of(market, figure)))


def price_lines(market: Market, sampler: ReturnSampler | None, now: Nanoseconds) -> list[str]:
    """The underlying as the tape has it: price, moves, volatility, distance to the bounds in deviations."""
    if sampler is None or not sampler.price or not 0 <= now - sampler.at <= SILENCE_S * SECOND:
        return ["no price of the underlying is known now"]
    spot = sampler.price
    lines = [f"{asset_of(market)} last traded at {show(spot)}"]
    for horizon_s in MOVES_S:
        move, covered_s = sampler.move(horizon_s)
        if covered_s >= horizon_s // 2:
            lines.append(f"change over the last {span_text(covered_s)}: {100 * math.expm1(move):+.3f} %")
    hourly = sampler.deviation(3_600)
    lines.append(
        f"realised volatility: {100 * hourly:.3f} % an hour, from {span_text(sampler.span_s)} of trades"
    )
    deviation = sampler.deviation(max(market.decided_at - now, 0) / SECOND)
    for name, figure in (("lower", market.floor), ("upper", market.cap)):
        bound = bound_of(market, figure) if figure is not None else 0.0
        if bound > 0.0:
            distance = math.log(spot / bound)
            words = f"{100 * math.expm1(distance):+.3f} % from the {name} bound {_figure(market, figure)}"
            if deviation > 0.0:
                words += f", {distance / deviation:+.2f} deviations of the time left"
            lines.append(f"the price is {words}")
    return lines


def other_lines(others: Sequence[tuple[str, int]]) -> list[str]:
    """What the other roles said, as numbers: their words are not passed on."""
    return [f"{role}: {probability * 100 / ONE:.1f} %" for role, probability in others]


def text_of(parts: Iterable[tuple[str, Sequence[str]]]) -> str:
    """The text of a question: each part under its heading, data marked as data."""
    blocks = []
    for heading, lines in parts:
        if lines:
            shown = [cut(line, TEXT_CHARACTERS_MAX) for line in lines[:LINES_MAX]]
            blocks.append("\n".join([f"## {heading}", *shown]))
    return "\n\n".join(blocks)
