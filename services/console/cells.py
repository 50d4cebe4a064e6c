"""How the rows of a table are shown: columns, and cells made of a row alone, the same for page and socket.

A cell is a small document: ``t`` its text, ``c`` its classes, ``h`` where it leads, ``at`` a moment (ns, as text) that the
reader's browser writes in its own zone, ``until`` a moment to count down to, ``bar`` a share of a whole in percent.
Texts are data: pages escape them, scripts set them as text.
"""

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

from libs.view import terms, wording
from libs.view.check_words import check_label, check_number
from libs.view.moment import moment
from proto.units import parse

Row = dict[str, Any]
Cell = dict[str, Any]
WIDE = "wide"
"""Class of columns that a narrow screen leaves out."""
NUMBER = "num"


class Column(NamedTuple):
    """A heading, the classes of its cells, and what it means for who asks."""

    heading: str
    classes: str = ""
    about: str = ""


def text(value: object, classes: str = "") -> Cell:
    """Plain text; control characters are left out."""
    return {"t": wording.clean(str(value)), "c": classes}


def link(value: str, target: str, classes: str = "") -> Cell:
    """A text that leads somewhere in the console."""
    return text(value, classes) | {"h": target}


def time(at_ns: str, classes: str = "") -> Cell:
    """A moment: UTC until the browser writes it in its own zone."""
    at = int(at_ns)
    return {"t": moment(at)[11:19] if at else "–", "c": classes, "at": at_ns if at else ""}


def price(value: str | None, classes: str = NUMBER) -> Cell:
    """Dollars a contract."""
    return text(wording.price(None if value is None else parse(value)), classes)


def quantity(value: str, classes: str = NUMBER) -> Cell:
    """Contracts."""
    return text(wording.quantity(parse(value)), classes)


def level_of(millionths: int) -> str:
    """The class of a gain or a loss; colour alone says nothing, the sign is in the text."""
    return "gain" if millionths > 0 else "loss" if millionths < 0 else ""


def money(value: str, unit: str, *, signed: bool = False, classes: str = NUMBER) -> Cell:
    """Money of the account."""
    millionths = parse(value)
    tone = level_of(millionths) if signed else ""
    return text(wording.money(millionths, signed=signed, unit=unit), f"{classes} {tone}".strip())


def state(value: str, *, good: tuple[str, ...] = (), bad: tuple[str, ...] = ()) -> Cell:
    """A state as a word with a mark of its own."""
    tone = "good" if value in good else "bad" if value in bad else "neutral"
    return text(value.replace("_", " "), f"state {tone}")


_GOOD = ("filled", "approved", "accepted", "fill", "settled", "live", "open", "active")
_BAD = ("unknown", "rejected", "denied", "refused", "missing", "stopped")


def why(identifier: str) -> str:
    """Where the chain of causes of something is."""
    return f"/decisions/{quote(identifier, safe='')}"


def _account(row: Row, unit: str) -> list[Cell]:
    name = row["figure"]
    signed = name in ("profit", "realised_profit", "unrealised_profit")
    value = money(row["value"], unit, signed=signed, classes="figure")
    note = f"of {wording.money(parse(row['limit']), unit=unit)}" if "limit" in row else ""
    return [text(name.replace("_", " "), "label"), value, text(note, "note")]


def _limits(row: Row, unit: str) -> list[Cell]:
    name = row["check"]
    left = int(row["left"]) if name.endswith("_count") else parse(row["left"])
    cells = [text(check_label(name)), text(f"{check_number(name, left, unit)} left", NUMBER)]
    limit = parse(row["limit"]) if "limit" in row else 0
    bar: Cell = {"t": "", "c": "meter"}
    if limit > 0:
        used = min(max(parse(row["used"]) * 100 // limit, 0), 100)
        bar = {"t": f"{used} % used", "c": "meter " + ("bad" if used > 90 else "good"), "bar": used}
    elif left <= 0:
        bar = {"t": "used up", "c": "meter bad"}
    return [*cells, bar]


def _services(row: Row, _: str) -> list[Cell]:
    return [
        text(row["service"], "name"),
        state(row["state"], good=("live",), bad=("missing", "stopped", "refused")),
        text(f"{int(row['position']):,}", f"{NUMBER} {WIDE}"),
        text(f"{row['lag']:,}", NUMBER),
        text(row["detail"], f"quiet {WIDE}"),
    ]


def _venues(row: Row, unit: str) -> list[Cell]:
    balance = money(row["balance"], unit) if row["balance"] is not None else text("–", NUMBER)
    gate = row["gate"] or "–"
    return [
        text(row["venue"], "name"),
        state(row["feed"], good=("live",), bad=("not connected",)),
        text(f"{row['markets']:,}", NUMBER),
        text(row["money"] or "–", f"money-{row['money']}"),
        state(gate, good=("open",)),
        text(row["unknown"], f"{NUMBER} {'bad' if row['unknown'] else ''}"),
        balance | {"c": f"{balance['c']} {WIDE}"},
    ]


def _positions(row: Row, unit: str) -> list[Cell]:
    return [
        link(row["name"], why(row["instrument"]), "name"),
        quantity(row["quantity"]),
        price(row["entry_price"]),
        price(row["mark"]),
        money(row["unrealised_profit"], unit, signed=True),
        money(row["cost"], unit, classes=f"{NUMBER} {WIDE}"),
        text(row["stage"], WIDE),
        text(row["exits"] or "none", WIDE),
        {"t": "flatten", "c": "act", "h": f"/flatten/{quote(row['instrument'], safe='')}"},
    ]


def _orders(row: Row, _: str) -> list[Cell]:
    average = price(row["average_price"]) if row["average_price"] is not None else text("–", NUMBER)
    kind = "exit" if row["reduce_only"] else "entry"
    return [
        time(row["at"]),
        link(row["id"], why(row["order"]), "id"),
        state(row["status"], good=_GOOD, bad=_BAD),
        text(f"{row['side']} {kind}", WIDE),
        text(row["name"], "name"),
        quantity(row["quantity"]),
        quantity(row["filled"]),
        price(row["price"]),
        average | {"c": f"{NUMBER} {WIDE}"},
        text(row["strategy"], WIDE),
        text(row["reason"], f"quiet {WIDE}"),
    ]


def _waiting(row: Row, _: str) -> list[Cell]:
    return [
        link(row["id"], why(row["order"]), f"id {WIDE}"),
        text(f"{row['side']} {wording.quantity(parse(row['quantity']))} {row['name']}", "name"),
        price(row["price"]),
        text(row["strategy"], WIDE),
        {"t": "", "c": NUMBER, "until": row["expires_at"]},
        {"t": row["order"], "c": "decide"},
    ]


def _fills(row: Row, unit: str) -> list[Cell]:
    return [
        time(row["at"]),
        link(row["id"], why(row["order"]), "id"),
        text(row["side"]),
        text(row["name"], "name"),
        quantity(row["quantity"]),
        price(row["price"]),
        money(row["fee"], unit, classes=f"{NUMBER} {WIDE}"),
        money(row["realised_profit"], unit, signed=True),
        text("taken back" if row["undone"] else row["strategy"], WIDE),
    ]


def _trades(row: Row, unit: str) -> list[Cell]:
    return [
        time(row["closed_at"]),
        text(row["name"], "name"),
        quantity(row["quantity"]),
        price(row["entry_price"]),
        price(row["exit_price"]),
        money(row["fees"], unit, classes=f"{NUMBER} {WIDE}"),
        money(row["profit"], unit, signed=True),
        text(row["strategy"], WIDE),
        text(row["ended"], WIDE),
    ]


def _decisions(row: Row, _: str) -> list[Cell]:
    what = "exit" if row["exit"] else row["side"] or ""
    times = f" ×{row['count']}" if row["count"] > 1 else ""
    why_target = why(row["order"] or row["seq"])
    return [
        time(row["at"]),
        state(row["outcome"], good=_GOOD, bad=_BAD),
        link(row["name"] or "–", why_target, "name"),
        text(what, WIDE),
        quantity(row["quantity"], f"{NUMBER} {WIDE}") if row["quantity"] != "0" else text("", WIDE),
        price(row["price"]),
        text(row["strategy"], WIDE),
        text("; ".join(row["reasons"]) + times, "quiet"),
    ]


def _alerts(row: Row, _: str) -> list[Cell]:
    tone = {"critical": "bad", "warning": "warn"}.get(row["severity"], "neutral")
    return [
        time(row["at"]),
        text(row["severity"], f"state {tone if row['active'] else 'over'}"),
        text(row["rule"].replace("_", " "), "name"),
        text(row["topic"], WIDE),
        text(row["text"], "quiet"),
        time(row["over_at"], WIDE),
        text(row["next"], f"command {WIDE}"),
    ]


def _markets(row: Row, _: str) -> list[Cell]:
    fair = row["fair_value"]
    difference = text("–", f"{NUMBER} {WIDE}")
    if fair is not None and row["ask"] is not None:
        over = parse(fair) - parse(row["ask"])
        sign = wording.MINUS if over < 0 else "+"
        difference = text(f"{sign}{wording.price(abs(over))}", f"{NUMBER} {WIDE} {level_of(over)}")
    return [
        link(row["name"], f"/markets/{quote(row['market'], safe='')}", "name"),
        text(row["venue"], WIDE),
        text(row["outcome"], WIDE),
        price(row["bid"]),
        price(row["ask"]),
        price(fair),
        difference,
        price(row["forecast"], f"{NUMBER} {WIDE}"),
        quantity(row["held"], f"{NUMBER} {WIDE}") if row["held"] != "0" else text("–", f"{NUMBER} {WIDE}"),
        {"t": "", "c": NUMBER, "until": row["close_at"]},
    ]


def _latency(row: Row, _: str) -> list[Cell]:
    return [text(row["hop"]), text(row["p50_ms"], NUMBER), text(row["p99_ms"], NUMBER)]


def _commands(row: Row, _: str) -> list[Cell]:
    return [
        time(row["at"]),
        link(row["verb"].replace("_", " "), why(row["seq"]), "name"),
        text(row["order"] or row["reason"], "quiet"),
        text(row["key"], f"id {WIDE}"),
    ]


class Shown(NamedTuple):
    """How a table is shown: its title, its columns, how a row becomes cells, what stands there when it is empty."""

    title: str
    columns: tuple[Column, ...]
    cells: Callable[[Row, str], list[Cell]]
    empty: str


def _c(*columns: tuple[str, ...] | str) -> tuple[Column, ...]:
    return tuple(Column(*((column,) if isinstance(column, str) else column)) for column in columns)


N, W, NW = NUMBER, WIDE, f"{NUMBER} {WIDE}"
SHOWN: dict[str, Shown] = {
    "account": Shown("Account", _c("figure", "value", "note"), _account, "risk has not reported yet"),
    "limits": Shown(
        "Risk headroom", _c("limit", ("left", N), "used"), _limits, "risk has not reported yet"
    ),
    "services": Shown(
        "Services",
        _c("service", "state", (str(terms.READ_TO), NW), (str(terms.LAG), N, terms.LAG.meaning), ("detail", W)),
        _services,
        "no service has reported",
    ),
    "venues": Shown(
        "Venues",
        _c("venue", "prices", ("markets", N), "money", "gate", ("unknown", N), (str(terms.BALANCE), NW)),
        _venues,
        "no venue is followed",
    ),
    "positions": Shown(
        "Open positions",
        _c("position", (str(terms.QUANTITY), N), (str(terms.ENTRY), N), (str(terms.MARK), N),
           (terms.UNREALISED.short, N), (str(terms.COST), NW), ("stage", W), ("working exits", W), ""),
        _positions,
        "no open position",
    ),
    "orders": Shown(
        "Orders",
        _c("time", "order", str(terms.STATUS), ("side", W), "of", (str(terms.QUANTITY), N),
           (str(terms.FILLED), N), (str(terms.PRICE), N), ("average", NW), ("strategy", W), ("reason", W)),
        _orders,
        "no order yet",
    ),
    "waiting": Shown(
        "Waiting for you",
        _c(("order", W), "what", (str(terms.PRICE), N), ("strategy", W), (str(terms.TIME_LEFT), N), ""),
        _waiting,
        "no order waits",
    ),
    "fills": Shown(
        "Fills",
        _c("time", "order", "side", "of", (str(terms.QUANTITY), N), (str(terms.PRICE), N),
           (str(terms.FEES), NW), (terms.REALISED.short, N), ("strategy", W)),
        _fills,
        "no fill yet",
    ),
    "trades": Shown(
        "Closed trades",
        _c("closed", "of", (str(terms.QUANTITY), N), (str(terms.ENTRY), N), (str(terms.EXIT), N),
           (str(terms.FEES), NW), (str(terms.PROFIT), N), ("strategy", W), ("ended", W)),
        _trades,
        "no closed trade yet",
    ),
    "decisions": Shown(
        "Decisions",
        _c("time", "outcome", "of", ("side", W), (str(terms.QUANTITY), NW), (str(terms.PRICE), N),
           ("strategy", W), "why"),
        _decisions,
        "no decision yet",
    ),
    "alerts": Shown(
        "Alerts",
        _c("time", "severity", "alert", ("about", W), "text", ("over", W), ("what to type", W)),
        _alerts,
        "no alert",
    ),
    "markets": Shown(
        "Markets",
        _c("market", ("venue", W), ("outcome", W), ("bid", N), ("ask", N), (str(terms.FAIR_VALUE), N),
           ("fair − ask", NW), ("forecast", NW), ("held", NW), (str(terms.TIME_LEFT), N)),
        _markets,
        "no market is listed",
    ),
    "latency": Shown("Latency", _c("hop", ("p50 ms", N), ("p99 ms", N)), _latency, "no decision yet"),
    "commands": Shown(
        "Commands", _c("time", "command", "about", ("key", W)), _commands, "nothing was commanded"
    ),
}  # fmt: skip
"""Table → how it is shown."""


def share(part: int, whole: int) -> str:
    """A share in percent with one decimal; a dash without a whole."""
    return wording.percent(part, whole).removeprefix("+")


def probability(value: float) -> str:
    """A probability in percent."""
    return f"{value * 100:.1f} %"
