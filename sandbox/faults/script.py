"""The faults in force: picked at every operation, from a seed, counted and logged."""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from sandbox.faults.rules import FaultKind, FaultRule, FaultScript, acted_out

_ASKED_ALONE = frozenset({FaultKind.DELAY, FaultKind.STALE_BALANCE})
LOG_MAX = 10_000
"""Faults remembered one by one; the counters know them all."""


class FaultAction(Struct, frozen=True, kw_only=True):
    """The fault of one operation; none when ``kind`` is ``None``."""

    kind: FaultKind | None = None
    rule: FaultRule | None = None
    seconds: float = 0.0
    carried_out: bool = False

    def __bool__(self) -> bool:
        return self.kind is not None


NO_FAULT = FaultAction()


class Struck(Struct, frozen=True, kw_only=True):
    """One fault that struck. ``at_s`` since the faults were made; ``facts`` of the operation."""

    at_s: float
    venue: str
    operation: str
    kind: FaultKind
    facts: dict[str, str] = {}


@dataclass(slots=True)
class _ArmedRule:
    """A rule that is set: its own generator, so that rules do not change one another's chances."""

    rule: FaultRule
    draw: random.Random
    since_s: float
    chances: int = 0
    struck: int = 0


@dataclass(slots=True)
class Faults:
    """The faults in force. ``set`` replaces, ``add`` adds, ``clear`` ends them; all at any time."""

    seed: int = 7
    clock: Callable[[], float] = time.monotonic
    counts: Counter[tuple[str, FaultKind]] = field(default_factory=Counter)
    log: deque[Struck] = field(default_factory=lambda: deque(maxlen=LOG_MAX))
    _armed: list[_ArmedRule] = field(default_factory=list)
    _set_count: int = 0
    _start_s: float = 0.0

    def __post_init__(self) -> None:
        self._start_s = self.clock()

    def load(self, script: FaultScript) -> None:
        """Replace everything by a script."""
        self.seed = script.seed
        self._set_count = 0
        self.set(*script.faults)

    def set(self, *rules: FaultRule) -> None:
        """Replace the rules in force."""
        self._armed.clear()
        self.add(*rules)

    def add(self, *rules: FaultRule) -> None:
        """Add rules; earlier ones come first."""
        for rule in rules:
            self._set_count += 1
            draw = random.Random(f"presage-faults/{self.seed}/{self._set_count}")
            self._armed.append(_ArmedRule(rule, draw, self.clock()))

    def clear(self) -> None:
        """Remove every rule; counters and log stay."""
        self._armed.clear()

    @property
    def rules(self) -> tuple[FaultRule, ...]:
        """What is in force."""
        return tuple(armed.rule for armed in self._armed)

    def count(self, kind: FaultKind, venue: str | None = None) -> int:
        """Return how often a kind struck, everywhere or at one venue."""
        return sum(n for (v, k), n in self.counts.items() if k is kind and venue in (None, v))

    async def at(self, venue: str, operation: str, facts: Mapping[str, str] | None = None) -> FaultAction:
        """Return the fault of an operation; a delay has passed when this returns."""
        pause = self._pick_rule(venue, operation, facts or {}, (FaultKind.DELAY,))
        if pause:
            await asyncio.sleep(pause.seconds)
        return self.pick(venue, operation, facts)

    def pick(self, venue: str, operation: str, facts: Mapping[str, str] | None = None) -> FaultAction:
        """Return the fault of an operation without waiting, and without kinds that are picked alone."""
        kinds = (kind for kind in FaultKind if kind not in _ASKED_ALONE)
        return self._pick_rule(venue, operation, facts or {}, kinds)

    def pick_kind(
        self, kind: FaultKind, venue: str, operation: str, facts: Mapping[str, str] | None = None
    ) -> FaultAction:
        """Pick one kind alone; the chances of the others do not change."""
        return self._pick_rule(venue, operation, facts or {}, (kind,))

    def _pick_rule(
        self, venue: str, operation: str, facts: Mapping[str, str], kinds: Iterable[FaultKind]
    ) -> FaultAction:
        if not self._armed:
            return NO_FAULT
        wanted = frozenset(kinds)
        now_s = self.clock()
        for armed in self._armed:
            rule = armed.rule
            if rule.kind not in wanted or not rule.may_strike(venue, operation):
                continue
            if any(facts.get(key) != value for key, value in rule.match.items()):
                continue
            kind = _strike(armed, now_s)
            if kind is not None and kind in acted_out(venue):
                self._record(venue, operation, kind, facts, now_s)
                return FaultAction(kind=kind, rule=rule, seconds=rule.lasts_s, carried_out=rule.carried_out)
        return NO_FAULT

    def _record(
        self, venue: str, operation: str, kind: FaultKind, facts: Mapping[str, str], now_s: float
    ) -> None:
        self.counts[venue, kind] += 1
        self.log.append(
            Struck(
                at_s=round(now_s - self._start_s, 6),
                venue=venue,
                operation=operation,
                kind=kind,
                facts=dict(facts),
            )
        )


def _strike(armed: _ArmedRule, now_s: float) -> FaultKind | None:
    """Whether a rule strikes now, and as what: a restart ends in a time for makers only."""
    rule = armed.rule
    since_s = now_s - armed.since_s
    if since_s < rule.from_s or (rule.until_s is not None and since_s >= rule.until_s):
        return None
    if rule.kind is FaultKind.RESTART_WINDOW:
        into_s = since_s - rule.from_s
        if into_s < rule.lasts_s:
            return FaultKind.RESTART_WINDOW
        return FaultKind.POST_ONLY if into_s < rule.lasts_s + rule.post_only_s else None
    armed.chances += 1
    if armed.chances <= rule.skip or (rule.count is not None and armed.struck >= rule.count):
        return None
    if rule.probability < 1.0 and armed.draw.random() >= rule.probability:
        return None
    armed.struck += 1
    return rule.kind
