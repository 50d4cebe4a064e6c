"""Which wallet contracts belong to a key: the CREATE2 addresses of proxy, Safe and deposit wallets."""

from sandbox.polymarket import contracts
from sandbox.polymarket.signatures import address_word, bytes_of, keccak, word

_PROXY_HEAD = bytes.fromhex("3d3d606380380380913d393d73")
_PROXY_MIDDLE = bytes.fromhex("5af4602a57600080fd5b602d8060366000396000f3363d3d373d3d3d363d73")
_PROXY_TAIL = bytes.fromhex("5af43d82803e903d91602b57fd5bf352e831dd") + word(32) + word(0)
_ERC1967_HEAD = 0x61003D3D8160233D3973
_ERC1967_TAIL = (
    bytes.fromhex("6009")
    + bytes.fromhex("5155f3363d3d373d3d363d7f360894a13ba1a3210667c828492db98dca3e2076")
    + bytes.fromhex("cc3735a920a3ca505d382bbc545af43d6000803e6038573d6000fd5b3d6000f3")
)
_BEACON_HEAD = 0x6100523D8160233D3973
_BEACON_TAIL = (
    bytes.fromhex("60195155f3363d3d373d3d363d602036600436635c60da")
    + bytes.fromhex("1b60e01b36527fa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6c")
    + bytes.fromhex("b3582b35133d50545afa5036515af43d6000803e604d573d6000fd5b3d6000f3")
)


def _create2(factory: str, salt: bytes, code_hash: bytes) -> str:
    return "0x" + keccak(b"\xff" + bytes_of(factory, 20) + salt + code_hash)[12:].hex()


def proxy_wallet(owner: str) -> str:
    """Return the wallet of signature type 1: the wallet of an account made by e-mail."""
    code = (
        _PROXY_HEAD
        + bytes_of(contracts.PROXY_FACTORY, 20)
        + _PROXY_MIDDLE
        + bytes_of(contracts.PROXY_IMPLEMENTATION, 20)
        + _PROXY_TAIL
    )
    return _create2(contracts.PROXY_FACTORY, keccak(bytes_of(owner, 20)), keccak(code))


def safe_wallet(owner: str) -> str:
    """Return the wallet of signature type 2: the Safe of an account made with a browser wallet."""
    salt = keccak(address_word(owner))
    return _create2(contracts.SAFE_FACTORY, salt, bytes_of(contracts.SAFE_INIT_CODE_HASH, 32))


def deposit_wallets(owner: str) -> tuple[str, str]:
    """Return the wallets of signature type 3: the current (beacon) and the earlier form of the deposit wallet."""
    arguments = address_word(contracts.DEPOSIT_FACTORY) + address_word(owner)
    salt = keccak(arguments)
    length = len(arguments) << 56
    beacon = (_BEACON_HEAD + length).to_bytes(10, "big") + bytes_of(contracts.DEPOSIT_BEACON, 20)
    earlier = (_ERC1967_HEAD + length).to_bytes(10, "big") + bytes_of(contracts.DEPOSIT_IMPLEMENTATION, 20)
    return (
        _create2(contracts.DEPOSIT_FACTORY, salt, keccak(beacon + _BEACON_TAIL + arguments)),
        _create2(contracts.DEPOSIT_FACTORY, salt, keccak(earlier + _ERC1967_TAIL + arguments)),
    )


def wallets_of(owner: str) -> dict[int, tuple[str, ...]]:
    """Return every wallet a key may trade for, by signature type; addresses in lower case."""
    return {
        0: (owner.lower(),),
        1: (proxy_wallet(owner),),
        2: (safe_wallet(owner),),
        3: deposit_wallets(owner),
    }
