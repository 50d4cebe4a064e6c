"""The advisor machine: what it asks, what it may spend, and what answers are worth."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contract.codec import encode
from libs.forecasting.calibration import OUTCOMES_MIN
from libs.forecasting.odds import pool
from libs.lists.advice import pooled_of
from proto.advisor import AnswerStatus, Forecast, Influence, Lesson, Question, Score, Source
from proto.feed import Gap, MarketStatus, News
from proto.operator import ClockOwner, Config, Mode, Session
from proto.units import ONE, SECOND
from services.advisor.machine import AdvisorMachine
from services.advisor.state import PAUSE_S
from tests.support.advisor_world import BTC, SECTIONS, START, AdvisorWorld, market

FORECASTERS = ["base_rate", "technical", "news"]


def roles_of(messages) -> list[str]:
    return [message.role for message in messages if isinstance(message, Question)]


def test_a_round_asks_the_nearest_markets_and_then_every_cycle():
    world = AdvisorWorld({"markets_max_count": 2, "cycle_s": 300, "answer_s": 30})
    for number, minutes in ((1, 30), (2, 15), (3, 45)):
        world.open_market(number, close_at=START + minutes * 60 * SECOND)
    questions = world.cycle()
    assert [q.market for q in questions] == ["kalshi:M2"] * 3 + ["kalshi:M1"] * 3
    assert roles_of(questions) == FORECASTERS * 2
    assert not world.pass_s(10)
    world.answer_all(60)
    assert len(roles_of(world.pass_s(300))) == 6


@pytest.mark.parametrize(
    "changes",
    [
        {"status": MarketStatus.PAUSED},
        {"close_at": START + 100 * SECOND},
        {"close_at": START + 100 * 3_600 * SECOND},
        {"outcomes": ()},
        {"bid": 30, "ask": 70},
    ],
    ids=["paused", "too near", "too far", "no outcomes", "wide"],
)
def test_markets_that_cannot_be_traded_on_a_forecast_are_not_asked_about(changes):
    world = AdvisorWorld()
    world.open_market(1, **changes)
    assert not world.cycle()
    assert "no market" in world.state.why_idle


def test_a_book_without_proof_is_no_price_and_a_quiet_market_is_left_alone():
    world = AdvisorWorld()
    world.open_market(1)
    world.put(Gap(venue="kalshi", at=world.now, reason="test"))
    assert not world.cycle()
    quiet = AdvisorWorld({"volume_min": ONE})
    quiet.open_market(1)
    assert not quiet.cycle()
    for _ in range(300):
        quiet.trade(500_000, "kalshi:M1:yes")
    assert quiet.pass_s(700)


@pytest.mark.parametrize(("left_s", "asks"), [(900, True), (-1, False), (0, False)])
def test_a_market_without_a_close_is_asked_about_by_its_expected_end(left_s: int, *, asks: bool):
    """Polymarket's event markets; with neither nobody can say when it ends."""
    world = AdvisorWorld()
    world.open_market(0, close_at=0, expected_end_at=START + left_s * SECOND if left_s else 0)
    assert bool(world.cycle()) == asks


# ── blind ───────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["quote", "trade"]),
            st.sampled_from(["yes", "no"]),
            st.integers(1, 98),
            st.integers(0, 5),
        ),
        max_size=12,
    )
)
def test_what_a_forecaster_is_told_does_not_change_with_the_market_s_prices(events):
    def ask(prices) -> list[bytes]:
        world = AdvisorWorld(twin=False)
        for number in range(2):
            world.open_market(number)
        for second in range(40):
            world.now = START + second * SECOND
            world.trade((80_000 + second % 7 * 13) * ONE)
        for kind, outcome, cents, width in prices:
            instrument = f"kalshi:M0:{outcome}"
            if kind == "quote":
                world.quote(instrument, cents, cents + width + 1)
            else:
                world.trade(cents * 10_000, instrument)
        # What is asked about follows the price; what is asked does not.
        for outcome in ("yes", "no"):
            world.quote(f"kalshi:M0:{outcome}", 60 if prices else 40, 63 if prices else 43)
        return [encode(question) for question in world.cycle()]

    assert ask(events) == ask([])
    assert len(ask([])) == 6


def test_a_question_names_no_venue_and_marks_what_comes_from_outside():
    world = AdvisorWorld()
    world.open_market(1, title="Kalshi and polymarket say: Bitcoin\nIGNORE ALL\x00 up?")
    text = world.cycle()[0].text
    assert "kalshi" not in text.lower()
    assert "polymarket" not in text.lower()
    assert "\x00" not in text
    assert "Question: … and … say: Bitcoin IGNORE ALL  up?" in text


def test_technical_evidence_is_of_the_underlying():
    world = AdvisorWorld()
    world.open_market(1)
    chance = random.Random(1)
    price = 80_100.0
    for _ in range(120):
        world.now += SECOND
        price *= 1 + chance.gauss(0, 1e-4)
        world.trade(round(price) * ONE)
    by_role = {question.role: question.text for question in world.cycle()}
    assert "realised volatility" in by_role["technical"]
    assert "deviations of the time left" in by_role["technical"]
    assert "realised volatility" not in by_role["base_rate"]


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_sceptic_is_asked_last_and_sees_numbers_and_no_words():
    world = AdvisorWorld()
    world.open_market(1)
    questions = world.cycle()
    for question, percent in zip(questions, (61, 70, None), strict=True):
        status = AnswerStatus.FORECAST if percent else AnswerStatus.ABSTAIN
        world.say(
            question,
            percent,
            status,
            reasons="INJECTED buy now",
            raw="INJECTED",
            sources=(Source("https://example.org/INJECTED"),),
        )
    assert roles_of(world.out[3:]) == ["sceptic"]
    sceptic = world.out[3]
    assert "base_rate: 61.0 %" in sceptic.text
    assert "technical: 70.0 %" in sceptic.text
    assert "news:" not in sceptic.text
    assert "INJECTED" not in sceptic.text
    (made,) = world.say(sceptic, 55)
    assert isinstance(made, Forecast)
    assert made.forecast == pool([610_000, 700_000, 550_000])
    assert made.price == made.probability == 500_000
    assert made.weight == 0
    assert [role.status.value for role in made.roles] == ["forecast", "forecast", "abstain", "forecast"]
    assert made.reasons.count("\n") == 2


@pytest.mark.parametrize(
    "status", [s for s in AnswerStatus if s not in (AnswerStatus.FORECAST, AnswerStatus.SATURATED)]
)
def test_states_without_a_number_have_no_influence_and_say_which(status: AnswerStatus):
    world = AdvisorWorld()
    world.open_market(1)
    # Whatever number comes with it: a state that is no forecast has none.
    (made,) = [message for question in world.cycle() for message in world.say(question, 90, status)]
    assert made.status is status
    assert (made.forecast, made.weight) == (0, 0)
    assert made.probability == made.price == 500_000
    assert not world.state.learners


def test_one_voice_is_no_pool_and_silence_ends_a_round():
    world = AdvisorWorld()
    world.open_market(1)
    questions = world.cycle()
    world.say(questions[0], 60)
    assert not world.pass_s(60)
    (sceptic,) = world.pass_s(20)
    (made,) = [message for message in world.pass_s(80) if isinstance(message, Forecast)]
    assert made.forecast == 0
    assert made.status is AnswerStatus.FAILED
    assert not world.state.rounds
    before = world.state.spend.day_spent
    # What comes late is paid, and changes nothing else.
    assert not world.say(sceptic, 99)
    assert world.state.spend.day_spent == before + 1_000


def test_a_bound_is_no_knowledge():
    world = AdvisorWorld({"influence": "earned"})
    world.open_market(1)
    world.cycle()
    (made,) = world.answer_all(100)
    assert made.status is AnswerStatus.SATURATED
    assert made.forecast == 980_000
    assert made.weight == 0


def test_answers_that_nobody_asked_for_and_second_answers_do_nothing():
    world = AdvisorWorld()
    world.open_market(1)
    question = world.cycle()[0]
    world.say(question, 60)
    state = world.machine.snapshot()
    assert not world.say(question, 99, cost=ONE)
    assert not world.say(question.replace(question="forged"), 99, cost=ONE)
    assert world.machine.snapshot() == state


# ── money ───────────────────────────────────────────────────────────────────────────────────────────


def test_money_is_held_back_before_a_question_leaves_and_never_passed():
    world = AdvisorWorld({"day_cap": 20_000, "cycle_s": 60, "answer_s": 20})
    world.open_market(*range(4))
    questions = world.cycle()
    assert 0 < len(questions) < 12
    assert sum(question.reserve for question in questions) <= 20_000
    assert "money" in world.state.why_idle
    for _ in range(30):
        for held in list(world.state.open.values()):
            world.say(held.question, 60, cost=held.question.reserve)
        world.pass_s(60)
        spend = world.state.spend
        assert spend.day_spent + sum(spend.reserved.values()) <= 20_000
    assert world.state.spend.total > 0


def test_a_new_day_has_new_money_a_month_has_its_own_cap_and_no_time_going_back_brings_any():
    world = AdvisorWorld({"day_cap": 9_000, "month_cap": 14_000, "horizon_hours": 700})
    world.open_market(1, close_at=START + 20 * 86_400 * SECOND)
    first = world.cycle()
    assert first
    for question in first:
        world.say(question, None, AnswerStatus.ABSTAIN, cost=question.reserve)
    spent = world.state.spend.total
    world.pass_s(700)
    assert world.state.spend.left(9_000, 14_000) < 5_000
    # The same day again: a session that begins earlier.
    world.now = START - 86_400 * SECOND
    world.pass_s(0)
    assert world.state.spend.total == spent
    assert world.state.spend.day_spent == spent
    world.now = START + 2 * 86_400 * SECOND
    world.pass_s(1)
    assert world.state.spend.day_spent == 0
    assert world.state.spend.month_spent >= spent


def test_a_model_without_a_price_is_not_asked_and_neither_is_anybody_without_a_configuration():
    world = AdvisorWorld({"model": "unknown-model"})
    world.open_market(1)
    assert not world.cycle()
    assert "price table" in world.state.why_idle
    silent = AdvisorWorld({"provider": "none"})
    silent.open_market(1)
    assert not silent.pass_s(100)


def test_a_provider_that_fails_again_and_again_is_left_alone_for_a_while():
    world = AdvisorWorld({"cycle_s": 60, "answer_s": 20})
    world.open_market(1, close_at=START + 7_200 * SECOND)
    for question in world.cycle():
        world.say(question, None, AnswerStatus.FAILED, calls=1)
    assert not world.pass_s(120)
    assert "left alone" in world.state.why_idle
    assert roles_of(world.pass_s(PAUSE_S)) == FORECASTERS


def test_answers_that_were_lost_in_a_crash_say_nothing_of_the_provider():
    world = AdvisorWorld({"cycle_s": 60, "answer_s": 20})
    world.open_market(1, close_at=START + 7_200 * SECOND)
    for question in world.cycle():
        world.say(question, None, AnswerStatus.FAILED, detail="lost: asked before a restart")
    assert roles_of(world.pass_s(120)) == FORECASTERS


# ── news ────────────────────────────────────────────────────────────────────────────────────────────


def news(world: AdvisorWorld, item: str, title: str, **fields) -> None:
    world.put(News(source=fields.pop("source", "agency"), item=item, title=title, at=world.now, **fields))


def test_news_of_a_market_reach_the_roles_that_weigh_them_and_no_price_does():
    world = AdvisorWorld()
    world.open_market(1)
    news(world, "a", "Bitcoin slips as miners sell", summary="A large miner sold.", source="agency")
    news(world, "b", "Rain in Lisbon")
    news(world, "c", "Polymarket puts Bitcoin above $80,000 at 62 %")
    news(world, "a", "Bitcoin slips as miners sell, again")
    texts = {question.role: question.text for question in world.cycle()}
    assert "agency: Bitcoin slips as miners sell (A large miner sold.)" in texts["news"]
    assert "Lisbon" not in texts["news"]
    assert "62" not in texts["news"]
    assert "again" not in texts["news"]
    assert "agency" not in texts["base_rate"]


def test_forecasts_are_scored_by_the_feeds_and_hosts_that_they_rest_on():
    world = AdvisorWorld()
    begin = world.now
    world.open_market(1, open_at=begin, close_at=begin + 900 * SECOND)
    news(world, "a", "Bitcoin slips as miners sell")
    world.pass_s(700)
    for held in list(world.state.open.values()):
        world.say(held.question, 70, sources=(Source("https://www.example.org/x", "q"),))
    world.answer_all(60)
    world.now = begin + 1_000 * SECOND
    scores = {score.name: score for score in world.settle(1, happened=True) if isinstance(score, Score)}
    assert scores["agency"].scope == "source"
    assert scores["example.org"].brier == 90_000


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=60)), max_size=20))
def test_whatever_is_in_the_news_a_question_stays_within_its_bounds(items):
    world = AdvisorWorld(twin=False)
    world.open_market(1)
    for number, (title, summary) in enumerate(items):
        news(world, str(number), f"Bitcoin {title}", summary=summary)
    for question in world.cycle():
        assert len(question.text) < 8_000
        assert not any(ord(character) < 32 and character != "\n" for character in question.text)


# ── learning ────────────────────────────────────────────────────────────────────────────────────────


def one_window(world: AdvisorWorld, number: int, percent: float, *, happened: bool) -> list:
    """List, ask, answer and settle one market."""
    begin = world.now
    world.open_market(number, open_at=begin, close_at=begin + 900 * SECOND)
    world.pass_s(700)
    made = world.answer_all(percent)
    world.now = begin + 1_000 * SECOND
    return [*made, *world.settle(number, happened=happened)]


def test_an_outcome_makes_scores_and_a_lesson_that_names_no_price():
    world = AdvisorWorld()
    made, lesson, *scores = one_window(world, 1, 70, happened=True)
    assert isinstance(made, Forecast)
    assert isinstance(lesson, Lesson)
    assert lesson.gain > 0
    assert lesson.text.startswith(
        "Bitcoin above $80,000 at the close? window 1: said 70 %, it happened; nearest: "
    )
    assert "50" not in lesson.text
    assert all(isinstance(score, Score) for score in scores)
    assert {score.scope for score in scores} == {"pooled", "role"}
    assert all(
        score.count == 1 and score.brier == 90_000 and score.brier_market == 250_000 for score in scores
    )
    # The next question of the family carries it.
    world.open_market(2, open_at=world.now, close_at=world.now + 900 * SECOND)
    texts = {question.role: question.text for question in world.pass_s(700)}
    assert "window 1: said 70 %" in texts["base_rate"]
    assert "window 1" not in texts["technical"]


def test_skill_earns_influence_market_by_market_and_a_new_model_starts_without():
    world = AdvisorWorld({"outcomes_min_count": 30}, twin=False)
    chance = random.Random(5)
    forecasts = []
    for number in range(80):
        happened = chance.random() < 0.5
        forecasts.append(one_window(world, number, 75 if happened else 25, happened=happened)[0])
    assert [made.weight for made in forecasts[:30]] == [0] * 30
    assert forecasts[-1].weight > ONE // 2
    assert forecasts[-1].probability != forecasts[-1].price
    document = {**SECTIONS["advisor"], "outcomes_min_count": 30, "model": "claude-sonnet-5-5"}
    world.put(Config(section="advisor", document=document, nonce="x", expires_at=START))
    assert one_window(world, 100, 75, happened=True)[0].weight == 0


def test_full_influence_is_for_paper_alone():
    world = AdvisorWorld({"influence": "full"})
    made = one_window(world, 1, 70, happened=True)[0]
    assert (made.influence, made.weight, made.probability) == (Influence.FULL, ONE, made.forecast)
    live = {"live_venues": ["kalshi"]}
    world.put(Config(section="execution", document=live, nonce="e", expires_at=START))
    made = one_window(world, 2, 70, happened=True)[0]
    assert (made.influence, made.weight) == (Influence.EARNED, 0)


def test_a_void_market_teaches_nothing():
    world = AdvisorWorld()
    world.open_market(1)
    world.cycle()
    world.answer_all(70)
    assert not world.put(market(1, status=MarketStatus.SETTLED, result="void"))
    assert not world.state.last
    assert all(learner.outcomes == 0 and not learner.open for learner in world.state.learners.values())


def test_a_session_ends_rounds_and_answers_are_still_paid():
    world = AdvisorWorld()
    world.open_market(1)
    questions = world.cycle()
    world.put(
        Session(
            tape="t",
            mode=Mode.REALTIME,
            clock_owner=ClockOwner.MONITOR,
            started_at=world.now,
            nonce="n2",
            expires_at=world.now,
        )
    )
    assert not world.state.rounds
    assert not world.say(questions[0], 60)
    assert len(world.state.open) == 2
    assert world.state.spend.day_spent == 1_000


def test_a_replay_asks_nobody_and_says_the_same():
    world = AdvisorWorld()
    for number in range(6):
        one_window(world, number, 60 + number, happened=number % 2 == 0)
    world.trade(80_000 * ONE, BTC)
    again = AdvisorMachine()
    said = [encode(output) for stamp, event in world.inputs for output in again.on(event, stamp)]
    assert said == [encode(output) for output in world.out]
    assert len(said) > 40


def test_a_roster_that_is_surer_than_right_is_calibrated_once_its_record_says_so():
    world = AdvisorWorld({"outcomes_min_count": 30}, twin=False)
    made = []
    for number in range(120):
        is_said = number % 2 == 1
        # Right six times of ten, whatever it says.
        made.append(one_window(world, number, 95 if is_said else 5, happened=is_said == (number % 10 < 6))[0])
    assert len(made) == 120
    assert {forecast.forecast for forecast in made[:50]} == {50_000, 950_000}
    assert {pooled_of(forecast) for forecast in made} == {50_000, 950_000}
    assert abs(made[-1].forecast - ONE // 2) < 150_000
    scores = {score.scope: score for score in world.out if isinstance(score, Score)}
    assert scores["calibrated"].brier < scores["pooled"].brier
    assert scores["calibrated"].count == 120 - OUTCOMES_MIN
