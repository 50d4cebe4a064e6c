"""No decision before what it rests on: causes precede, time does not go back, results are not known early."""

from libs.portfolio.payouts import payouts_of
from proto.feed import Market
from proto.ids import parse_message_id
from proto.message import Message
from proto.risk import Approval
from proto.subjects import MACHINE_ORDER
from tools.research.verdicts import Verdict


class TimeChecked:
    """Follows the order of the tape."""

    def __init__(self) -> None:
        self._at = 0
        self._decided: set[str] = set()
        self._causes = Verdict("causes", "every decision comes after the message that caused it")
        self._forward = Verdict("forward", "no input is older than one that was decided on before it")
        self._results = Verdict("results", "no entry is approved in a market whose result is on the tape")

    @property
    def verdicts(self) -> list[Verdict]:
        """Its checks."""
        return [self._causes, self._forward, self._results]

    def add(self, seq: int, producer: str, message_id: str, message: Message) -> None:
        """Take one message of the tape."""
        if producer in MACHINE_ORDER:
            identity = parse_message_id(message_id)
            cause = -1 if identity is None else identity.cause
            self._causes.check(0 <= cause < seq, seq, "a cause before it", cause)
        elif producer == "feed":
            at = getattr(message, "at", 0)
            self._forward.check(at >= self._at, seq, f"{self._at} or later", at)
            self._at = max(self._at, at)
        if isinstance(message, Market) and payouts_of(message):
            self._decided.add(message.market)
        elif isinstance(message, Approval) and not message.reduce_only:
            decided = message.market in self._decided
            self._results.check(
                not decided, seq, "an undecided market", f"{message.market}, which is decided"
            )
