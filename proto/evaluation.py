"""The nightly evaluation: what a day lost, what would be changed, and what became of a change.

A change is one number of one section. Its way: the advisor suggests it (``advisor.change``), the evaluator measures it
(``eval.proposal``), the operator accepts it (``operator.command.accept``), the machine concerned applies it
(``signal.change``, ``exit.change``), the monitor looks at what it did (``monitor.checkpoint``, ``monitor.verdict``) and
may take it back once (``monitor.revert``).
"""

from typing import ClassVar, NamedTuple

from proto.message import Integer, Message, Name, Record, Rows, Text, Word, token
from proto.operator import Section
from proto.units import Money, Nanoseconds


class Edit(Record):
    """One number of one section: from ``old`` to ``new``, made against the section whose hash is ``section_hash``.

    ``path`` is section and key with dots between (``signal.momentum.z_min``). Amounts are millionths, as everywhere.
    ``section_hash`` is ``libs.config.section.section_hash`` of the section as the machine had it.
    """

    path: Name
    section: Section
    section_hash: Name
    old: Integer
    new: Integer


class Evidence(NamedTuple):
    """What a finding rests on: an id that ``presage why`` takes, and its figure in money (0 without one)."""

    id: Name
    cost: Money = 0


class FindingId(NamedTuple):
    """A finding that a proposal answers."""

    finding: Name


class Finding(Message):
    """A rule found that a day lost money in one way. ``finding`` is ``{day}-{rule}-{scope}`` or the like.

    ``cost`` is an estimate for one day in money; ``count`` how many cases. ``is_enough`` is false for too few cases to say
    anything. ``scope`` is what it is about (a strategy, family, venue or check); empty for the whole day.
    """

    kind: ClassVar[str] = "eval.finding"

    finding: Name
    rule: Name
    day: Name
    text: Text
    at: Nanoseconds
    scope: Text = ""
    cost: Money = 0
    count: Integer = 0
    is_enough: bool = True
    evidence: Rows[Evidence] = ()

    def key(self) -> tuple[str, ...]:
        return (token(self.rule), token(self.finding))


class Tally(Record):
    """What a stretch of the tape came to on the paper machine. ``drawdown`` is the deepest fall of equity, positive.

    ``errors`` are orders that failed: refused by the venue, unknown, or not acted on by execution.
    """

    trades: Integer = 0
    orders: Integer = 0
    fills: Integer = 0
    rejections: Integer = 0
    errors: Integer = 0
    profit: Money = 0
    drawdown: Money = 0


class ChangeProposal(Message):
    """A change for the operator to decide on, with what it would have done to the day.

    ``without`` and ``changed`` are the day as it was and with the change, both simulated; ``None`` when it could not be
    measured, and ``detail`` says why. ``differing`` counts decisions that differ. ``model`` and ``prompt`` say who made it.
    """

    kind: ClassVar[str] = "eval.proposal"

    proposal: Name
    edit: Edit
    day: Name
    reason: Text
    at: Nanoseconds
    expires_at: Nanoseconds
    findings: Rows[FindingId] = ()
    model: Text = ""
    prompt: Text = ""
    without: Tally | None = None
    changed: Tally | None = None
    differing: Integer = 0
    detail: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.proposal),)

    @property
    def is_measured(self) -> bool:
        """Whether its effect on the day is known."""
        return self.without is not None and self.changed is not None


class Counterfactual(Message):
    """The stretch since a change, simulated with it (``changed``) and without (``without``).

    ``differing`` is the number of closed trades that are not the same in both, ``noise`` the root of the sum of the
    squares of their differences in profit: the standard deviation of the whole difference if each were as likely a gain
    as a loss. ``None`` when it could not be simulated; ``detail`` says why.
    """

    kind: ClassVar[str] = "eval.counterfactual"

    proposal: Name
    minutes: Integer
    at: Nanoseconds
    without: Tally | None = None
    changed: Tally | None = None
    differing: Integer = 0
    noise: Money = 0
    detail: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.proposal),)


class ChangeStep(Word):
    """What a machine did with a change."""

    APPLIED = "applied"
    REFUSED = "refused"
    REVERTED = "reverted"
    REVERT_REFUSED = "revert_refused"
    ENDED = "ended"
    """The configuration itself has another value since: that counts."""


class AppliedChange(Message):
    """What a machine did with a change of one of its sections.

    ``section_hash`` is that of the section as it is now; ``reason`` says why something was refused.
    """

    proposal: Name
    edit: Edit
    step: ChangeStep
    section_hash: Name
    at: Nanoseconds
    reason: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.proposal),)


class SignalChange(AppliedChange):
    """The signal machine applied, refused or took back a change of one of its sections.

    ``section_hash`` is that of the section as it is now; ``reason`` says why something was refused.
    """

    kind: ClassVar[str] = "signal.change"


class ExitChange(AppliedChange):
    """The exit machine applied, refused or took back a change of its section; fields as in ``signal.change``."""

    kind: ClassVar[str] = "exit.change"


class Checkpoint(Message):
    """So many minutes after a change: the evaluator is asked what the time since would have been without it.

    ``from_seq`` is where the change was applied on the tape, ``to_seq`` where the stretch ends.
    """

    kind: ClassVar[str] = "monitor.checkpoint"

    proposal: Name
    edit: Edit
    minutes: Integer
    from_seq: Integer
    to_seq: Integer
    at: Nanoseconds

    def key(self) -> tuple[str, ...]:
        return (token(self.proposal),)


class Ruling(Word):
    """What a look at a change came to."""

    KEEP = "keep"
    """No worse than noise explains; later looks may still say otherwise."""
    REVERT = "revert"
    UNKNOWN = "unknown"
    """Nobody answered, or it could not be simulated: the change stays, and an alert says so."""


class Verdict(Message):
    """What the monitor makes of a checkpoint.

    ``loss`` is profit without less profit with the change, in money; ``limit`` what noise explains of it.
    """

    kind: ClassVar[str] = "monitor.verdict"

    proposal: Name
    minutes: Integer
    ruling: Ruling
    reason: Text
    at: Nanoseconds
    loss: Money = 0
    limit: Money = 0

    def key(self) -> tuple[str, ...]:
        return (token(self.proposal),)


class Revert(Message):
    """Take a change back, once, within the hour that its acceptance allows. The same change is barred until then."""

    kind: ClassVar[str] = "monitor.revert"

    proposal: Name
    edit: Edit
    reason: Text
    at: Nanoseconds
    barred_until: Nanoseconds

    def key(self) -> tuple[str, ...]:
        return (token(self.proposal),)
