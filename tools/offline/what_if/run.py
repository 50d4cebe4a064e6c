"""A what-if over a tape: all machines folded to where it begins, then the record once, through every branch."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import msgspec

from libs.archive.history import History
from libs.config.errors import ConfigError
from libs.config.load import override, section_of
from libs.contract.codec import Unreadable, decode
from libs.contract.plain import decode_state, encode_state
from libs.keys.signing import Verifier
from libs.machine.input_gate import InputGate, InputGateState
from libs.machine.machine import Machine, Stamp
from libs.machine.skips import OPERATOR_PATTERN, gate
from libs.portfolio.portfolio import Portfolio
from libs.tape.record import TapeRecord
from proto.operator import Config, Session
from proto.risk import Approval
from proto.service import Started
from proto.subjects import MACHINE_ORDER
from services.risk.machine import RiskMachine
from tools.exit_codes import NothingDone, UsageError
from tools.offline.place import ReplayPlace
from tools.offline.replay import TapeHistory
from tools.offline.replay_run import fold
from tools.offline.what_if.accepted import is_acceptance
from tools.offline.what_if.branch import Branch, venues_of
from tools.offline.what_if.compare import comparison
from tools.offline.what_if.given import Input, MachineRaised, Rules
from tools.offline.what_if.outcome import Outcome
from tools.offline.what_if.recorded import RecordedTape
from tools.offline.what_if.unstored import NOTHING_LIKE_IT, Unstored
from tools.offline.what_if.variants import Variant
from tools.system.composition import DEFAULT_STRATEGIES, advisor_models, factories, models

MEASURED_BEFORE = 20_000
"""Messages before the window in which delays are measured too: a short window has few outputs of its own."""
PROGRESS_EVERY = 2_000

Progress = Callable[[str, int, int], None]
"""Called now and then with what is done, how far it is and how far it goes (sequences)."""


class BaselineDiffers(NothingDone):
    """The machines, unchanged, do not say what the tape says: no change can be measured against it."""


@dataclass
class Window:
    """What a what-if starts from: the tape between two sequences, and what is known of it."""

    first: int
    last: int
    verifier: Verifier
    history: TapeHistory
    strategies: Sequence[str]
    configs: dict[str, Config] = field(default_factory=dict)
    """Section → the configuration in force where the window begins."""
    live_venues: tuple[str, ...] = ()
    """Venues that the orders of the window really went to."""
    others: list[str] = field(default_factory=list)
    """Machines that decided on it in another version, in words."""

    @property
    def is_strict(self) -> bool:
        """Whether the unchanged machines must say what the tape says."""
        return not self.live_venues and not self.others


class Fork(NamedTuple):
    """All machines, as they stood where the branches part."""

    states: Mapping[str, bytes]
    gate: bytes
    at_ns: int
    tape: str


async def what_if(
    place: ReplayPlace,
    tape: History,
    history: TapeHistory,
    variants: Sequence[Variant],
    bounds: tuple[int, int],
    tell: Progress = lambda _, __, ___: None,
) -> dict[str, Any]:
    """Run the record between two sequences (both in it) unchanged and with each variant; the document of it.

    Raises:
        BaselineDiffers: on paper, the machines unchanged do not say what the tape says.
        ConfigError: a change fits no section.
        UsageError: the tape does not configure what is changed, or no longer holds where to begin.
        MachineRaised: a machine stopped at a message.
    """
    layout = place.layout
    verifier = Verifier.load(layout.public_keys)
    strategies = layout.read_run().strategies or DEFAULT_STRATEGIES
    window = Window(bounds[0], bounds[1], verifier, history, strategies)
    await _read_configuration(window, tape, layout.read_run().tape)
    _find_others(window)
    _check_sections(window, variants)
    tell("fold", 0, window.first)
    fork = await _fork(place, tape, window, tell)
    recorded = await _measure(window, tape, fork.tape, tell)
    skipping: frozenset[tuple[str, int]] = frozenset()
    while True:
        run = WhatIfRun(window, recorded, fork, variants, skipping)
        try:
            await run.follow(tape, tell)
        except MachineRaised as e:
            if e.seq not in history.skips.get(e.machine, ()) or (e.machine, e.seq) in skipping:
                raise
            # It raised here, as it did when the tape was made, and the operator let it go on without.
            skipping |= {(e.machine, e.seq)}
            continue
        return run.document()


# ── what is known before ──


async def _read_configuration(window: Window, tape: History, epoch: str) -> None:
    watcher = gate(window.verifier, epoch)
    live: set[str] = set()
    for record in await tape.read_subject(OPERATOR_PATTERN):
        try:
            event = decode(record.subject, record.payload)
            if watcher.accept(record, event) is None:
                continue
        except Unreadable:
            continue
        if isinstance(event, Config) and record.seq <= window.last:
            if record.seq < window.first:
                window.configs[event.section] = event
            else:
                live.update(venues_of(event))
    in_force = window.configs.get("execution")
    if in_force is not None:
        live.update(venues_of(in_force))
    window.live_venues = tuple(sorted(live))


def _find_others(window: Window) -> None:
    """Note machines whose version was another in the window."""
    versions = {name: make().version for name, make in factories(window.strategies).items()}
    starts: dict[str, list[tuple[int, Started]]] = {}
    for seq, start in window.history.starts:
        starts.setdefault(start.machine, []).append((seq, start))
    for name, found in starts.items():
        for number, (seq, start) in enumerate(found):
            until = found[number + 1][0] if number + 1 < len(found) else window.last + 1
            if seq <= window.last and until > window.first and start.version != versions.get(name):
                window.others.append(f"{name} was version {start.version} up to {until - 1}")


def _check_sections(window: Window, variants: Sequence[Variant]) -> None:
    known = models(window.strategies) | advisor_models()
    for variant in variants:
        for path in variant.changes:
            section_of(path, known)


async def _fork(place: ReplayPlace, tape: History, window: Window, tell: Progress) -> Fork:
    strategies = window.strategies
    if window.first <= 1:
        states = {name: make().snapshot() for name, make in factories(strategies).items()}
        return Fork(states, msgspec.msgpack.encode(InputGateState()), 0, "")
    folded = await fold(place, tape, window.history, window.first - 1, strategies, partial(tell, "fold"))
    before = await tape.at(window.first - 1)
    at_ns = before.stored_at_ns if before is not None else 0
    return Fork(folded.states, msgspec.msgpack.encode(folded.gate), at_ns, folded.gate.timeline.tape)


async def _measure(window: Window, tape: History, epoch: str, tell: Progress) -> RecordedTape:
    recorded = RecordedTape(MACHINE_ORDER, gate(window.verifier, epoch))
    begins, _ = await tape.bounds()
    first = max(window.first - MEASURED_BEFORE, begins)
    async for record in _told(tape, first, window.last, partial(tell, "measure")):
        recorded.add(record)
    return recorded


async def _told(
    tape: History, first: int, last: int, tell: Callable[[int, int], None]
) -> AsyncIterator[TapeRecord]:
    """Records of the tape; says how far it is."""
    async for record in tape.records(first, last):
        if record.seq % PROGRESS_EVERY == 0:
            tell(record.seq - first, last - first + 1)
        yield record
    tell(last - first + 1, last - first + 1)


# ── the run ──


class WhatIfRun:
    """The record through all branches; the first one is the baseline."""

    def __init__(
        self,
        window: Window,
        recorded: RecordedTape,
        fork: Fork,
        variants: Sequence[Variant],
        skipping: frozenset[tuple[str, int]],
    ) -> None:
        self.messages = 0
        self._window = window
        self._recorded = recorded
        self._fork = fork
        self._variants = variants
        self._models = models(window.strategies) | advisor_models()
        self._configured: set[str] = set()
        self._gate = InputGate(window.verifier, msgspec.msgpack.decode(fork.gate, type=InputGateState))
        self._gate.shared = True
        self._record = self._outcome(self._machines())
        self._rules = Rules(
            recorded=recorded,
            forked_at=window.first - 1,
            is_live=bool(window.live_venues),
            must_agree=window.is_strict,
            held_at_fork=frozenset(self._record.tally.portfolio.open),
            skipping=skipping,
            unstored=Unstored(
                recorded,
                {machine.name: window.history.settled_to(machine.name) for machine in self._machines()},
            ),
        )
        self._branches = [self._branch({}, is_baseline=True)]
        self._branches += [
            self._branch(variant.changes, variant.without, is_baseline=False) for variant in variants
        ]
        self._configure_at_fork()

    def _machines(self) -> list[Machine]:
        machines = [make() for make in factories(self._window.strategies).values()]
        for machine in machines:
            machine.restore(self._fork.states[machine.name])
        return machines

    @staticmethod
    def _outcome(machines: Sequence[Machine]) -> Outcome:
        """Begin with risk's books, which are everybody's, and the prices it knows."""
        risk = next(machine for machine in machines if isinstance(machine, RiskMachine))
        portfolio = decode_state(encode_state(risk.state.portfolio), Portfolio)
        views = risk.state.books.items()
        bids = {name: view.mark for name, view in views if view.mark is not None}
        asks = {name: view.ask for name, view in views if view.ask is not None}
        return Outcome(portfolio, bids, asks)

    def _branch(
        self, changes: Mapping[str, Any], without: Collection[str] = (), *, is_baseline: bool
    ) -> Branch:
        machines = self._machines()
        outcome = self._outcome(machines)
        return Branch(
            self._rules,
            machines,
            outcome,
            partial(self._changed, changes),
            without,
            tuple(changes),
            is_baseline=is_baseline,
        )

    def _changed(self, changes: Mapping[str, Any], config: Config) -> Config:
        """A section of the configuration as a branch has it."""
        self._configured.add(config.section)
        mine = {
            path: value for path, value in changes.items() if section_of(path, self._models) == config.section
        }
        document = dict(config.document)
        if self._window.live_venues:
            # What a real venue did cannot be asked what it would have done: everything is paper.
            if config.section == "execution":
                document["live_venues"] = []
            elif config.section == "paper":
                # The money is that of the real account, which its own messages bring.
                document["starting_cash"] = 0
        model = self._models.get(config.section)
        if model is not None and mine:
            document = override({config.section: document}, {config.section: model}, mine)[config.section]
        return config if document == config.document else config.replace(document=document)

    def _configure_at_fork(self) -> None:
        """Where a branch begins in the middle, its changes are in force from its first message on."""
        if self._window.first <= 1:
            return
        timeline = self._gate.state.timeline
        stamp = Stamp(self._window.first - 1, timeline.now, is_doubtful=timeline.is_doubtful)
        for branch, changes in zip(self._branches, ({}, *(v.changes for v in self._variants)), strict=True):
            for config in self._window.configs.values():
                changed = self._changed(changes, config)
                if changed is not config or config.section in branch.ended_sections:
                    branch.configure(changed, timeline.tape, self._fork.at_ns, stamp)

    async def follow(self, tape: History, tell: Progress) -> None:
        """Run the window through all branches.

        Raises:
            BaselineDiffers, UsageError, MachineRaised: see ``what_if``.
        """
        window = self._window
        async for record in _told(tape, window.first, window.last, partial(tell, "what-if")):
            self.messages += 1
            given = self._read(record)
            if given is not None:
                self._give(given)
        for branch in self._branches:
            branch.finish()
        await self._look_behind(tape)
        self._check_baseline()
        self._check_configured()

    def _read(self, record: TapeRecord) -> Input | None:
        """A record as the machines saw it; ``None`` for one that they did not."""
        try:
            event = decode(record.subject, record.payload)
            stamp = self._gate.accept(record, event)
            is_repeated = stamp is None
            if is_repeated and type(event) is Approval:
                stamp = self._gate.accept(record, event, (Approval,))
        except Unreadable:
            return None
        if stamp is None:
            return None
        # An approval that risk did not sign is nobody's output: it comes from outside, and execution refuses it.
        machine = self._recorded.machine_of(record) if stamp.verified else None
        return Input(record, event, stamp, machine or "", is_repeated)

    def _give(self, given: Input) -> None:
        seq = given.record.seq
        if type(given.event) is Session and (pace := self._recorded.pace_from(seq)) is not None:
            for branch in self._branches:
                branch.begin_session(pace)
        if not given.is_repeated:
            self._record.add(given.event, given.stamp, seq)
        baseline, *others = self._branches
        baseline.take(given, self._gate.tape)
        is_applied = is_acceptance(given.event) and baseline.has_applied(given.event.proposal)
        for branch in others:
            branch.take(given, self._gate.tape, is_applied=is_applied)
        if self._branches[0].departure is not None and self._window.is_strict:
            self._check_baseline()

    async def _look_behind(self, tape: History) -> None:
        """Look behind the window for what its last inputs caused; what nobody stored there was lost or is new."""
        unstored = self._rules.unstored
        if not unstored:
            return
        async for record in tape.records(self._window.last + 1):
            self._recorded.add(record)
            if unstored.is_decided:
                break
        for where, subject in unstored.differences():
            self._branches[0].depart(where.cause, where.machine, NOTHING_LIKE_IT.format(subject))

    def _check_baseline(self) -> None:
        departure = self._branches[0].departure
        if departure is None or not self._window.is_strict:
            return
        raise BaselineDiffers(
            f"expected the unchanged machines to say what the tape says, was a difference at {departure.seq}, "
            f"{departure.machine}: {departure.text}; `presage replay` shows where tape and code part"
        )

    def _check_configured(self) -> None:
        for variant in self._variants:
            for path in variant.changes:
                section = section_of(path, self._models)
                if section not in self._configured and section not in self._window.configs:
                    raise UsageError(f"expected a tape that configures {section}, was one without")

    def document(self) -> dict[str, Any]:
        """What came of it, as plain data."""
        window, baseline = self._window, self._branches[0]
        pace = self._recorded.pace_at(window.last)
        return {
            "simulated": True,
            "from": window.first,
            "to": window.last,
            "messages": self.messages,
            "live_venues": list(window.live_venues),
            "notes": window.others,
            "lockstep": pace.is_lockstep,
            "delays_ms": {} if pace.is_lockstep else pace.document(),
            "recorded": self._record.figures().document(),
            "baseline": baseline.outcome.figures().document(),
            "identical": baseline.departure is None,
            "unstored": self._rules.unstored.lost,
            "variants": [
                {
                    "name": variant.name,
                    "set": dict(variant.changes),
                    **comparison(baseline.outcome, branch.outcome),
                    "inserted": branch.inserted,
                    "left_out": branch.left_out,
                }
                for variant, branch in zip(self._variants, self._branches[1:], strict=True)
            ],
        }


__all__ = ["BaselineDiffers", "ConfigError", "what_if"]
