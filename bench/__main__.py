"""``python -m bench [NAME…]``: measure what docs/benchmarks.md states, one after the other.

``python -m bench builds`` compares two builds instead, see ``bench/builds.py``; ``python -m bench first-trade`` starts the
system again and again, see ``bench/first_trade.py``; ``python -m bench cluster`` lets parts of a cluster go, see
``bench/cluster.py``.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import monotonic

from rich.console import Console

from bench import (
    backtest,
    builds,
    cluster,
    console,
    decode,
    feed_to_tape,
    first_trade,
    growth,
    journal,
    latency,
    live_latency,
    machine,
    memory,
    messages,
    recorded,
    replay,
    report,
    restart,
    risk_decision,
    signing,
)
from bench.result import Figure, Tell

Measure = Callable[[Tell, Sequence[Path]], Awaitable[list[Figure]]]

MEASUREMENTS: dict[str, Measure] = {
    "latency": latency.measure,
    "live": live_latency.measure,
    "feed": feed_to_tape.measure,
    "decode": decode.measure,
    "risk": risk_decision.measure,
    "backtest": backtest.measure,
    "replay": replay.measure,
    "journal": journal.measure,
    "restart": restart.measure,
    "growth": growth.measure,
    "memory": memory.measure,
    "messages": messages.measure,
    "signing": signing.measure,
    "console": console.measure,
}

OTHERS: dict[str, Callable[[Sequence[str]], int]] = {
    "builds": builds.main,
    "cluster": cluster.main,
    "first-trade": first_trade.main,
}
"""Measurements with options of their own."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure what Presage can do. `python -m bench builds --help`: compare two builds instead; "
        "`python -m bench first-trade --help`: the time from a start to the first fill.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}; default all")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--write", action="store_true", help="rewrite the figures in docs/benchmarks.md")
    parser.add_argument(
        "--full",
        action="store_true",
        help="restart with the tape's whole window (three million messages), memory after ten minutes",
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"expected measurements of {', '.join(MEASUREMENTS)}, was {unknown[0]!r}")
    return arguments


def _command(arguments: argparse.Namespace) -> str:
    options = ["--full"] if arguments.full else []
    return " ".join(["python -m bench", *arguments.names, *options])


def main() -> int:
    """Measure, print, and write the page if asked.

    Returns:
        0, also when an aim is missed; 1 when a measurement failed, and then the page is left alone.
    """
    for name, other in OTHERS.items():
        if sys.argv[1:2] == [name]:
            return other(sys.argv[2:])
    arguments = _arguments()
    console = Console(stderr=True)
    about = machine.describe()
    if warning := machine.busy(about):
        console.print(f"[bold yellow]{warning}[/]")
    restart.WINDOW.full = memory.WINDOW.full = arguments.full
    figures: list[Figure] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        recordings = [recorded.synthetic(Path(directory))]
        names = arguments.names or list(MEASUREMENTS)
        for number, name in enumerate(names, 1):
            began = monotonic()

            def tell(line: str, head: str = f"[{number}/{len(names)}] {name}") -> None:
                console.print(f"{head}: {line}", highlight=False, markup=False)

            try:
                figures += asyncio.run(_measured(name, tell, recordings))
            except (RuntimeError, TimeoutError, OSError) as e:
                # The other measurements still say something; this one says that it failed.
                failed.append(name)
                tell(f"failed: {type(e).__name__}: {e}")
            tell(f"done in {monotonic() - began:.0f} s")
    if arguments.json:
        json.dump(report.document(figures, about), sys.stdout, indent=2, ensure_ascii=False)
        print()
    else:
        report.print_table(Console(width=None if sys.stdout.isatty() else 110), figures, about)
    if failed:
        console.print(f"[bold red]not measured: {', '.join(failed)}[/]")
        return 1
    if arguments.write:
        page = report.PAGE.read_text()
        report.PAGE.write_text(report.rewrite(page, report.generated(figures, about, _command(arguments))))
    return 0


async def _measured(name: str, tell: Tell, recordings: Sequence[Path]) -> list[Figure]:
    return await MEASUREMENTS[name](tell, recordings)


if __name__ == "__main__":
    sys.exit(main())
