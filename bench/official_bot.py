"""What a good bot in one process does: websocket → decide → sign → post, by the venue's official client.

``python -m bench.official_bot CREDENTIALS CLOB SOCKET MARKETS MARK``, files, addresses, and the size of a bid that
the bench looks for, in shares; in the environment of the venues' own clients. It keeps no book, no journal and no
limits, and buys at the bid it sees whenever that bid has the mark: as little work as an order can take.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import uvloop
from py_clob_client_v2 import ClobClient
from py_clob_client_v2.clob_types import ApiCreds, OrderArgsV2, OrderType, PartialCreateOrderOptions
from py_clob_client_v2.exceptions import PolyApiException
from websockets.asyncio.client import connect

SHARES = 20.0


class Bot:
    """One account, one socket.

    ``options``: what is known beforehand of each token; ``positions``: those of them that trade on the third
    exchange; ``mark``: the size, but for a fraction of a share, of the bids to buy at.
    """

    def __init__(
        self,
        client: ClobClient,
        options: dict[str, PartialCreateOrderOptions],
        positions: set[str],
        mark: int,
    ) -> None:
        self._client = client
        self._mark = mark
        self._options = options
        self._positions = positions
        self._first = list(options)[::2]

    def warm_up(self) -> None:
        """Have the client ask what it asks once of each token, and open its connection."""
        for token in self._first:
            self._client.create_order(self._order(token, 0.5), self._options[token])
        self.buy(self._first[0], 0.05)

    def _order(self, token: str, price: float) -> OrderArgsV2:
        if token in self._positions:
            return OrderArgsV2(token_id=None, position_id=token, price=price, size=SHARES, side="BUY")
        return OrderArgsV2(token_id=token, price=price, size=SHARES, side="BUY")

    def buy(self, token: str, price: float) -> None:
        """Sign and send. It never trades: whoever sells asks for more."""
        try:
            signed = self._client.create_order(self._order(token, price), self._options[token])
            self._client.post_order(signed, OrderType.FAK)
        except PolyApiException as e:
            if "no orders found to match" not in str(e):
                raise

    def read(self, frame: str) -> None:
        """Look at one frame for the mark."""
        found = json.loads(frame)
        for event in found if isinstance(found, list) else (found,):
            for change in event.get("price_changes", ()):
                size = float(change["size"])
                if change["side"] == "BUY" and self._mark < size < self._mark + 1:
                    self.buy(change["asset_id"], float(change["price"]))


async def run(bot: Bot, socket: str, tokens: list[str]) -> None:
    """Follow every token until killed."""
    async with connect(socket, compression=None, max_size=None) as frames:
        wanted = {"type": "market", "assets_ids": tokens, "custom_feature_enabled": True}
        await frames.send(json.dumps(wanted))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        async for frame in frames:
            bot.read(str(frame))


def main() -> None:
    """Run from the command line."""
    credentials, clob, socket, markets, mark = sys.argv[1:]
    logging.getLogger("py_clob_client_v2").setLevel(logging.CRITICAL)
    key: dict[str, Any] = json.loads(Path(credentials).read_text())
    client = ClobClient(
        clob,
        chain_id=137,
        key=key["private_key"],
        creds=ApiCreds(key["api_key"], key["secret"], key["passphrase"]),
        signature_type=key["signature_type"],
        funder=key["funder"],
    )
    listed = json.loads(Path(markets).read_text())
    options = {
        token: PartialCreateOrderOptions(tick_size=str(market["tick"]), neg_risk=market["neg_risk"])
        for market in listed
        for token in market["tokens"]
    }
    positions = {token for market in listed if market["version"] == "v2" for token in market["tokens"]}
    bot = Bot(client, options, positions, int(mark))
    bot.warm_up()
    uvloop.run(run(bot, socket, list(options)))


if __name__ == "__main__":
    main()
