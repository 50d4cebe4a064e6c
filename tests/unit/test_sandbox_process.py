"""Addresses of a sandbox in place of real ones."""

import pytest

from tools.sandbox_process import with_addresses


def test_an_address_the_sandbox_lacks_does_not_stay_a_real_one():
    section = {"rest_url": "https://real", "websocket_url": "wss://real", "series": ["A"]}
    urls = {"kalshi": {"rest": "http://127.0.0.1:1"}}
    with pytest.raises(RuntimeError, match="expected an address websocket of the sandbox's kalshi"):
        with_addresses({"kalshi": section}, urls)
    found = with_addresses(
        {"kalshi": section, "other": section}, {"kalshi": urls["kalshi"] | {"websocket": "ws://127.0.0.1:1"}}
    )
    assert found == {
        "kalshi": {"rest_url": "http://127.0.0.1:1", "websocket_url": "ws://127.0.0.1:1", "series": ["A"]}
    }


def test_no_address_that_was_written_anywhere_stays_a_real_one():
    at_sandbox = {"kalshi": {"rest": "http://127.0.0.1:1"}}
    for section, urls in (
        ({"rest_url": "https://real", "mirror": "https://real"}, at_sandbox),
        ({"rest_url": "https://real"}, {"kalshi": {"rest": "http://127.0.0.1.example.org"}}),
        ({"rest_url": "https://real"}, {"kalshi": {"rest": "https://external-api.kalshi.com"}}),
    ):
        with pytest.raises(RuntimeError, match=r"to be the sandbox's on this machine, was https?://"):
            with_addresses({"kalshi": section}, urls)
