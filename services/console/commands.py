"""What is said from the console, and what came of it: the outcome is what the tape says, not that a button was pressed."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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


class CommandRefused(ValueError):
    """It was not even said; the text tells why."""


class CommandDesk:
    """Signs with the console's own key. One command at a time: each outcome is told apart from the others."""

    def __init__(self, now: Surroundings, verbs: tuple[str, ...]) -> None:
        self._now = now
        self._verbs = verbs
        self._desk: OperatorDesk | None = None
        self._numbers = 0
        self.outcomes: dict[int, Outcome] = {}
        self._lock = asyncio.Lock()
        self.latest: deque[Outcome] = deque(maxlen=OUTCOMES_KEPT)

    async def give(self, verb: Verb, user: str, **fields: str) -> Outcome:
        """Say it, and wait for what comes of it.

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
            self._write_halt_file(outcome, fields.get("reason", ""))
        try:
            async with self._lock:
                await self._give(verb, outcome, fields)
        except (TapeError, UnusableKey, OSError) as e:
            self._was_not_stored(verb, outcome, e)
        outcome.is_over = True
        return outcome

    def _write_halt_file(self, outcome: Outcome, reason: str) -> None:
        try:
            write_halt_file(str(self._now.layout.halt_file.parent), reason or f"console: {outcome.user}")
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
        reason = clip(fields.get("reason", "") or f"console: {outcome.user}", REASON_CHARACTERS_MAX)
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
        elif verb is Verb.RESUME:
            await self._resume(outcome, to_close_only=fields.get("close_only") == "yes", reason=reason)
        else:
            outcome.done = await have_acted(self._now.link, outcome.seq)
            outcome.text = f"close-only (tape sequence {outcome.seq}): exits go, no entry does"

    async def _resume(self, outcome: Outcome, *, to_close_only: bool, reason: str) -> None:
        if to_close_only:
            # The HALT file still closes the gate: nothing leaves between the two commands.
            outcome.seq = await self._say(Verb.CLOSE_ONLY, reason=reason)
        self._now.layout.halt_file.unlink(missing_ok=True)
        assert outcome.seq is not None
        outcome.done = await have_acted(self._now.link, outcome.seq)
        given = "resumed, for exits only" if to_close_only else "resumed"
        if not outcome.done:
            outcome.text = f"{given} (tape sequence {outcome.seq}); risk and execution have not read it yet"
            return
        outcome.text = f"{given} (tape sequence {outcome.seq})"

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

    async def _say(self, verb: Verb, **fields: Any) -> int:
        desk = self._desk
        if desk is None:
            signer = Signer.load(OPERATOR_DOMAIN, self._now.layout.console_key, CONSOLE_ROLE)
            desk = OperatorDesk(self._now.link, signer, self._now.run.tape)
            await desk.start()
            self._desk = desk
        return await desk.command(verb, **fields)
