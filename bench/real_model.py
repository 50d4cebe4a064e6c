"""``python -m bench.real_model --base-url http://127.0.0.1:PORT/v1``: a model of this machine as the advisor asks it.

Recorded windows of Polymarket with their middle prices and winners go through the advisor's machine, each question to the
model by the official SDK and the advisor's own guards, each outcome back. Printed: what came of the questions, the Brier
score beside the market's, and the weight that was earned. Outside CI: a model takes seconds to minutes for an answer.
"""

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.forecasts import Window, polymarket_windows
from bench.recorded import DATA_DIRECTORY
from libs.machine.machine import Stamp
from proto.advisor import Forecast, ModelAnswer, Question, Score
from proto.feed import Book, Level, Market, MarketStatus, Outcome
from proto.message import Message
from proto.monitor import Clock
from proto.operator import ClockOwner, Config, Mode, Session
from proto.units import ONE, SECOND
from services.advisor.calls import Call
from services.advisor.figures import figures_of
from services.advisor.machine import AdvisorMachine
from services.advisor.providers import make_provider
from tools.system.composition import CONFIG_DIRECTORY, advisor_sections

WARMUP_S = 46
TICK = 1_000
TITLE = "Bitcoin up over the five minutes from {start}?"


class Run:
    """The advisor's machine with a clock of its own; questions wait in ``asked``."""

    def __init__(self, changes: dict[str, str], start_s: int) -> None:
        self.machine = AdvisorMachine()
        self.now = start_s * SECOND
        self.seq = 0
        self.out: list[Message] = []
        self.asked: list[Question] = []
        self.put(
            Session(
                tape="bench",
                mode=Mode.REALTIME,
                clock_owner=ClockOwner.MONITOR,
                started_at=self.now,
                nonce="bench",
                expires_at=self.now,
            )
        )
        for name, document in advisor_sections(Path(CONFIG_DIRECTORY), changes).items():
            self.put(Config(section=name, document=document, nonce=name, expires_at=self.now))

    def put(self, event: Message) -> None:
        """Give the machine a message; its questions come back to it, as from the tape."""
        self.seq += 1
        for message in self.machine.on(event, Stamp(self.seq, self.now)):
            self.out.append(message)
            if isinstance(message, Question):
                self.asked.append(message)
                self.put(message)

    def list(self, window: Window) -> Market:
        """The window's market, with its middle price in a book."""
        name = f"polymarket:{window.name}"
        start = int(window.name)
        market = Market(
            market=name,
            venue="polymarket",
            at=self.now,
            status=MarketStatus.OPEN,
            outcomes=(Outcome("up", f"{name}:up"), Outcome("down", f"{name}:down")),
            title=TITLE.format(start=start),
            open_at=start * SECOND,
            close_at=(start + 300) * SECOND,
        )
        self.put(market)
        price = min(max(window.price, 2 * TICK), ONE - 2 * TICK)
        levels = ((Level(price - TICK, ONE),), (Level(price + TICK, ONE),))
        self.put(
            Book(
                instrument=f"{name}:up",
                at=self.now,
                counter=1,
                bids=levels[0],
                asks=levels[1],
                snapshot=True,
            )
        )
        return market


async def ask_all(run: Run, base_url: str, limit_s: float, answers: list[ModelAnswer]) -> None:
    """Put each waiting question to the model, and its answer to the machine."""
    provider = make_provider("openai", base_url, "")
    state = run.machine.state
    params = state.params
    assert params is not None
    try:
        while run.asked:
            question = run.asked.pop(0)
            price = params.price_of(question.model)
            assert price is not None
            call = Call(provider, question, state.prompts[question.prompt], price, lambda: run.now)
            answer = await call.run(limit_s)
            answers.append(answer)
            print(question.role, answer.status.value, answer.detail, answer.raw[:200].replace("\n", " "))
            run.put(answer)
    finally:
        await provider.close()


def changes_for(base_url: str, model: str, tokens: int) -> dict[str, str]:
    """Settings under which the advisor asks one role of that model, as often as there are windows, for nothing."""
    return {
        "advisor.provider": "openai",
        "advisor.base_url": base_url,
        "advisor.model": model,
        "advisor.roles": '[{"role": "base_rate"}]',
        "advisor.prices": f'[{{"model": "{model}", "input": 0.0, "output": 0.0}}]',
        "advisor.tokens_max": str(tokens),
        "advisor.left_min_s": "1",
        "advisor.cycle_s": "1",
        "advisor.outcomes_min_count": "30",
    }


def summary_of(run: Run, answers: Sequence[ModelAnswer]) -> dict[str, Any]:
    """What came of it, as plain data."""
    forecasts = [made for made in run.out if isinstance(made, Forecast)]
    scores = [made for made in run.out if isinstance(made, Score) and made.scope == "pooled"]
    return {
        "questions": len(answers),
        "answers": dict(Counter(answer.status.value for answer in answers)),
        "why_not": dict(Counter(answer.detail.partition(":")[0] for answer in answers if answer.detail)),
        "forecasts": sum(made.forecast > 0 for made in forecasts),
        "rounds": len(forecasts),
        "brier": scores[-1].brier / ONE if scores else None,
        "brier_market": scores[-1].brier_market / ONE if scores else None,
        "weights": figures_of(run.machine.state, run.now)["weight"],
        "moved": sum(made.probability != made.price for made in forecasts),
        "mean_latency_s": round(sum(a.latency_ms for a in answers) / max(len(answers), 1) / 1_000, 1),
        "tokens_out": sum(answer.tokens_out for answer in answers),
    }


async def main() -> None:
    """Ask about as many windows as wanted, in the order of their times."""
    parser = argparse.ArgumentParser(prog="python -m bench.real_model", description=__doc__)
    parser.add_argument("--base-url", required=True, help="address of an OpenAI-compatible server, with /v1")
    parser.add_argument("--model", default="local")
    parser.add_argument("--windows", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=160, help="an answer's limit")
    parser.add_argument("--limit-s", type=float, default=300.0, help="time for an answer")
    parser.add_argument("--data", type=Path, default=DATA_DIRECTORY)
    given = parser.parse_args()
    windows = polymarket_windows(given.data)[: given.windows]
    changes = changes_for(given.base_url, given.model, given.tokens)
    run = Run(changes, int(windows[0].name) - WARMUP_S)
    answers: list[ModelAnswer] = []
    for window in windows:
        run.now = int(window.name) * SECOND + WARMUP_S * SECOND
        market = run.list(window)
        # A model that fails again and again is left alone for a while; here its failures are what is asked for.
        run.machine.state.paused_until = 0
        run.put(Clock(at=run.now))
        await ask_all(run, given.base_url, given.limit_s, answers)
        run.now = int(window.ended_at + 1) * SECOND
        run.put(market.replace(status=MarketStatus.SETTLED, result="up" if window.happened else "down"))
    print(json.dumps(summary_of(run, answers), indent=2))


if __name__ == "__main__":
    asyncio.run(main())
