"""The one table of subjects: what is on the tape, who writes it, who reads it.

Broker permissions, the AsyncAPI document and the reference page are made from it; tests fail when
they drift. The first token of a subject is the service that may publish it.
"""

from functools import lru_cache
from typing import NamedTuple

from proto import advisor, evaluation, execution, exit, feed, monitor, operator, risk, service, signal, venue
from proto.message import Message

TAPE = "TAPE"
"""The stream that carries everything."""
LEDGER = "LEDGER"
"""The stream of claims; ``TAPE`` sources it. In a cluster execution copies claims onto ``TAPE`` itself."""
LEASE = "LEASE"
"""The stream of leases, one subject a service, where the broker is a cluster."""

SERVICES = ("feed", "signal", "risk", "execution", "exit", "journal", "monitor")
"""Services that always run, in the order they are started."""
OPTIONAL_SERVICES = ("advisor",)
"""Services that run when they are asked for."""
ALL_SERVICES = (*SERVICES, *OPTIONAL_SERVICES)
"""Services with credentials of their own."""
CONSOLE = "console"
"""The process that shows the tape to browsers: it publishes nothing but what an operator commands there."""

EVALUATOR = "eval"
"""The process that measures changes on recorded time: no machine, no part in trading."""

MACHINE_ORDER = ("signal", "risk", "execution", "paper", "exit", "monitor", "advisor")
"""Machines in their fixed order: lockstep grants outputs of one cause in this order."""


class Row(NamedTuple):
    """A kind of message: its model, the service that publishes it, and who reads it."""

    model: type[Message]
    producer: str
    readers: tuple[str, ...]
    about: str

    @property
    def kind(self) -> str:
        return self.model.kind

    @property
    def pattern(self) -> str:
        """The subject with wildcards, as a subscriber would write it."""
        if self.model is service.Started:
            return "*.started"
        return f"{self.kind}.>" if self.model.key is not Message.key else self.kind


_DECIDING = ("signal", "risk", "execution", "paper", "exit", "monitor", "advisor")
_TRADING = ("risk", "execution", "paper", "exit", "monitor")
_CHANGEABLE = ("signal", "exit")
"""Machines with settings that may change while they run."""

TABLE: tuple[Row, ...] = (
    Row(feed.Quote, "feed", _DECIDING, "best bid or ask changed"),
    Row(feed.Book, "feed", _DECIDING, "top levels, at most ten times a second an instrument"),
    Row(feed.Trade, "feed", ("signal", "paper", "monitor", "advisor"), "a trade at the venue"),
    Row(feed.Candle, "feed", ("signal",), "a reference price's closed candle"),
    Row(feed.Market, "feed", _DECIDING, "listing, status, strike and result of a market"),
    Row(feed.Gap, "feed", _DECIDING, "continuity lost"),
    Row(feed.News, "feed", ("signal", "advisor"), "an item of a news feed"),
    Row(feed.FeedClock, "feed", _DECIDING, "recorded time passes"),
    Row(feed.Played, "feed", ("monitor",), "a recording came to its end"),
    Row(signal.Proposal, "signal", ("risk", "exit", "monitor"), "a strategy wants to open a position"),
    Row(risk.Approval, "risk", ("execution", "exit", "monitor"), "an order risk allows, signed"),
    Row(risk.Rejection, "risk", ("exit", "monitor"), "a refusal with every failed check"),
    Row(risk.Pending, "risk", ("monitor",), "an order waiting for the operator"),
    Row(risk.PortfolioReport, "risk", ("monitor",), "risk's books, once a minute"),
    Row(execution.OrderUpdate, "execution", ("risk", "exit", "monitor"), "an order changed state"),
    Row(execution.Cancel, "execution", ("paper", "monitor"), "cancel at the venue"),
    Row(execution.Query, "execution", ("paper", "monitor"), "look an order up at the venue"),
    Row(execution.Refusal, "execution", ("monitor",), "an approval that was not acted on"),
    Row(execution.Unclaimed, "execution", ("execution", "monitor"), "no claim was made, none will be"),
    Row(execution.Claim, "ledger", ("execution", "paper", "monitor"), "the right to send an order"),
    Row(venue.Ack, "venue", ("execution", "monitor"), "the venue answered for an order"),
    Row(venue.Fill, "venue", ("risk", "execution", "exit", "monitor"), "a trade of ours"),
    Row(venue.TradeState, "venue", ("execution", "monitor"), "a fill on its way to finality"),
    Row(
        venue.Settlement,
        "venue",
        ("risk", "execution", "exit", "monitor"),
        "the venue paid an instrument out",
    ),
    Row(venue.Correction, "venue", ("risk", "execution", "exit", "monitor"), "a fill taken back"),
    Row(venue.Account, "venue", ("risk", "execution", "exit", "monitor"), "money in or out"),
    Row(venue.Reconciliation, "venue", ("execution", "monitor"), "our books beside the venue's"),
    Row(venue.StatusReport, "venue", ("execution",), "answer to a look-up"),
    Row(exit.ExitProposal, "exit", ("risk", "monitor"), "reduce a position"),
    Row(exit.ExitCancel, "exit", ("execution", "monitor"), "withdraw a working exit"),
    Row(exit.PositionUpdate, "exit", ("monitor",), "a position moved to another stage"),
    Row(risk.ExitPortfolioReport, "exit", ("monitor",), "exit's books, once a minute"),
    Row(operator.Session, "operator", _DECIDING, "a session opens"),
    Row(operator.Config, "operator", _DECIDING, "a resolved section of the configuration"),
    Row(
        operator.Command,
        "operator",
        ("signal", *_TRADING, "advisor"),
        "halt, resume, approve, deny, skip, flatten, accept, reject",
    ),
    Row(monitor.Clock, "monitor", _DECIDING, "the time, once a second"),
    Row(monitor.Health, "monitor", (), "a service's health changed"),
    Row(monitor.Alert, "monitor", (), "something an operator must know"),
    Row(monitor.Dead, "monitor", (), "unreadable input, with its reason"),
    Row(evaluation.Finding, EVALUATOR, ("advisor",), "what a day lost, and how"),
    Row(advisor.Suggestion, "advisor", (), "a change that a model proposes, not yet measured"),
    Row(
        evaluation.ChangeProposal, EVALUATOR, ("advisor",), "a measured change for the operator to decide on"
    ),
    Row(evaluation.SignalChange, "signal", ("monitor", "advisor"), "signal applied or took back a change"),
    Row(evaluation.ExitChange, "exit", ("monitor", "advisor"), "exit applied or took back a change"),
    Row(evaluation.Checkpoint, "monitor", (), "the evaluator is asked what a change has done"),
    Row(evaluation.Counterfactual, EVALUATOR, ("monitor",), "the time since a change, with and without it"),
    Row(evaluation.Verdict, "monitor", (), "what the monitor makes of a change"),
    Row(evaluation.Revert, "monitor", (*_CHANGEABLE, "advisor"), "take a change back"),
    Row(advisor.Question, "advisor", ("advisor",), "a question to a model, with all it is told"),
    Row(advisor.ModelAnswer, "advisor", ("advisor",), "what came of a question, and what it cost"),
    Row(
        advisor.Forecast,
        "advisor",
        ("signal", "monitor"),
        "the pooled forecast of a market, weighed against its price",
    ),
    Row(advisor.Lesson, "advisor", (), "what a forecast was worth once its market ended"),
    Row(advisor.Score, "advisor", (), "the record of a forecaster beside the market's"),
    Row(service.Started, "*", (), "a machine started"),
    Row(service.Anchor, "journal", ("monitor",), "head of the journal's hash chain"),
)

_BY_KIND: dict[str, type[Message]] = {row.kind: row.model for row in TABLE}

# Subjects a service may publish besides its own prefix.
EXTRA_PUBLISH: dict[str, tuple[str, ...]] = {"execution": ("venue.>",)}


@lru_cache(maxsize=1024)
def model_of(subject: str) -> type[Message] | None:
    """The message class carried by ``subject``, or ``None`` for a subject that is not in the table."""
    first, _, rest = subject.partition(".")
    second = rest.partition(".")[0]
    if second == service.Started.kind:
        return service.Started
    return _BY_KIND.get(f"{first}.{second}")


def tape_subjects() -> tuple[str, ...]:
    """What ``TAPE`` stores from publishers; claims reach it through ``LEDGER`` alone."""
    return (*(f"{name}.>" for name in (*ALL_SERVICES, EVALUATOR)), "venue.>", "operator.>")
