"""A tape that parts from the recorded one: the machines run on it, and say what stands on it besides the inputs.

What comes from outside keeps its place. An output that equals the recorded one has the recorded one's place, and so the
same sequence, time and order id. One that the tape does not have is put where its kind would have got to, with the
sequence of the message before it and an index of its own. What the tape has and the machines do not say is left out.
"""

from collections.abc import Callable, Collection, Sequence

from libs.contract.codec import encode
from libs.machine.machine import Handler, Machine, Stamp
from proto.advisor import Question
from proto.execution import Cancel, Claim, Unclaimed
from proto.ids import MessageId, parse_message_id
from proto.message import Message
from proto.operator import Command, Config
from proto.risk import Approval
from proto.venue import Account, Settlement
from services.execution.claims import claims_of
from services.execution.high_water import parse_order_id
from services.execution.machine import ExecutionMachine
from tools.offline.what_if.accepted import accepted_on, end_changes, has_applied, is_acceptance
from tools.offline.what_if.arriving import Arrival, Arrivals, Place, Turn
from tools.offline.what_if.given import Departure, Input, MachineRaised, Rules
from tools.offline.what_if.outcome import MARKET_DATA, Outcome
from tools.offline.what_if.recorded import Pace, StoredOutput, digest_of
from tools.offline.what_if.unstored import NOTHING_LIKE_IT, Where

INDEX_STEP = 1_000_000
"""Between two inserted messages of one sequence: more than any machine says to one input."""
CASCADE_MAX = 10_000
"""Messages inserted between two of the tape's. More are two machines that answer each other for ever."""
SIMULATED = "simulated"
"""Stands for the signature of a claim that was never made."""
EXECUTION = "execution"
PAPER = "paper"
VENUE = "venue."
INPUTS = ("feed.", "operator.", "monitor.clock")


class Branch:
    """One run of the machines; ``changed`` replaces the configuration's messages.

    ``without``: proposals that nobody accepts on this branch; ``held``: paths of settings that nobody changes on it.
    """

    def __init__(
        self,
        rules: Rules,
        machines: Sequence[Machine],
        outcome: Outcome,
        changed: Callable[[Config], Config],
        without: Collection[str] = (),
        held: Collection[str] = (),
        *,
        is_baseline: bool,
    ) -> None:
        self.outcome = outcome
        self.departures = 0
        self.departure: Departure | None = None
        self.inserted = 0
        self.left_out = 0
        self._recorded = rules.recorded
        self._changed = changed
        self._without = without
        self._held = held
        self._skipping = rules.skipping
        self._forked_at = rules.forked_at
        self._held_at_fork = rules.held_at_fork
        self._is_live = rules.is_live
        self._finds_unstored = is_baseline and rules.must_agree
        self._unstored = rules.unstored
        self._machines = list(machines)
        self.ended_sections = end_changes(self._machines, held)
        """Sections that changes of held settings were in force on where the branch begins."""
        self._orders = {machine.name: order for order, machine in enumerate(machines)}
        self._repeats = [tuple(getattr(machine, "reads_repeats", ())) for machine in machines]
        self._routes: dict[type[Message], list[tuple[int, Handler]]] = {}
        for order, machine in enumerate(machines):
            for model in machine.reads:
                self._routes.setdefault(model, []).append((order, machine.handler(model)))
        self._tape = ""
        self._pace = rules.recorded.pace_at(rules.forked_at)
        self._stamp = Stamp(rules.forked_at, 0)
        self._at_ns = 0
        self._between = 0
        self._arrivals = Arrivals()
        self._last_due_ns = [0] * len(self._machines)
        self._expected: dict[int, str] = {}
        """Sequences of the record that this branch has too → the id it gives them."""
        self._approved: set[str] = set()
        """Orders of the record that were approved here with the same words."""

    # ── the record ──

    def has_applied(self, proposal: str) -> bool:
        """Whether a machine has applied a proposed change on this branch."""
        return has_applied(self._machines, proposal)

    def take(self, given: Input, tape: str, *, is_applied: bool = False) -> None:
        """Take the next record; ``tape`` is the id of its epoch.

        ``is_applied``: it is an acceptance, and the unchanged machines have applied it.

        Raises:
            MachineRaised: a machine stopped.
        """
        record, event = given.record, given.event
        self._tape = tape
        if self._arrivals:
            self._let_arrive(given)
        self._at_ns = max(self._at_ns, record.stored_at_ns)
        self._stamp = given.stamp
        self._between = 0
        if type(event) in MARKET_DATA:
            # Nearly all of a tape, and always from outside.
            self.outcome.add(event, given.stamp, record.seq)
            self._deliver(event, given.stamp, self._at_ns, record.payload)
            return
        message_id = self._kept(given)
        if message_id is None:
            return
        if type(event) is Command:
            found = self._commanded(event, is_applied=is_applied)
            if found is None:
                return
            event = found
        if type(event) is Config:
            event = self._changed(event)
        self.outcome.add(event, given.stamp, record.seq)
        stamp = given.stamp
        if message_id != stamp.message_id:
            stamp = Stamp(stamp.seq, stamp.now, message_id, stamp.verified, stamp.is_doubtful)
        self._deliver(event, stamp, self._at_ns, record.payload, repeated=given.is_repeated)

    def _commanded(self, command: Command, *, is_applied: bool) -> Command | None:
        """What the operator said, as it reads on this branch; ``None`` for what nobody says on it."""
        if command.proposal and command.proposal in self._without:
            return None
        if is_acceptance(command) and (is_applied or command.path in self._held):
            return accepted_on(self._machines, command, self._held)
        return command

    def configure(self, config: Config, tape: str, at_ns: int, stamp: Stamp) -> None:
        """Put a change in force right where the branch begins, on the tape of that epoch."""
        self._tape = tape
        self._at_ns = max(self._at_ns, at_ns)
        self._stamp = stamp
        self._insert(config, f"{SIMULATED}.{config.section}", b"", self._at_ns)

    def begin_session(self, pace: Pace) -> None:
        """A session opens on the record: what is on its way arrives before."""
        self._arrive_all()
        if self._is_live:
            self._withdraw_entries()
        self._pace = pace

    def _withdraw_entries(self) -> None:
        """Entries rest at a real venue no longer than the session that sent them: execution's stop cancels them."""
        execution = next(machine for machine in self._machines if isinstance(machine, ExecutionMachine))
        for tracked in list(execution.state.live.values()):
            if tracked.claimed and not tracked.reduce_only:
                self._insert(Cancel(order=tracked.order, reason="session ended"), "", b"", self._at_ns)

    def finish(self) -> None:
        """The record is over: in lockstep what it causes arrives, else what is due."""
        if self._pace.is_lockstep:
            self._arrive_all()
        while (arrival := self._arrivals.next_before(self._at_ns + 1)) is not None:
            self._arrive(arrival)

    # ── what of the record this branch has ──

    def _kept(self, given: Input) -> str | None:
        """The id under which a record is on this branch too; ``None`` if it is not."""
        record, event, machine = given.record, given.event, given.machine
        own_id = given.stamp.message_id
        if isinstance(event, Claim | Unclaimed):
            if event.order not in self._recorded.approvals or self._is_earlier(event.order):
                return own_id
            return None if self._expected.pop(record.seq, None) is None else own_id
        if given.is_repeated:
            return own_id if isinstance(event, Approval) and event.order in self._approved else None
        if machine:
            return self._kept_output(given)
        if self._is_live and record.subject.startswith(VENUE):
            return own_id if self._is_of_the_past(event) else None
        return own_id

    def _kept_output(self, given: Input) -> str | None:
        record = given.record
        parsed = parse_message_id(record.message_id)
        assert parsed is not None
        if parsed.cause <= self._forked_at:
            return given.stamp.message_id
        found = self._expected.pop(record.seq, None)
        if found is None:
            self.left_out += 1
            self.depart(record.seq, given.machine, f"the tape has {record.subject}, the machine says nothing")
        return found

    def _is_earlier(self, order: str) -> bool:
        """Whether an order was approved before the branches part."""
        key = parse_order_id(order)
        return key is not None and key.cause <= self._forked_at

    def _is_of_the_past(self, event: Message) -> bool:
        """Whether a real venue's word counts on a branch: of money, and of what was there when it parted."""
        if isinstance(event, Account):
            return True
        if isinstance(event, Settlement):
            return event.instrument in self._held_at_fork
        order = getattr(event, "order", "")
        return bool(order) and self._is_earlier(order)

    # ── outputs ──

    def _deliver(
        self, event: Message, stamp: Stamp, at_ns: int, payload: bytes, *, repeated: bool = False
    ) -> None:
        """Show a message that has found its place to the machines that read its kind."""
        for order, handle in self._routes.get(type(event), ()):
            if repeated and type(event) not in self._repeats[order]:
                continue
            if self._skipping and (self._machines[order].name, stamp.seq) in self._skipping:
                continue
            try:
                outputs = handle(event, stamp)
            except Exception as e:
                raise MachineRaised(self._machines[order].name, stamp.seq, f"{type(e).__name__}: {e}") from e
            if outputs:
                self._send(order, event, stamp, Place(stamp.seq, stamp.index, at_ns), outputs, payload)

    def _send(
        self,
        order: int,
        event: Message,
        stamp: Stamp,
        place: Place,
        outputs: Sequence[Message],
        payload: bytes,
    ) -> None:
        """Find the places of what a machine said to one input."""
        machine = self._machines[order].name
        stored = list(self._recorded.outputs_of(machine, self._tape, place.seq)) if not place.part else []
        as_recorded = True
        for index, message in enumerate(outputs):
            if self._is_live and machine == PAPER and self._is_earlier(getattr(message, "order", "")):
                # An order that the real venue has: the paper venue cannot know what became of it.
                continue
            encoded = encode(message)
            message_id = str(MessageId(self._tape, machine, place.seq, place.part + index))
            found = _take_equal(stored, digest_of(message.subject(), encoded))
            if found is not None:
                self._expected[found.seq] = message_id
                self._last_due_ns[order] = max(self._last_due_ns[order], found.stored_at_ns)
                continue
            as_recorded = False
            if self._is_unstored(machine, place, index, message, encoded):
                continue
            due_ns = max(self._due_ns(place, message, event), self._last_due_ns[order])
            self._last_due_ns[order] = due_ns
            turn = (place.seq, place.part, order, index)
            self._arrivals.add(due_ns, turn, message, message_id, encoded)
        if machine == EXECUTION and isinstance(event, Approval):
            self._claim(order, event, stamp, place, outputs, payload, as_recorded=as_recorded)

    def _is_unstored(self, machine: str, place: Place, index: int, message: Message, encoded: bytes) -> bool:
        """Whether an output of the unchanged machines may have been lost with the end of the record; else it is new."""
        if place.part:
            return False
        where = Where(self._tape, machine, place.seq, index)
        subject = message.subject()
        if self._finds_unstored and where.place > self._recorded.last_place.get(machine, (0, 0)):
            self._unstored.add(where, subject, digest_of(subject, encoded))
        if where in self._unstored:
            return True
        self.depart(place.seq, machine, NOTHING_LIKE_IT.format(subject))
        return False

    def _claim(
        self,
        order: int,
        approval: Approval,
        stamp: Stamp,
        place: Place,
        outputs: Sequence[Message],
        payload: bytes,
        *,
        as_recorded: bool,
    ) -> None:
        """What the shell did with an order, it does again; with one that the tape does not have, it claims it."""
        claims = claims_of(approval, payload, stamp.message_id, SIMULATED, SIMULATED, outputs)
        if not claims:
            return
        recorded, name = self._recorded, approval.order
        digest = digest_of(approval.subject(), payload)
        if recorded.approvals.get(name) == digest:
            self._approved.add(name)
            stored = recorded.claims.get(name)
            if stored is not None and stored.digest == digest:
                self._expected[stored.seq] = ""
                return
            if name in recorded.unclaimed:
                self._expected.update(dict.fromkeys(recorded.unclaimed[name], ""))
                return
            if as_recorded:
                return
        for claim in claims:
            due_ns = self._due_ns(place, claim, approval)
            self._arrivals.add(due_ns, (place.seq, place.part, order, -1), claim)

    def _due_ns(self, place: Place, message: Message, cause: Message) -> int:
        if self._pace.is_lockstep:
            return 0
        return place.at_ns + self._pace.delay_ns(message.kind, cause.kind)

    # ── arriving ──

    def _let_arrive(self, given: Input) -> None:
        """Insert what comes before the next record."""
        record = given.record
        if self._pace.is_lockstep:
            turn = self._turn(given)
            if turn is None:
                self._arrive_all()
                return
            while (arrival := self._arrivals.next_turn(turn)) is not None:
                self._arrive(arrival)
            return
        while (arrival := self._arrivals.next_before(record.stored_at_ns)) is not None:
            self._arrive(arrival)
        parsed = parse_message_id(record.message_id)
        if given.machine and parsed is not None and record.seq in self._expected:
            # A machine's outputs are stored in the order in which it said them: what comes before this one arrives.
            turn = (parsed.cause, 0, self._orders[given.machine], parsed.index)
            for arrival in self._arrivals.overdue(turn):
                self._arrive(arrival)

    def _turn(self, given: Input) -> Turn | None:
        """When in lockstep a record had its turn; ``None`` for an input, before which everything else comes."""
        record, event = given.record, given.event
        if isinstance(event, Claim):
            return record.cause, 0, self._orders[EXECUTION], -1
        if isinstance(event, Unclaimed):
            return record.cause, 0, self._orders[EXECUTION], INDEX_STEP
        parsed = parse_message_id(record.message_id)
        if given.machine and parsed is not None:
            return parsed.cause, 0, self._orders[given.machine], parsed.index
        # Nobody waits for what shells say of themselves.
        return None if record.subject.startswith(INPUTS) else (0, 0, 0, 0)

    def _arrive_all(self) -> None:
        while (arrival := self._arrivals.next()) is not None:
            self._arrive(arrival)

    def _arrive(self, arrival: Arrival) -> None:
        self.inserted += 1
        at_ns = max(arrival.due_ns, self._at_ns)
        self._insert(arrival.message, arrival.message_id, arrival.payload, at_ns)

    def _insert(self, message: Message, message_id: str, payload: bytes, at_ns: int) -> None:
        """Put a message behind the last one."""
        self._between += 1
        if self._between > CASCADE_MAX:
            raise MachineRaised(
                "the machines", self._stamp.seq, f"more than {CASCADE_MAX} messages between two"
            )
        last, index = self._stamp, self._between * INDEX_STEP
        stamp = Stamp(last.seq, last.now, message_id, True, last.is_doubtful, index)
        self.outcome.add(message, stamp, 0)
        self._deliver(message, stamp, at_ns, payload)
        if type(message) is Question:
            self._answer(message, at_ns, index)

    def _answer(self, question: Question, at_ns: int, index: int) -> None:
        """A question that the record does not have: its answer, where the record has that under another place."""
        answers = self._recorded.answers
        due_ns = 0 if self._pace.is_lockstep else at_ns + answers.delay_ns(question)
        answer = answers.answer_to(question, self._stamp.now)
        self._arrivals.add(due_ns, (self._stamp.seq, index, len(self._machines), 0), answer)

    def depart(self, seq: int, machine: str, text: str) -> None:
        """Note that this branch says something else than the tape."""
        self.departures += 1
        if self.departure is None:
            self.departure = Departure(seq, machine, text)


def _take_equal(stored: list[StoredOutput], digest: bytes) -> StoredOutput | None:
    """Remove and return the first stored output of that content."""
    for number, output in enumerate(stored):
        if output.digest == digest:
            return stored.pop(number)
    return None


def venues_of(config: Config) -> tuple[str, ...]:
    """The venues that a section of the configuration sends real orders to."""
    return tuple(config.document.get("live_venues", ())) if config.section == EXECUTION else ()
