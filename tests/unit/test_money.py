"""Money that is not the same never meets in one account, and nothing opens the way to orders but the commands."""

from pathlib import Path

import pytest

from libs.venues.params import Currency
from tools.composition import VENUES
from tools.money import account_of, currency_of, settle_account
from tools.starting import TRADED, system_of
from tools.up import Market, Options, UsageError


def test_every_venue_that_takes_orders_says_what_its_money_is():
    assert {venue: VENUES[venue].currency for venue in TRADED} == {
        "polymarket": Currency.DOLLARS,
        "kalshi": Currency.DOLLARS,
        "manifold": Currency.MANA,
    }


def test_mana_and_dollars_are_not_added_up():
    assert currency_of([]) is currency_of(["kalshi", "polymarket"]) is Currency.DOLLARS
    assert currency_of(["manifold"]) is Currency.MANA
    with pytest.raises(UsageError, match=r"was dollars \(kalshi\) and mana \(manifold\): trade them apart"):
        account_of("real", ["manifold", "kalshi"])


def test_an_account_stays_what_it_is(tmp_path: Path):
    dollars, mana = account_of("real", ["kalshi"]), account_of("real", ["manifold"])
    path = tmp_path / "money"
    settle_account(path, dollars)
    assert path.read_text() == "real", "expected accounts from before there was mana to go on"
    settle_account(path, dollars)
    with pytest.raises(UsageError, match="expected a state directory with real mana money, was real money"):
        settle_account(path, mana)
    with pytest.raises(UsageError, match="with paper money, was real"):
        settle_account(path, account_of("paper", []))
    assert path.read_text() == "real"


@pytest.mark.parametrize("market", Market)
def test_no_setting_sends_real_orders(tmp_path: Path, market: Market):
    options = Options(tmp_path, market=market)
    with pytest.raises(UsageError, match="expected no live_venues in the configuration, was kalshi"):
        system_of(options, overrides={"execution.live_venues": "[kalshi]"})
