"""The advisor machine: what models are asked, what it may cost, and what their answers are worth."""

from collections.abc import Sequence
from typing import ClassVar

from libs.bounded import cut, keep_newest
from libs.forecasting.odds import clamp_forecast, clamp_market, is_saturated, pool
from libs.indicators.tops import Tops
from libs.machine.machine import NOTHING, Stamp, StateMachine
from libs.machine.routes import AfterTops
from libs.portfolio.payouts import payouts_of
from proto.advisor import SOURCES_MAX, AnswerStatus, Forecast, Influence, ModelAnswer, Question, RoleForecast
from proto.evaluation import ChangeProposal, ExitChange, Finding, Revert, SignalChange
from proto.feed import Book, FeedClock, Gap, InstrumentKind, Market, MarketStatus, News, Quote, Trade
from proto.message import Message
from proto.monitor import Clock
from proto.operator import Command, Config, Session
from proto.units import ONE, SECOND, Nanoseconds, Price, as_money, later, notional
from services.advisor import decided, proposing, record
from services.advisor.asking import (
    SCEPTIC,
    Unasked,
    candidates,
    feeds_for,
    mid_price,
    question_for,
    roster_of,
)
from services.advisor.evidence import hosts_of, new_sampler
from services.advisor.news import ITEMS_MAX, item_of
from services.advisor.params import AdvisorParams, PromptParams, RoleSettings
from services.advisor.state import (
    DONE_MAX,
    FAILURES_MAX,
    FAILURES_WINDOW_S,
    MARKETS_MAX,
    PAUSE_S,
    AdvisorState,
    OpenQuestion,
    RoleAnswer,
    Round,
)

SECTION = "advisor"
PROMPTS_SECTION = "advisor.prompts"
LATE_S = 15
"""Beyond the time for an answer: it is on its way from the shell to the tape."""
ROLES_MIN = 2
"""One voice is no pool: fewer forecasts, and the advisor abstains (of a roster of one, one is all)."""
COUNTED = (AnswerStatus.FORECAST, AnswerStatus.SATURATED)


class AdvisorMachine(StateMachine[AdvisorState]):
    """Asks in cycles, pools answers, learns from outcomes; see README.md."""

    name: ClassVar[str] = "advisor"
    version: ClassVar[int] = 6
    """6: earlier decisions of the operator are examples for the evaluator. 5: suggests changes for the findings of a day. 4: markets without a close are asked about by their expected end.
    3: forecasts are calibrated. 2: news are part of what the roles news and sceptic are told, forecasts are scored by
    their sources, and only failures of requests that were made count against a provider."""

    def __init__(self) -> None:
        super().__init__(AdvisorState())
        self.handlers = {
            Quote: self._on_quote,
            Book: self._on_book,
            Trade: self._on_trade,
            Gap: self._on_gap,
            News: self._on_news,
            Market: self._on_market,
            Clock: self._on_clock,
            FeedClock: self._on_clock,
            Question: self._on_question,
            ModelAnswer: self._on_answer,
            Session: self._on_session,
            Config: self._on_config,
            Finding: self._on_finding,
            SignalChange: self._on_change,
            ExitChange: self._on_change,
            Revert: self._on_revert,
            ChangeProposal: self._on_proposal,
            Command: self._on_command,
        }

    # ── prices and markets ─────────────────────────────────────────────────────────────────────────

    @property
    def tops(self) -> Tops:
        return self.state.tops

    def after_tops(self) -> AfterTops:
        return AfterTops()

    def _on_quote(self, quote: Quote, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        self.state.tops.on_quote(quote)
        return NOTHING

    def _on_book(self, book: Book, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        self.state.tops.on_book(book)
        return NOTHING

    def _on_gap(self, gap: Gap, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        self.state.tops.on_gap(gap)
        return NOTHING

    def _on_trade(self, trade: Trade, stamp: Stamp) -> Sequence[Message]:
        sampler = self.state.underlyings.get(trade.instrument)
        if sampler is not None:
            if trade.price:
                sampler.add(stamp.now, trade.price)
            return NOTHING
        market = trade.instrument.rpartition(":")[0]
        if market in self.state.markets:
            before = self.state.volumes.get(market, 0)
            self.state.volumes[market] = as_money(before + notional(trade.price, trade.quantity))
        return NOTHING

    def _on_news(self, news: News, stamp: Stamp) -> Sequence[Message]:
        item = item_of(news, stamp.now)
        if item is not None and news.item not in self.state.news:
            self.state.news[news.item] = item
            keep_newest(self.state.news, ITEMS_MAX)
        return NOTHING

    def _on_market(self, market: Market, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        if market.instrument_kind is not InstrumentKind.OUTCOME:
            return NOTHING
        if market.status is not MarketStatus.SETTLED:
            state.markets[market.market] = market
            keep_newest(state.markets, MARKETS_MAX)
            if market.underlying and market.underlying not in state.underlyings:
                state.underlyings[market.underlying] = new_sampler()
                keep_newest(state.underlyings, MARKETS_MAX)
            return NOTHING
        # The last message may say less of the market than those before it.
        known = state.markets.pop(market.market, market)
        state.volumes.pop(market.market, None)
        state.rounds.pop(market.market, None)
        for outcome in known.outcomes:
            state.tops.forget(outcome.instrument)
        payouts = payouts_of(market)
        paid = payouts.get(market.outcomes[0].instrument) if payouts else None
        outcomes_min = state.params.outcomes_min_count if state.params is not None else 0
        if paid not in (0, ONE):
            record.drop(state, market.market)
            return NOTHING
        return record.settle(state, known, stamp.now, outcomes_min, happened=paid == ONE)

    # ── session and configuration ──────────────────────────────────────────────────────────────────

    def _on_session(self, session: Session, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        state.tape = session.tape
        state.tops.on_session()
        state.started_at = stamp.now
        state.cycle_at = min(state.cycle_at, stamp.now)
        state.paused_until = min(state.paused_until, stamp.now)
        state.failures.clear()
        # Their answers may come; what they were for is over.
        state.rounds.clear()
        return NOTHING

    def _on_config(self, config: Config, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        proposing.on_config(self.state.proposing, config)
        if config.section == SECTION:
            self.state.params = AdvisorParams.model_validate(config.document)
        elif config.section == PROMPTS_SECTION:
            self.state.prompts = PromptParams.model_validate(config.document).texts
        elif config.section == "execution":
            self.state.is_live_money = bool(config.document.get("live_venues"))
        return NOTHING

    # ── findings of a day ──────────────────────────────────────────────────────────────────────────

    def _on_change(self, event: SignalChange | ExitChange, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        proposing.on_change(self.state.proposing, event)
        decided.on_change(self.state.proposing.queue, event)
        return NOTHING

    def _on_proposal(self, proposal: ChangeProposal, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        decided.on_proposal(self.state.proposing.queue, proposal)
        return NOTHING

    def _on_command(self, command: Command, stamp: Stamp) -> Sequence[Message]:
        decided.on_command(self.state.proposing.queue, command, stamp.now)
        return NOTHING

    def _on_revert(self, event: Revert, stamp: Stamp) -> Sequence[Message]:
        proposing.on_revert(self.state.proposing, event, stamp.now)
        return NOTHING

    def _on_finding(self, finding: Finding, stamp: Stamp) -> Sequence[Message]:
        """With the finding that sums the day up, which comes last, a model is asked what to change."""
        state, params = self.state, self.state.params
        proposing.on_finding(state.proposing, finding)
        if (
            finding.rule != proposing.DAY_RULE
            or params is None
            or params.provider == "none"
            or not state.tape
        ):
            return NOTHING
        state.spend.roll(stamp.now)
        prompt = state.prompts.get(proposing.PROMPT)
        question = proposing.question_of(state.proposing, params, prompt, finding, stamp.now)
        if isinstance(question, Unasked):
            state.why_idle = question.why
            return NOTHING
        return self._put(question, params)

    # ── the cycle ──────────────────────────────────────────────────────────────────────────────────

    def _on_clock(self, clock: Clock | FeedClock, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        state, params, now = self.state, self.state.params, stamp.now
        if params is None or not state.tape or params.provider == "none":
            return NOTHING
        state.spend.roll(now)
        out: list[Message] = []
        for due in [held for held in state.rounds.values() if now >= held.end_at]:
            out.extend(self._proceed(due, now, is_over=True))
        if self._is_due(params, now):
            state.cycle_at = now
            out.extend(self._begin_cycle(params, now))
        return out

    def _is_due(self, params: AdvisorParams, now: Nanoseconds) -> bool:
        state = self.state
        if now < state.paused_until:
            state.why_idle = "the provider failed again and again: it is left alone for a while"
            return False
        is_warm = now >= state.started_at + params.warmup_s * SECOND
        return is_warm and (not state.cycle_at or now - state.cycle_at >= params.cycle_s * SECOND)

    def _begin_cycle(self, params: AdvisorParams, now: Nanoseconds) -> list[Message]:
        state = self.state
        state.why_idle = ""
        out: list[Message] = []
        markets = candidates(state, params, now)
        if not markets:
            state.why_idle = "no market ends soon enough with a price that is narrow enough"
        for market in markets:
            held = Round(
                market.market,
                record.family_in(state, market),
                roster_of(params),
                later(now, (params.answer_s + LATE_S) * SECOND),
            )
            for role in params.roles:
                if role.role != SCEPTIC or len(params.roles) == 1:
                    out.extend(self._ask(held, market, role, now))
            if held.waiting:
                state.rounds[market.market] = held
        return out

    def _ask(self, held: Round, market: Market, role: RoleSettings, now: Nanoseconds) -> Sequence[Message]:
        """Put a question, if it may be put: known prices, money left, not asked before."""
        state, params = self.state, self.state.params
        assert params is not None
        others = [
            (name, answer.probability)
            for name, answer in held.answers.items()
            if answer.status in COUNTED and answer.probability is not None
        ]
        question = question_for(state, market, role, now, others if role.role == SCEPTIC else ())
        if isinstance(question, Unasked):
            state.why_idle = question.why
            return NOTHING
        out = self._put(question, params)
        if not out:
            return NOTHING
        held.waiting.append(question.question)
        held.answers[role.role] = RoleAnswer(
            question.question, question.prompt, question.model, sources=feeds_for(state, market, role, now)
        )
        return out

    def _put(self, question: Question, params: AdvisorParams) -> Sequence[Message]:
        """Ask, if it was not asked before and there is money for it."""
        state = self.state
        if question.question in state.open or question.question in state.done:
            return NOTHING
        if question.reserve > state.spend.left(params.day_cap, params.month_cap):
            state.why_idle = "the day's or the month's money for models is spent"
            return NOTHING
        state.spend.reserved[question.question] = question.reserve
        state.open[question.question] = OpenQuestion(question)
        return (question,)

    # ── answers ────────────────────────────────────────────────────────────────────────────────────

    def _on_question(self, question: Question, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        held = self.state.open.get(question.question)
        if held is not None:
            held.is_stored = True
        return NOTHING

    def _on_answer(self, answer: ModelAnswer, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        opened = state.open.pop(answer.question, None)
        if opened is None:
            return NOTHING
        state.done[answer.question] = 1
        keep_newest(state.done, DONE_MAX)
        state.spend.roll(stamp.now)
        state.spend.settle(answer.question, answer.cost)
        self._count_failure(answer, stamp.now)
        question = opened.question
        if question.role == proposing.ROLE:
            made = proposing.suggestions_of(state.proposing, question, answer, stamp.now)
            for suggestion in made:
                decided.on_suggestion(state.proposing.queue, suggestion, stamp.now)
            return made
        held = state.rounds.get(question.market)
        if held is None or answer.question not in held.waiting:
            return NOTHING
        held.waiting.remove(answer.question)
        said = held.answers[question.role]
        said.status = answer.status
        said.probability = answer.probability if answer.status in COUNTED else None
        said.reasons = answer.reasons
        said.sources = list(dict.fromkeys([*said.sources, *hosts_of(answer.sources)]))[:SOURCES_MAX]
        if said.probability is None and answer.status in COUNTED:
            said.status = AnswerStatus.FAILED
        return self._proceed(held, stamp.now, is_over=False)

    def _count_failure(self, answer: ModelAnswer, now: Nanoseconds) -> None:
        state = self.state
        if not answer.calls:
            # No request left, or nobody knows what came of it: that says nothing of the provider.
            return
        if answer.status is not AnswerStatus.FAILED:
            state.failures.clear()
            return
        recent = [at for at in state.failures if 0 <= now - at < FAILURES_WINDOW_S * SECOND]
        state.failures = [*recent, now][-FAILURES_MAX:]
        if len(state.failures) == FAILURES_MAX:
            state.paused_until = later(now, PAUSE_S * SECOND)
            state.failures.clear()

    def _proceed(self, held: Round, now: Nanoseconds, *, is_over: bool) -> Sequence[Message]:
        """All answers are here, or no more are waited for: ask the sceptic, or make the forecast."""
        state, params = self.state, self.state.params
        if held.waiting and not is_over:
            return NOTHING
        held.waiting.clear()
        market = state.markets.get(held.market)
        if market is None or params is None or len(market.outcomes) != 2:
            state.rounds.pop(held.market, None)
            return NOTHING
        sceptic = next((role for role in params.roles if role.role == SCEPTIC), None)
        has_others = any(said.status in COUNTED for said in held.answers.values())
        if sceptic and has_others and not held.has_asked_sceptic and SCEPTIC not in held.answers:
            held.has_asked_sceptic = True
            held.end_at = later(now, (params.answer_s + LATE_S) * SECOND)
            out = self._ask(held, market, sceptic, now)
            if out:
                return out
        del state.rounds[held.market]
        return (self._forecast(held, market, params, now),)

    def _forecast(self, held: Round, market: Market, params: AdvisorParams, now: Nanoseconds) -> Forecast:
        state = self.state
        said = [
            (name, f"{answer.prompt}@{answer.model}", clamp_forecast(answer.probability))
            for name, answer in held.answers.items()
            if answer.probability is not None
        ]
        instrument = market.outcomes[0].instrument
        price = mid_price(state.tops.tops.get(instrument))
        is_full = params.influence == "full" and not state.is_live_money
        made = Forecast(
            market=market.market,
            instrument=instrument,
            family=held.family,
            roster=held.roster,
            status=_status_without(held),
            influence=Influence.FULL if is_full else Influence.EARNED,
            at=now,
            expires_at=later(now, params.forecast_ttl_s * SECOND),
            price=price or 0,
            probability=price or 0,
            roles=tuple(
                RoleForecast(
                    name, answer.question, answer.prompt, answer.model, answer.status, answer.probability or 0
                )
                for name, answer in held.answers.items()
            ),
            reasons=_reasons(held),
        )
        if len(said) < min(ROLES_MIN, len(params.roles)) or price is None:
            return made
        sources = [
            (source, clamp_forecast(answer.probability))
            for answer in held.answers.values()
            if answer.probability is not None
            for source in answer.sources
        ]
        return self._weigh(made, said, sources, clamp_market(price), params.outcomes_min_count)

    def _weigh(
        self,
        made: Forecast,
        said: Sequence[tuple[str, str, Price]],
        sources: Sequence[tuple[str, Price]],
        price: Price,
        outcomes_min: int,
    ) -> Forecast:
        """The forecast with its pool, calibrated where that is known, and the price moved as far as its record allows."""
        pooled = pool([probability for _, _, probability in said])
        calibrator = record.calibrator_of(self.state, made.family, made.roster)
        calibrated = calibrator.calibrate(pooled)
        calibrator.add(made.market, pooled)
        at_bound = is_saturated(pooled) or is_saturated(calibrated)
        learner = record.learner_of(self.state, made.family, made.roster)
        weighed = learner.commit(made.market, calibrated, price, outcomes_min, may_move=not at_bound)
        if calibrator.is_active:
            record.note_calibrated(self.state, made.market, made.family, (made.roster, calibrated), price)
        record.note_forecast(self.state, made.market, made.family, (made.roster, pooled), said, price)
        record.note_sources(self.state, made.market, made.family, sources, price)
        is_full = made.influence is Influence.FULL
        return made.replace(
            status=AnswerStatus.SATURATED if at_bound else AnswerStatus.FORECAST,
            forecast=calibrated,
            probability=calibrated if is_full else weighed.probability,
            weight=ONE if is_full else weighed.weight,
            outcomes=learner.outcomes,
        )


def _status_without(held: Round) -> AnswerStatus:
    """Why there is no forecast, by what the roles said: the most telling of their states."""
    states = [answer.status for answer in held.answers.values()]
    for status in (AnswerStatus.CONTAMINATED, AnswerStatus.REFUSED, AnswerStatus.ABSTAIN):
        if status in states:
            return status
    return AnswerStatus.FAILED if AnswerStatus.FAILED in states else AnswerStatus.ABSTAIN


def _reasons(held: Round) -> str:
    """The first reason of each role, one a line."""
    lines = [
        f"{name}: {cut(answer.reasons.splitlines()[0], 400)}"
        for name, answer in held.answers.items()
        if answer.reasons.strip()
    ]
    return "\n".join(lines)[:2_500]
