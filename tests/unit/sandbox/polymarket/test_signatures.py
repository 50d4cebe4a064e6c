"""The sandbox's own verification of signatures against others' signing: eth-account and both official clients."""

import json

import pytest
from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from sandbox.polymarket import signatures, wallets
from sandbox.polymarket.contracts import (
    EXCHANGE_V2,
    EXCHANGE_V3,
    EXCHANGES,
    NEG_RISK_EXCHANGE_V2,
    exchange_of,
    is_v2_position,
)
from sandbox.polymarket.signatures import SignatureError
from sandbox.polymarket.wire import WireOrder

KEY = "0x" + "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"[:64]
OWNER = Account.from_key(KEY).address
FIELDS = [
    ("uint256", "salt"),
    ("address", "maker"),
    ("address", "signer"),
    ("uint256", "tokenId"),
    ("uint256", "makerAmount"),
    ("uint256", "takerAmount"),
    ("uint8", "side"),
    ("uint8", "signatureType"),
    ("uint256", "timestamp"),
    ("bytes32", "metadata"),
    ("bytes32", "builder"),
]
words = st.integers(0, 2**256 - 1)
amounts = st.integers(1, 2**63)
hex_words = st.binary(min_size=32, max_size=32).map(lambda data: "0x" + data.hex())


def wire(message, signature="0x00", side="BUY"):
    return WireOrder(
        salt=message["salt"],
        maker=message["maker"],
        signer=message["signer"],
        token_id=str(message["tokenId"]),
        maker_amount=str(message["makerAmount"]),
        taker_amount=str(message["takerAmount"]),
        side=side,
        signature_type=message["signatureType"],
        timestamp=str(message["timestamp"]),
        metadata=message["metadata"],
        builder=message["builder"],
        signature=signature,
    )


@given(
    salt=st.integers(0, 2**53),
    token=words,
    maker_amount=amounts,
    taker_amount=amounts,
    side=st.sampled_from([0, 1]),
    timestamp=st.integers(0, 2**42),
    metadata=hex_words,
    builder=hex_words,
    exchange=st.sampled_from(sorted(EXCHANGES)),
)
def test_digest_and_signer_are_those_of_eth_account(
    *, salt, token, maker_amount, taker_amount, side, timestamp, metadata, builder, exchange
):
    message = {
        "salt": salt,
        "maker": OWNER,
        "signer": OWNER,
        "tokenId": token,
        "makerAmount": maker_amount,
        "takerAmount": taker_amount,
        "side": side,
        "signatureType": 0,
        "timestamp": timestamp,
        "metadata": metadata,
        "builder": builder,
    }
    typed = {
        "primaryType": "Order",
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Order": [{"name": name, "type": kind} for kind, name in FIELDS],
        },
        "domain": {
            "name": "Polymarket CTF Exchange",
            "version": EXCHANGES[exchange],
            "chainId": 137,
            "verifyingContract": exchange,
        },
        "message": message,
    }
    signable = encode_typed_data(full_message=typed)
    signed = Account.sign_message(signable, KEY)
    order = wire(message, side="BUY" if side == 0 else "SELL")
    domain = signatures.exchange_domain(EXCHANGES[exchange], exchange)
    digest = signatures.typed_digest(domain, signatures.order_contents(order))
    assert digest == _hash_eip191_message(signable)
    assert signatures.recover(digest, signed.signature) == OWNER.lower()


def test_a_wallets_signature_is_unwrapped_only_for_its_own_order(official):
    wallet = to_checksum_address(wallets.deposit_wallets(OWNER)[0])
    message = {
        "salt": 1234567,
        "maker": wallet,
        "signer": wallet,
        "tokenId": 12345,
        "makerAmount": 5000000,
        "takerAmount": 10000000,
        "side": 0,
        "signatureType": 3,
        "timestamp": 1_800_000_000_000,
        "metadata": "0x" + 64 * "0",
        "builder": "0x" + 64 * "0",
    }
    _, signed = official.call(
        "values.order_signature", order=message, private_key=KEY, version="2", exchange=EXCHANGE_V2
    )
    order = wire(message)
    domain = signatures.exchange_domain("2", EXCHANGE_V2)
    contents = signatures.order_contents(order)
    signature = bytes.fromhex(signed[2:])
    inner = signatures.unwrap(signature, domain, contents)
    digest = signatures.wallet_digest(domain, contents, wallet)
    assert signatures.recover(digest, inner) == OWNER.lower()
    # Bound to the wallet: the same inner signature means nothing for another one.
    elsewhere = signatures.wallet_digest(domain, contents, wallets.deposit_wallets(OWNER)[1])
    assert signatures.recover(elsewhere, inner) != OWNER.lower()
    other_exchange = signatures.exchange_domain("2", NEG_RISK_EXCHANGE_V2)
    with pytest.raises(SignatureError):
        signatures.unwrap(signature, other_exchange, contents)
    with pytest.raises(SignatureError):
        signatures.unwrap(signature, domain, signatures.order_contents(wire(message | {"salt": 1})))
    with pytest.raises(SignatureError):
        signatures.unwrap(signature + b"\0", domain, contents)


@given(timestamp=st.integers(0, 2**34), nonce=st.integers(0, 2**40))
def test_the_message_for_keys_is_the_official_one(official, timestamp, nonce):
    signature = official.call(
        "values.key_request_signature", private_key=KEY, timestamp=timestamp, nonce=nonce
    )
    digest = signatures.auth_digest(OWNER, str(timestamp), nonce)
    assert signatures.recover(digest, bytes.fromhex(signature[2:])) == OWNER.lower()


def test_malformed_signatures_are_refused():
    digest = signatures.keccak(b"anything")
    good = Account.unsafe_sign_hash(digest, KEY).signature
    assert signatures.recover(digest, good) == OWNER.lower()
    high_s = (signatures.LOW_S_MAX * 2 + 1 - int.from_bytes(good[32:64], "big")).to_bytes(32, "big")
    flipped = bytes([55 - good[64]])
    for bad in (good[:64], good + b"\0", good[:64] + b"\0", bytes(65), good[:32] + high_s + flipped):
        with pytest.raises(SignatureError):
            signatures.recover(digest, bad)


@given(st.binary(min_size=32, max_size=32).filter(lambda key: 0 < int.from_bytes(key, "big") < 2**255))
def test_wallets_are_where_the_official_client_says(official, key):
    owner = Account.from_key(key).address
    found = [[*map(signatures.checksum, group)] for _, group in sorted(wallets.wallets_of(owner).items())]
    assert found == official.call("values.wallets", owner=owner)


def test_positions_of_poly_v2_go_to_exchange_v3():
    position = int.from_bytes(bytes([1]) + bytes(18 * [7]) + bytes(8) + bytes(4 * [9]) + bytes([1]), "big")
    assert is_v2_position(position)
    assert exchange_of(position, negative_risk=True) == EXCHANGE_V3
    assert exchange_of(1 << 64, negative_risk=True) == NEG_RISK_EXCHANGE_V2
    assert exchange_of(1 << 64, negative_risk=False) == EXCHANGE_V2


@pytest.mark.recorded
def test_the_vectors_both_clients_agree_on(recordings):
    vectors = json.loads((recordings / "polymarket" / "signing_vectors.json").read_text())
    for vector in vectors["orders"]:
        message = {
            "salt": int(vector["salt"]),
            "maker": vector["maker"],
            "signer": vector["signer"],
            "tokenId": vector["token_id"],
            "makerAmount": vector["maker_amount"],
            "takerAmount": vector["taker_amount"],
            "signatureType": vector["signature_type"],
            "timestamp": vector["timestamp"],
            "metadata": vector["metadata"],
            "builder": vector["builder"],
        }
        domain = signatures.exchange_domain(vector["domain_version"], vector["verifying_contract"])
        contents = signatures.order_contents(wire(message))
        digest = signatures.typed_digest(domain, contents)
        assert "0x" + digest.hex() == vector["order_hash"]
        signature = bytes.fromhex(vector["signature"][2:])
        if vector["signature_type"] == 3:
            digest = signatures.wallet_digest(domain, contents, vector["signer"])
            signature = signatures.unwrap(signature, domain, contents)
        assert signatures.recover(digest, signature) == vectors["address"].lower()
