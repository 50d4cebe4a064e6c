"""The dead man's switch: once armed, silence cancels every order of the API key.

Source: docs/reference/venue-facts.md, Polymarket heartbeat.
"""

import uuid
from collections.abc import Callable, Mapping
from functools import partial

from msgspec import Struct

from proto.units import SECOND
from sandbox.polymarket.keys import PolymarketRefusal
from sandbox.polymarket.options import PolymarketOptions
from sandbox.world.world import World

INVALID = "Invalid Heartbeat ID"


class _Switch(Struct):
    expected: str
    fires_at: int
    armed: bool = True


class Heartbeats:
    """One switch per API key. ``fire`` is called with the key whose heartbeats stopped."""

    def __init__(self, world: World, options: PolymarketOptions, fire: Callable[[str], object]) -> None:
        self._world = world
        self._options = options
        self._fire = fire
        self._switches: dict[str, _Switch] = {}
        self._count = 0

    def beat(self, key: str, heartbeat_id: str) -> str:
        """Accept a heartbeat and give the id of the next one; 400 with the expected id for a wrong one."""
        switch = self._switches.get(key)
        if switch is not None and heartbeat_id != switch.expected:
            raise PolymarketRefusal(400, INVALID, {"error_msg": INVALID, "heartbeat_id": switch.expected})
        if switch is None and heartbeat_id:
            raise PolymarketRefusal(400, INVALID, {"error_msg": INVALID, "heartbeat_id": ""})
        self._count += 1
        following = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{key}/{self._world.now()}/{self._count}"))
        silence_s = self._options.heartbeat_s + self._options.heartbeat_buffer_s
        fires_at = self._world.now() + round(silence_s * SECOND)
        self._switches[key] = _Switch(following, fires_at)
        self._world.schedule(fires_at, lambda: self._check(key))
        return following

    def save(self) -> dict[str, tuple[str, int, bool]]:
        """Return key → the id it must send next, when its switch fires, whether it is armed."""
        return {key: (held.expected, held.fires_at, held.armed) for key, held in self._switches.items()}

    def resume(self, saved: Mapping[str, tuple[str, int, bool]]) -> None:
        """Resume the switches; each gets a whole interval, whoever caused the silence."""
        silence_s = self._options.heartbeat_s + self._options.heartbeat_buffer_s
        for key, (expected, fires_at, armed) in saved.items():
            fires_at = max(fires_at, self._world.now() + round(silence_s * SECOND))
            self._switches[key] = _Switch(expected, fires_at, armed)
            self._world.schedule(fires_at, partial(self._check, key))

    def _check(self, key: str) -> None:
        switch = self._switches[key]
        if switch.armed and self._world.now() >= switch.fires_at:
            # It stays known, so that the next id is still asked for; it is armed again by that heartbeat.
            switch.armed = False
            self._fire(key)
