"""The document of a backtest's report: everything that the page shows, as plain data, the same when made again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from libs.evaluation.day import ClosedTrade
from libs.performance.trades import Called
from proto.units import ONE
from tools.offline.backtest import Backtest
from tools.research.collector import Collector, CurvePoint
from tools.research.warnings import warnings_of

FORMAT = 1
BINS = 10
CHARTS_MAX = 12
"""Markets with a chart of their own: those with the largest profit or loss."""
LIMITS = (
    "This is a simulation on recorded prices. It does not show how the market would have reacted to these orders, nor that"
    " what was seen will be seen again. Every rule and limit is that of live trading; what the venue answers is assumed."
)


class Report:
    """A run and what was gathered of it; ``document`` is the report. ``changed``: settings given with the command."""

    def __init__(
        self,
        test: Backtest,
        collected: Collector,
        sections: Mapping[str, Mapping[str, Any]],
        strategies: Sequence[str],
        changed: Mapping[str, str],
        trials: int = 0,
    ) -> None:
        self.test = test
        self.collected = collected
        self.sections = sections
        self.strategies = strategies
        self.changed = changed
        self.trials = trials

    def document(self, recordings: Sequence[Path]) -> dict[str, Any]:
        """The whole report; money, prices and quantities in millionths, moments in nanoseconds."""
        collected = self.collected
        found = collected.performance()
        verdicts = [verdict.document() for verdict in collected.verdicts()]
        summary = self.test.summary.document()
        # How fast this machine was is no property of the result.
        del summary["latency_ms"]
        charted = _charted(found.trades)
        return {
            "format": FORMAT,
            "limits": LIMITS,
            "version": metadata.version("presage"),
            "inputs": [input_of(path) for path in recordings],
            "begins_at": found.begins_at,
            "ends_at": found.ends_at,
            "gaps": dict(sorted(collected.gaps.items())),
            "strategies": list(self.strategies),
            "settings_hash": hash_of(self.sections),
            "changed": dict(sorted(self.changed.items())),
            "trials": self.trials,
            "outputs_hash": summary["outputs_hash"],
            "summary": summary,
            "performance": found.document(),
            "expected": calibration(found.calls),
            "curve": [list(point) for point in curve_of(collected.curve)],
            "trades": [self._trade(trade) for trade in found.trades],
            "charts": [self._chart(instrument, found.trades) for instrument in charted],
            "fills": {"maker": collected.makers, "taker": collected.takers},
            "rejections": dict(sorted(collected.rejections.items())),
            "assumptions": assumptions(self.sections["paper"], sorted(collected.fee_models)),
            "warnings": warnings_of(found, collected, self.sections, self.trials),
            "checks": verdicts,
            "checks_passed": not any(verdict["failed"] for verdict in verdicts),
        }

    def _trade(self, trade: ClosedTrade) -> dict[str, Any]:
        first = next((entry.id for entry in trade.entries if entry.id in self.collected.reasons), "")
        reason = self.collected.reasons.get(first)
        return {
            "id": trade.id,
            "strategy": trade.strategy,
            "market": trade.market,
            "title": self.collected.titles.get(trade.market, ""),
            "instrument": trade.instrument,
            "family": trade.family,
            "opened_at": trade.opened_at,
            "closed_at": trade.closed_at,
            "quantity": trade.quantity,
            "entry_price": trade.entry_price,
            "exit_price": trade.exit_value * ONE // trade.quantity if trade.quantity else 0,
            "fees": trade.fees,
            "slippage": trade.slippage,
            "expected": trade.expected,
            "profit": trade.profit,
            "ended": trade.ended,
            "why": None
            if reason is None
            else {
                "text": reason.text,
                "fair_value": reason.fair_value,
                "edge": reason.edge,
                "evidence": [list(row) for row in reason.evidence],
                "checks_passed": reason.checks,
            },
        }

    def _chart(self, instrument: str, trades: Sequence[ClosedTrade]) -> dict[str, Any]:
        path = self.collected.paths.get(instrument)
        own = [trade for trade in trades if trade.instrument == instrument]
        return {
            "instrument": instrument,
            "title": self.collected.titles.get(own[0].market, ""),
            "prices": [] if path is None else [list(point) for point in path.points()],
            "entries": [[trade.opened_at, trade.entry_price] for trade in own],
            "exits": [
                [trade.closed_at, trade.exit_value * ONE // trade.quantity if trade.quantity else 0]
                for trade in own
            ],
        }


def input_of(path: Path) -> dict[str, Any]:
    """A recording by name, size and the hash of its files in the order of their names."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    size = 0
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
        size += file.stat().st_size
    return {"name": path.resolve().name, "bytes": size, "sha256": digest.hexdigest()}


def hash_of(document: Any) -> str:
    """A hash of plain data, whatever order its keys came in."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def curve_of(points: Sequence[CurvePoint]) -> list[tuple[int, int, int, int, int]]:
    """Moment, equity, cash, exposure, and the fall below the highest equity before, a millionth of it each."""
    peak = 0
    rows = []
    for point in points:
        peak = max(peak, point.equity)
        fall = (peak - point.equity) * ONE // peak if peak else 0
        rows.append((*point, fall))
    return rows


def calibration(calls: Sequence[Called]) -> list[dict[str, int]]:
    """Fair values by tenths, and how often what they were given to happened."""
    bins: list[list[Called]] = [[] for _ in range(BINS)]
    for call in calls:
        bins[min(call.fair_value * BINS // ONE, BINS - 1)].append(call)
    return [
        {
            "from": number * ONE // BINS,
            "count": len(rows),
            "mean": sum(row.fair_value for row in rows) // len(rows),
            "happened": sum(row.happened for row in rows) * ONE // len(rows),
        }
        for number, rows in enumerate(bins)
        if rows
    ]


def assumptions(paper: Mapping[str, Any], fee_models: Sequence[str]) -> list[str]:
    """How fills were made, in words."""
    fees = ", ".join(fee_models) or "none was charged"
    return [
        (
            f"An order and a cancel reach the venue {paper['latency_ms']} ms after they were sent; the book moves"
            " meanwhile. The time is the same each time: it does not grow when the market is busy."
        ),
        (
            "What takes liquidity gets the levels on display at their prices, never more than is left of them. The market"
            " does not feel it: what was bought stays on display for others, not for us."
        ),
        (
            "What rests stands behind everything on display at its price. It is filled by trades beyond that queue, by"
            " trades through its price, and when the other side comes to its price. Who cancels is taken to have stood"
            " behind us."
        ),
        (
            "Price steps, least sizes, orders that may only rest, and times for which a market holds takers back are those"
            " that the venue stated with the market."
        ),
        (
            f"Fees follow the schedule that came with the market at that time ({fees}), rounded to"
            f" {paper['fee_precision'] / ONE:g} dollars."
        ),
        (
            "A market pays what the venue said it paid. In a recording that keeps results without their moment, the result"
            " comes 10 seconds after the close."
        ),
        "No order of ours was refused for reasons of the venue's own, and no connection was ever lost.",
    ]


def _charted(trades: Sequence[ClosedTrade]) -> list[str]:
    by_instrument: dict[str, int] = {}
    for trade in trades:
        by_instrument[trade.instrument] = by_instrument.get(trade.instrument, 0) + abs(trade.profit)
    ranked = sorted(by_instrument, key=lambda name: (-by_instrument[name], name))[:CHARTS_MAX]
    return sorted(ranked)
