"""One question, from its request to the fact of its answer, within one deadline and at most once paid."""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from proto.advisor import PASSAGE_CHARACTERS_MAX, SHORT_CHARACTERS_MAX, AnswerStatus, ModelAnswer, Question
from proto.message import as_text
from proto.units import Money
from services.advisor.opinion import Verdict, judge
from services.advisor.params import ModelPrice
from services.advisor.proposing import ROLE, judge_changes
from services.advisor.providers import CallFailed, Provider, Reply
from services.advisor.spend import cost_of

RETRIES_MAX = 2
"""Of a request that was refused unpaid (429, 503, 529, no connection), within the same deadline."""
RETRY_WAIT_S = 1.0
"""Where the provider does not say how long."""
UNKNOWN_COST = ("timeout", "connection", "garbage", "server", "error", "lost")
"""Failures after which an answer may have been computed: what was held back counts as spent."""

log = logging.getLogger("presage.advisor")


def answer_of(
    question: Question, at: int, status: AnswerStatus, detail: str, *, cost: Money = 0, calls: int = 0
) -> ModelAnswer:
    """An answer without content."""
    return ModelAnswer(
        question=question.question,
        market=question.market,
        role=question.role,
        status=status,
        at=at,
        detail=as_text(detail),
        cost=cost,
        calls=calls,
    )


class Call:
    """Asks one question. ``now`` gives the session's time (ns) for the answer."""

    def __init__(
        self, provider: Provider, question: Question, prompt: str, price: ModelPrice, now: Callable[[], int]
    ) -> None:
        self._provider = provider
        self._question = question
        self._prompt = prompt
        self._price = price
        self._now = now
        self._calls = 0

    async def run(self, limit_s: float) -> ModelAnswer:
        """Ask, for at most ``limit_s`` in all. Never raises but for cancellation."""
        began = monotonic()
        try:
            async with asyncio.timeout(limit_s):
                reply = await self._ask_until(began + limit_s)
        except TimeoutError:
            made = self._failed("timeout", f"timeout: expected an answer within {limit_s:g} s")
        except CallFailed as e:
            made = self._failed(e.kind, str(e), is_unpaid=e.is_unpaid)
        except Exception as e:  # noqa: BLE001 - see below
            # The SDKs raise what they like for a server that is none of theirs: it is no forecast, and no more.
            log.warning("provider failed", extra={"detail": f"{type(e).__name__}"})
            made = self._failed("error", f"error: {type(e).__name__}")
        else:
            made = self._answered(reply)
        return made.replace(latency_ms=round((monotonic() - began) * 1_000), calls=self._calls)

    async def _ask_until(self, end_s: float) -> Reply:
        """Ask again after refusals that cost nothing, while there is time for what the provider asks us to wait."""
        while True:
            self._calls += 1
            try:
                return await self._provider.ask(self._question, self._prompt)
            except CallFailed as e:
                wait_s = RETRY_WAIT_S if e.retry_after_s is None else e.retry_after_s
                if not e.is_unpaid or self._calls > RETRIES_MAX or monotonic() + wait_s >= end_s:
                    raise
                await asyncio.sleep(wait_s)

    def _failed(self, kind: str, detail: str, *, is_unpaid: bool = False) -> ModelAnswer:
        cost = self._question.reserve if kind in UNKNOWN_COST and not is_unpaid else 0
        return answer_of(self._question, self._now(), AnswerStatus.FAILED, detail, cost=cost)

    def _answered(self, reply: Reply) -> ModelAnswer:
        cost = cost_of(self._price, reply.tokens_in, reply.tokens_out, reply.searches)
        if not reply.tokens_in and not reply.tokens_out:
            # It does not say what it used: what was held back is the most it can be.
            cost = self._question.reserve
        verdict = self._verdict(reply)
        return answer_of(self._question, self._now(), verdict.status, verdict.detail, cost=cost).replace(
            model=_clean(reply.model, SHORT_CHARACTERS_MAX),
            probability=verdict.probability,
            low=verdict.low,
            high=verdict.high,
            reasons=verdict.reasons,
            sources=verdict.sources,
            raw=_clean(reply.text, PASSAGE_CHARACTERS_MAX),
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            searches=reply.searches,
        )

    def _verdict(self, reply: Reply) -> Verdict:
        if reply.stop == "refused":
            return Verdict(AnswerStatus.REFUSED, detail="the model would not answer")
        if reply.stop == "cut":
            return Verdict(AnswerStatus.FAILED, detail="cut: the answer was longer than its tokens")
        if self._question.role == ROLE:
            return judge_changes(reply.text)
        return judge(reply.text, reply.sources)


def _clean(text: str, characters_max: int) -> str:
    return text[:characters_max].encode("utf-8", "replace").decode()
