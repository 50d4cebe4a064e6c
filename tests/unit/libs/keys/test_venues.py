"""Venue keys: encrypted, told apart, never shown."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from libs.keys.venues import passphrase
from libs.keys.venues.errors import BadKey, NoKey, TooOpen, WrongPassphrase
from libs.keys.venues.kinds import ETHEREUM_ORDER, ApiKey, EthereumKey, Key, RsaKey, write_rsa
from libs.keys.venues.sealed import seal, unseal
from libs.keys.venues.store import KeyStore
from libs.venues.catalogue import key_kinds

PASSPHRASE = "correct horse battery"
CHEAP = 2**4
KINDS = key_kinds()


@pytest.fixture(scope="module")
def keys() -> dict[str, Key]:
    pem = write_rsa(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    return {
        "polymarket": EthereumKey.parse("0x" + "4c" * 32),
        "kalshi": RsaKey.parse("a952bcbe-ec3b-4b5b-b8f9-11dae589608c\n", pem),
        "manifold": ApiKey.parse("0a1b2c3d-canary"),
    }


def secrets_of(key: Key) -> list[bytes]:
    if isinstance(key, EthereumKey):
        return [key.private_key, key.private_key.hex().encode()]
    return [key.private_key_pem[60:120]] if isinstance(key, RsaKey) else [key.key.encode()]


@pytest.mark.parametrize("venue", KINDS)
def test_a_saved_key_comes_back_and_only_with_its_passphrase(tmp_path: Path, keys, venue: str):
    store = KeyStore(tmp_path / "venues", KINDS, cost=CHEAP)
    key = keys[venue]
    path = store.save(venue, key, PASSPHRASE)
    assert store.venues() == {venue: "encrypted"}
    assert store.needs_passphrase(venue)
    assert store.load(venue, PASSPHRASE) == key
    for wrong in (None, "", "correct horse batterz"):
        with pytest.raises(WrongPassphrase):
            store.load(venue, wrong)
    for file in store.directory.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        assert not [secret for secret in secrets_of(key) if secret in file.read_bytes()]
    path.chmod(0o640)
    with pytest.raises(TooOpen, match="chmod 600"):
        store.load(venue, PASSPHRASE)


@pytest.mark.parametrize("venue", KINDS)
def test_a_key_does_not_show_itself(keys, venue: str):
    shown = repr(keys[venue]) + str([keys[venue]])
    assert not [secret for secret in secrets_of(keys[venue]) if secret.decode("latin1") in shown]


def test_mounted_files_win_and_need_no_passphrase(tmp_path: Path, keys):
    mounted = tmp_path / "run" / "secrets"
    mounted.mkdir(parents=True)
    (mounted / "polymarket.key").write_text("0x" + "11" * 32 + "\n")
    (mounted / "kalshi.pem").write_bytes(keys["kalshi"].private_key_pem)
    (mounted / "kalshi.id").write_text(keys["kalshi"].key_id)
    store = KeyStore(tmp_path / "venues", KINDS, mounted, CHEAP)
    store.save("polymarket", keys["polymarket"], PASSPHRASE)
    assert store.venues() == {"polymarket": "mounted", "kalshi": "mounted"}
    assert store.load("polymarket") == EthereumKey(b"\x11" * 32)
    assert store.load("kalshi") == keys["kalshi"]
    with pytest.raises(NoKey):
        store.load("manifold", PASSPHRASE)


def test_a_key_of_another_venue_is_refused(tmp_path: Path, keys):
    store = KeyStore(tmp_path, KINDS, cost=CHEAP)
    with pytest.raises(BadKey):
        store.save("kalshi", keys["polymarket"], PASSPHRASE)
    with pytest.raises(BadKey):
        store.save("binance", keys["manifold"], PASSPHRASE)
    with pytest.raises(NoKey, match="expected a venue that takes a key, was 'binance'"):
        store.load("binance", PASSPHRASE)
    with pytest.raises(BadKey, match="at least 8"):
        store.save("manifold", keys["manifold"], "short")


@pytest.mark.parametrize(
    "text", ["", "0x", "12", "zz" * 32, "00" * 32, "ff" * 32, f"{ETHEREUM_ORDER:064x}", "11" * 33]
)
def test_what_is_no_ethereum_key_is_refused_without_being_repeated(text: str):
    with pytest.raises(BadKey) as failure:
        EthereumKey.parse(text)
    assert len(text) < 8 or text not in str(failure.value)


def test_a_short_or_foreign_pem_is_refused():
    with pytest.raises(BadKey):
        RsaKey.parse("id", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


@given(secret=st.binary(max_size=200), flip=st.integers(0, 10_000))
def test_a_changed_file_does_not_open(secret: bytes, flip: int):
    content = bytearray(seal(secret, b"passphrase", "manifold", CHEAP))
    assert unseal(bytes(content), b"passphrase", "manifold") == secret
    with pytest.raises(WrongPassphrase):
        unseal(bytes(content), b"passphrase", "kalshi")
    content[flip % len(content)] ^= 1
    try:
        changed = unseal(bytes(content), b"passphrase", "manifold")
    except (BadKey, WrongPassphrase):
        return
    assert changed == secret, "only the case of a hexadecimal digit may have changed"


@pytest.mark.parametrize("venue", KINDS)
@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"[1]", b"\xff\xfe", b"x" * 70_000])
def test_any_other_file_is_a_bad_key(tmp_path: Path, keys, venue: str, content: bytes):
    store = KeyStore(tmp_path, KINDS, cost=CHEAP)
    path = store.save(venue, keys[venue], PASSPHRASE)
    path.write_bytes(content)
    with pytest.raises((BadKey, WrongPassphrase)):
        store.load(venue, PASSPHRASE)


def test_a_removed_key_is_gone(tmp_path: Path, keys):
    store = KeyStore(tmp_path, KINDS, cost=CHEAP)
    store.save("kalshi", keys["kalshi"], PASSPHRASE)
    assert store.remove("kalshi")
    assert not store.remove("kalshi")
    assert list(tmp_path.iterdir()) == []


def test_the_passphrase_is_inherited_once_and_stands_in_no_environment():
    descriptor = passphrase.hand_over(PASSPHRASE)
    program = (
        "import os; from libs.keys.venues import passphrase as p; "
        "print(p.inherited(), p.inherited(), p.DESCRIPTOR_VARIABLE in os.environ)"
    )
    environment = os.environ | {passphrase.DESCRIPTOR_VARIABLE: str(descriptor)}
    try:
        said = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            pass_fds=(descriptor,),
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        os.close(descriptor)
    assert said.stdout == f"{PASSPHRASE} None False\n"
    assert PASSPHRASE not in str(environment)


def test_a_mounted_passphrase_is_read_without_its_line_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    monkeypatch.setenv(passphrase.FILE_VARIABLE, str(file))
    for mode in (0o644, 0o640, 0o604, 0o602):
        file.chmod(mode)
        with pytest.raises(TooOpen, match="chmod 600 mends it"):
            passphrase.inherited()
    file.chmod(0o400)
    assert passphrase.inherited() == PASSPHRASE
