"""From an order's terms to the request that places it, signed twice: ours beside the official client.

Both do the whole of it: rounding, EIP-712 hash and signature, JSON, and the HMAC of the headers.
"""

import gc
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter_ns

from py_clob_client_v2.clob_types import ApiCreds, CreateOrderOptions, OrderArgsV2, RequestArgs
from py_clob_client_v2.headers.headers import create_level_2_headers
from py_clob_client_v2.order_builder.builder import OrderBuilder
from py_clob_client_v2.order_utils.model.order_data_v2 import order_to_json_v2
from py_clob_client_v2.signer import Signer

from bench.result import Figure, Tell
from libs.venues.gateway import NewOrder
from libs.venues.polymarket.hosts import CHAIN_ID
from libs.venues.polymarket.trading.auth import Account, ApiKey, l2_headers
from libs.venues.polymarket.trading.request import Token, prepare_order
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import ONE

COUNT = 2_000
OFFICIAL_COUNT = 200
WARM_UP = 50
AIM_MS = 0.15
"""Issue 3: what signing one order may take at the median."""

# Worthless on purpose: nobody's money depends on these.
_PRIVATE_KEY = bytes(range(1, 33))
_SECRET = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
_TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
_AT_S = 1_700_000_000


def ours() -> Callable[[int], object]:
    """Prepare the order of a number, and the headers it is sent with."""
    account = Account(_PRIVATE_KEY)
    key = ApiKey(api_key="bench", secret=_SECRET, passphrase="bench")
    token = Token(
        instrument="polymarket:0x00:up",
        market="polymarket:0x00",
        condition="0x00",
        token=_TOKEN,
        tick=10_000,
        size_min=5 * ONE,
        neg_risk=False,
    )

    def sign(number: int) -> object:
        new = NewOrder(
            order=f"bench-{number}-0",
            market=token.market,
            instrument=token.instrument,
            side=Side.BUY,
            price=500_000,
            quantity=(10 + number % 90) * ONE,
            time_in_force=TimeInForce.GTC,
            expires_at=(_AT_S + 10) * 10**9,
            approved_at=_AT_S * 10**9,
        )
        prepared = prepare_order(new, token, account, key.api_key)
        return l2_headers(account.key.address_text, key, _AT_S, "POST", "/order", prepared.body)

    return sign


def theirs() -> Callable[[int], object]:
    """The same through py-clob-client-v2, without its network calls."""
    signer = Signer(_PRIVATE_KEY.hex(), CHAIN_ID)
    builder = OrderBuilder(signer)
    credentials = ApiCreds("bench", _SECRET, "bench")
    options = CreateOrderOptions(tick_size="0.01", neg_risk=False)

    def sign(number: int) -> object:
        arguments = OrderArgsV2(token_id=_TOKEN, price=0.5, size=10 + number % 90, side="BUY")
        payload = order_to_json_v2(builder.build_order(arguments, options), "bench", "GTC")
        body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
        request = RequestArgs("POST", "/order", payload, serialized_body=body)
        return create_level_2_headers(signer, credentials, request, _AT_S)

    return sign


def timed(sign: Callable[[int], object], count: int) -> list[float]:
    """Milliseconds of each call, sorted; garbage is collected before, not in between."""
    for number in range(WARM_UP):
        sign(number)
    took = []
    gc.collect()
    gc.disable()
    try:
        for number in range(count):
            began = perf_counter_ns()
            sign(number)
            took.append((perf_counter_ns() - began) / 1e6)
    finally:
        gc.enable()
    return sorted(took)


async def measure(tell: Tell, _recordings: Sequence[Path]) -> list[Figure]:
    """Median and 99th percentile of both, in one run."""
    tell(f"{COUNT} orders signed by us, {OFFICIAL_COUNT} by the official client")
    mine, official = timed(ours(), COUNT), timed(theirs(), OFFICIAL_COUNT)
    return [
        Figure("Polymarket order built and signed p50", _at(mine, 50), "ms", AIM_MS),
        Figure("  p99", _at(mine, 99), "ms"),
        Figure("  py-clob-client-v2 p50", _at(official, 50), "ms"),
        Figure("  py-clob-client-v2 p99", _at(official, 99), "ms"),
    ]


def _at(took: list[float], percent: int) -> float:
    return took[min(len(took) - 1, len(took) * percent // 100)]
