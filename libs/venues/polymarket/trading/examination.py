"""Whether an account can trade: what ``presage doctor`` asks of Polymarket beyond login, balance and orders."""

from libs.venues.errors import VenueError
from libs.venues.polymarket.hosts import EXCHANGE_V2, EXCHANGE_V3, NEG_RISK_EXCHANGE_V2
from libs.venues.polymarket.schemas.answers import BalanceBody
from libs.venues.polymarket.schemas.requests import money
from libs.venues.polymarket.trading.client import PolymarketClient

EXCHANGES = {
    EXCHANGE_V2: "the exchange",
    NEG_RISK_EXCHANGE_V2: "the exchange of events with several outcomes",
    EXCHANGE_V3: "the exchange of version 3",
}
"""Contracts that take the money of a purchase, one of them by each kind of market."""
Found = tuple[str, bool, str]
"""What was examined, whether it is well, and in words how it is or what to do."""


async def examine(client: PolymarketClient, funder: str) -> list[Found]:
    """Whether ``funder``, the wallet that pays, holds money, and whether the exchanges may take it."""
    try:
        body = await client.balance()
    except VenueError as e:
        return [("wallet", False, f"{e}; may the key read the account?")]
    held = money(body.balance)
    found: list[Found] = []
    if held <= 0:
        hint = "deposit, or are funder and signature_type those of the wallet that holds the money?"
        found.append(("wallet", False, f"{funder} holds nothing; {hint}"))
    else:
        found.append(("wallet", True, f"{funder} pays"))
    return [*found, _allowances(body, held)]


def _allowances(body: BalanceBody, held: int) -> Found:
    """Each exchange must be allowed to take at least what is there, or orders are refused for lack of it."""
    said = {address.lower(): amount for address, amount in (body.allowances or {}).items()}
    if not said and body.allowance is not None:
        said = {address.lower(): body.allowance for address in EXCHANGES}
    short = [
        f"{name} ({address})"
        for address, name in EXCHANGES.items()
        if not _covers(said.get(address.lower(), "0"), held)
    ]
    if short:
        hint = "trade once on the website, or approve it in the wallet"
        return ("allowances", False, f"{'; '.join(short)} may not take the money: {hint}")
    return ("allowances", True, "every exchange may take the money")


def _covers(allowance: str, held: int) -> bool:
    """Whether an allowance (millionths, up to 2^256) is there and covers what is held."""
    return (
        allowance.isdecimal()
        and allowance.isascii()
        and len(allowance) <= 78
        and int(allowance) >= max(held, 1)
    )
