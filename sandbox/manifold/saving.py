"""Manifold's users and contracts as they are saved for a restart."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from sandbox.manifold.bets import ClientBet, ContractMarket, PoolContract, User

HOUSE = "house"
BETS_KEPT = 20
"""Of the house's bets on a contract; every one of a client's is kept."""


class SavedUser(Struct):
    """A user's mana; shares with contract and outcome first."""

    balance: float
    shares: list[tuple[str, str, float]]
    invested: dict[str, float]


class SavedManifold(Struct):
    """Users by name; contracts with the number of bets that were ever made."""

    users: dict[str, SavedUser]
    contracts: list[tuple[PoolContract, int]]


def save(users: Mapping[str, User], contracts: Mapping[str, ContractMarket]) -> SavedManifold:
    """Return every user's balance and shares, and the bets that are open or a client's."""
    house = users[HOUSE].id
    return SavedManifold(
        {
            name: SavedUser(u.balance, [(*k, n) for k, n in u.shares.items()], u.invested)
            for name, u in users.items()
        },
        [(_short(held.contract, house), held.count) for held in contracts.values()],
    )


def _short(contract: PoolContract, house: str) -> PoolContract:
    newest = {bet.id for bet in contract.bets[-BETS_KEPT:]}

    def kept(bet: ClientBet) -> bool:
        return bet.user_id != house or bet.is_open or bet.id in newest

    return msgspec.structs.replace(contract, bets=[bet for bet in contract.bets if kept(bet)])


def resume(users: Mapping[str, User], contracts: Mapping[str, ContractMarket], document: Any) -> None:
    """Take it over.

    Raises:
        msgspec.ValidationError: for a document of another shape.
    """
    saved = msgspec.convert(document, SavedManifold)
    for name, row in saved.users.items():
        user = users[name]
        user.balance, user.invested = row.balance, row.invested
        user.shares = {(contract, outcome): shares for contract, outcome, shares in row.shares}
    for contract, count in saved.contracts:
        if contract.id in contracts:
            held = contracts[contract.id]
            held.contract, held.count = contract, count
