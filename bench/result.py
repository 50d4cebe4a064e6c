"""What a measurement says: named figures, each with its aim if the plan set one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Tell = Callable[[str], None]
"""Called with a line about what is going on."""


@dataclass(frozen=True)
class Figure:
    """One figure. ``aim`` is the plan's, in the same unit; ``at_most`` says on which side of it to be."""

    name: str
    value: float
    unit: str
    aim: float | None = None
    at_most: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the aim is reached; ``None`` when there is none."""
        if self.aim is None:
            return None
        return self.value <= self.aim if self.at_most else self.value >= self.aim

    @property
    def value_text(self) -> str:
        """The figure with its unit."""
        return f"{_number(self.value)} {self.unit}"

    @property
    def aim_text(self) -> str:
        """The aim with its direction; empty when there is none."""
        if self.aim is None:
            return ""
        return f"{'≤' if self.at_most else '≥'} {_number(self.aim)} {self.unit}"

    @property
    def met_text(self) -> str:
        """``met``, ``not met``, or nothing."""
        return {None: "", True: "met", False: "not met"}[self.met]

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "aim": self.aim_text or None,
            "met": self.met,
        }


def _number(value: float) -> str:
    """Whole numbers from a hundred on, else three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def rate(name: str, count: int, seconds: float, unit: str, aim: float | None = None) -> Figure:
    """A throughput: at least ``aim`` a second."""
    return Figure(name, count / seconds, f"{unit}/s", aim, at_most=False)
