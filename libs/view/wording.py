"""Numbers and names for people: rounded right, short, and free of control characters."""

from proto.feed import Market
from proto.units import ONE, SECOND

MINUS = "−"
_CENT = ONE // 100


def _rounded(value: int, step: int) -> int:
    """``value`` in steps, half away from zero."""
    steps = (2 * abs(value) + step) // (2 * step)
    return -steps if value < 0 else steps


def sign_of(account: str) -> str:
    """The sign of an account's money, by its kind as ``STATE/money`` has it: Manifold's for mana, else the dollar's."""
    return "Ṁ" if account.endswith(" mana") else "$"


def money(millionths: int, *, signed: bool = False, unit: str = "$") -> str:
    """``$1,234.57``; never minus zero."""
    cents = _rounded(millionths, _CENT)
    sign = MINUS if cents < 0 else "+" if signed and cents > 0 else ""
    whole, rest = divmod(abs(cents), 100)
    return f"{sign}{unit}{whole:,}.{rest:02d}"


def price(millionths: int | None) -> str:
    """A price of an outcome in dollars, at least two decimals and exact up to four; a dash for none."""
    if millionths is None:
        return "–"
    text = f"{_rounded(millionths, ONE // 10_000) / 10_000:.4f}"
    return text[:-2] if text.endswith("00") else text.rstrip("0")


def level(millionths: int | None) -> str:
    """A price of an underlying: ``104,233.51``."""
    if millionths is None:
        return "–"
    return money(millionths, unit="")


def quantity(millionths: int) -> str:
    """Contracts, with at most two decimals, and thousands short from a hundred thousand on."""
    hundredths = _rounded(millionths, ONE // 100)
    sign = MINUS if hundredths < 0 else ""
    whole, rest = divmod(abs(hundredths), 100)
    if whole >= 100_000:
        return f"{sign}{whole / 1_000:,.0f}k"
    decimals = f".{rest:02d}".rstrip("0") if rest else ""
    return f"{sign}{whole:,}{decimals}"


def counted(count: int, word: str) -> str:
    """``1 fill``, ``1,234 fills``."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def percent(part: int, whole: int) -> str:
    """``+2.4 %`` of a whole that is not zero; a dash otherwise."""
    if not whole:
        return "–"
    tenths = _rounded(part * 1_000, abs(whole))
    sign = MINUS if tenths < 0 else "+" if tenths > 0 else ""
    return f"{sign}{abs(tenths) // 10}.{abs(tenths) % 10} %"


def duration(nanoseconds: int) -> str:
    """Time left: ``59s``, ``12m03``, ``1h05``, ``3d04``; ``over`` at the end."""
    seconds = nanoseconds // SECOND
    if seconds < 0:
        return "over"
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3_600:
        return f"{seconds // 60}m{seconds % 60:02d}"
    if seconds < 86_400:
        return f"{seconds // 3_600}h{seconds % 3_600 // 60:02d}"
    return f"{seconds // 86_400}d{seconds % 86_400 // 3_600:02d}"


def latency(nanoseconds: int) -> str:
    """Milliseconds with a precision that fits: ``0.42``, ``13.1``, ``250``; seconds from ten on."""
    milliseconds = nanoseconds / 1_000_000
    if milliseconds < 9.995:
        return f"{milliseconds:.2f} ms"
    if milliseconds < 99.95:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 9_999.5:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1_000:.1f} s"


def clean(text: str) -> str:
    """Text from the tape, without what a terminal would obey."""
    return "".join(c if c.isprintable() else "·" for c in text)


_REASONS = {"ioc": "immediate or cancel", "fok": "fill or kill", "gtd": "its time was over"}


def reason(text: str) -> str:
    """A reason from the tape in words: ``stop loss`` for ``stop_loss``."""
    return _REASONS.get(text) or clean(text if " " in text else text.replace("_", " "))


def shorten(text: str, width: int) -> str:
    """Cut out the middle: the ends of a ticker tell one from the other."""
    text = clean(text)
    if len(text) <= width:
        return text
    if width < 4:
        return text[:width]
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def market(entry: Market) -> str:
    """A market for people: Kalshi's ticker, ``BTC 5m to 16:00Z`` for a window (UTC, its name everywhere), else its title."""
    name = entry.market.partition(":")[2] or entry.market
    if not entry.title or entry.venue == "kalshi":
        return clean(name)
    if {outcome.name for outcome in entry.outcomes} == {"up", "down"} and entry.open_at < entry.close_at:
        coin = entry.title.split(" ", 1)[0]
        symbol = entry.underlying.partition(":")[2].removesuffix("USDT") or coin
        span = duration(entry.close_at - entry.open_at).removesuffix("00")
        hours, minutes = divmod(entry.close_at // SECOND % 86_400 // 60, 60)
        return clean(f"{symbol} {span} to {hours:02d}:{minutes:02d}Z")
    return clean(entry.title)


def instrument(name: str, width: int) -> str:
    """``kalshi:KXBTC15M-26MAY131800-00:yes`` as ``KXBTC15M-26MAY131800-00 YES``, cut to ``width``."""
    parts = name.split(":")
    if len(parts) == 3:
        outcome = clean(parts[2]).upper()[:8]
        return f"{shorten(parts[1], max(1, width - len(outcome) - 1))} {outcome}"
    return shorten(parts[-1], width)
