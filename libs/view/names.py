"""What people type instead of ids: the part of an order's id that differs, the beginning of a name."""

from collections.abc import Iterable

CANDIDATES_SHOWN_MAX = 10


def short_id(order: str) -> str:
    """An order's id without the tape's: ``12345-0``."""
    parts = order.rsplit("-", 2)
    return "-".join(parts[1:]) if len(parts) == 3 and parts[0] else order


def matching_orders(name: str, orders: Iterable[str]) -> list[str]:
    """Orders that ``name`` may stand for: exactly one by its whole id or short id, else all that begin so."""
    known = list(dict.fromkeys(orders))
    exact = [order for order in known if name in (order, short_id(order))]
    return exact or [order for order in known if order.startswith(name) or short_id(order).startswith(name)]


def candidates(names: Iterable[str]) -> str:
    """Names as a list for people, cut short."""
    found = list(names)
    more = len(found) - CANDIDATES_SHOWN_MAX
    return ", ".join(found[:CANDIDATES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
