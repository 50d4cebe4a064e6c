"""What is said from the console, and what came of it: the outcome is what the tape says, not that a button was pressed."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from libs.bounded import clip, keep_newest
from libs.keys.signing import CONSOLE_ROLE, OPERATOR_DOMAIN, Signer, UnusableKey
from libs.lists.changes import OPEN, read_changes
from libs.operator.aftermath import (
    answer_to_decision,
    effect_of_flatten,
    effect_of_halt,
    have_acted,
    outcome_of,
    outcome_of_change,
)
from libs.operator.desk import OperatorDesk
from libs.operator.halt_file import write_halt_file
from libs.tape.errors import TapeError
from libs.view import wording
from libs.view.names import short_id
from proto.evaluation import ChangeStep
from proto.operator import Verb
from services.console.limits import OUTCOMES_KEPT, REASON_CHARACTERS_MAX
from services.console.surroundings import Surroundings

_NOT_READ = "risk and execution have not read it yet"


@dataclass
class Outcome:
    """What was asked for, by whom, and what came of it."""

    number: int
    verb: str
    user: str
    seq: int | None = None
    is_over: bool = False
    done: bool = False
    text: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "id": str(self.number),
            "verb": self.verb,
            "user": self.user,
            "seq": None if self.seq is None else str(self.seq),
            "over": self.is_over,
            "done": self.done,
            "text": self.text,
            "details": self.details,
        }


class Halts(NamedTuple):
    """What a resume has seen of halts: how many were given here, and when the HALT file was written (0: there is none)."""

    given: int
    written_at_ns: int


class HaltedSince(Exception):
    """A halt is newer than the resume that would end it."""


class CommandRefused(ValueError):
    """It was not even said; the text tells why."""


class CommandDesk:
    """Signs with the console's own key.

    Commands are said one by one; their outcomes are waited for side by side, each told apart by the sequence of its
    command, so that a halt never waits for what another command does.
    """

    def __init__(self, now: Surroundings, verbs: tuple[str, ...]) -> None:
        self._now = now
        self._verbs = verbs
        self._desk: OperatorDesk | None = None
        self._numbers = 0
        self.outcomes: dict[int, Outcome] = {}
        self._saying = asyncio.Lock()
        self._halts_given = 0
        self.latest: deque[Outcome] = deque(maxlen=OUTCOMES_KEPT)

    def halts(self) -> Halts:
        """The halts that are known now. A resume takes them with it from when it was asked for."""
        try:
            written_at_ns = self._now.layout.halt_file.stat().st_mtime_ns
        except OSError:
            written_at_ns = 0
        return Halts(self._halts_given, written_at_ns)

    async def give(self, verb: Verb, user: str, *, seen: Halts | None = None, **fields: str) -> Outcome:
        """Say it, and wait for what comes of it. ``seen``: the halts when a resume was asked for; now, if not given.

        Raises:
            CommandRefused: the console may not say this.
        """
        if verb.value not in self._verbs:
            raise CommandRefused(f"expected one of {', '.join(self._verbs)}, was {verb.value}")
        self._numbers += 1
        outcome = Outcome(self._numbers, verb.value, user)
        self.outcomes[outcome.number] = outcome
        keep_newest(self.outcomes, OUTCOMES_KEPT)
        self.latest.append(outcome)
        if verb is Verb.HALT:
            # Before anything that can wait: the file closes the gate whatever else works.
            self._halts_given += 1
            self._write_halt_file(outcome, _reason(outcome, fields))
        try:
            if verb is Verb.RESUME:
                await self._resume(outcome, fields, seen or self.halts())
            else:
                await self._give(verb, outcome, fields)
        except HaltedSince:
            outcome.text = "not done: halted since"
        except (TapeError, UnusableKey, OSError) as e:
            self._was_not_stored(verb, outcome, e)
        outcome.is_over = True
        return outcome

    def _write_halt_file(self, outcome: Outcome, reason: str) -> None:
        try:
            write_halt_file(str(self._now.layout.halt_file.parent), reason)
        except OSError as e:
            outcome.details["file"] = f"could not be written ({e.strerror})"
        else:
            outcome.details["file"] = "written"

    def _was_not_stored(self, verb: Verb, outcome: Outcome, error: Exception) -> None:
        """Say what holds although the command did not reach the tape."""
        if verb is Verb.HALT and outcome.details.get("file") == "written":
            outcome.done = True
            outcome.text = f"halted by the HALT file: no order leaves; the command is not on the tape ({clip(str(error), 200)})"
        else:
            outcome.text = f"not done: {clip(str(error), 200)}"

    async def _give(self, verb: Verb, outcome: Outcome, fields: Mapping[str, str]) -> None:
        reason = _reason(outcome, fields)
        if verb in (Verb.APPROVE, Verb.DENY):
            await self._decide(verb, outcome, fields["order"], reason)
            return
        if verb in (Verb.ACCEPT, Verb.REJECT):
            await self._decide_on_change(verb, outcome, fields.get("proposal", ""), reason)
            return
        if verb is Verb.FLATTEN:
            await self._flatten(outcome, fields.get("instrument", ""), reason)
            return
        if verb is Verb.CLOSE_ONLY and self._is_halted():
            outcome.text = (
                "not done: halted, which stops exits too; resume for exits only ends the halt for them"
            )
            return
        outcome.seq = await self._say(verb, reason=reason)
        if verb is Verb.HALT:
            effect = await effect_of_halt(self._now.link, outcome.seq)
            outcome.done = effect.acted
            outcome.details["orders"] = {order: status.value for order, status in effect.orders.items()}
            outcome.text = f"halted (tape sequence {outcome.seq}): {effect.text()}"
        else:
            outcome.done = await have_acted(self._now.link, outcome.seq)
            said = f"close-only (tape sequence {outcome.seq})"
            outcome.text = (
                f"{said}: exits go, no entry does"
                if outcome.done
                else f"{said}; {_NOT_READ}: entries may still go"
            )

    async def _resume(self, outcome: Outcome, fields: Mapping[str, str], seen: Halts) -> None:
        reason = _reason(outcome, fields)
        to_close_only = fields.get("close_only") == "yes"
        outcome.seq = await self._say(
            Verb.RESUME, unless_halted_since=seen, reason=reason, close_only=to_close_only
        )
        # Nothing is awaited between the look and the removal: no halt of this process comes in between.
        self._expect_no_halt_since(seen)
        self._now.layout.halt_file.unlink(missing_ok=True)
        given = "resumed, for exits only" if to_close_only else "resumed"
        outcome.done = await have_acted(self._now.link, outcome.seq)
        outcome.text = f"{given} (tape sequence {outcome.seq})"
        if not outcome.done:
            outcome.text += f"; {_NOT_READ}"

    def _expect_no_halt_since(self, seen: Halts) -> None:
        newest = self.halts()
        if newest.given > seen.given or newest.written_at_ns > seen.written_at_ns:
            raise HaltedSince

    async def _decide_on_change(self, verb: Verb, outcome: Outcome, proposal: str, reason: str) -> None:
        """Accept or reject a proposed change; an acceptance says the change in full, as it was proposed."""
        queue = await read_changes(self._now.history(), self._now.fold.view.now)
        row = queue.rows.get(proposal)
        if row is None or row.state not in OPEN:
            outcome.text = f"not done: {proposal or 'a change without a name'} does not wait"
            return
        if verb is Verb.REJECT:
            outcome.seq = await self._say(Verb.REJECT, proposal=proposal, reason=reason)
            outcome.done, outcome.text = True, f"{proposal}: rejected (tape sequence {outcome.seq})"
            return
        edit = row.proposal.edit
        outcome.seq = await self._say(
            Verb.ACCEPT,
            proposal=proposal,
            path=edit.path,
            section_hash=edit.section_hash,
            old=edit.old,
            new=edit.new,
            reason=reason,
        )
        came = await outcome_of_change(self._now.link, outcome.seq)
        if came is None:
            outcome.text = f"{proposal}: no machine has answered yet"
            return
        outcome.done = came.step is ChangeStep.APPLIED
        outcome.text = (
            f"{proposal}: {edit.path} in force; the monitor looks at 5, 15, 30 and 60 minutes and may take it back"
            if outcome.done
            else f"{proposal}: refused: {wording.clean(came.reason)}"
        )

    async def _flatten(self, outcome: Outcome, instrument: str, reason: str) -> None:
        held = {name for _, name, _ in self._now.fold.view.portfolio.open_positions()}
        if not held or (instrument and instrument not in held):
            outcome.text = "not done: there is no such open position"
            return
        outcome.seq = await self._say(Verb.FLATTEN, instrument=instrument, reason=reason)
        effect = await effect_of_flatten(self._now.link, outcome.seq)
        outcome.done = effect.acted and not effect.open
        outcome.text = f"flatten (tape sequence {outcome.seq}): {effect.text()}"

    def _is_halted(self) -> bool:
        return bool(self._now.halted_by_file()) or self._now.risk_state() == "halted"

    async def _decide(self, verb: Verb, outcome: Outcome, order: str, reason: str) -> None:
        row = next((row for row in self._now.fold.orders.waiting() if row.order == order), None)
        if row is None:
            outcome.text = f"not done: {short_id(order)} does not wait any more"
            return
        outcome.seq = await self._say(verb, order=order, reason=reason)
        answer = await answer_to_decision(self._now.link, outcome.seq, row.proposal)
        unit = wording.sign_of(self._now.fold.view.whose_money)
        outcome.done, outcome.text = outcome_of(answer, verb, short_id(order), unit)
        outcome.details = answer.document()

    async def _say(self, verb: Verb, *, unless_halted_since: Halts | None = None, **fields: Any) -> int:
        """Put it on the tape. Raises HaltedSince: a resume waited for its turn, and a halt came before it."""
        async with self._saying:
            if unless_halted_since is not None:
                self._expect_no_halt_since(unless_halted_since)
            return await self._publish(verb, fields)

    async def _publish(self, verb: Verb, fields: Mapping[str, Any]) -> int:
        desk = self._desk
        if desk is None:
            signer = Signer.load(OPERATOR_DOMAIN, self._now.layout.console_key, CONSOLE_ROLE)
            desk = OperatorDesk(self._now.link, signer, self._now.run.tape)
            await desk.start()
            self._desk = desk
        return await desk.command(verb, **fields)


def _reason(outcome: Outcome, fields: Mapping[str, str]) -> str:
    """Who said it, and what they gave as the reason."""
    given = fields.get("reason", "")
    who = f"console: {outcome.user}"
    return clip(f"{who}: {given}" if given else who, REASON_CHARACTERS_MAX)
