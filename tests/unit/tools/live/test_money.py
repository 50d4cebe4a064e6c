"""Money that is not the same never meets in one account, and nothing opens the way to orders but the commands."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from libs.venues.catalogue import VENUES, traded
from libs.venues.venue import Currency
from proto.operator import Prices
from tools.cli.app import app
from tools.exit_codes import USAGE, UsageError
from tools.live.money import account_of, currency_of, require_account
from tools.system.build import system_of
from tools.system.composition import CONFIG_DIRECTORY
from tools.system.options import MarketSource, Options


def test_every_venue_that_takes_orders_says_what_its_money_is():
    assert {venue: VENUES[venue].currency for venue in traded()} == {
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
    require_account(path, dollars)
    assert path.read_text() == "real", "expected accounts from before there was mana to go on"
    require_account(path, dollars)
    with pytest.raises(UsageError, match="expected a state directory with real mana money, was real money"):
        require_account(path, mana)
    with pytest.raises(UsageError, match="with paper money, was real"):
        require_account(path, account_of("paper", []))
    assert path.read_text() == "real"


@pytest.mark.parametrize("market", MarketSource)
def test_no_setting_sends_real_orders(tmp_path: Path, market: MarketSource):
    options = Options(tmp_path, market=market)
    with pytest.raises(UsageError, match="expected no live_venues in the configuration, was kalshi"):
        system_of(options, overrides={"execution.live_venues": "[kalshi]"})


def test_no_configuration_file_sends_real_orders(tmp_path: Path):
    config = tmp_path / "config"
    shutil.copytree(CONFIG_DIRECTORY, config)
    file = config / "execution.yaml"
    file.write_text(file.read_text().replace("live_venues: []", "live_venues: [polymarket]"))
    with pytest.raises(UsageError, match="expected no live_venues in the configuration, was polymarket"):
        system_of(Options(tmp_path / "state", market=MarketSource.SANDBOX, live=traded()), config)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--market", "real"], "was real ones"),
        (["--market", "synthetic"], "was synthetic ones"),
        (["--recording", "somewhere"], "was synthetic ones"),
        (["--socket", "ws://127.0.0.1:1"], "was synthetic ones"),
        (["--market", "real", "--live", "kalshi", "--confirm", "live kalshi"], "was both"),
    ],
)
def test_orders_for_the_sandbox_never_meet_other_prices(tmp_path: Path, given: list[str], said: str):
    state = tmp_path / "state"
    done = CliRunner().invoke(app, ["up", "--sandbox-live", "--headless", "--state", str(state), *given])
    assert (done.exit_code, said in done.stderr) == (USAGE, True), done.stderr
    assert not state.exists()


@pytest.mark.parametrize("examined", [[], ["polymarket"]])
def test_a_system_that_did_not_pass_the_gate_does_not_start(tmp_path: Path, examined: list[str]):
    options = Options(tmp_path, market=MarketSource.REAL, live=["polymarket", "kalshi"], examined=examined)
    system = system_of(options)
    with pytest.raises(UsageError, match="expected polymarket, kalshi to have passed the gate"):
        asyncio.run(system.start())
    assert not system.installation.owned


@pytest.mark.parametrize(
    ("overrides", "prices"),
    [
        ({}, Prices.REAL),
        ({"venues.kalshi.rest_url": "https://api.elections.kalshi.com/trade-api/v2"}, Prices.REAL),
        ({"venues.kalshi.rest_url": "https://external-api.demo.kalshi.co/trade-api/v2"}, Prices.UNKNOWN),
        ({"venues.polymarket.market_websocket_url": "ws://127.0.0.1:8080/ws/market"}, Prices.UNKNOWN),
        ({"venues.polymarket.clob_url": "https://polymarket.com.example.org"}, Prices.UNKNOWN),
        ({"venues.polymarket.clob_url": "https://clob-staging.polymarket.com"}, Prices.UNKNOWN),
        ({"venues.manifold.rest_url": "http://127.0.0.1:8080/v0"}, Prices.REAL),
    ],
)
def test_prices_are_real_only_where_the_venues_are(tmp_path: Path, overrides: dict[str, Any], prices: Prices):
    """Else thirty paper trades at a sandbox that was named by its address open the way to real money."""
    assert system_of(Options(tmp_path, market=MarketSource.REAL), overrides=overrides).prices is prices
