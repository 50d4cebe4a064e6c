"""The advisor's shell: puts the machine's questions to a provider, and their answers onto the tape.

A question is asked when it was read back from the tape, once: its id is in the log before the request leaves. One that
is in the log of an earlier process and has no answer may have been paid for: it ends as ``failed(lost)``.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from libs.machine.host import Fact, Host
from libs.runtime.service import Context
from libs.tasks import cancel_all
from proto.advisor import AnswerStatus, ModelAnswer, Question
from proto.operator import Mode
from proto.units import SECOND
from services.advisor.asked import AskedLog
from services.advisor.calls import Call, answer_of
from services.advisor.figures import figures_of
from services.advisor.machine import AdvisorMachine
from services.advisor.params import AdvisorParams
from services.advisor.providers import Provider, SdkMissing, make_provider

LOOK_S = 0.2
"""Between two looks for questions; an answer takes seconds."""
TIME_LEFT_MIN = 0.5
"""Part of an answer's time that must be left for a question to be asked. After a restart some have waited: asked with a
second left they would end as the provider's failure, and three of those leave it alone for a quarter of an hour."""

ProviderFactory = Callable[[AdvisorParams], Provider]

log = logging.getLogger("presage.advisor")


class AdvisorShell:
    """Asks for the advisor machine of one host."""

    def __init__(self, context: Context, host: Host, make: ProviderFactory) -> None:
        self._host = host
        self._make = make
        self._asked = AskedLog(context.layout.root / "advisor" / "asked.log")
        self._provider: Provider | None = None
        self._made_for: tuple[str, str] | None = None
        self._refusal = ""
        self._making = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._counts = dict.fromkeys(AnswerStatus, 0)
        self._seconds = 0.0
        self._requests = 0

    @property
    def _machine(self) -> AdvisorMachine:
        machine = self._host.runners[0].machine
        assert isinstance(machine, AdvisorMachine)
        return machine

    async def run(self) -> None:
        """Look for questions until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                if self._host.status.live:
                    self._look()
        finally:
            await cancel_all(self._tasks.values())
            if self._provider is not None:
                await self._provider.close()
            self._asked.close()

    def _look(self) -> None:
        """Begin with each stored question that nobody is at yet, as many as may be under way."""
        for name, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[name]
                task.result()
        state = self._machine.state
        if state.params is None:
            return
        for name, held in state.open.items():
            if len(self._tasks) >= state.params.calls_max_count:
                return
            if held.is_stored and name not in self._tasks:
                self._tasks[name] = asyncio.create_task(self._handle(held.question, state.params))

    async def _handle(self, question: Question, params: AdvisorParams) -> None:
        """Answer one question, and wait until its answer has come back from the tape."""
        answer = await self._answer(question, params)
        self._counts[answer.status] += 1
        self._seconds += answer.latency_ms / 1_000
        self._requests += answer.calls
        await self._host.publish_fact(Fact(answer))
        while question.question in self._machine.state.open:
            await asyncio.sleep(LOOK_S)

    async def _answer(self, question: Question, params: AdvisorParams) -> ModelAnswer:
        now = self._host.now
        price = params.price_of(question.model)
        prompt = self._machine.state.prompts.get(question.prompt)
        left_s = (question.answer_by - now) / SECOND
        if question.question in self._asked:
            return answer_of(
                question,
                now,
                AnswerStatus.FAILED,
                "lost: asked before a restart, its answer never came",
                cost=question.reserve,
            )
        if self._is_playback():
            return answer_of(question, now, AnswerStatus.ABSTAIN, "playback: nobody is asked")
        if price is None or prompt is None:
            return answer_of(question, now, AnswerStatus.FAILED, "request: its price or its prompt is gone")
        if left_s < params.answer_s * TIME_LEFT_MIN:
            return answer_of(question, now, AnswerStatus.FAILED, "late: it was not asked in time")
        provider = await self._provider_for(params)
        if provider is None:
            return answer_of(question, now, AnswerStatus.FAILED, f"request: {self._refusal}")
        if question.reserve > self._asked.left(now, params.day_cap, params.month_cap):
            # The machine's account is a fold of answers on the tape, which somebody may have forged: this one is ours.
            return answer_of(
                question, now, AnswerStatus.FAILED, "budget: by what was paid here, none is left"
            )
        try:
            self._asked.add(question.question, now, question.reserve)
        except OSError as e:
            # What cannot be remembered must not leave: it could be paid for twice.
            return answer_of(
                question, now, AnswerStatus.FAILED, f"request: the log cannot be written: {e.strerror}"
            )
        call = Call(provider, question, prompt, price, lambda: self._host.now)
        answer = await call.run(min(left_s, params.answer_s))
        with suppress(OSError):
            self._asked.settle(question.question, answer.cost)
        return answer

    def _is_playback(self) -> bool:
        return self._host.runners[0].input_gate.state.timeline.mode is not Mode.REALTIME

    async def _provider_for(self, params: AdvisorParams) -> Provider | None:
        """The client for these settings; ``None`` and a reason when there can be none."""
        wanted = (params.provider, params.base_url)
        async with self._making:
            if self._made_for != wanted:
                await self._make_provider(params)
                self._made_for = wanted
            return self._provider

    async def _make_provider(self, params: AdvisorParams) -> None:
        if self._provider is not None:
            await self._provider.close()
        self._provider, self._refusal = None, ""
        try:
            # A second of imports, at the first question: nothing else waits for it in this process.
            self._provider = await asyncio.to_thread(self._make, params)
        except (SdkMissing, ValueError) as e:
            self._refusal = str(e)
            log.error("no provider", extra={"detail": str(e)})

    def report(self) -> dict[str, Any]:
        """What the advisor adds to its health report."""
        if not self._host.runners:
            return {}
        return {
            "advisor": {
                "refusal": self._refusal,
                "answers": {status.value: count for status, count in self._counts.items()},
                "seconds": round(self._seconds, 3),
                "requests": self._requests,
                **figures_of(self._machine.state, self._host.now),
            }
        }


def factory_for(sandbox_url: str, keys: dict[str, str]) -> ProviderFactory:
    """Makes providers: the sandbox's models at their address, the others with their key."""

    def make(params: AdvisorParams) -> Provider:
        if params.provider == "sandbox":
            if not sandbox_url:
                raise ValueError("expected the sandbox's models, was a run without them")
            return make_provider("openai", sandbox_url, "")
        key = keys.get(params.provider, "")
        if not key and not params.base_url:
            raise ValueError(f"expected a key for {params.provider}, was none")
        return make_provider(params.provider, params.base_url, key)

    return make
