"""Whose money an account is, and what: kinds that never meet in one state directory."""

from collections.abc import Iterable
from pathlib import Path

from libs.venues.catalogue import VENUES
from libs.venues.venue import Currency
from tools.exit_codes import UsageError


def currency_of(venues: Iterable[str]) -> Currency:
    """The one currency of these venues; dollars without any, on paper.

    Raises:
        UsageError: there are several. Risk adds up one pile of money, and a mana would count as a dollar.
    """
    found: dict[Currency, list[str]] = {}
    for venue in sorted(venues):
        found.setdefault(VENUES[venue].currency, []).append(venue)
    if len(found) > 1:
        told = " and ".join(f"{currency} ({', '.join(names)})" for currency, names in found.items())
        raise UsageError(
            f"expected venues of one currency in one account, was {told}: trade them apart, each with a --state"
        )
    return next(iter(found), Currency.DOLLARS)


def account_of(money: str, venues: Iterable[str]) -> str:
    """The kind of an account, as ``STATE/money`` has it: whose it is, and of what where that is not dollars.

    Raises:
        UsageError: as ``currency_of``.
    """
    currency = currency_of(venues)
    return money if currency is Currency.DOLLARS else f"{money} {currency}"


def require_account(path: Path, kind: str) -> None:
    """Make the account of a state directory one of this kind, or find that it is: its books would mean nothing else.

    Raises:
        UsageError: it is of another kind.
    """
    if not path.exists():
        path.write_text(kind)
    found = path.read_text()
    if found != kind:
        raise UsageError(
            f"expected a state directory with {kind} money, was {found} money in {path.parent}: give another --state"
        )
