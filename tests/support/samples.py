"""One instance of every message, with every field set to something that is not its default.

Their bytes are the golden corpus (``tests/golden/messages.txt``): a change of the format shows there.
"""

from proto import execution, exit, feed, monitor, operator, risk, service, signal, venue
from proto.message import Message
from proto.units import ONE, SECOND

AT = 1_747_180_800 * SECOND
MARKET = "kalshi:FED-26MAY-T3.00"
YES = f"{MARKET}:yes"
NO = f"{MARKET}:no"
ORDER = "t1-4711-0"
APPROVAL_ID = "t1:risk:4711:0"
PROPOSAL_ID = "t1:signal:4700:0"

BOOKS = (
    feed.Quote(
        instrument=YES, at=AT, counter=7, bid=440_000, bid_size=25 * ONE, ask=450_000, ask_size=10 * ONE
    ),
    feed.Book(
        instrument=NO,
        at=AT + 1,
        counter=8,
        bids=(feed.Level(550_000, 10 * ONE), feed.Level(540_000, 300 * ONE)),
        asks=(feed.Level(560_000, 25 * ONE),),
        snapshot=True,
    ),
    feed.Trade(
        instrument="coinbase:BTC-USD",
        at=AT + 2,
        trade_id="815",
        price=103_250_120_000,
        quantity=12_345,
        aggressor=feed.Side.SELL,
    ),
    feed.Market(
        market=MARKET,
        venue="kalshi",
        at=AT,
        status=feed.MarketStatus.SETTLED,
        outcomes=(feed.Outcome("yes", YES), feed.Outcome("no", NO)),
        title="Bitcoin up in the next 15 minutes?",
        underlying="coinbase:BTC-USD",
        strike=103_000_000_000,
        open_at=AT - 900 * SECOND,
        close_at=AT,
        settlement_average_s=60,
        price_steps=(
            feed.PriceStep(0, 1_000),
            feed.PriceStep(100_000, 10_000),
            feed.PriceStep(900_000, 1_000),
        ),
        quantity_step=10_000,
        fees=feed.FeeSchedule(model="kalshi_quadratic", taker_rate=70_000, maker_rate=17_500),
        group="KXBTC15M-26MAY131800",
        result="yes",
    ),
    feed.Gap(venue="kalshi", at=AT, reason="expected seq 18, was 20", instrument=YES),
    feed.Candle(
        instrument="binance:BTCUSDT",
        at=AT + 3,
        start_at=AT - 300 * SECOND,
        interval_s=300,
        first=103_250_000_000,
        high=103_310_120_000,
        low=103_190_000_000,
        last=103_250_120_000,
        volume=21_632_720,
    ),
    feed.FeedClock(at=AT),
    feed.Played(recording="2026-05-13", at=AT, frames=61_000, dead=2),
)

DECISIONS = (
    signal.Proposal(
        strategy="momentum",
        market=MARKET,
        instrument=YES,
        side=feed.Side.BUY,
        price=450_000,
        fair_value=530_000,
        edge=62_700,
        strength=ONE // 2,
        expires_at=AT + 5 * SECOND,
        reason="breakout",
        evidence=(signal.Evidence("z_score", 2_500_000), signal.Evidence("volatility", -1)),
    ),
    risk.Approval(
        order=ORDER,
        strategy="momentum",
        market=MARKET,
        instrument=YES,
        side=feed.Side.BUY,
        price=450_000,
        quantity=100 * ONE,
        time_in_force=risk.TimeInForce.GTD,
        expires_at=AT + 5 * SECOND,
        proposal=PROPOSAL_ID,
        reduce_only=True,
        post_only=True,
        reason="half Kelly",
        checks=(risk.Check("max_bet", 50 * ONE, 45 * ONE), risk.Check("book_age_s", 5, 1)),
    ),
    risk.Rejection(
        strategy="momentum",
        market=MARKET,
        instrument=YES,
        side=feed.Side.BUY,
        price=450_000,
        proposal=PROPOSAL_ID,
        quantity=100 * ONE,
        reduce_only=True,
        failed=(risk.Check("total_heat", 200 * ONE, 240 * ONE, passed=False),),
    ),
    risk.Pending(
        order=ORDER,
        strategy="momentum",
        market=MARKET,
        instrument=YES,
        side=feed.Side.BUY,
        price=450_000,
        quantity=100 * ONE,
        expires_at=AT + 60 * SECOND,
        proposal=PROPOSAL_ID,
    ),
    risk.PortfolioReport(
        digest="9f86d081884c7d65",
        cash=955 * ONE,
        equity=1_003 * ONE,
        realised_profit=-2 * ONE,
        fees=ONE,
        exposure=45 * ONE,
        exposure_limit=200 * ONE,
        positions=1,
        state=risk.RiskState.REDUCED,
        at=AT,
    ),
    exit.ExitProposal(
        strategy="momentum",
        market=MARKET,
        instrument=YES,
        side=feed.Side.SELL,
        price=459_000,
        quantity=50 * ONE,
        time_in_force=risk.TimeInForce.GTC,
        reason=exit.ExitReason.TARGET,
        expires_at=AT + 600 * SECOND,
    ),
    exit.ExitCancel(order="t1-4750-0", reason="stop loss"),
    exit.PositionUpdate(
        market=MARKET,
        instrument=YES,
        strategy="momentum",
        stage=exit.PositionStage.HALF_CLOSED,
        quantity=50 * ONE,
        entry_price=450_000,
        reason="target",
    ),
    risk.ExitPortfolioReport(digest="9f86d081884c7d65", at=AT),
)

ORDERS = (
    execution.OrderUpdate(
        order=ORDER,
        status=execution.OrderStatus.PARTIALLY_FILLED,
        instrument=YES,
        market=MARKET,
        strategy="momentum",
        filled=40 * ONE,
        remaining=60 * ONE,
        reduce_only=True,
        reason="fill",
    ),
    execution.Cancel(order=ORDER, reason="halt"),
    execution.Query(order=ORDER),
    execution.Refusal(order=ORDER, reason=execution.RefusalReason.SIGNATURE, message_id=APPROVAL_ID),
    execution.Unclaimed(order=ORDER, reason="expired"),
    execution.Claim(
        order=ORDER,
        approval_subject=f"risk.approval.{ORDER}",
        message_id=APPROVAL_ID,
        payload=b"\x80\x00\xff",
        signature="c2ln",
        key_id="risk-1",
        client_order_id="b7e23ec2",
        nonce="5feceb66",
        claimed_at=AT,
    ),
    venue.Ack(
        order=ORDER,
        status=venue.AckStatus.ACCEPTED,
        remaining=60 * ONE,
        venue_order_id="v-1",
        reason="resting",
    ),
    venue.Fill(
        fill_id="fill:kalshi:815",
        order=ORDER,
        market=MARKET,
        instrument=YES,
        strategy="momentum",
        side=feed.Side.BUY,
        price=450_000,
        quantity=40 * ONE,
        fee=693_000,
        maker=True,
        at=AT,
    ),
    venue.TradeState(
        fill_id="fill:kalshi:815", order=ORDER, instrument=YES, status=venue.TradeStatus.MINED, at=AT
    ),
    venue.Reconciliation(
        venue="kalshi",
        complete=True,
        clean=True,
        reason="none",
        differences=(venue.Difference("position", YES, 40 * ONE, 41 * ONE),),
        open_orders=3,
        balance=955 * ONE,
        available=900 * ONE,
        at=AT,
    ),
    venue.Settlement(settlement_id="s:1", market=MARKET, instrument=YES, price=ONE, at=AT),
    venue.Correction(correction_id="c:1", fill_id="fill:kalshi:815", order=ORDER, reason="failed"),
    venue.Account(account_id="a:1", venue="kalshi", deposit=-1_000 * ONE, at=AT),
    venue.StatusReport(
        order=ORDER,
        found=True,
        status=venue.AckStatus.CANCELED,
        filled=40 * ONE,
        remaining=60 * ONE,
    ),
)

OPERATIONS = (
    operator.Session(
        tape="t1",
        mode=operator.Mode.PLAYBACK,
        clock_owner=operator.ClockOwner.FEED,
        started_at=AT,
        nonce="n1",
        expires_at=AT + 60 * SECOND,
        recording="2026-05-13",
        halted=True,
        config_count=5,
        prices=operator.Prices.RECORDING,
    ),
    operator.Config(
        section="signal.momentum",
        document={"enabled": True, "z_score_min": 2_000_000, "windows": [5, 15], "name": "x", "none": None},
        nonce="n2",
        expires_at=AT + 60 * SECOND,
    ),
    operator.Command(
        verb=operator.Verb.CLOSE_ONLY,
        nonce="n3",
        expires_at=AT + 60 * SECOND,
        reason="weekend",
        order=ORDER,
        machine="risk",
        seq=4711,
    ),
    monitor.Clock(at=AT),
    monitor.Health(service="risk", state=monitor.ServiceState.LIVE, detail="seq 4711", position=4711),
    monitor.Alert(
        rule="stuck_order",
        severity=monitor.Severity.CRITICAL,
        topic=ORDER,
        text="submitted 30 s ago",
        active=False,
    ),
    monitor.Dead(
        producer="feed",
        reason="expected a map, was a list",
        seq=4711,
        topic="feed.quote.x",
        excerpt=b"\x91\x00",
        count=12,
    ),
    service.Started(
        service="execution",
        machine="paper",
        build="3c59dc0",
        version=2,
        from_seq=4700,
        config="a1b2",
        adopted=True,
    ),
    service.Anchor(day="2026-05-13", seq=4711, rows=900, head="9f86d081", at=AT),
)

# Later fields: each gets a sample of its own, so that the earlier lines stay as they are.
LATER = (
    BOOKS[3].replace(fees=feed.FeeSchedule(model="polymarket", taker_rate=70_000, maker_rate=1, exponent=2)),
    BOOKS[3].replace(
        instrument_kind=feed.InstrumentKind.SPOT,
        payoff=feed.Payoff.BETWEEN,
        floor=-300_000,
        cap=1_234_567_891,
        floor_included=False,
        cap_included=True,
        figure_decimals=9,
        price_decimals=12,
        expected_end_at=AT - 1,
        ended_at=AT + 1,
        answer=feed.Answer.DISPUTED,
        quantity_min=5_000_000,
        taker_notional_min=1_000_000,
        taker_delay_ms=3_000,
        payout=240_000,
        payout_floor=10_000,
    ),
    BOOKS[3].replace(clears_at=AT + 60_000_000_000),
)

SAMPLES: tuple[Message, ...] = (*BOOKS, *DECISIONS, *ORDERS, *OPERATIONS, *LATER)
