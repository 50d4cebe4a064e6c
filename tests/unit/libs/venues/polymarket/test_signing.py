"""Our signatures beside those of both official clients, and beside the recorded vectors."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.venues.polymarket import hosts
from libs.venues.polymarket.trading.auth import (
    PolymarketCredentials,
    SigningAccount,
    WalletApiKey,
    l1_signature,
    l2_signature,
)
from libs.venues.polymarket.trading.order import (
    Order,
    SignatureType,
    contents_hash,
    exchange,
    exchange_for,
    is_position,
    order_hash,
    sign,
    wallet_struct_hash,
)
from libs.venues.polymarket.trading.signing import (
    Key,
    address_bytes,
    checksum_address,
    keccak,
    recover,
    typed_digest,
)

EXCHANGES = (("2", hosts.EXCHANGE_V2), ("2", hosts.NEG_RISK_EXCHANGE_V2), ("3", hosts.EXCHANGE_V3))

keys = st.binary(min_size=32, max_size=32).filter(lambda b: 0 < int.from_bytes(b, "big") < 2**255)
words = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, 2**256 - 1)
amounts = st.integers(0, 10**15)


@st.composite
def orders(draw) -> tuple[Order, Key]:
    key = Key(draw(keys))
    kind = draw(st.sampled_from(list(SignatureType)))
    wallet = key.address if kind is SignatureType.EOA else draw(st.binary(min_size=20, max_size=20))
    order = Order(
        salt=draw(st.integers(0, 2**53 - 1)),
        maker=wallet,
        signer=wallet if kind is SignatureType.POLY_1271 else key.address,
        token_id=draw(numbers),
        maker_amount=draw(amounts),
        taker_amount=draw(amounts),
        side=draw(st.integers(0, 1)),
        signature_type=int(kind),
        timestamp=draw(st.integers(1, 2**42)),
        metadata=draw(words),
        builder=draw(words),
    )
    return order, key


def in_their_words(order: Order) -> dict[str, object]:
    """An order as the official clients are told of it."""
    return {
        "salt": order.salt,
        "maker": checksum_address(order.maker),
        "signer": checksum_address(order.signer),
        "tokenId": order.token_id,
        "makerAmount": order.maker_amount,
        "takerAmount": order.taker_amount,
        "side": order.side,
        "signatureType": order.signature_type,
        "timestamp": order.timestamp,
        "metadata": "0x" + order.metadata.hex(),
        "builder": "0x" + order.builder.hex(),
    }


@settings(max_examples=40)
@given(drawn=orders(), where=st.sampled_from(EXCHANGES))
def test_hash_and_signature_are_those_of_both_official_clients(
    official, drawn: tuple[Order, Key], where: tuple[str, str]
):
    order, key = drawn
    version, address = where
    at = exchange(version, address)
    digest, signature = sign(order, at, key)
    told = {
        "order": in_their_words(order),
        "private_key": "0x" + key._key.to_hex(),
        "version": version,
        "exchange": address,
    }
    ours = ["0x" + digest.hex(), "0x" + signature.hex()]
    assert ours == official.call("values.order_signature", **told)
    assert ours[1] == official.call("values.unified_signature", **told)
    assert digest == order_hash(order, at)


@settings(max_examples=40)
@given(drawn=orders(), where=st.sampled_from(EXCHANGES))
def test_a_signature_recovers_to_its_key(drawn: tuple[Order, Key], where: tuple[str, str]):
    order, key = drawn
    at = exchange(*where)
    digest, signature = sign(order, at, key)
    if order.signature_type == SignatureType.POLY_1271:
        struct = wallet_struct_hash(contents_hash(order), order.signer, at.chain_id)
        digest = typed_digest(at.separator, struct)
    assert recover(digest, signature[:65]) == key.address


@given(private=keys, timestamp=st.integers(0, 2**33), nonce=st.integers(0, 2**64))
@settings(max_examples=25)
def test_l1_is_that_of_the_official_client(official, private: bytes, timestamp: int, nonce: int):
    key = Key(private)
    assert l1_signature(key, timestamp, nonce) == official.call(
        "values.key_request_signature", private_key=private.hex(), timestamp=timestamp, nonce=nonce
    )


@given(
    secret=st.binary(min_size=1, max_size=64),
    timestamp=st.integers(0, 2**33),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    body=st.sampled_from(["", '{"orderID":"0xabc"}', '["a","b"]']),
)
def test_l2_is_that_of_the_official_client(official, secret: bytes, timestamp: int, method: str, body: str):
    import base64

    text = base64.urlsafe_b64encode(secret).decode()
    expected = official.call(
        "values.request_signature", secret=text, timestamp=timestamp, method=method, path="/order", body=body
    )
    assert l2_signature(text, timestamp, method, "/order", body.encode()) == expected
    assert l2_signature(text.rstrip("="), timestamp, method, "/order", body.encode()) == expected


def test_a_secret_that_is_not_base64_is_refused_without_being_shown():
    with pytest.raises(ValueError, match="expected a secret in base64") as raised:
        l2_signature("a", 1, "GET", "/")
    assert raised.value.__cause__ is None


@given(token=numbers)
def test_positions_are_told_from_tokens_as_the_official_client_does(official, token: int):
    assert is_position(token) == official.call("values.is_position", token=token)
    # Module id first, outcome index last, nothing in between where tokens have their hash.
    shaped = (1 << 248) | (token >> 150 << 104) | 1
    assert is_position(shaped) == official.call("values.is_position", token=shaped)


def test_the_exchange_follows_from_what_is_traded():
    token, position = 2**255 + 2**50, 1 << 248
    assert exchange_for(token, neg_risk=False).address == hosts.EXCHANGE_V2
    assert exchange_for(token, neg_risk=True).address == hosts.NEG_RISK_EXCHANGE_V2
    assert exchange_for(position, neg_risk=False) == exchange("3", hosts.EXCHANGE_V3)


@pytest.mark.parametrize("unknown", [None, 0, "", "false"])
def test_pain_point_06_an_unknown_neg_risk_flag_is_never_taken_for_no(unknown: object):
    with pytest.raises(TypeError, match="expected neg_risk to be True or False"):
        exchange_for(2**255, neg_risk=unknown)


def test_addresses_are_read_strictly_and_written_with_their_checksum():
    text = hosts.EXCHANGE_V2
    assert checksum_address(address_bytes(text.lower())) == text
    for bad in ("", "0x", text[2:], text[:-1], text + "0", "0x" + "g" * 40, text[:20] + " " * 2 + text[22:]):
        with pytest.raises(ValueError, match="expected an address"):
            address_bytes(bad)


@given(noise=st.binary(max_size=80))
def test_noise_is_no_signature(noise: bytes):
    with contextlib.suppress(ValueError):
        assert len(recover(keccak(b"x"), noise)) == 20


def test_a_wallet_needs_its_address():
    with pytest.raises(ValueError, match="expected the funder's address"):
        SigningAccount(bytes(31) + b"\1", SignatureType.GNOSIS_SAFE)
    wallet = SigningAccount(bytes(31) + b"\1", SignatureType.POLY_1271, hosts.EXCHANGE_V3)
    assert wallet.order_signer == wallet.funder != wallet.key.address


def test_secrets_are_not_shown():
    private = bytes(range(1, 33))
    credentials = PolymarketCredentials(
        private_key=private, api_key="key-id", secret="s3cret", passphrase="pa55", funder=hosts.EXCHANGE_V3
    )
    key = WalletApiKey(api_key="key-id", secret="s3cret", passphrase="pa55")
    from rich.console import Console

    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for thing in (credentials, key, SigningAccount(private), Key(private)):
        console.print(thing)
        shown = repr(thing) + str(thing) + console.export_text()
        for secret in (private.hex(), repr(private), "s3cret", "pa55", str(int.from_bytes(private, "big"))):
            assert secret not in shown
    console.file.close()


@pytest.mark.recorded
def test_the_recorded_vectors(recordings: Path):
    vectors = json.loads((recordings / "polymarket" / "signing_vectors.json").read_bytes())
    key = Key(bytes.fromhex(vectors["private_key"][2:]))
    assert key.address_text == vectors["address"]
    l1, l2 = vectors["clob_auth"], vectors["l2_hmac"]
    assert l1_signature(key, l1["timestamp"], l1["nonce"], l1["chain_id"]) == l1["signature"]
    request = (int(l2["timestamp"]), l2["method"], l2["path"], l2["body"].encode())
    assert l2_signature(l2["secret"], *request) == l2["signature"]
    assert len(vectors["orders"]) == 4
    for row in vectors["orders"]:
        order = Order(
            salt=int(row["salt"]),
            maker=address_bytes(row["maker"]),
            signer=address_bytes(row["signer"]),
            token_id=int(row["token_id"]),
            maker_amount=int(row["maker_amount"]),
            taker_amount=int(row["taker_amount"]),
            side=row["side"],
            signature_type=row["signature_type"],
            timestamp=int(row["timestamp"]),
            metadata=bytes.fromhex(row["metadata"][2:]),
            builder=bytes.fromhex(row["builder"][2:]),
        )
        digest, signature = sign(order, exchange(row["domain_version"], row["verifying_contract"]), key)
        assert ("0x" + digest.hex(), "0x" + signature.hex()) == (row["order_hash"], row["signature"])
