"""``python -m bench.strategies``: what each strategy made in synthetic markets and in recorded ones, after fees.

The machines of live trading run over each input in one process: paper fills against the book with queue, latency and fees,
risk at its default limits, exits at theirs. Trades in one market end together, so the interval draws whole markets. A
strategy is named as having an edge where the 95 % interval of its profit by stake lies above nothing on recorded data; with
the other strategies tried beside it, one in twenty would by chance alone. ``--write`` puts the table into docs/strategies.md.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import track

from bench.recorded import DATA_DIRECTORY
from libs.performance.fold import PerformanceFold
from libs.performance.trades import TRADES_MIN, TradeFigures, TradeResult, trade_figures
from libs.view import wording
from proto.message import Message
from services.feed.synthetic.recording import write_recording
from tools.offline.backtest import Backtest
from tools.system.composition import sections

VIEWS = ("momentum", "ma_cross", "macd", "mean_reversion", "patterns")
STRATEGIES: dict[str, tuple[str, ...]] = {
    name: (name,) for name in (*VIEWS, "near_certainty", "pairs", "implication")
} | {"consensus": (*VIEWS, "consensus")}
"""What runs in each row. ``events`` needs news and ``model_edge`` forecasts, which no input has."""
SEEDS = (7, 8, 9, 10)
MINUTES = 240
CAPTURES = Path("kalshi/kxbtc15m_ws_2026-05")
PAGE = Path("docs/strategies.md")
BEGIN, END = "<!-- begin: python -m bench.strategies --write -->", "<!-- end -->"


class Tried(NamedTuple):
    """What a strategy did on a set of inputs."""

    proposals: int
    figures: TradeFigures


def run(strategy: str, inputs: Iterable[Path]) -> Tried:
    """Backtest a strategy, with those that it needs beside it, on each input, with the default configuration."""
    results: list[TradeResult] = []
    proposals = 0
    for path in inputs:
        running = STRATEGIES[strategy]
        test = Backtest(sections(strategies=running), running)
        fold = PerformanceFold()
        test.observe(_observer(fold))
        test.run([path])
        results += fold.finish().results
        proposals += test.summary.tally.counts["proposals"]
    return Tried(proposals, trade_figures(results))


def _observer(fold: PerformanceFold) -> Callable[[int, str, str, Message], None]:
    def observe(seq: int, _: str, message_id: str, message: Message) -> None:
        fold.add(message, seq, 0, message_id)

    return observe


def cells(tried: Tried) -> tuple[str, str, str]:
    """Trades, profit, and profit by stake with its interval."""
    figures = tried.figures
    if not figures.trades:
        return f"0 of {tried.proposals:,} proposals", "–", "–"
    by_stake = figures.profit_per_stake
    value = 0.0 if by_stake.value is None else by_stake.value
    text = f"{100 * value:+.1f} %"
    if by_stake.low is not None and by_stake.high is not None:
        text += f" [{100 * by_stake.low:+.1f}, {100 * by_stake.high:+.1f}]"
    else:
        text += f" ({by_stake.samples} markets, below {TRADES_MIN}: no interval)"
    return f"{figures.trades:,}", wording.money(figures.profit, signed=True), text.replace("-", wording.MINUS)


def verdict(recorded: Tried | None) -> str:
    """What recorded data shows."""
    if recorded is None:
        return "no recorded data here"
    low = recorded.figures.profit_per_stake.low
    return "above nothing" if low is not None and low > 0 else "no edge shown"


def table(synthetic: dict[str, Tried], recorded: dict[str, Tried]) -> list[str]:
    """The table, as Markdown."""
    lines = [
        "| strategy | synthetic: trades | profit | by stake | recorded: trades | profit | by stake | verdict |",
        "|---|---:|---:|---|---:|---:|---|---|",
    ]
    for name in STRATEGIES:
        real = recorded.get(name)
        row = (name, *cells(synthetic[name]), *(cells(real) if real else ("–",) * 3), verdict(real))
        lines.append(f"| {' | '.join(row)} |")
    return lines


def captures() -> list[Path]:
    """The recorded sessions, where there are any."""
    folder = DATA_DIRECTORY / CAPTURES
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def measure(console: Console) -> tuple[dict[str, Tried], dict[str, Tried]]:
    """Every strategy on the synthetic markets and on the captures."""
    with tempfile.TemporaryDirectory() as folder:
        made = [write_recording(Path(folder) / f"seed_{seed}", seed, MINUTES) for seed in SEEDS]
        names = track(STRATEGIES, "strategies", console=console, transient=True)
        both = {name: (run(name, made), run(name, captures()) if captures() else None) for name in names}
    recorded = {name: real for name, (_, real) in both.items() if real is not None}
    return {name: tried for name, (tried, _) in both.items()}, recorded


def write(page: Path, lines: Sequence[str]) -> None:
    """Put the table between its marks.

    Raises:
        ValueError: the page has no such marks.
    """
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected {BEGIN} and {END} in {page}, was neither")
    page.write_text("\n".join((before + BEGIN, *lines, END + after)))


def main() -> None:
    """Run and print, or write."""
    parser = argparse.ArgumentParser(prog="python -m bench.strategies", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"rewrite the table of {PAGE}")
    wanted = parser.parse_args()
    lines = table(*measure(Console(stderr=True)))
    print("\n".join(lines))
    if wanted.write:
        write(PAGE, lines)


if __name__ == "__main__":
    main()
