"""What each wallet holds: on chain, promised to matched trades, and by the CLOB's own copy.

A match moves nothing yet: cost and tokens are promised, and only the mined transaction moves them. The CLOB's
belief about token balances trails the chain after a buy, as it does at the venue.
"""

from collections.abc import Iterator

from msgspec import Struct, field

COLLATERAL = "collateral"
"""The asset id of pUSD in this ledger."""


class Wallet(Struct):
    """Amounts in millionths by asset id. ``promised`` leaves when matched trades settle."""

    address: str
    owner: str
    chain: dict[str, int] = field(default_factory=dict)
    promised: dict[str, int] = field(default_factory=dict)
    believed: dict[str, int] = field(default_factory=dict)

    def on_chain(self, asset: str) -> int:
        return self.chain.get(asset, 0)

    def balance(self, asset: str) -> int:
        """Return what the CLOB answers when asked for the balance."""
        if asset == COLLATERAL:
            return self.on_chain(asset)
        return self.believed.get(asset, 0)

    def free(self, asset: str) -> int:
        """Return what new orders may still use, before open orders are counted."""
        return self.balance(asset) - self.promised.get(asset, 0)


class Movement(Struct, frozen=True):
    """What one trade does to one wallet: it gives ``paid`` of one asset and gets ``got`` of another."""

    wallet: str
    pays: str
    paid: int
    gets: str
    got: int


class WalletLedger:
    """Wallets by address (lower case)."""

    def __init__(self) -> None:
        self._wallets: dict[str, Wallet] = {}

    def open(self, address: str, owner: str) -> Wallet:
        """Return the wallet, made when new. ``owner`` is the address of the key that controls it."""
        key = address.lower()
        if key not in self._wallets:
            self._wallets[key] = Wallet(address=key, owner=owner.lower())
        return self._wallets[key]

    def put(self, wallet: Wallet) -> None:
        """Restore a wallet of before a restart, in place of the ready-made one."""
        self._wallets[wallet.address] = wallet

    def get(self, address: str) -> Wallet | None:
        return self._wallets.get(address.lower())

    def credit(self, address: str, asset: str, amount: int) -> None:
        """Add a deposit (or, negative, a withdrawal), which the CLOB knows at once."""
        wallet = self._wallets[address.lower()]
        wallet.chain[asset] = wallet.on_chain(asset) + amount
        self.refresh(address, asset)

    def refresh(self, address: str, asset: str) -> None:
        """Bring the CLOB's balance of an asset up to date with the chain."""
        wallet = self._wallets[address.lower()]
        if asset != COLLATERAL:
            wallet.believed[asset] = wallet.on_chain(asset)

    def refresh_all(self) -> None:
        """Bring every balance of the CLOB up to date with the chain."""
        for wallet in self._wallets.values():
            for asset in wallet.chain:
                self.refresh(wallet.address, asset)

    def __iter__(self) -> Iterator[Wallet]:
        return iter(self._wallets.values())

    def promise(self, movement: Movement) -> None:
        """Promise what a match will pay: it is no longer free."""
        wallet = self._wallets.get(movement.wallet)
        if wallet is not None:
            wallet.promised[movement.pays] = wallet.promised.get(movement.pays, 0) + movement.paid

    def release(self, movement: Movement) -> None:
        """Give back what a failed settlement had promised."""
        wallet = self._wallets.get(movement.wallet)
        if wallet is not None:
            wallet.promised[movement.pays] -= movement.paid

    def settle(self, movement: Movement) -> None:
        """Move what a mined transaction moves. The CLOB knows what was paid, not yet what was received."""
        wallet = self._wallets.get(movement.wallet)
        if wallet is None:
            return
        wallet.promised[movement.pays] -= movement.paid
        wallet.chain[movement.pays] = wallet.on_chain(movement.pays) - movement.paid
        wallet.chain[movement.gets] = wallet.on_chain(movement.gets) + movement.got
        if movement.pays != COLLATERAL:
            wallet.believed[movement.pays] = wallet.believed.get(movement.pays, 0) - movement.paid
