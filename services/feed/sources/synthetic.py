"""The synthetic market as a source: frames made here, in real time."""

import asyncio
import json
import time
from typing import Any

from libs.files import write_atomically
from libs.runtime.layout import StateFileError, StateLayout, decode_file
from proto.units import SECOND
from services.feed.output import TICK_S, FeedOutput
from services.feed.synthetic.market import SyntheticMarket

STATE_EVERY_S = 1.0


class SyntheticSource:
    """Steps a seeded market; it goes on where the last run left it."""

    def __init__(self, seed: int, layout: StateLayout, output: FeedOutput) -> None:
        self.is_live = False
        self.detail = ""
        self._seed = seed
        self._state_file = layout.root / "synthetic.json"
        self._output = output

    async def run(self) -> None:
        """Publish the market's frames for ever."""
        now = time.time_ns()
        market = self._resumed(now) if self._state_file.exists() else SyntheticMarket(self._seed, now)
        self.is_live = True
        saved_at = ticked_at = now
        while True:
            due_ns = market.at
            for frame in market.step():
                await self._output.publish_frame(frame)
            if due_ns - ticked_at >= TICK_S * SECOND:
                ticked_at = due_ns
                await self._output.publish_fresh(self._output.normalisers.tick(due_ns))
            if due_ns - saved_at >= STATE_EVERY_S * SECOND:
                saved_at = due_ns
                write_atomically(self._state_file, json.dumps(market.state()).encode())
            await asyncio.sleep(max(0.0, (market.at - time.time_ns()) / SECOND))

    def _resumed(self, now: int) -> SyntheticMarket:
        remedy = "remove it, and a new market begins"
        state = decode_file(self._state_file, dict[str, Any], remedy)
        try:
            return SyntheticMarket.resume(state, now)
        except (KeyError, TypeError, ValueError) as e:
            raise StateFileError(f"expected a market in {self._state_file}, was {e!r}; {remedy}") from e

    def health(self) -> dict[str, Any]:
        """Nothing beyond what every source reports."""
        return {}
