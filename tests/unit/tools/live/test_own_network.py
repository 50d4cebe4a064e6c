"""An address that can only be of this machine's network; what could be anybody's is none."""

import pytest

from tools.live.real_hosts import is_own_network


@pytest.mark.parametrize("address", ["http://sandbox:20001", "ws://my-sandbox:1/x", "http://127.0.0.1:1"])
def test_a_name_without_a_dot_is_of_our_network(address: str):
    assert is_own_network(address)


@pytest.mark.parametrize(
    "address",
    [
        "https://api.kalshi.com",
        "http://sandbox.example.org",
        "http://16843009:1",  # 1.1.1.1, written as one number
        "http://0x01010101",
        "http://1.1.1.1",
        "http://[2606:4700::1]",
        "http://",
        "sandbox",
        "http://sandbox.",
    ],
)
def test_what_could_be_anybodys_is_not(address: str):
    assert not is_own_network(address)
