"""The gateways of the live venues, from the run's addresses and the keys that only this process opens."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from libs.keys.venues.kinds import ApiKey, EthereumKey, RsaKey
from libs.keys.venues.passphrase import inherited
from libs.keys.venues.store import KeyStore
from libs.runtime.layout import RunFile, StateLayout
from libs.venues.gateway import VenueGateway
from libs.venues.kalshi.params import KalshiParams

Settings = Mapping[str, Any]
"""A venue's section of the configuration, as the run file has it: addresses, nothing secret."""

Builder = Callable[[Settings, KeyStore, str | None], VenueGateway]


def _kalshi(settings: Settings, keys: KeyStore, passphrase: str | None) -> VenueGateway:
    # Imported where it is needed: a paper run loads no signing library.
    from libs.venues.kalshi.auth import KalshiCredentials
    from libs.venues.kalshi.trading.gateway import KalshiGateway
    from libs.venues.kalshi.trading.options import KalshiOptions

    key = keys.load("kalshi", RsaKey, passphrase)
    params = KalshiParams.model_validate(settings)
    options = KalshiOptions(
        rest_url=params.rest_url,
        websocket_url=params.websocket_url,
        tier=params.tier,
        series=params.series,
        subaccount=params.subaccount,
        group_fill_max_contracts=params.group_fill_max_contracts or None,
        cancel_on_pause=params.cancel_on_pause,
        self_trade_prevention=params.self_trade_prevention,
    )
    return KalshiGateway(KalshiCredentials(key.key_id, key.private_key_pem), options)


def _polymarket(settings: Settings, keys: KeyStore, passphrase: str | None) -> VenueGateway:
    from libs.venues.polymarket.trading.auth import PolymarketCredentials
    from libs.venues.polymarket.trading.gateway import PolymarketGateway

    credentials = PolymarketCredentials(
        private_key=keys.load("polymarket", EthereumKey, passphrase).private_key,
        signature_type=settings.get("signature_type", 0),
        funder=settings.get("funder", ""),
    )
    return PolymarketGateway(
        credentials,
        clob_url=settings["clob_url"],
        gamma_url=settings["gamma_url"],
        data_url=settings["data_url"],
        user_websocket_url=settings["user_websocket_url"],
    )


def _manifold(settings: Settings, keys: KeyStore, passphrase: str | None) -> VenueGateway:
    from libs.venues.manifold.trading.auth import ManifoldCredentials
    from libs.venues.manifold.trading.gateway import ManifoldGateway

    credentials = ManifoldCredentials(api_key=keys.load("manifold", ApiKey, passphrase).key)
    return ManifoldGateway(credentials, settings["rest_url"], settings["websocket_url"])


BUILDERS: dict[str, Builder] = {"kalshi": _kalshi, "manifold": _manifold, "polymarket": _polymarket}
"""Venue → how its gateway is made of its section, the keys, and their passphrase."""


def make_gateways(venues: Sequence[str], run: RunFile, layout: StateLayout) -> list[VenueGateway]:
    """A gateway for each venue.

    Raises:
        KeyStoreError: a key is missing or does not open; the text says which file.
        ValueError: a venue that cannot be traded, or is not configured.
    """
    store = KeyStore(layout.venue_keys)
    passphrase = inherited()
    return [gateway_of(venue, run, store, passphrase) for venue in venues]


def gateway_of(venue: str, run: RunFile, store: KeyStore, passphrase: str | None) -> VenueGateway:
    """One venue's gateway, not started. Raises as ``make_gateways``."""
    if venue not in BUILDERS:
        raise ValueError(f"expected one of {', '.join(sorted(BUILDERS))} as a live venue, was {venue!r}")
    if venue not in run.venues:
        raise ValueError(f"expected a configuration of {venue} in the run file, was none")
    return BUILDERS[venue](run.venues[venue], store, passphrase)
