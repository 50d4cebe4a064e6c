"""The performance page says what ``presage performance`` says of the same tape."""

import asyncio
from pathlib import Path

from libs.performance.fold import PerformanceFold
from libs.performance.returns import DAY
from proto.message import Message
from proto.risk import PortfolioReport
from proto.units import ONE
from services.console.accounts import Role
from services.console.performance import document, performance_of
from tests.support.console_world import PASSWORD, browser, console_over, log_in, records, session
from tests.support.view_session import T0, report

SHARED = ("profit", "realised_profit", "fees", "trades", "win_rate", "profit_factor", "expectancy")


def _messages() -> list[Message]:
    """A session whose reports are of three days."""
    told = [*session(), report(985 * ONE, 990 * ONE), report(1_003 * ONE, 1_003 * ONE)]
    days = iter(range(T0, T0 + 3 * DAY, DAY))
    return [
        each.model_copy(update={"at": next(days)}) if isinstance(each, PortfolioReport) else each
        for each in told
    ]


def test_the_console_uses_the_formulas_of_the_command(tmp_path: Path):
    console = console_over(tmp_path, _messages())
    fold = PerformanceFold()
    for record, message in records(_messages()):
        fold.add(message, record.seq, record.stored_at_ns, record.message_id)
    expected, found = fold.finish(), performance_of(console.now.fold)
    assert found.account == expected.account
    assert found.days == expected.days
    assert found.drawdown == expected.drawdown
    assert found.drawdown.depth > 0
    for name in ("return", "annual_return", "sharpe", "sortino", "calmar", "brier", "log_score"):
        assert found.figures()[name] == expected.figures()[name], name
    whole, split = expected.total(), found.by("strategy")
    assert whole.trades == 1
    for name in SHARED:
        assert getattr(found.total(), name) == getattr(whole, name), name
        assert getattr(split["momentum"], name) == getattr(whole, name), name
    assert set(found.by("family")) == set(expected.by("family"))


def test_the_answer_has_exact_amounts_and_the_page_every_figure(tmp_path: Path):
    console = console_over(tmp_path, _messages())
    console.accounts.set_password("operator", PASSWORD, Role.OPERATOR)
    answer = document(performance_of(console.now.fold))
    assert answer["account"]["equity"] == "1003"
    assert answer["drawdown"]["amount"] == "11"
    assert answer["all"]["trades"] == 1
    assert "slippage" not in answer["all"]

    async def page() -> str:
        async with browser(console) as client:
            await log_in(client)
            return (await client.get("/performance")).text

    text = asyncio.run(page())
    for word in ("Sharpe ratio", "3 days, below 20: too few", "By family", "weekday (UTC)", "profit factor"):
        assert word in text, word
