"""From an order's terms to the request that places it, signed twice: ours beside the official client.

Both do the whole of it: rounding, EIP-712 hash and signature, JSON, and the HMAC of the headers.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import official
from bench.result import Figure, Tell
from bench.signed_order import AT_S, PRIVATE_KEY, SECRET, TOKEN, timed
from libs.venues.gateway import NewOrder
from libs.venues.polymarket.trading.auth import SigningAccount, WalletApiKey, l2_headers
from libs.venues.polymarket.trading.request import Token, prepare_order
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import ONE

COUNT = 2_000
OFFICIAL_COUNT = 200
AIM_MS = 0.15
"""What signing one order may take at the median."""


def ours() -> Callable[[int], object]:
    """Prepare the order of a number, and the headers it is sent with."""
    account = SigningAccount(PRIVATE_KEY)
    key = WalletApiKey(api_key="bench", secret=SECRET, passphrase="bench")
    token = Token(
        instrument="polymarket:0x00:up",
        market="polymarket:0x00",
        condition="0x00",
        token=TOKEN,
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
            expires_at=(AT_S + 10) * 10**9,
            approved_at=AT_S * 10**9,
        )
        prepared = prepare_order(new, token, account, key.api_key)
        return l2_headers(account.key.address_text, key, AT_S, "POST", "/order", prepared.body)

    return sign


async def theirs(count: int) -> list[float]:
    """The same through py-clob-client-v2: milliseconds of each, sorted."""
    process = await asyncio.create_subprocess_exec(
        official.python(), "-m", "bench.official_signing", str(count), stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"expected the official client to sign, ended with {process.returncode}")
    found: list[float] = json.loads(answer)
    return found


async def measure(tell: Tell, _recordings: Sequence[Path]) -> list[Figure]:
    """Median and 99th percentile of both, in one run."""
    tell(f"{COUNT} orders signed by us, {OFFICIAL_COUNT} by the official client")
    mine, other = timed(ours(), COUNT), await theirs(OFFICIAL_COUNT)
    return [
        Figure("Polymarket order built and signed p50", _at(mine, 50), "ms", AIM_MS),
        Figure("  p99", _at(mine, 99), "ms"),
        Figure("  py-clob-client-v2 p50", _at(other, 50), "ms"),
        Figure("  py-clob-client-v2 p99", _at(other, 99), "ms"),
    ]


def _at(took: list[float], percent: int) -> float:
    return took[min(len(took) - 1, len(took) * percent // 100)]
