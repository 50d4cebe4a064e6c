"""Addresses and EIP-712 names of the exchanges whose orders the sandbox takes.

They are the real ones: a client signs for these contracts, whichever host it talks to.
Source: docs/reference/venue-facts.md, Polymarket contracts; Polymarket order signing.
"""

CHAIN_ID = 137

EXCHANGE_V2 = "0xE111180000d2663C0091e4f400237545B87B996B"
NEG_RISK_EXCHANGE_V2 = "0xe2222d279d744050d28e00520010520000310F59"
EXCHANGE_V3 = "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"

EXCHANGE_NAME = "Polymarket CTF Exchange"
EXCHANGES = {EXCHANGE_V2: "2", NEG_RISK_EXCHANGE_V2: "2", EXCHANGE_V3: "3"}
"""Exchange → version of its EIP-712 domain."""

COLLATERAL = "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"
ALLOWANCE_MAX = 2**256 - 1
"""What an approved exchange may spend: wallets of the sandbox have approved all of them."""

PROXY_FACTORY = "0xaB45c5A4B0c941a2F231C04C3f49182e1A254052"
PROXY_IMPLEMENTATION = "0x44e999d5c2F66Ef0861317f9A4805AC2e90aEB4f"
SAFE_FACTORY = "0xaacFeEa03eb1561C4e67d661e40682Bd20E3541b"
SAFE_INIT_CODE_HASH = "0x2bce2127ff07fb632d16c8347c4ebf501f4841168bed00d9e6ef715ddb6fcecf"
DEPOSIT_FACTORY = "0x00000000000Fb5C9ADea0298D729A0CB3823Cc07"
DEPOSIT_IMPLEMENTATION = "0x58CA52ebe0DadfdF531Cde7062e76746de4Db1eB"
DEPOSIT_BEACON = "0x7A18EDfe055488A3128f01F563e5B479D92ffc3a"

V2_RESERVED_BITS = ((1 << 64) - 1) << 40
"""Zero in every Poly V2 position id, and in no CTF token id but by a chance of 2^-64."""


def is_v2_position(token: int) -> bool:
    """Whether an asset id is a Poly V2 position, traded on Exchange V3."""
    return token & V2_RESERVED_BITS == 0


def exchange_of(token: int, negative_risk: bool) -> str:
    """Return the contract an order for this asset must be signed for."""
    if is_v2_position(token):
        return EXCHANGE_V3
    return NEG_RISK_EXCHANGE_V2 if negative_risk else EXCHANGE_V2
