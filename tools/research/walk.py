"""Walk-forward: what would have been made by choosing settings on the past alone, again and again."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from libs.performance.figure import Figure
from libs.performance.selection import (
    PERIODS_MIN,
    Profits,
    deflated_ratio,
    overfitting,
    probabilistic_ratio,
    ratio,
)

CONFIDENCE = 0.95
"""How probable an edge has to be before it is called one."""
OVERFITTING_MAX = 0.5
"""Above, the choice is worse than one by lot."""
EFFICIENCY_MIN = 0.3
"""What is made later by what was made when choosing: below, most of it was chosen luck."""


class Window(NamedTuple):
    """Periods by number, the end out: chosen on the first pair, then an embargo, tested on the second pair."""

    train_from: int
    train_to: int
    test_from: int
    test_to: int


class Step(NamedTuple):
    """A window, which trial was chosen in it (-1: none that traded), and what each part made."""

    window: Window
    chosen: int
    trained: float
    tested: float


class Walk(NamedTuple):
    """All steps, and what they say together."""

    steps: list[Step]
    outside: list[float]
    """Profits of the test parts, joined."""
    best: int
    """The trial with the best ratio over all periods."""
    trials: int
    deflated: Figure
    overfitted: Figure
    later: Figure
    """The probability that what was made outside the choice has a ratio above nothing."""

    @property
    def efficiency(self) -> float | None:
        """A period's mean profit when tested, by that when chosen; ``None`` without a profit then."""
        trained = [(step.trained, step.window.train_to - step.window.train_from) for step in self.steps]
        made, count = sum(row[0] for row in trained), sum(row[1] for row in trained)
        if made <= 0 or not self.outside:
            return None
        return (sum(self.outside) / len(self.outside)) / (made / count)

    def objections(self) -> list[str]:
        """Every reason not to believe in an edge; none left means that one was found."""
        texts = []
        made = sum(self.outside)
        if len(self.outside) < PERIODS_MIN:
            texts.append(f"{len(self.outside)} periods outside the choice, below {PERIODS_MIN}: too few")
        if made <= 0:
            texts.append("outside the periods on which it was chosen it made nothing")
        texts += _improbable(self.later, "that what was made outside the choice was more than chance")
        words = f"that the best of {self.trials} trials is better than the best of as many worthless ones"
        texts += _improbable(self.deflated, words)
        if self.overfitted.value is not None and self.overfitted.value > OVERFITTING_MAX:
            texts.append(
                f"the best of one half of the time is below the median of the other in {self.overfitted.value:.0%}"
            )
        efficiency = self.efficiency
        if efficiency is not None and efficiency < EFFICIENCY_MIN:
            texts.append(f"later it made {efficiency:.0%} of what it made when it was chosen")
        return texts

    def document(self) -> dict[str, Any]:
        """As plain data; money in millionths."""
        return {
            "steps": [{**step.window._asdict(), **step._asdict(), "window": None} for step in self.steps],
            "periods_outside": len(self.outside),
            "profit_outside": round(sum(self.outside)),
            "windows_with_profit": sum(step.tested > 0 for step in self.steps),
            "best": self.best,
            "trials": self.trials,
            "deflated_sharpe": self.deflated.document(),
            "overfitting": self.overfitted.document(),
            "probability_outside": self.later.document(),
            "efficiency": self.efficiency,
            "objections": self.objections(),
            "edge_found": not self.objections(),
        }


def _improbable(figure: Figure, words: str) -> list[str]:
    if figure.value is None:
        return [f"no statement {words}: {figure.reason}"]
    return (
        []
        if figure.value >= CONFIDENCE
        else [f"the probability {words} is {figure.value:.0%}, below {CONFIDENCE:.0%}"]
    )


def windows_of(periods: int, count: int, embargo: int, *, anchored: bool = False) -> list[Window]:
    """``count`` windows: each is chosen on the part before it (anchored: on all before) less the embargo, tested on one part."""
    size = periods // (count + 1)
    found = []
    for number in range(1, count + 1):
        start = 0 if anchored else (number - 1) * size
        end = periods if number == count else (number + 1) * size
        window = Window(start, number * size - embargo, number * size, end)
        if window.train_to - window.train_from >= 2 and window.test_to > window.test_from:
            found.append(window)
    return found


def walk_forward(trials: Sequence[Profits], windows: Sequence[Window]) -> Walk:
    """Choose in each window by the ratio of the train part, and follow the choice in the test part."""
    steps, outside = [], []
    for window in windows:
        trained = [profits[window.train_from : window.train_to] for profits in trials]
        best = max(range(len(trials)), key=lambda place: ratio(trained[place]))
        chosen = best if ratio(trained[best]) > 0 else -1
        tested = list(trials[chosen][window.test_from : window.test_to]) if chosen >= 0 else []
        outside += tested or [0.0] * (window.test_to - window.test_from)
        steps.append(Step(window, chosen, sum(trained[chosen]) if chosen >= 0 else 0.0, sum(tested)))
    best = max(range(len(trials)), key=lambda place: ratio(trials[place]))
    return Walk(
        steps,
        outside,
        best,
        len(trials),
        deflated_ratio(trials, best),
        overfitting(trials),
        probabilistic_ratio(outside),
    )
